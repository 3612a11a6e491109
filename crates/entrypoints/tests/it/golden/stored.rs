//! JSON that is kept: in columns, in queues, in scenario files. What an earlier version has
//! written is read, and written again as it was.

use domain::job::{HistoricalSync, NotificationJob};
use salla_simulator::{DriftKind, Endpoint, Scenario};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn stays<T: DeserializeOwned + Serialize>(name: &str, values: &Value) {
    let values = values.as_array().filter(|values| !values.is_empty());
    for value in values.unwrap_or_else(|| panic!("{name} has no values")) {
        let read: T = serde_json::from_value(value.clone())
            .unwrap_or_else(|error| panic!("{name}: {error}: {value}"));
        let written = serde_json::to_value(&read).expect("it can be written");
        assert_eq!(&written, value, "{name}");
    }
}

#[test]
fn stored_json_is_read_and_written_as_ever() {
    let stored: Value = serde_json::from_str(include_str!("stored.json")).expect("it is JSON");
    let mut names: Vec<&str> = Vec::new();
    macro_rules! all_stay {
        ($($name:literal: $type:ty,)*) => {$(
            stays::<$type>($name, &stored[$name]);
            names.push($name);
        )*};
    }
    all_stay! {
        "Budget": domain::plan::Budget,
        "Ceiling": domain::ceiling::Ceiling,
        "Certificate": domain::certificate::Certificate,
        "ChangeHead": importer::ports::runs::ChangeHead,
        "DateMeaning": domain::slice::DateMeaning,
        "DateReading": domain::instant::DateReading,
        "DayRange": domain::window::DayRange,
        "DetailCase": domain::plan::DetailCase,
        "Overlap": domain::window::Overlap,
        "Plan": domain::plan::Plan,
        "ProductStatus": domain::slice::ProductStatus,
        "Proof": domain::certificate::Proof,
        "RecordedFailure": importer::ports::runs::RecordedFailure,
        "RejectionCode": domain::rejection::RejectionCode,
        "Resource": domain::resource::Resource,
        "ResourceSummary": domain::certificate::ResourceSummary,
        "RunOptions": importer::ports::runs::RunOptions,
        "RunState": domain::run::RunState,
        "ShopPlan": domain::shop::ShopPlan,
        "Slice": domain::slice::Slice,
        "StoredProgress": importer::ports::runs::StoredProgress,
        "Tags": domain::connection_change::Tags,
    }
    let held = stored.as_object().expect("names and values");
    assert!(held.keys().eq(names.iter()), "{names:?}");
}

/// Workers of two versions share a queue while the program is updated.
#[test]
fn messages_are_read_and_written_as_ever() {
    let id = "0190163d-8694-739b-aea5-966c26f8ad90";
    for message in [
        json!({
            "version": 1, "jobType": "HISTORICAL_SYNC", "merchantId": id, "runId": id,
            "syncDepthMonths": 24,
        }),
        json!({
            "version": 1, "jobType": "HISTORICAL_SYNC", "merchantId": id, "syncDepthMonths": 12,
        }),
    ] {
        let job = HistoricalSync::parse(&message.to_string()).expect("it can be read");
        let written = job.to_json().expect("it can be written");
        assert_eq!(serde_json::from_str::<Value>(&written).ok(), Some(message));
    }
    for kind in ["SYNC_COMPLETE", "SYNC_FAILED", "RECONNECT_NEEDED"] {
        let message = json!({
            "version": 1, "notificationType": kind, "merchantId": id, "runId": id,
        });
        let job = NotificationJob::parse(&message.to_string()).expect("it can be read");
        let written = job.to_json().expect("it can be written");
        assert_eq!(serde_json::from_str::<Value>(&written).ok(), Some(message));
    }
}

/// Every key that a scenario can have, and every value of each choice.
#[test]
fn scenarios_are_read_as_ever() {
    let whole: Value = serde_json::from_str(include_str!("scenario.json")).expect("it is JSON");
    stays::<Scenario>("scenario", &json!([whole]));
    let choices: Value = serde_json::from_str(include_str!("choices.json")).expect("it is JSON");
    for (pointer, values) in choices.as_object().expect("places and values") {
        for value in values.as_array().expect("a list") {
            let mut scenario = whole.clone();
            let place = scenario.pointer_mut(pointer);
            *place.unwrap_or_else(|| panic!("{pointer} is missing")) = value.clone();
            stays::<Scenario>(pointer, &json!([scenario]));
        }
    }
}

#[test]
fn endpoints_and_drift_keep_their_names() {
    let endpoints = json!([
        "oauth_auth",
        "oauth_token",
        "user_info",
        "introspect",
        "dashboard",
        "store_info",
        "orders",
        "order",
        "order_items",
        "order_statuses",
        "customers",
        "customer",
        "products",
        "product",
        "product_variants",
        "categories",
        "unknown",
    ]);
    stays::<Endpoint>("endpoints", &endpoints);
    let kinds = [
        DriftKind::Arrived,
        DriftKind::Edited,
        DriftKind::Deleted,
        DriftKind::Inserted,
    ];
    assert_eq!(
        json!(kinds),
        json!(["arrived", "edited", "deleted", "inserted"])
    );
}
