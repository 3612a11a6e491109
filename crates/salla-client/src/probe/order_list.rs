//! The list of orders: sizes, ends, order, expansion.

use domain::failure::Failure;
use domain::order::{Completeness, Order};

use super::prober::{Query, Surveyor, Told, member_names, silent, yes};

/// What the later questions build on.
#[derive(Default)]
pub(super) struct Listed {
    /// Some of the newest orders and of the oldest.
    pub(super) orders: Vec<Order>,
}

pub(super) async fn orders(surveyor: &mut Surveyor<'_>) -> Result<Listed, Failure> {
    let Some(first) = surveyor.orders(&[("per_page", "60")]).await? else {
        surveyor.unknown("Can orders be listed?", silent(None));
        return Ok(Listed::default());
    };
    if !first.is_success() {
        surveyor.note("Can orders be listed?", "no", silent(Some(&first)));
        return Ok(Listed::default());
    }
    note_budget(surveyor, &first);
    note_rows(surveyor, &first);
    let total = first.total().unwrap_or(0);
    let size = first.pagination.map_or(0, |p| p.per_page);
    sizes(surveyor, &first).await?;
    past_the_end(surveyor, &first).await?;
    nonsense(surveyor, size).await?;
    let oldest = order_of_the_list(surveyor, &first).await?;
    updated_filters(surveyor, total).await?;
    expanded(surveyor).await?;
    let mut listed = first.orders;
    listed.extend(oldest);
    Ok(Listed { orders: listed })
}

fn note_budget(surveyor: &mut Surveyor<'_>, told: &Told) {
    let headers = told.headers;
    let question = "Do answers carry the rate headers, and what is the limit?";
    match headers.limit {
        Some(limit) => surveyor.note(
            question,
            format!("{limit} requests a minute"),
            format!(
                "X-RateLimit-Limit is there; Remaining: {}, Reset: {}, Date: {}",
                yes(headers.remaining.is_some()),
                yes(headers.reset_epoch.is_some()),
                yes(headers.date_epoch.is_some())
            ),
        ),
        None => surveyor.note(question, "no", "there is no X-RateLimit-Limit"),
    }
}

fn note_rows(surveyor: &mut Surveyor<'_>, told: &Told) {
    let rows = told.rows();
    let question = "Which members does a row of the order list have?";
    let Some(row) = rows.first() else {
        return surveyor.unknown(question, "the list is empty");
    };
    surveyor.note(question, member_names(row), "the first row");
    let named = rows.iter().filter(|row| row["customer"].is_object());
    surveyor.note(
        "Do rows of the order list name the customer?",
        format!("{} of {} rows", named.count(), rows.len()),
        "rows in which customer is an object; the others are guests or leave it out",
    );
    surveyor.note(
        "Are all rows of the order list understood?",
        yes(told.orders.len() == rows.len()),
        format!("{} of {} rows", told.orders.len(), rows.len()),
    );
}

async fn sizes(surveyor: &mut Surveyor<'_>, sixty: &Told) -> Result<(), Failure> {
    let hundred = surveyor.orders(&[("per_page", "100")]).await?;
    let default = surveyor.orders(&[]).await?;
    let size = |told: Option<&Told>| match told.and_then(|told| told.pagination) {
        Some(pagination) => format!("{} ({} rows)", pagination.per_page, pagination.count),
        None => silent(told),
    };
    surveyor.note(
        "How many orders does a page give?",
        sixty
            .pagination
            .map_or("unknown".to_owned(), |p| p.per_page.to_string()),
        format!(
            "perPage for per_page=60: {}; for 100: {}; without it: {}",
            size(Some(sixty)),
            size(hundred.as_ref()),
            size(default.as_ref())
        ),
    );
    Ok(())
}

async fn past_the_end(surveyor: &mut Surveyor<'_>, first: &Told) -> Result<(), Failure> {
    let pages = first.pagination.map_or(1, |p| p.total_pages);
    let beyond = (pages + 1).to_string();
    let told = surveyor
        .orders(&[("per_page", "60"), ("page", &beyond)])
        .await?;
    let question = "What comes past the last page?";
    match &told {
        Some(past) if past.is_success() => {
            let rows = past.rows().len();
            let answer = if rows == 0 { "an empty page" } else { "rows" };
            surveyor.note(
                question,
                answer,
                format!(
                    "status {}, {rows} rows on the page after the last",
                    past.status
                ),
            );
        }
        Some(past) => surveyor.note(question, "an error", silent(Some(past))),
        None => surveyor.unknown(question, silent(None)),
    }
    Ok(())
}

