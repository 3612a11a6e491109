// Imports a shop and shows what came of it:
//
//   SALLA_SYNC_SERVER=https://sync.example.com SALLA_SYNC_TOKEN=sst_… npm start 1305146709 12
//
// With SALLA_SYNC_WEBHOOK_SECRET and SALLA_SYNC_WEBHOOK_PORT it also waits for the message that
// tells your backend of the end.

import { Client, ApiError } from "./client.js";
import { follow } from "./events.js";
import { receive } from "./receiver.js";

function setting(name: string): string {
  const value = process.env[name];
  if (!value) {
    console.error(`set ${name}`);
    process.exit(2);
  }
  return value;
}

const [merchant, months = "12"] = process.argv.slice(2);
if (!merchant) {
  console.error("usage: npm start SHOP [MONTHS]: Salla's id of the shop, 12 or 24 months");
  process.exit(2);
}
const client = new Client({ server: setting("SALLA_SYNC_SERVER"), token: setting("SALLA_SYNC_TOKEN") });
const secret = process.env["SALLA_SYNC_WEBHOOK_SECRET"];
const receiver = secret ? await receive(secret, Number(process.env["SALLA_SYNC_WEBHOOK_PORT"] ?? 0)) : undefined;

try {
  const started = await client.call("startSync", merchant, { body: { syncDepthMonths: Number(months) } });
  console.log(`${started.outcome}: run ${started.runId} is ${started.state}`);

  for await (const { run } of follow(client, merchant)) {
    if (!run) continue;
    const { orders, ordersCompleted, customers, products } = run.resources;
    const left = run.eta ? `, ${run.eta.minSeconds} to ${run.eta.maxSeconds} s left` : "";
    console.log(
      `${run.state} ${run.percent} %: ${orders} orders (${ordersCompleted} complete), ` +
        `${customers} customers, ${products} products${left}`,
    );
    if (run.state === "FAILED") {
      console.error(`${run.lastError?.message}; ${run.lastError?.advice}`);
      process.exitCode = 1;
    }
  }

  if (process.exitCode !== 1) {
    const certificate = (await client.call("getCertificate", merchant, {})) as { as_of: string; windows: unknown[] };
    console.log(`certificate as of ${certificate.as_of} with ${certificate.windows.length} lists`);
  }

  let rejected = 0;
  let cursor: string | undefined;
  do {
    const page = await client.call("listRejectedRecords", merchant, {
      query: cursor === undefined ? { limit: 2 } : { limit: 2, cursor },
    });
    for (const record of page.items) {
      rejected += 1;
      console.log(`rejected ${record.resource} ${record.sallaId ?? "without id"}: ${record.code} at ${record.jsonPath}`);
    }
    cursor = page.nextCursor ?? undefined;
  } while (cursor !== undefined);
  console.log(`${rejected} records could not be read`);

  if (receiver) {
    const message = await receiver.next();
    console.log(`message ${message.type} of shop ${message.data["salla_id"]}`);
  }
} catch (error) {
  if (!(error instanceof ApiError)) throw error;
  console.error(`${error.message} (request ${error.requestId ?? "unknown"})`);
  process.exitCode = 1;
} finally {
  receiver?.close();
}
