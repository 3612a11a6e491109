//! `salla-sync export` and `salla-sync forget`: personal data.

use std::io::Write as _;

use database::ForgetCounts;
use domain::shop::MerchantId;
use importer::ports::audit::{Action, Actor, Audit as _, AuditEvent};
use importer::ports::clock::{Clock as _, SystemClock};
use importer::ports::privacy::{Deleted, ExpiredShops as _};
use importer::ports::records::Exclusive;
use importer::ports::runs::LeaseHolder;
use importer::upkeep::cutoff;
use salla_client::redact::Redacting;
use serde_json::{Value, json};

use crate::cli::{DatabaseArgs, ExportArgs, ForgetDataArgs};
use crate::config::{SettingsReader, environment};
use crate::display::table::Table;
use crate::display::{self, line, lines, note};
use crate::exit::{Exit, UsageError};
use crate::secret_files;
use crate::wiring::OpenDatabase;

pub async fn export(arguments: ExportArgs, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let open = super::open_for_reading(database).await?;
    let (merchant, salla_id) = shop_of(&open, arguments.customer, arguments.shop).await?;
    let privacy = open.privacy();
    let exported = privacy.export_customer(merchant, arguments.customer, &Redacting);
    let exported = exported.await?;
    // Before any program has it.
    let event = AuditEvent::new(Action::DataExported, Actor::Operator);
    let event = event.shop(salla_id).detail("one customer");
    open.database.audit().record(&event).await?;
    let Some(path) = &arguments.out else {
        display::json(&exported);
        return Ok(Exit::Done);
    };
    let mut file = secret_files::create_own(path).map_err(|error| {
        UsageError::one(format!(
            "the file {} cannot be created: {error}; name one that does not exist",
            path.display()
        ))
    })?;
    serde_json::to_writer_pretty(&mut file, &exported)?;
    writeln!(file)?;
    file.sync_all()?;
    note(format!(
        "Everything that is stored is in {}.",
        path.display()
    ));
    Ok(Exit::Done)
}

pub async fn forget(arguments: ForgetDataArgs, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    match (arguments.customer, arguments.shop) {
        (Some(customer), shop) => forget_customer(customer, shop, &arguments, database).await,
        (None, Some(shop)) => forget_shop(shop, &arguments, database).await,
        (None, None) => forget_expired(&arguments, database).await,
    }
}

/// The shop that is named, or the only one that knows the customer.
async fn shop_of(
    open: &OpenDatabase,
    customer: i64,
    shop: Option<i64>,
) -> anyhow::Result<(MerchantId, i64)> {
    let salla_id = match shop {
        Some(shop) => shop,
        None => {
            let shops = open.privacy().shops_of_customer(customer).await?;
            match shops.as_slice() {
                [(salla_id, _)] => *salla_id,
                [] => {
                    return Err(UsageError::one(format!(
                        "no shop here has a customer {customer}; name the shop with --shop if it \
                         may have only other data of this customer, such as rejected records"
                    ))
                    .into());
                }
                several => {
                    let named = several.iter().map(|(salla_id, _)| salla_id.to_string());
                    let named: Vec<String> = named.collect();
                    return Err(UsageError::one(format!(
                        "several shops have a customer {customer}: name the shop with --shop, one \
                         of {}",
                        named.join(", ")
                    ))
                    .into());
                }
            }
        }
    };
    let shop = super::known_shop(open, salla_id).await?.shop;
    Ok((shop.merchant, salla_id))
}

async fn forget_customer(
    customer: i64,
    shop: Option<i64>,
    arguments: &ForgetDataArgs,
    database: &DatabaseArgs,
) -> anyhow::Result<Exit> {
    let open = super::open_with_key(database).await?;
    let (merchant, salla_id) = shop_of(&open, customer, shop).await?;
    let privacy = open.privacy();
    let forgetting = privacy.forget_customer(merchant, customer, &Redacting, arguments.dry_run);
    let counts = match forgetting.await? {
        Exclusive::Done(counts) => counts,
        Exclusive::RunActive(holder) => return Ok(busy(&holder)),
    };
    deleted(&open, salla_id, "one customer", arguments.dry_run).await?;
    if arguments.json {
        display::json(&json!({ "dry_run": arguments.dry_run, "changed": counts }));
        return Ok(Exit::Done);
    }
    let verb = match arguments.dry_run {
        true => "would be",
        false => "are",
    };
    line(format!(
        "The customer {verb} forgotten: an empty placeholder takes their place."
    ));
    let mut table = Table::new(["what", "changed"]);
    for (what, changed) in rows(&counts) {
        table.row([what.to_owned(), changed.to_string()]);
    }
    lines(table);
    line("Backups contain the customer until they are overwritten.");
    Ok(Exit::Done)
}

