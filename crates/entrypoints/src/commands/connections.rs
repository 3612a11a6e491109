//! `salla-sync connections`: decisions about stored tokens.

use std::sync::Arc;

use database::{Adopted, Retried};
use importer::ports::clock::SystemClock;
use serde_json::{Value, json};

use crate::cli::{AdoptArgs, ConnectionsCommand, DatabaseArgs, RetryArgs};
use crate::config::{DatabaseSettings, Reader, environment};
use crate::display::{self, line};
use crate::exit::Exit;
use crate::wiring::open_database;

pub async fn run(command: ConnectionsCommand, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    match command {
        ConnectionsCommand::Adopt(arguments) => {
            let open = super::open_to_look(database).await?;
            let adopted = open.database.adopt_connections(arguments.dry_run).await?;
            show(&adopted, &arguments);
            Ok(Exit::Done)
        }
        ConnectionsCommand::Retry(arguments) => retry(&arguments, database).await,
    }
}

/// Needs the key: whether a token is the newest of its shop is known by its hash.
async fn retry(arguments: &RetryArgs, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let mut reader = Reader::new(&environment);
    let settings = reader.database(database);
    let key = reader.encryption_key();
    let is_embedded = matches!(settings, Some(DatabaseSettings::Embedded { .. }));
    if key.is_none() && !is_embedded {
        reader.key_is_missing();
    }
    let settings = reader.finish(settings)?;
    let open = open_database(&settings, key, Arc::new(SystemClock::real())).await?;
    open.require_current_schema().await?;
    let retried = open.retry_connection(arguments.shop).await?;
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
            "once Salla refuses the access token, the refresh token is presented one last time; \
             failed imports go on by themselves"
                .to_owned(),
        ),
        Retried::Serves => (
            "serves",
            "its connection serves, and what remains to be tried is tried by itself".to_owned(),
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
            "nothing was changed, because no refresh token is stored that was not used; have the \
             merchant install the app again, then `salla-sync connect`"
                .to_owned(),
        ),
        Retried::Unknown => ("unknown", "no tokens of it are stored here".to_owned()),
    }
}

fn show(adopted: &[Adopted], arguments: &AdoptArgs) {
    if arguments.json {
        let shops: Vec<Value> = adopted
            .iter()
            .map(|shop| json!({ "salla_id": shop.salla_id, "name": shop.name }))
            .collect();
        display::json(&json!({ "dry_run": arguments.dry_run, "adopted": shops }));
        return;
    }
    if adopted.is_empty() {
        line("All stored tokens belong to this database.");
        return;
    }
    let verb = match arguments.dry_run {
        true => "would be refreshed here from now on",
        false => "are refreshed here from now on",
    };
    line(format!(
        "The tokens of {} connection(s) {verb}:",
        adopted.len()
    ));
    for shop in adopted {
        line(format!("  {}", named(shop)));
    }
}

/// A shop by its name and Salla's number.
pub(super) fn named(shop: &Adopted) -> String {
    let name = shop
        .name
        .as_deref()
        .unwrap_or("a shop that Salla has not named yet");
    let number = shop
        .salla_id
        .map_or_else(String::new, |id| format!(" ({id})"));
    format!("{name}{number}")
}
