//! Whatever arrives, nothing panics, and no digit of an amount is lost.

use domain::resource::Resource;
use proptest::prelude::*;
use rust_decimal::Decimal;
use salla_client::classify::{classify, classify_envelope_error};
use salla_client::envelope::{ApiError, split_list, split_one};
use salla_client::translate;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// Names that mean something, so that chance gets past the first test.
const NAMES: &[&str] = &[
    "id",
    "date",
    "timezone",
    "amount",
    "currency",
    "total",
    "amounts",
    "tax",
    "percent",
    "discounts",
    "discount",
    "items",
    "quantity",
    "product",
    "product_id",
    "customer",
    "status",
    "customized",
    "skus",
    "stock_quantity",
    "categories",
    "price",
    "brand",
    "update_at",
    "birthday",
    "name",
    "pagination",
    "data",
    "success",
    "error",
    "code",
    "fields",
    "totalPages",
];

const TEXTS: &[&str] = &[
    "",
    "null",
    "0",
    "15.00",
    "1e5",
    "-",
    "٢٫٥",
    "2024-02-15 08:23:05",
    "0000-00-00 00:00:00",
    "Sun Jun 26 2022 12:21:48 GMT+0300",
    "Asia/Riyadh",
    "Z",
    "1634819484",
    "SAR",
    "true",
];

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0_i64..100).prop_map(Value::from),
        proptest::sample::select(TEXTS).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 8, |inner| {
        let name = prop_oneof![
            8 => proptest::sample::select(NAMES).prop_map(str::to_owned),
            1 => any::<String>(),
            1 => "[0-9]{1,2}",
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec((name, inner), 0..12)
                .prop_map(|members| Value::Object(Map::from_iter(members))),
        ]
    })
}

fn decode_everything(raw: &RawValue) {
    for resource in Resource::ALL {
        let _ = translate::decode_list(resource, vec![raw]);
    }
    let _ = translate::order_items(raw);
    let _ = translate::shop_info(raw);
}

/// A page that is read in one go is what it is when it is split first.
fn read_as_lists(body: &[u8]) {
    for resource in Resource::ALL {
        let split = split_list(body)
            .map(|(rows, pagination)| (translate::decode_list(resource, rows), pagination));
        let listed = translate::list(resource, body);
        assert_eq!(format!("{listed:?}"), format!("{split:?}"));
    }
}

fn take(body: &[u8]) {
    read_as_lists(body);
    if let Ok((rows, _)) = split_list(body) {
        rows.into_iter().for_each(decode_everything);
    }
    match split_one(body) {
        Ok(raw) => decode_everything(raw),
        Err(error) => {
            let _ = classify_envelope_error(error, None);
        }
    }
    let _ = ApiError::parse(body);
    for status in [200, 401, 403, 404, 422, 500] {
        let _ = classify(
            status,
            &Default::default(),
            body,
            jiff::Timestamp::UNIX_EPOCH,
        );
    }
}

proptest! {
    #[test]
    fn any_json_is_taken_calmly(value in json()) {
        let text = value.to_string();
        take(text.as_bytes());
        take(format!(r#"{{"success":true,"data":{text}}}"#).as_bytes());
        decode_everything(&RawValue::from_string(text).unwrap());
    }

    #[test]
    fn any_bytes_are_taken_calmly(bytes: Vec<u8>) {
        take(&bytes);
        let mut framed = br#"{"success":true,"data":["#.to_vec();
        framed.extend(&bytes);
        take(&framed);
        framed.extend(b"]}");
        take(&framed);
    }

    #[test]
    fn any_page_reads_the_same_in_one_go(
        rows in prop::collection::vec(json(), 0..5), members in prop::collection::vec((0_usize..8, json()), 0..4),
        id: u32, blank in proptest::sample::select(vec!["", " ", "\n\t"]), cut in 0_usize..2_000,
    ) {
        let names = ["data", "status", "success", "pagination", "error", "message", "other", "a\\u0062"];
        let order = format!(r#"{{"id":{id},"date":"2024-02-15 08:23:05"}}"#);
        let rows: Vec<String> = rows.iter().map(Value::to_string).chain([order]).collect();
        let mut body = format!(r#"{blank}{{"success":true{blank},"data":{blank}[{}{blank}]"#, rows.join(","));
        for (name, value) in members {
            body += &format!(r#",{blank}"{}":{value}"#, names[name]);
        }
        body += "}";
        body += blank;
        read_as_lists(body.as_bytes());
        read_as_lists(body.as_bytes().get(..cut).unwrap_or(b"{}"));
    }

    #[test]
    fn amounts_are_exact(mantissa: i64, scale in 0_u32..12, quoted: bool) {
        let amount = Decimal::new(mantissa, scale);
        let number = if quoted { format!("\"{amount}\"") } else { amount.to_string() };
        let json = format!(
            r#"{{"id":1,"date":"2024-02-15 08:23:05","total":{{"amount":{number},"currency":"SAR"}}}}"#
        );
        let order = translate::order(&RawValue::from_string(json).unwrap()).unwrap();
        let read = order.total.unwrap().amount;
        // More digits may be those of a double that PHP wrote out, and then the decimal is
        // read that it was made from.
        if amount.mantissa().unsigned_abs() < 1_000_000_000_000_000 {
            prop_assert_eq!(read, amount);
            prop_assert_eq!(read.to_string(), amount.to_string());
        } else {
            let double = |decimal: Decimal| decimal.to_string().parse::<f64>().unwrap();
            prop_assert_eq!(double(read), double(amount));
        }
    }
}
