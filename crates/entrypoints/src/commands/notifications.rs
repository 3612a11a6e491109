//! `salla-sync notifications`: notifications that merchants saw in the app.

use domain::notification::{Counts, wording};
use importer::ports::notifications::{InboxEntry, InboxFilter, Notice};
use serde_json::{Value, json};

use crate::cli::{DatabaseArgs, InboxArgs, NotificationsCommand, ReadArgs};
use crate::display::{self, count, line};
use crate::exit::{Exit, UsageError};
use crate::wiring::OpenDatabase;

pub async fn run(command: NotificationsCommand, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let open = super::open_for_reading(database).await?;
    match command {
        NotificationsCommand::List(arguments) => list(&open, &arguments).await,
        NotificationsCommand::Read(arguments) => read(&open, &arguments).await,
    }
}

async fn list(open: &OpenDatabase, arguments: &InboxArgs) -> anyhow::Result<Exit> {
    let merchant = match arguments.shop {
        Some(salla_id) => Some(super::runs::shop(open, salla_id).await?.merchant),
        None => None,
    };
    let filter = InboxFilter {
        merchant,
        only_unread: arguments.unread,
        before: None,
        limit: arguments.limit,
    };
    let shown = open.inbox().list(&filter).await?;
    display::list(
        &shown,
        arguments.json.then_some(&as_json),
        "There is no such notification.",
        ["id", "shop", "salla id", "ended at", "read at", "what"],
        |InboxEntry { notice, read_at }| {
            [
                notice.id.to_string(),
                notice.shop.name.clone(),
                notice.shop.salla_id.to_string(),
                notice.ended_at.to_string(),
                read_at.map(|at| at.to_string()).unwrap_or_default(),
                notice.kind.as_str().to_owned(),
            ]
        },
    );
    Ok(Exit::Done)
}

/// With the text that the app shows, so that apps need not write it again.
fn as_json(shown: &InboxEntry) -> Value {
    let Notice {
        id,
        kind,
        shop,
        run,
        ended_at,
        progress,
        failure,
    } = &shown.notice;
    let counts = Counts {
        orders: progress.orders,
        customers: progress.customers,
        products: progress.products,
    };
    let words = wording(*kind, &shop.name, counts);
    json!({
        "id": id,
        "kind": kind.as_str(),
        "shop": shop,
        "run_id": run,
        "ended_at": ended_at,
        "read_at": shown.read_at,
        "title": { "ar": words.title.ar, "en": words.title.en },
        "body": { "ar": words.body.ar, "en": words.body.en },
        "progress": progress,
        "failure": failure,
    })
}

async fn read(open: &OpenDatabase, arguments: &ReadArgs) -> anyhow::Result<Exit> {
    let unknown = open.inbox().mark_read(&arguments.ids, None).await?;
    if !unknown.is_empty() {
        let ids: Vec<String> = unknown.iter().map(ToString::to_string).collect();
        return Err(UsageError::one(format!(
            "there is no notification {}, so nothing was marked; `salla-sync notifications list` \
             shows all",
            ids.join(" and none ")
        ))
        .into());
    }
    line(match arguments.ids.len() {
        1 => "It is read.".to_owned(),
        many => format!("{} notifications are read.", count(many as u64)),
    });
    Ok(Exit::Done)
}
