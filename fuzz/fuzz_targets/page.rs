//! Any bytes as the body of an answer: nothing panics, and of a list that can be split
//! each element is either decoded or rejected, with its own text beside it.

#![no_main]

use domain::resource::Resource;
use importer::ports::platform::{Decoded, Records};
use libfuzzer_sys::fuzz_target;
use salla_client::envelope::{ApiError, split_list, split_one};
use salla_client::translate::{decode_list, list};
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    let _ = ApiError::parse(body);
    let _ = split_one(body);
    let Ok((rows, _)) = split_list(body) else {
        return;
    };
    if let Some(elements) = elements(body) {
        assert_eq!(rows.len(), elements, "elements are lost or invented");
    }
    let sent: Vec<&str> = rows.iter().map(|row| row.get()).collect();
    for resource in Resource::ALL {
        let records = decode_list(resource, rows.clone());
        assert_eq!(records.resource(), resource);
        assert_eq!(kept(&records), sent, "{resource:?}");
        let (listed, _) = list(resource, body).expect("it can be split");
        assert_eq!(format!("{listed:?}"), format!("{records:?}"));
    }
});

/// How many elements another reader of JSON finds, where it can read this at all.
fn elements(body: &[u8]) -> Option<usize> {
    let value: Value = serde_json::from_slice(body).ok()?;
    value.get("data")?.as_array().map(Vec::len)
}

fn kept(records: &Records) -> Vec<&str> {
    fn raw<T>(records: &[Decoded<T>]) -> Vec<&str> {
        records.iter().map(|record| &*record.raw).collect()
    }
    match records {
        Records::Orders(records) => raw(records),
        Records::Customers(records) => raw(records),
        Records::Products(records) => raw(records),
        Records::Categories(records) => raw(records),
        Records::OrderStatuses(records) => raw(records),
    }
}
