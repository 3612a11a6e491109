//! `salla-sync sessions`: merchants who have signed in.

use std::sync::Arc;

use importer::ports::audit::{Action, Actor, Audit as _, AuditEvent};
use importer::ports::clock::SystemClock;
use importer::ports::sessions::{Session, Sessions as _};
use importer::sessions::MerchantSessions;
use serde_json::{Value, json};

use crate::cli::{DatabaseArgs, ListSessionsArgs, RevokeSessionsArgs, SessionsCommand};
use crate::display::{self, line};
use crate::exit::{Exit, UsageError};
use crate::wiring::OpenDatabase;

pub async fn run(command: SessionsCommand, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let open = super::open_for_reading(database).await?;
    match command {
        SessionsCommand::List(arguments) => list(&open, &arguments).await,
        SessionsCommand::Revoke(arguments) => revoke(&open, &arguments).await,
    }
}

async fn list(open: &OpenDatabase, arguments: &ListSessionsArgs) -> anyhow::Result<Exit> {
    let sessions = open.database.sessions().list(arguments.shop).await?;
    display::list(
        &sessions,
        arguments.json.then_some(&as_json),
        "No merchant has signed in.",
        ["id", "shop", "opened by", "carried as", "since", "ends"],
        |session| {
            [
                session.id.to_string(),
                session.salla_id.to_string(),
                session.opened_by.clone(),
                session.carrier.as_str().to_owned(),
                session.created_at.to_string(),
                session.expires_at.to_string(),
            ]
        },
    );
    Ok(Exit::Done)
}

async fn revoke(open: &OpenDatabase, arguments: &RevokeSessionsArgs) -> anyhow::Result<Exit> {
    let sessions = Arc::new(open.database.sessions());
    let audit = Arc::new(open.database.audit());
    if let Some(id) = arguments.id {
        if !sessions.revoke(id).await? {
            let problem = "there is no such open session; `salla-sync sessions list` shows all";
            return Err(UsageError::one(problem).into());
        }
        let event = AuditEvent::new(Action::SessionsRevoked, Actor::Operator);
        audit.record(&event.detail(format!("session {id}"))).await?;
        line("The session has ended.");
        return Ok(Exit::Done);
    }
    let sessions = MerchantSessions {
        sessions,
        introspection: None,
        audit,
        clock: Arc::new(SystemClock::real()),
    };
    let shop = arguments.shop.unwrap_or_default();
    let ended = sessions.revoke_all(shop, Actor::Operator).await?;
    line(format!("{ended} session(s) of the shop {shop} have ended."));
    Ok(Exit::Done)
}

fn as_json(session: &Session) -> Value {
    json!({
        "id": session.id,
        "salla_id": session.salla_id,
        "merchant_id": session.merchant,
        "carrier": session.carrier.as_str(),
        "opened_by": session.opened_by,
        "created_at": session.created_at,
        "rotated_at": session.rotated_at,
        "expires_at": session.expires_at,
        "ends_at": session.ends_at,
    })
}
