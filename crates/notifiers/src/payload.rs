//! What a webhook carries.

use domain::notification::{Audience, Bilingual, Counts, wording};
use importer::ports::notifications::{Alert, ConnectionChange, Notice};
use serde_json::{Value, json};

pub(crate) fn notice(notice: &Notice, audience: Audience) -> Value {
    let counts = Counts {
        orders: notice.progress.orders,
        customers: notice.progress.customers,
        products: notice.progress.products,
    };
    let words = wording(notice.kind, &notice.shop.name, counts);
    let mut data = json!({
        "merchant_id": notice.shop.merchant,
        "salla_id": notice.shop.salla_id,
        "shop": notice.shop.name,
        "run_id": notice.run,
        "orders": notice.progress.orders,
        "order_details": notice.progress.order_details,
        "customers": notice.progress.customers,
        "products": notice.progress.products,
        "rejected": notice.progress.rejected,
        "title": both(&words.title),
        "body": both(&words.body),
    });
    if let (Some(failure), Value::Object(data)) = (&notice.failure, &mut data) {
        data.insert("failure_code".to_owned(), json!(failure.code));
        // What to type is of no use to a merchant.
        if audience == Audience::Operator {
            data.insert("failure".to_owned(), json!(failure.message));
            data.insert("advice".to_owned(), json!(failure.advice));
        }
    }
    json!({
        "type": notice.kind.as_str(),
        "timestamp": notice.ended_at,
        "data": data,
    })
}

pub(crate) fn connection_change(change: &ConnectionChange) -> Value {
    let mode = change.is_owned.map(|is_owned| match is_owned {
        true => "owned",
        false => "lent",
    });
    json!({
        "type": change.kind.as_str(),
        "timestamp": change.changed_at,
        "data": {
            "merchant_id": change.shop.merchant,
            "salla_id": change.shop.salla_id,
            "shop": change.shop.name,
            "mode": mode,
            "reason": change.reason,
            "tags": change.tags,
        },
    })
}

pub(crate) fn alert(alert: &Alert) -> Value {
    json!({
        "type": "ALERT",
        "timestamp": alert.at,
        "data": {
            "code": alert.code,
            "summary": alert.summary,
            "advice": alert.advice,
            "merchant_id": alert.merchant,
            "run_id": alert.run,
        },
    })
}

fn both(text: &Bilingual) -> Value {
    json!({ "ar": text.ar, "en": text.en })
}
