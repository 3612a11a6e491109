//! One order: its detail and its items.

use domain::failure::Failure;
use serde_json::Value;

use super::order_list::SampleOrders;
use super::{ProbeAnswer, Prober, kind, member_names, yes};

pub(super) async fn parts(prober: &mut Prober<'_>, listed: &SampleOrders) -> Result<(), Failure> {
    let Some(order) = listed.orders.first() else {
        prober.unknown(
            "Does the detail of an order include its line items?",
            "there is no order to request",
        );
        return Ok(());
    };
    let id = order.id.to_string();
    let detail = prober.request(&format!("orders/{id}"), &[]).await?;
    note_detail(prober, &detail);
    let items = prober.request("orders/items", &[("order_id", &id)]).await?;
    note_items(prober, &items);
    let Some(number) = order.reference_id else {
        return Ok(());
    };
    let by_number = prober
        .orders(&[("reference_id", &number.to_string()), ("per_page", "2")])
        .await?;
    let question = "Does reference_id find one order?";
    match by_number.total() {
        Some(total) => prober.note(
            question,
            yes(total == 1),
            match total {
                1 => "one order is listed".to_owned(),
                _ => format!(
                    "{} orders are listed",
                    if total == 0 { "no" } else { "more" }
                ),
            },
        ),
        None => prober.unknown(question, by_number.reason()),
    }
    Ok(())
}

fn note_detail(prober: &mut Prober<'_>, detail: &ProbeAnswer) {
    let question = "Does the detail of an order include its line items?";
    if !detail.is_success() {
        return prober.unknown(question, detail.reason());
    }
    let order = &detail.json["data"];
    let items = &order["items"];
    let whole = items
        .as_array()
        .is_some_and(|items| items.iter().all(|item| item["id"] != Value::Null));
    prober.note(
        question,
        yes(whole),
        match items {
            Value::Null => "items is absent or null".to_owned(),
            Value::Array(rows) => format!("items is a list of {}", rows.len()),
            other => format!("items is {}", kind(other)),
        },
    );
    prober.note(
        "Which members does the detail of an order have?",
        member_names(order),
        "one order",
    );
}

fn note_items(prober: &mut Prober<'_>, answer: &ProbeAnswer) {
    let question = "Do line items carry a product id?";
    let rows = answer.rows();
    let Some(first) = rows.first().filter(|_| answer.is_success()) else {
        return prober.unknown(question, format!("{}, no items", answer.reason()));
    };
    let nested = rows.iter().filter(|i| i["product"]["id"] != Value::Null);
    let plain = rows.iter().filter(|i| i["product_id"] != Value::Null);
    let (nested, plain) = (nested.count(), plain.count());
    prober.note(
        question,
        yes(nested + plain > 0),
        format!(
            "of {} items of one order, {nested} have product.id and {plain} have product_id",
            rows.len()
        ),
    );
    prober.note(
        "Which members does a line item have?",
        member_names(first),
        "the first item of one order",
    );
    let understood = serde_json::value::to_raw_value(&answer.json["data"])
        .is_ok_and(|raw| crate::translate::order_items(&raw).is_ok());
    prober.note(
        "Can the line items be read?",
        yes(understood),
        format!("{} items of one order", rows.len()),
    );
}
