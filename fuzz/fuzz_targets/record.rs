//! Any JSON as one record of any kind: nothing panics, and a rejection says where and
//! why, the same in a list as alone.

#![no_main]

use domain::rejection::Rejection;
use domain::resource::Resource;
use importer::ports::platform::Records;
use libfuzzer_sys::fuzz_target;
use salla_client::translate::{
    category, customer, decode, decode_list, order, order_items, order_status, product, shop_info,
};
use serde_json::value::RawValue;

fuzz_target!(|text: &str| {
    let Ok(raw) = serde_json::from_str::<&RawValue>(text) else {
        return;
    };
    check(&order(raw));
    check(&customer(raw));
    check(&product(raw));
    check(&category(raw));
    check(&order_status(raw));
    check(&order_items(raw));
    check(&shop_info(raw));
    let Records::Orders(listed) = decode_list(Resource::Orders, vec![raw]) else {
        panic!("orders became something else");
    };
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].outcome, decode(raw, order).outcome);
});

fn check<T>(outcome: &Result<T, Rejection>) {
    if let Err(rejection) = outcome {
        assert!(rejection.path.starts_with('$'), "{rejection:?}");
        assert!(!rejection.message.is_empty(), "{rejection:?}");
    }
}
