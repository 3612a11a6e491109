//! `salla-sync tokens`: who may use the HTTP API.

use importer::ports::api_access::{ApiScope, ApiToken, ApiTokens as _, NewApiToken};
use importer::ports::audit::{Action, Actor, Audit as _, AuditEvent};
use importer::ports::clock::{Clock as _, SystemClock};
use jiff::{SignedDuration, Timestamp};
use ring::rand::SystemRandom;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::cli::{CreateTokenArgs, DatabaseArgs, JsonArgs, RevokeTokenArgs, TokensCommand};
use crate::display::{self, line};
use crate::exit::{Exit, UsageError};
use crate::wiring::OpenDatabase;

pub async fn run(command: TokensCommand, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let open = super::open_for_reading(database).await?;
    match command {
        TokensCommand::Create(arguments) => create(&open, arguments).await,
        TokensCommand::List(arguments) => list(&open, &arguments).await,
        TokensCommand::Revoke(arguments) => revoke(&open, &arguments).await,
    }
}

async fn create(open: &OpenDatabase, arguments: CreateTokenArgs) -> anyhow::Result<Exit> {
    let merchant = match arguments.shop {
        Some(salla_id) => Some(super::runs::shop(open, salla_id).await?.merchant),
        None => None,
    };
    let token = web::api::new_token(&SystemRandom::new())
        .ok_or_else(|| anyhow::anyhow!("this machine provides no random numbers for a token"))?;
    let mut scopes = arguments.scopes;
    scopes.sort_unstable();
    scopes.dedup();
    let now = SystemClock::real().now();
    let lasts = arguments
        .days
        .map(|days| SignedDuration::from_hours(24 * i64::from(days)));
    let new = NewApiToken {
        name: arguments.name,
        hash: web::api::token_hash(token.expose_secret()),
        scopes,
        merchant,
        expires_at: lasts.map(|lasts| now + lasts),
    };
    let stored = open.database.api_tokens().create(&new).await?;
    let event = AuditEvent::new(Action::TokenCreated, Actor::Operator);
    let event = AuditEvent {
        salla_id: arguments.shop,
        ..event.detail(format!("token {} for {}", stored.id, names(&stored.scopes)))
    };
    open.database.audit().record(&event).await?;
    if arguments.json {
        let mut shown = as_json(&stored);
        shown["token"] = token.expose_secret().into();
        display::json(&shown);
        return Ok(Exit::Done);
    }
    line(token.expose_secret());
    display::note(format!(
        "It is shown only once. It allows {}; `salla-sync tokens revoke {}` revokes it.",
        names(&stored.scopes),
        stored.id
    ));
    Ok(Exit::Done)
}

async fn list(open: &OpenDatabase, arguments: &JsonArgs) -> anyhow::Result<Exit> {
    let tokens = open.database.api_tokens().list().await?;
    let now = SystemClock::real().now();
    display::list(
        &tokens,
        arguments.json.then_some(&as_json),
        "There is no token; `salla-sync tokens create` creates one.",
        [
            "id", "name", "scopes", "merchant", "used at", "ends", "state",
        ],
        |token| {
            let text = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
            let is_over = token.expires_at.is_some_and(|at| at <= now);
            let state = match (token.revoked_at, is_over) {
                (Some(_), _) => "revoked",
                (None, true) => "expired",
                (None, false) => "counts",
            };
            [
                token.id.to_string(),
                token.name.clone(),
                names(&token.scopes),
                token.merchant.map_or("all".to_owned(), |id| id.to_string()),
                text(token.last_used_at),
                text(token.expires_at),
                state.to_owned(),
            ]
        },
    );
    Ok(Exit::Done)
}

async fn revoke(open: &OpenDatabase, arguments: &RevokeTokenArgs) -> anyhow::Result<Exit> {
    match open.database.api_tokens().revoke(arguments.id).await? {
        true => {
            let event = AuditEvent::new(Action::TokenRevoked, Actor::Operator);
            let event = event.detail(format!("token {}", arguments.id));
            open.database.audit().record(&event).await?;
            line("The token is revoked.");
            Ok(Exit::Done)
        }
        false => Err(
            UsageError::one("there is no such token; `salla-sync tokens list` shows all").into(),
        ),
    }
}

fn names(scopes: &[ApiScope]) -> String {
    let names: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
    names.join(", ")
}

fn as_json(token: &ApiToken) -> Value {
    let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.as_str()).collect();
    json!({
        "id": token.id,
        "name": token.name,
        "scopes": scopes,
        "merchant_id": token.merchant,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "revoked_at": token.revoked_at,
        "last_used_at": token.last_used_at,
    })
}
