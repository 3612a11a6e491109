//! `salla-sync connections`: decisions about stored tokens.

mod contact;
mod park;
mod show;

use database::{Adopted, Retried};
use importer::connect::cancel_open_run;
use importer::ports::audit::{Action, Actor, Audit as _, AuditEvent};
use importer::ports::merchants::{MerchantConnection, MerchantRecord, Merchants as _, Uninstalled};
use importer::ports::sessions::Sessions as _;
use serde_json::{Value, json};

use crate::cli::{AdoptArgs, ConnectionsCommand, DatabaseArgs, JsonArgs, RetryArgs};
use crate::display::{self, line};
use crate::exit::Exit;
use crate::wiring::OpenDatabase;

pub async fn run(command: ConnectionsCommand, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    match command {
        ConnectionsCommand::List(arguments) => {
            list(&super::open_for_reading(database).await?, &arguments).await
        }
        ConnectionsCommand::Forget(arguments) => {
            forget(&super::open_for_reading(database).await?, arguments.shop).await
        }
        ConnectionsCommand::Adopt(arguments) => {
            let open = super::open_for_reading(database).await?;
            let (shop, dry_run) = (arguments.shop, arguments.dry_run);
            let adopted = open.database.adopt_connections(shop, dry_run).await?;
            if !dry_run {
                let shops = adopted.iter().map(|shop| shop.salla_id);
                audit_each(&open, Action::TokensAdopted, shops).await?;
            }
            show_adopted(&adopted, &arguments);
            Ok(Exit::Done)
        }
        ConnectionsCommand::Add(arguments) => super::connect::add(arguments, database).await,
        ConnectionsCommand::Show(arguments) => {
            show::run(&super::open_for_reading(database).await?, &arguments).await
        }
        ConnectionsCommand::Park(arguments) => {
            park::run(&super::open_for_reading(database).await?, &arguments).await
        }
        ConnectionsCommand::Retry(arguments) => retry(&arguments, database).await,
        ConnectionsCommand::Contact(arguments) => {
            contact::run(&super::open_with_key(database).await?, &arguments).await
        }
    }
}

/// One entry for each shop, so that it is found by its number.
async fn audit_each(
    open: &OpenDatabase,
    action: Action,
    shops: impl Iterator<Item = Option<i64>>,
) -> anyhow::Result<()> {
    for salla_id in shops {
        let event = AuditEvent::new(action, Actor::Operator);
        let event = AuditEvent { salla_id, ..event };
        open.database.audit().record(&event).await?;
    }
    Ok(())
}

/// Needs the key: whether a token is the newest of its shop is known by its hash.
async fn retry(arguments: &RetryArgs, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let open = super::open_with_key(database).await?;
    let retried = open.retry_connection(arguments.shop).await?;
    if let Retried::Granted = retried {
        audit_each(
            &open,
            Action::TokensRetried,
            [Some(arguments.shop)].into_iter(),
        )
        .await?;
    }
    let (result, sentence) = described(retried);
    match arguments.json {
        true => {
            display::json(&json!({ "salla_id": arguments.shop, "result": result, "why": sentence }))
        }
        false => line(format!("The shop {}: {sentence}.", arguments.shop)),
    }
    Ok(match retried {
        Retried::Granted | Retried::Serves => Exit::Done,
        _ => Exit::Failed,
    })
}

/// In a word for programs, and in a sentence.
fn described(retried: Retried) -> (&'static str, String) {
    match retried {
        Retried::Granted => (
            "granted",
            "when Salla refuses the access token, the refresh token is presented one last time; \
             failed imports resume automatically"
                .to_owned(),
        ),
        Retried::Serves => (
            "serves",
            "its connection works, and pending retries run automatically".to_owned(),
        ),
        Retried::Refused(why) => (
            "refused",
            format!(
                "nothing was changed, because its connection ended as {}: {why}",
                why.code()
            ),
        ),
        Retried::Exhausted => (
            "exhausted",
            "nothing was changed, because the refresh token was presented one last time already; \
             have the merchant install the app again, then `salla-sync connect`"
                .to_owned(),
        ),
        Retried::Spent => (
            "spent",
            "nothing was changed, because no unused refresh token is stored; have the merchant \
             install the app again, then `salla-sync connect`"
                .to_owned(),
        ),
        Retried::Unknown => (
            "unknown",
            "no tokens of this shop are stored here".to_owned(),
        ),
    }
}

async fn list(open: &OpenDatabase, arguments: &JsonArgs) -> anyhow::Result<Exit> {
    let merchants = open.database.merchants().list().await?;
    display::list(
        &merchants,
        arguments.json.then_some(&as_json),
        "No shop was connected yet.",
        ["shop", "salla id", "connection", "uninstalled at"],
        |merchant| {
            let (state, reason) = connection(merchant);
            [
                merchant.shop.name.clone(),
                merchant.shop.salla_id.to_string(),
                reason.unwrap_or(state).to_owned(),
                merchant
                    .uninstalled_at
                    .map_or_else(String::new, |at| at.to_string()),
            ]
        },
    );
    Ok(Exit::Done)
}

/// The state of a shop's connection, and why it has ended.
fn connection(merchant: &MerchantRecord) -> (&'static str, Option<&'static str>) {
    match merchant.connection {
        MerchantConnection::None => ("none", None),
        MerchantConnection::Connected => ("connected", None),
        MerchantConnection::Disconnected(reason) => ("disconnected", Some(reason.code())),
    }
}

fn as_json(merchant: &MerchantRecord) -> Value {
    let (state, reason) = connection(merchant);
    json!({
        "shop": merchant.shop,
        "state": state,
        "reason": reason,
        "uninstalled_at": merchant.uninstalled_at,
        "account": merchant.account,
    })
}

async fn forget(open: &OpenDatabase, salla_id: i64) -> anyhow::Result<Exit> {
    match open.database.merchants().uninstall(salla_id, None).await? {
        Uninstalled::Unknown => Err(super::unknown_shop(salla_id).into()),
        Uninstalled::Forgotten(merchant) | Uninstalled::AuthorizedSince(merchant) => {
            cancel_open_run(open.jobs().as_ref(), merchant).await?;
            open.database.sessions().revoke_all(salla_id).await?;
            let event = AuditEvent::new(Action::TokensForgotten, Actor::Operator);
            open.database.audit().record(&event.shop(salla_id)).await?;
            line("The shop's tokens are deleted and its import is cancelled.");
            Ok(Exit::Done)
        }
    }
}

fn show_adopted(adopted: &[Adopted], arguments: &AdoptArgs) {
    if arguments.json {
        let shops: Vec<Value> = adopted
            .iter()
            .map(|shop| json!({ "salla_id": shop.salla_id, "name": shop.name }))
            .collect();
        display::json(&json!({ "dry_run": arguments.dry_run, "adopted": shops }));
        return;
    }
    if adopted.is_empty() {
        line("All stored tokens belong to this database, and none is parked.");
        return;
    }
    let verb = match arguments.dry_run {
        true => "would be refreshed by this database from now on",
        false => "are refreshed by this database from now on",
    };
    line(format!(
        "The tokens of {} connection(s) {verb}:",
        adopted.len()
    ));
    for shop in adopted {
        let named = named(shop.name.as_deref(), shop.salla_id);
        line(format!("  {named}"));
    }
}

/// A shop by its name and Salla's id.
pub(super) fn named(name: Option<&str>, salla_id: Option<i64>) -> String {
    let name = name.unwrap_or("a shop that Salla has not named yet");
    let number = salla_id.map_or_else(String::new, |id| format!(" ({id})"));
    format!("{name}{number}")
}
