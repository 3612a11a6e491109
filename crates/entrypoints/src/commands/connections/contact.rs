//! `salla-sync connections contact`: whom e-mails about a shop reach.

use importer::ports::audit::{Action, Actor, Audit as _, AuditEvent};
use importer::ports::contacts::{ContactChange, ContactSettings};
use serde_json::json;

use crate::cli::ContactArgs;
use crate::commands::known_shop;
use crate::display::{self, line};
use crate::exit::Exit;
use crate::wiring::OpenDatabase;

pub(super) async fn run(open: &OpenDatabase, arguments: &ContactArgs) -> anyhow::Result<Exit> {
    let merchant = known_shop(open, arguments.shop).await?.shop.merchant;
    let contacts = open.contacts()?;
    let change = change(arguments);
    let settings = match change.is_empty() {
        true => contacts.contact_of(merchant).await?,
        false => {
            let changed = contacts.change(merchant, &change).await?;
            let event = AuditEvent::new(Action::ContactChanged, Actor::Operator);
            let event = event.shop(arguments.shop).detail(change.named());
            open.database.audit().record(&event).await?;
            changed
        }
    };
    show(&settings, arguments);
    Ok(Exit::Done)
}

fn change(arguments: &ContactArgs) -> ContactChange {
    ContactChange {
        address: match (&arguments.email, arguments.no_email) {
            (Some(address), _) => Some(Some(address.clone())),
            (None, true) => Some(None),
            (None, false) => None,
        },
        language: arguments.language,
        wants_email: arguments.wants_email,
    }
}

fn show(settings: &ContactSettings, arguments: &ContactArgs) {
    let address = settings.address.as_ref().map(|address| address.as_str());
    if arguments.json {
        return display::json(&json!({
            "salla_id": arguments.shop,
            "email": address,
            "language": settings.language.as_str(),
            "wants_email": settings.wants_email,
            "is_set": settings.is_set,
        }));
    }
    let source = match settings.is_set {
        true => "set here",
        false => "as Salla names it",
    };
    line(format!(
        "E-mails about the shop {}: {}",
        arguments.shop,
        match (address, settings.wants_email) {
            (_, false) => "none are wanted".to_owned(),
            (None, true) => "no address is known".to_owned(),
            (Some(address), true) => format!(
                "{address} ({source}), in {}",
                match settings.language {
                    domain::contact::Language::Arabic => "Arabic",
                    domain::contact::Language::English => "English",
                }
            ),
        }
    ));
}
