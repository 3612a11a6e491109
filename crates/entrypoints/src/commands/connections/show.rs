//! `salla-sync connections show`: everything of a connection but its tokens.

use database::ConnectionDetails;
use jiff::Timestamp;
use serde_json::json;

use crate::cli::ShowConnectionArgs;
use crate::display::{self, line};
use crate::exit::{Exit, UsageError};
use crate::wiring::OpenDatabase;

pub(super) async fn run(
    open: &OpenDatabase,
    arguments: &ShowConnectionArgs,
) -> anyhow::Result<Exit> {
    let found = open.database.connection_details(arguments.shop).await?;
    let Some(details) = found else {
        return Err(UsageError::one(format!(
            "no connection of a shop with Salla's id {} is stored; `salla-sync connections \
             list` shows all",
            arguments.shop
        ))
        .into());
    };
    match arguments.json {
        true => show_json(&details, arguments.shop),
        false => show(&details, arguments.shop),
    }
    Ok(Exit::Done)
}

fn mode(details: &ConnectionDetails) -> &'static str {
    match (details.is_forgotten, details.is_owned) {
        (true, _) => "forgotten",
        (false, true) => "owned",
        (false, false) => "lent",
    }
}

fn show_json(details: &ConnectionDetails, shop: i64) {
    display::json(&json!({
        "salla_id": shop,
        "name": details.name,
        "state": details.state,
        "reason": details.reason,
        "mode": mode(details),
        "key": details.key_id,
        "scope": details.scope,
        "expires_at": details.expires_at,
        "version": details.version,
        "tags": details.tags,
        "connected_at": details.bound_at,
        "refresh_tried_at": details.refresh_tried_at,
        "refresh_presentations": details.refresh_presentations,
        "is_at_home": details.is_at_home,
        "uninstalled_at": details.uninstalled_at,
    }));
}

fn show(details: &ConnectionDetails, shop: i64) {
    let reason = details.reason.as_ref();
    let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
    let moment =
        |at: Option<Timestamp>, none: &str| at.map_or_else(|| none.to_owned(), |at| at.to_string());
    line(format!("{} ({shop})", details.name));
    line(format!("  state         {}{reason}", details.state));
    line(format!(
        "  mode          {}",
        match mode(details) {
            "owned" => "owned: refreshed here",
            "lent" => "lent: used until Salla refuses it",
            _ => "forgotten: the tokens are deleted",
        }
    ));
    line(format!("  key           {}", details.key_id));
    line(format!(
        "  scopes        {}",
        details.scope.as_deref().unwrap_or("unknown")
    ));
    line(format!(
        "  ends          {}",
        moment(details.expires_at, "unknown")
    ));
    line(format!(
        "  connected     {}",
        moment(details.bound_at, "unknown")
    ));
    line(format!(
        "  refresh       version {}, tried last {}",
        details.version,
        moment(details.refresh_tried_at, "never")
    ));
    let home = match details.is_at_home {
        true => "here",
        false => "in another database: `salla-sync connections adopt`",
    };
    line(format!("  home          {home}"));
    for (name, value) in details.tags.iter() {
        line(format!("  tag           {name}={value}"));
    }
    if let Some(at) = details.uninstalled_at {
        line(format!("  uninstalled   {at}"));
    }
}
