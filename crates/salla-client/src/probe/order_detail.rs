//! One order: its detail and its items.

use domain::failure::Failure;
use domain::order::OrderItem;
use serde_json::Value;

use super::order_list::Listed;
use super::prober::{Surveyor, Told, kind, member_names, silent, yes};

pub(super) async fn parts(surveyor: &mut Surveyor<'_>, listed: &Listed) -> Result<(), Failure> {
    let Some(order) = listed.orders.first() else {
        surveyor.unknown(
            "Does the detail of an order hold its line items?",
            "there is no order to ask for",
        );
        return Ok(());
    };
    let id = order.id.to_string();
    let detail = surveyor.ask(&format!("orders/{id}"), &[]).await?;
    note_detail(surveyor, detail.as_ref());
    let items = surveyor.ask("orders/items", &[("order_id", &id)]).await?;
    note_items(surveyor, items.as_ref());
    let Some(number) = order.reference_id else {
        return Ok(());
    };
    let by_number = surveyor
        .orders(&[("reference_id", &number.to_string()), ("per_page", "2")])
        .await?;
    let found = by_number.as_ref().and_then(Told::total);
    let question = "Does reference_id find one order?";
    match found {
        Some(total) => surveyor.note(
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
        None => surveyor.unknown(question, silent(by_number.as_ref())),
    }
    Ok(())
}

fn note_detail(surveyor: &mut Surveyor<'_>, told: Option<&Told>) {
    let question = "Does the detail of an order hold its line items?";
    let Some(detail) = told.filter(|told| told.is_success()) else {
        return surveyor.unknown(question, silent(told));
    };
    let order = &detail.json["data"];
    let items = &order["items"];
    let whole = items
        .as_array()
        .is_some_and(|items| items.iter().all(|item| item["id"] != Value::Null));
    surveyor.note(
        question,
        yes(whole),
        match items {
            Value::Null => "items is absent or null".to_owned(),
            Value::Array(rows) => format!("items is a list of {}", rows.len()),
            other => format!("items is {}", kind(other)),
        },
    );
    surveyor.note(
        "Which members does the detail of an order have?",
        member_names(order),
        "one order",
    );
}

fn note_items(surveyor: &mut Surveyor<'_>, told: Option<&Told>) {
    let question = "Do line items carry a product id?";
    let rows = told
        .filter(|told| told.is_success())
        .map_or(&[][..], Told::rows);
    let Some(first) = rows.first() else {
        return surveyor.unknown(question, format!("{}, no items", silent(told)));
    };
    let nested = rows.iter().filter(|i| i["product"]["id"] != Value::Null);
    let plain = rows.iter().filter(|i| i["product_id"] != Value::Null);
    let (nested, plain) = (nested.count(), plain.count());
    surveyor.note(
        question,
        yes(nested + plain > 0),
        format!(
            "of {} items of one order, {nested} have product.id and {plain} have product_id",
            rows.len()
        ),
    );
    surveyor.note(
        "Which members does a line item have?",
        member_names(first),
        "the first item of one order",
    );
    let understood = serde_json::value::to_raw_value(&told.map(|told| &told.json["data"]))
        .is_ok_and(|raw| -> bool {
            let items: Result<Vec<OrderItem>, _> = crate::translate::order_items(&raw);
            items.is_ok()
        });
    surveyor.note(
        "Are the line items understood?",
        yes(understood),
        format!("{} items of one order", rows.len()),
    );
}
