//! `salla-sync connections`: decisions about stored tokens.

use database::Adopted;
use serde_json::{Value, json};

use crate::cli::{AdoptArgs, ConnectionsCommand, DatabaseArgs};
use crate::display::{self, line};
use crate::exit::Exit;

pub async fn run(command: ConnectionsCommand, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let open = super::open_to_look(database).await?;
    match command {
        ConnectionsCommand::Adopt(arguments) => {
            let adopted = open.database.adopt_connections(arguments.dry_run).await?;
            show(&adopted, &arguments);
            Ok(Exit::Done)
        }
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
        let name = shop
            .name
            .as_deref()
            .unwrap_or("a shop that Salla has not named yet");
        let number = shop
            .salla_id
            .map_or_else(String::new, |id| format!(" ({id})"));
        line(format!("  {name}{number}"));
    }
}
