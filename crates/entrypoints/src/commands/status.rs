//! `salla-sync status`: the imports in this database.

use importer::ports::inspection::ShopRows;
use importer::ports::runs::{Run, ShopSummary};
use serde_json::{Value, json};

use crate::cli::{DatabaseArgs, StatusArgs};
use crate::display::table::Table;
use crate::display::{self, count, line, lines};
use crate::exit::Exit;

pub async fn run(arguments: StatusArgs, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let open = super::open_for_reading(database).await?;
    let shops = open.runs().list().await?;
    let mut rows = open.inventory().count_rows().await?;
    let shops: Vec<Shop> = shops
        .into_iter()
        .map(|(shop, run)| Shop {
            rows: rows.remove(&shop.merchant).unwrap_or_default(),
            shop,
            run,
        })
        .collect();
    if arguments.json {
        let shops: Vec<Value> = shops.iter().map(as_json).collect();
        display::json(&shops);
        return Ok(Exit::Done);
    }
    if shops.is_empty() {
        line("Nothing has been imported into this database yet.");
        return Ok(Exit::Done);
    }
    lines(table(&shops));
    for Shop { shop, run, .. } in &shops {
        let Some(run) = run else { continue };
        if let Some(failure) = &run.failure {
            line("");
            line(format!("{}: {}.", shop.name, failure.message));
            line(format!("  What to do: {}.", failure.advice));
        }
        if let Some(certificate) = &run.certificate
            && arguments.certificate
        {
            line("");
            line(&shop.name);
            display::certificate::print(certificate);
        }
    }
    Ok(Exit::Done)
}

/// A shop, its latest run, and what the database holds of it, from all runs.
struct Shop {
    shop: ShopSummary,
    run: Option<Run>,
    rows: ShopRows,
}

fn table(shops: &[Shop]) -> Table {
    let mut table = Table::new([
        "shop",
        "salla id",
        "plan",
        "state",
        "%",
        "orders",
        "with items",
        "customers",
        "products",
        "rejected",
        "orders of",
        "worker",
    ]);
    for Shop { shop, run, rows } in shops {
        let text = |of: fn(&Run) -> String| run.as_ref().map(of).unwrap_or_default();
        table.row([
            shop.name.clone(),
            shop.salla_id.to_string(),
            shop.plan.clone(),
            text(|r| r.state.to_string()),
            text(|r| r.progress.percent.to_string()),
            count(rows.orders),
            count(rows.orders_with_items),
            count(rows.customers),
            count(rows.products),
            count(rows.rejected),
            text(part),
            text(|r| {
                r.holder
                    .as_ref()
                    .map(|h| h.owner.clone())
                    .unwrap_or_default()
            }),
        ]);
    }
    table
}

/// What the run reads.
fn part(run: &Run) -> String {
    match run.options.only {
        Some(only) if !only.resource.has_windows() => format!("no orders, only {}", only.resource),
        Some(_) => format!("{} only", run.range),
        None => run.range.to_string(),
    }
}

fn as_json(Shop { shop, run, rows }: &Shop) -> Value {
    json!({
        "shop": shop,
        "database": rows,
        "run": run.as_ref().map(|run| json!({
            "id": run.id,
            "state": run.state,
            "range": run.range,
            "options": run.options,
            "created_at": run.created_at,
            "started_at": run.started_at,
            "completed_at": run.completed_at,
            "progress": run.progress,
            "failure": run.failure,
            "held_by": run.holder.as_ref().map(|h| json!({ "owner": h.owner, "until": h.until })),
            "certificate": run.certificate,
        })),
    })
}
