//! `salla-sync keys`: what tokens and addresses are encrypted with. Keys themselves are shown by
//! `generate` alone.

use database::{KeyUse, Keyring};
use importer::ports::audit::{Action, Actor, Audit as _, AuditEvent};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::cli::{DatabaseArgs, GenerateArgs, JsonArgs, KeysCommand};
use crate::display::table::Table;
use crate::display::{self, line, lines, note};
use crate::exit::Exit;
use crate::wiring::OpenDatabase;

pub async fn run(command: KeysCommand, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    match command {
        KeysCommand::Generate(arguments) => generate(&arguments),
        KeysCommand::Rotate(arguments) => {
            rotate(&super::open_with_key(database).await?, &arguments).await
        }
        KeysCommand::Status(arguments) => {
            status(&super::open_with_key(database).await?, &arguments).await
        }
    }
}

fn generate(arguments: &GenerateArgs) -> anyhow::Result<Exit> {
    let (keyring, text) = Keyring::generate()?;
    let text = match &arguments.name {
        Some(name) => {
            let (_, key) = text.expose_secret().split_once(':').unwrap_or_default();
            format!("{name}:{key}")
        }
        None => text.expose_secret().to_owned(),
    };
    line(&text);
    let name = arguments.name.as_deref().unwrap_or(keyring.current_id());
    note(format!(
        "This is the only time that {name} is shown. Store it separately from the backups of the \
         database, and put it into SALLA_SYNC_KEY, before the former key if there is one."
    ));
    Ok(Exit::Done)
}

async fn rotate(open: &OpenDatabase, arguments: &JsonArgs) -> anyhow::Result<Exit> {
    let rotated = open.rotate_keys().await?;
    let current = open.keyring()?.current_id().to_owned();
    let event = AuditEvent::new(Action::KeyChanged, Actor::Operator);
    let event = event.detail(format!("encrypted with {current}"));
    open.database.audit().record(&event).await?;
    if arguments.json {
        display::json(&json!({
            "current": current,
            "connections": rotated.connections,
            "contacts": rotated.contacts,
            "secrets": rotated.secrets,
            "unreadable": rotated.unreadable,
        }));
    } else {
        line(format!(
            "{} connection(s), {} address(es) and {} secret(s) are now encrypted with {current}.",
            rotated.connections, rotated.contacts, rotated.secrets
        ));
        if rotated.unreadable > 0 {
            line(format!(
                "{} value(s) were left unchanged, because no key in SALLA_SYNC_KEY decrypts them; \
                 `salla-sync keys status` shows which key they need.",
                rotated.unreadable
            ));
        }
    }
    Ok(match rotated.unreadable {
        0 => Exit::Done,
        _ => Exit::Failed,
    })
}

/// A key of the ring or of the database.
struct KnownKey {
    id: String,
    is_given: bool,
    is_current: bool,
    uses: KeyUse,
}

impl KnownKey {
    fn advice(&self) -> &'static str {
        match (self.is_given, self.is_current, self.uses.values()) {
            (_, true, _) => "encrypts",
            (true, false, 0) => "can be removed",
            (true, false, _) => "still needed: salla-sync keys rotate",
            (false, _, _) => "missing from SALLA_SYNC_KEY",
        }
    }
}

async fn status(open: &OpenDatabase, arguments: &JsonArgs) -> anyhow::Result<Exit> {
    let keyring = open.keyring()?;
    let mut uses = open.database.key_uses().await?;
    let given = keyring.ids().map(|id| KnownKey {
        id: id.to_owned(),
        is_given: true,
        is_current: id == keyring.current_id(),
        uses: uses.remove(id).unwrap_or_default(),
    });
    let mut keys: Vec<KnownKey> = given.collect();
    keys.extend(uses.into_iter().map(|(id, uses)| KnownKey {
        id,
        is_given: false,
        is_current: false,
        uses,
    }));
    if arguments.json {
        display::json(&keys.iter().map(as_json).collect::<Vec<_>>());
        return Ok(Exit::Done);
    }
    let mut table = Table::new(["key", "connections", "ended", "addresses", "secrets", ""]);
    for key in &keys {
        table.row([
            key.id.clone(),
            key.uses.serving.to_string(),
            key.uses.ended.to_string(),
            key.uses.contacts.to_string(),
            key.uses.secrets.to_string(),
            key.advice().to_owned(),
        ]);
    }
    lines(table);
    Ok(Exit::Done)
}

fn as_json(key: &KnownKey) -> Value {
    json!({
        "key": key.id,
        "is_given": key.is_given,
        "is_current": key.is_current,
        "connections": key.uses.serving,
        "ended_connections": key.uses.ended,
        "contacts": key.uses.contacts,
        "secrets": key.uses.secrets,
    })
}