async fn nonsense(surveyor: &mut Surveyor<'_>, size: u32) -> Result<(), Failure> {
    let cases: [(&'static str, Query<'_>); 2] = [
        ("What does per_page=0 give?", &[("per_page", "0")]),
        (
            "What does page=0 give?",
            &[("page", "0"), ("per_page", "60")],
        ),
    ];
    for (question, query) in cases {
        let told = surveyor.orders(query).await?;
        match told.as_ref().and_then(|told| told.pagination) {
            Some(p) => surveyor.note(
                question,
                format!("page {} of size {}", p.current_page, p.per_page),
                format!("pagination says so; per_page=60 gives size {size}"),
            ),
            None => surveyor.note(question, "no page", silent(told.as_ref())),
        }
    }
    Ok(())
}

/// Also returns the oldest orders.
async fn order_of_the_list(
    surveyor: &mut Surveyor<'_>,
    first: &Told,
) -> Result<Vec<Order>, Failure> {
    let question = "In which order are orders listed by default?";
    let is_falling = |orders: &[Order]| {
        let mut pairs = orders.windows(2);
        pairs.all(|pair| pair[0].created_at.instant >= pair[1].created_at.instant)
    };
    match first.orders.as_slice() {
        [] | [_] => surveyor.unknown(question, "there are fewer than two orders"),
        orders if is_falling(orders) => surveyor.note(
            question,
            "newest first",
            format!("created_at falls over {} rows", orders.len()),
        ),
        orders => surveyor.note(
            question,
            "not by creation",
            format!("created_at does not fall over {} rows", orders.len()),
        ),
    }
    let ascending = [("per_page", "60"), ("sort_by", "created_at-asc")];
    let told = surveyor.orders(&ascending).await?;
    let oldest = told.as_ref().map_or(&[][..], |told| &told.orders);
    let question = "Is sort_by=created_at-asc honoured?";
    match oldest {
        [] | [_] => surveyor.unknown(question, silent(told.as_ref())),
        rising => {
            let reversed: Vec<Order> = rising.iter().rev().cloned().collect();
            surveyor.note(
                question,
                yes(is_falling(&reversed)),
                format!("looked at created_at of {} rows", rising.len()),
            );
        }
    }
    let updated = [("per_page", "1"), ("sort_by", "updated_at-desc")];
    let told = surveyor.orders(&updated).await?;
    surveyor.note(
        "Is sort_by=updated_at-desc accepted?",
        told.as_ref()
            .map_or("unknown", |told| yes(told.is_success())),
        silent(told.as_ref()),
    );
    Ok(oldest.to_vec())
}

/// A filter that is honoured shows no order that was updated in the far future.
async fn updated_filters(surveyor: &mut Surveyor<'_>, total: u64) -> Result<(), Failure> {
    let cases = [
        ("Is there a filter updated_at_min?", "updated_at_min"),
        ("Is there a filter updated_at_gt?", "updated_at_gt"),
    ];
    for (question, name) in cases {
        let told = surveyor
            .orders(&[("per_page", "1"), (name, "2099-01-01")])
            .await?;
        match told.as_ref().and_then(Told::total) {
            Some(_) if total == 0 => surveyor.unknown(question, "there are no orders"),
            Some(filtered) => surveyor.note(
                question,
                yes(filtered == 0),
                match filtered {
                    0 => "no order is listed as updated after 2099",
                    _ => "orders are listed as if it were not there",
                },
            ),
            None => surveyor.note(question, "no", silent(told.as_ref())),
        }
    }
    Ok(())
}

async fn expanded(surveyor: &mut Surveyor<'_>) -> Result<(), Failure> {
    let question = "Is expanded=true honoured (lists give whole orders)?";
    let told = surveyor
        .orders(&[("per_page", "10"), ("expanded", "true")])
        .await?;
    let orders = told.as_ref().map_or(&[][..], |told| &told.orders);
    let whole = orders
        .iter()
        .filter(|order| order.completeness() == Completeness::Full)
        .count();
    match orders.len() {
        0 => surveyor.unknown(question, silent(told.as_ref())),
        all => surveyor.note(
            question,
            yes(whole == all),
            format!("{whole} of {all} rows have amounts and line items"),
        ),
    }
    Ok(())
}