fn rows(counts: &ForgetCounts) -> [(&'static str, u64); 7] {
    [
        ("customers", counts.customers),
        ("orders", counts.orders),
        ("raw records", counts.raw_records),
        ("rejections", counts.rejections),
        ("list pages", counts.list_pages),
        ("notifications", counts.notifications),
        ("dead letters", counts.dead_letters),
    ]
}

async fn forget_shop(
    shop: i64,
    arguments: &ForgetDataArgs,
    database: &DatabaseArgs,
) -> anyhow::Result<Exit> {
    let open = super::open_for_reading(database).await?;
    let merchant = super::known_shop(&open, shop).await?.shop.merchant;
    let deleted = match open
        .privacy()
        .forget_shop(merchant, arguments.dry_run)
        .await?
    {
        Exclusive::Done(deleted) => deleted,
        Exclusive::RunActive(holder) => return Ok(busy(&holder)),
    };
    self::deleted(&open, shop, "the shop", arguments.dry_run).await?;
    match arguments.json {
        true => display::json(&report(shop, &deleted, arguments.dry_run)),
        false => show(&format!("the shop {shop}"), &deleted, arguments.dry_run),
    }
    Ok(Exit::Done)
}

async fn forget_expired(
    arguments: &ForgetDataArgs,
    database: &DatabaseArgs,
) -> anyhow::Result<Exit> {
    let mut reader = SettingsReader::new(&environment);
    let keep = reader.retention();
    reader.finish(Some(()))?;
    let open = super::open_for_reading(database).await?;
    let Some(keep) = keep else {
        match arguments.json {
            true => display::json(&Value::Array(Vec::new())),
            false => line("SALLA_SYNC_RETENTION is never: no shop expires."),
        }
        return Ok(Exit::Done);
    };
    let privacy = open.privacy();
    let before = cutoff(SystemClock::real().now(), keep);
    let (mut shops, mut reports) = (0, Vec::new());
    for shop in privacy.expired(before).await? {
        let deleted = match arguments.dry_run {
            true => match privacy.forget_shop(shop.merchant, true).await? {
                Exclusive::Done(deleted) => Some(deleted),
                Exclusive::RunActive(_) => None,
            },
            false => privacy.delete_expired(shop.merchant, before).await?,
        };
        let Some(deleted) = deleted else { continue };
        self::deleted(&open, shop.salla_id, "the expired shop", arguments.dry_run).await?;
        shops += 1;
        match arguments.json {
            true => reports.push(report(shop.salla_id, &deleted, arguments.dry_run)),
            false => {
                let named = format!(
                    "{} ({}), without the app since {}",
                    shop.name, shop.salla_id, shop.uninstalled_at
                );
                show(&named, &deleted, arguments.dry_run);
            }
        }
    }
    if arguments.json {
        display::json(&reports);
    } else if shops == 0 {
        line("No shop removed the app longer ago than that.");
    }
    Ok(Exit::Done)
}

/// Who deleted what is kept when what was deleted is gone.
async fn deleted(
    open: &OpenDatabase,
    salla_id: i64,
    what: &str,
    dry_run: bool,
) -> anyhow::Result<()> {
    if !dry_run {
        let event = AuditEvent::new(Action::DataDeleted, Actor::Operator);
        let event = event.shop(salla_id).detail(what);
        open.database.audit().record(&event).await?;
    }
    Ok(())
}

fn report(shop: i64, deleted: &Deleted, dry_run: bool) -> Value {
    let tables: serde_json::Map<String, Value> = deleted
        .iter()
        .map(|(table, rows)| (table.clone(), json!(rows)))
        .collect();
    json!({ "salla_id": shop, "dry_run": dry_run, "deleted": tables })
}

fn show(shop: &str, deleted: &Deleted, dry_run: bool) {
    let verb = match dry_run {
        true => "Would be deleted",
        false => "Deleted",
    };
    line(format!("{verb} of {shop}:"));
    let mut table = Table::new(["table", "rows"]);
    for (name, rows) in deleted {
        table.row([name.clone(), rows.to_string()]);
    }
    lines(table);
}

fn busy(holder: &LeaseHolder) -> Exit {
    note(format!(
        "{} is importing this shop; pause the import (`salla-sync runs pause SHOP`) and run the \
         same command again.",
        holder.owner
    ));
    Exit::Taken
}
