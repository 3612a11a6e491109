"""The import as one would write it in an afternoon: downloads whole pages, flattens them,
copies the rows. No limits, no proof, no resuming, nothing about records that do not fit.

Takes a line of JSON (api_url, token, database_url, lists of path and rows) and prints the
seconds and its processor time and memory. Needs aiohttp, orjson and asyncpg.
"""

import asyncio
import resource
import sys
import time
from datetime import datetime
from decimal import Decimal

import aiohttp
import asyncpg
import orjson

IN_FLIGHT = 16
PER_PAGE = 60
TABLES = """
CREATE SCHEMA script;
CREATE TABLE script.orders (id bigint PRIMARY KEY, reference bigint, created_at timestamp,
    status text, payment_method text, currency text, total numeric, sub_total numeric,
    shipping numeric, tax numeric, customer_id bigint, customer_name text, city text);
CREATE TABLE script.order_items (order_id bigint, position int, id bigint, name text, sku text,
    quantity int, currency text, price numeric, total numeric, PRIMARY KEY (order_id, position));
CREATE TABLE script.customers (id bigint PRIMARY KEY, first_name text, last_name text,
    email text, mobile text, city text, country text, updated_at text);
CREATE TABLE script.products (id bigint PRIMARY KEY, name text, sku text, price numeric,
    currency text, quantity int, status text);
"""


def money(value):
    return Decimal(str((value or {}).get("amount") or 0))


def text(value):
    return None if value is None else str(value)


def orders(rows):
    for row in rows:
        amounts, customer = row.get("amounts") or {}, row.get("customer") or {}
        total = amounts.get("total") or row.get("total") or {}
        created = datetime.fromisoformat(row["date"]["date"].split(".")[0])
        yield "orders", (
            row["id"], row.get("reference_id"), created,
            (row.get("status") or {}).get("slug"), row.get("payment_method"),
            total.get("currency"), money(total), money(amounts.get("sub_total")),
            money(amounts.get("shipping_cost")), money((amounts.get("tax") or {}).get("amount")),
            customer.get("id"), customer.get("full_name") or customer.get("first_name"),
            customer.get("city"),
        )
        for position, item in enumerate(row.get("items") or []):
            price = (item.get("amounts") or {}).get("price_without_tax") or {}
            line = (item.get("amounts") or {}).get("total") or {}
            yield "order_items", (
                row["id"], position, item.get("id"), item.get("name"), item.get("sku"),
                item.get("quantity"), item.get("currency"), money(price), money(line),
            )


def customers(rows):
    for row in rows:
        yield "customers", (
            row["id"], row.get("first_name"), row.get("last_name"), row.get("email"),
            text(row.get("mobile")), row.get("city"), row.get("country"),
            text((row.get("updated_at") or {}).get("date")),
        )


def products(rows):
    for row in rows:
        price = row.get("price") or {}
        yield "products", (
            row["id"], row.get("name"), row.get("sku"), money(price), price.get("currency"),
            row.get("quantity"), row.get("status"),
        )


READERS = {"orders": orders, "customers": customers, "products": products}


async def work(task, http, pool, pages):
    for path, page in pages:
        url = f"{task['api_url']}/{path}page={page}&per_page={PER_PAGE}"
        async with http.get(url) as answer:
            answer.raise_for_status()
            body = orjson.loads(await answer.read())
        tables = {}
        for table, row in READERS[path.split("?")[0]](body["data"]):
            tables.setdefault(table, []).append(row)
        async with pool.acquire() as connection:
            for table, rows in tables.items():
                await connection.copy_records_to_table(table, schema_name="script", records=rows)


async def main():
    task = orjson.loads(sys.stdin.readline())
    begun = time.monotonic()
    pages = iter([
        (path, page)
        for path, rows in task["lists"]
        for page in range(1, -(-rows // PER_PAGE) + 1)
    ])
    headers = {"Authorization": f"Bearer {task['token']}"}
    async with asyncpg.create_pool(task["database_url"], min_size=2, max_size=8) as pool:
        await pool.execute(TABLES)
        async with aiohttp.ClientSession(headers=headers) as http:
            await asyncio.gather(*(work(task, http, pool, pages) for _ in range(IN_FLIGHT)))
        counts = [
            await pool.fetchval(f"SELECT count(*) FROM script.{table}") for table in READERS
        ]
    wanted = [rows for _, rows in task["lists"]]
    if counts != wanted:
        sys.exit(f"the script has {counts} rows of {wanted}")
    used = resource.getrusage(resource.RUSAGE_SELF)
    spent = {
        "seconds": time.monotonic() - begun,
        "cpu": used.ru_utime + used.ru_stime,
        "peak_mb": used.ru_maxrss / 1024,
    }
    print(orjson.dumps(spent).decode())


asyncio.run(main())
