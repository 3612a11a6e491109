//! `salla-sync connect`: stores a shop's tokens, so that workers can import it.

use std::sync::Arc;

use domain::connection_change::Tags;
use importer::ports::audit::{Action, Actor, Audit as _, AuditEvent};
use importer::ports::clock::{Clock, SystemClock};
use importer::ports::connections::Tokens;
use importer::ports::contacts::ContactChange;
use serde_json::json;

use super::import::failed;
use crate::cli::{AddArgs, ConnectArgs, DatabaseArgs};
use crate::config::{Authorization, DatabaseSettings, SallaSettings, SettingsReader, environment};
use crate::display::{self, line, notes};
use crate::exit::{Exit, UsageError};
use crate::wiring::{self, ConnectedShop, NotConnected, OpenDatabase};

/// Where the tokens come from.
enum Given {
    ByHand(SallaSettings),
    Webhook(Authorization),
}

impl Given {
    fn tokens(&self) -> &Tokens {
        match self {
            Self::ByHand(salla) => &salla.tokens,
            Self::Webhook(authorization) => &authorization.salla.tokens,
        }
    }

    /// The shop that they should open, by Salla's id.
    fn named(&self) -> Option<i64> {
        match self {
            Self::ByHand(_) => None,
            Self::Webhook(authorization) => Some(authorization.merchant),
        }
    }

    async fn connect(
        &self,
        open: &OpenDatabase,
        clock: Arc<dyn Clock>,
    ) -> Result<ConnectedShop, NotConnected> {
        match self {
            Self::ByHand(salla) => Ok(wiring::connect_and_store(open, salla, clock).await?),
            Self::Webhook(authorization) => {
                if !authorization.is_checked {
                    notes(NOT_CHECKED);
                }
                let (salla, merchant) = (&authorization.salla, authorization.merchant);
                let authorized_at = authorization.authorized_at;
                wiring::connect_authorized(open, salla, merchant, authorized_at, clock).await
            }
        }
    }
}

const NOT_CHECKED: &str = "\
The webhook's signature was not checked: set SALLA_WEBHOOK_SECRET and pass its
X-Salla-Signature with --signature to be sure that Salla sent it.";

const NEWER: &str = "Newer tokens of this shop are already in use, so these were not stored.";

pub async fn run(arguments: ConnectArgs, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    store(arguments, &Beside::default(), database).await
}

/// What belongs to a connection beside its tokens.
#[derive(Default)]
struct Beside {
    tags: Option<Tags>,
    contact: ContactChange,
}

/// `connections add`.
pub async fn add(arguments: AddArgs, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let tags = match arguments.tags.is_empty() {
        true => None,
        false => {
            let tags = Tags::new(arguments.tags.into_iter().collect());
            let refused = |rule| UsageError::one(format!("--tag: a connection {rule}"));
            Some(tags.map_err(refused)?)
        }
    };
    let beside = Beside {
        tags,
        contact: ContactChange {
            address: arguments.email.map(Some),
            language: arguments.language,
            wants_email: None,
        },
    };
    store(arguments.connect, &beside, database).await
}

async fn store(
    arguments: ConnectArgs,
    beside: &Beside,
    database: &DatabaseArgs,
) -> anyhow::Result<Exit> {
    let mut reader = SettingsReader::new(&environment);
    let settings = reader.database(database);
    let given = match &arguments.webhook.from_webhook {
        Some(body) => reader
            .authorization(
                body,
                arguments.webhook.signature.as_deref(),
                arguments.webhook.unsigned,
            )
            .map(Given::Webhook),
        None => reader.salla(&arguments.tokens).map(Given::ByHand),
    };
    let key = reader.encryption_key();
    let is_embedded = matches!(settings, Some(DatabaseSettings::Embedded { .. }));
    if key.is_none() && !is_embedded {
        reader.key_is_missing();
    }
    let (settings, given) = reader.finish(settings.zip(given))?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::real());
    let open = wiring::open_database(&settings, key, clock.clone()).await?;
    open.check_schema().await?;
    if let Some(tags) = &beside.tags {
        // Before the connection changes anything, so that the change is reported with them.
        let connections = open.connections()?;
        let connection = connections.open(given.tokens()).await?;
        connections.tag(connection.id, given.named(), tags).await?;
    }
    let connected = match given.connect(&open, clock).await {
        Ok(connected) => connected,
        Err(NotConnected::Failure(failure)) => return Ok(failed(&failure)),
        Err(NotConnected::OtherShop { named, opened }) => {
            return Err(UsageError::one(format!(
                "the webhook names the shop {named}, but its access token belongs to the shop \
                 {opened}: neither was connected; give the body as Salla sent it"
            ))
            .into());
        }
    };
    if connected.has_newer {
        notes(NEWER);
    }
    let salla_id = connected.shop.salla_id;
    let audit = open.database.audit();
    if !connected.has_newer {
        let event = AuditEvent::new(Action::ShopConnected, Actor::Operator);
        audit.record(&event.shop(salla_id)).await?;
    }
    if !beside.contact.is_empty() {
        let contacts = open.contacts()?;
        contacts.change(connected.merchant, &beside.contact).await?;
        let event = AuditEvent::new(Action::ContactChanged, Actor::Operator);
        let event = event.shop(salla_id).detail(beside.contact.named());
        audit.record(&event).await?;
    }
    if arguments.json {
        display::json(&json!({
            "merchant_id": connected.merchant,
            "salla_id": connected.shop.salla_id,
            "name": connected.shop.name,
            "plan": connected.shop.plan.name(),
        }));
        return Ok(Exit::Done);
    }
    line(format!(
        "{} (plan {}) is connected; its tokens are stored encrypted.",
        connected.shop.name,
        connected.shop.plan.name()
    ));
    line(format!(
        "  salla-sync runs start --shop {}   imports it in the background",
        connected.shop.salla_id
    ));
    line("  salla-sync work                   runs the imports that were started");
    Ok(Exit::Done)
}
