//! One COPY of the typed rows that an import left, into the same tables of an empty
//! database: what the rows alone cost PostgreSQL, indexes included.

use std::sync::Arc;

use database::{ConnectSettings, Database};
use importer::ports::clock::{Clock as _, SystemClock};
use sqlx::PgPool;
use sqlx::postgres::PgPoolCopyExt as _;

use crate::cost::{Baseline, Cost};
use crate::network::Way;
use crate::roles::Usage;
use crate::server::BenchServer;
use crate::usage::{self, Cpu};

const DATABASE: &str = "salla_copy";

const TABLES: [&str; 5] = [
    "orders",
    "order_items",
    "order_discounts",
    "customers",
    "products",
];

/// All but the generated ones.
const COLUMNS: &str = "
    SELECT string_agg(column_name, ', ' ORDER BY ordinal_position)
    FROM information_schema.columns
    WHERE table_schema = 'salla' AND table_name = $1 AND is_generated = 'NEVER'";

struct Rows {
    into: String,
    binary: Vec<u8>,
}

/// `database_url` is where an import of `orders` has landed.
pub(crate) async fn measure(
    server: &BenchServer,
    way: &Way,
    database_url: &str,
    orders: u64,
) -> anyhow::Result<Cost> {
    let rows = read(database_url).await?;
    server.new_database(DATABASE).await?;
    // As the import connects, or its last message would wait for an acknowledgement.
    let settings = ConnectSettings::new(server.url_over(way, DATABASE).into());
    let database = Database::connect(settings, Arc::new(SystemClock::real())).await?;
    let before = Baseline::now(server)?;
    let own = usage::of_ourselves()?;
    let clock = SystemClock::real();
    let begun = clock.monotonic();
    let mut tx = database.pool().begin().await?;
    for table in &rows {
        let mut copy = tx.copy_in_raw(&table.into).await?;
        copy.send(table.binary.as_slice()).await?;
        copy.finish().await?;
    }
    tx.commit().await?;
    let spent = Usage {
        seconds: (clock.monotonic() - begun).as_secs_f64(),
        cpu: usage::of_ourselves()? - own,
        peak_mb: 0.0,
    };
    database.close().await;
    let cost = before.cost(server, ("one COPY of the rows", orders), spent, Cpu(0.0))?;
    server.drop_database(DATABASE).await?;
    Ok(cost)
}

async fn read(url: &str) -> anyhow::Result<Vec<Rows>> {
    let pool = PgPool::connect(url).await?;
    let mut rows = Vec::new();
    for table in TABLES {
        let columns: String = sqlx::query_scalar(COLUMNS)
            .bind(table)
            .fetch_one(&pool)
            .await?;
        let from = format!("COPY (SELECT {columns} FROM salla.{table}) TO STDOUT (FORMAT binary)");
        let mut stream = pool.copy_out_raw(&from).await?;
        let mut binary = Vec::new();
        while let Some(chunk) = futures::StreamExt::next(&mut stream).await {
            binary.extend_from_slice(&chunk?);
        }
        rows.push(Rows {
            into: format!("COPY salla.{table} ({columns}) FROM STDIN (FORMAT binary)"),
            binary,
        });
    }
    pool.close().await;
    Ok(rows)
}
