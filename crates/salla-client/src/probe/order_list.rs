//! The list of orders: sizes, ends, order, expansion.

use domain::failure::Failure;
use domain::order::{Completeness, Order};

use super::{ProbeAnswer, Prober, Query, member_names, yes};

/// What the later questions build on.
#[derive(Default)]
pub(super) struct SampleOrders {
    /// Some of the newest orders and of the oldest.
    pub(super) orders: Vec<Order>,
}

pub(super) async fn orders(prober: &mut Prober<'_>) -> Result<SampleOrders, Failure> {
    let first = prober.orders(&[("per_page", "60")]).await?;
    if !first.is_success() {
        let answer = first.status.map_or("unknown", |_| "no");
        prober.note("Can orders be listed?", answer, first.reason());
        return Ok(SampleOrders::default());
    }
    note_budget(prober, &first);
    note_rows(prober, &first);
    let total = first.total().unwrap_or(0);
    let size = first.pagination.map_or(0, |p| p.per_page);
    sizes(prober, &first).await?;
    past_the_end(prober, &first).await?;
    nonsense(prober, size).await?;
    let oldest = order_of_the_list(prober, &first).await?;
    updated_filters(prober, total).await?;
    expanded(prober).await?;
    let mut listed = first.orders;
    listed.extend(oldest);
    Ok(SampleOrders { orders: listed })
}

fn note_budget(prober: &mut Prober<'_>, answer: &ProbeAnswer) {
    let headers = answer.headers;
    let question = "Do responses have the rate headers, and what is the limit?";
    match headers.limit {
        Some(limit) => prober.note(
            question,
            format!("{limit} requests a minute"),
            format!(
                "X-RateLimit-Limit is there; Remaining: {}, Reset: {}, Date: {}",
                yes(headers.remaining.is_some()),
                yes(headers.reset_epoch.is_some()),
                yes(headers.date_epoch.is_some())
            ),
        ),
        None => prober.note(question, "no", "there is no X-RateLimit-Limit"),
    }
}

fn note_rows(prober: &mut Prober<'_>, answer: &ProbeAnswer) {
    let rows = answer.rows();
    let question = "Which members does a row of the order list have?";
    let Some(row) = rows.first() else {
        return prober.unknown(question, "the list is empty");
    };
    prober.note(question, member_names(row), "the first row");
    let named = rows.iter().filter(|row| row["customer"].is_object());
    prober.note(
        "Do rows of the order list name the customer?",
        format!("{} of {} rows", named.count(), rows.len()),
        "rows in which customer is an object; the others are guests or leave it out",
    );
    prober.note(
        "Can all rows of the order list be read?",
        yes(answer.orders.len() == rows.len()),
        format!("{} of {} rows", answer.orders.len(), rows.len()),
    );
}

async fn sizes(prober: &mut Prober<'_>, sixty: &ProbeAnswer) -> Result<(), Failure> {
    let hundred = prober.orders(&[("per_page", "100")]).await?;
    let default = prober.orders(&[]).await?;
    let size = |answer: &ProbeAnswer| match answer.pagination {
        Some(pagination) => format!("{} ({} rows)", pagination.per_page, pagination.count),
        None => answer.reason(),
    };
    prober.note(
        "How many orders does a page give?",
        sixty
            .pagination
            .map_or("unknown".to_owned(), |p| p.per_page.to_string()),
        format!(
            "perPage for per_page=60: {}; for 100: {}; without it: {}",
            size(sixty),
            size(&hundred),
            size(&default)
        ),
    );
    Ok(())
}

async fn past_the_end(prober: &mut Prober<'_>, first: &ProbeAnswer) -> Result<(), Failure> {
    let pages = first.pagination.map_or(1, |p| p.total_pages);
    let beyond = (pages + 1).to_string();
    let past = prober
        .orders(&[("per_page", "60"), ("page", &beyond)])
        .await?;
    let question = "What comes past the last page?";
    match past.status {
        Some(status) if past.is_success() => {
            let rows = past.rows().len();
            let answer = if rows == 0 { "an empty page" } else { "rows" };
            prober.note(
                question,
                answer,
                format!("status {status}, {rows} rows on the page after the last"),
            );
        }
        Some(_) => prober.note(question, "an error", past.reason()),
        None => prober.unknown(question, past.reason()),
    }
    Ok(())
}

async fn nonsense(prober: &mut Prober<'_>, size: u32) -> Result<(), Failure> {
    let cases: [(&'static str, Query<'_>); 2] = [
        ("What does per_page=0 give?", &[("per_page", "0")]),
        (
            "What does page=0 give?",
            &[("page", "0"), ("per_page", "60")],
        ),
    ];
    for (question, query) in cases {
        let answer = prober.orders(query).await?;
        match answer.pagination {
            Some(p) => prober.note(
                question,
                format!("page {} of size {}", p.current_page, p.per_page),
                format!("pagination says so; per_page=60 gives size {size}"),
            ),
            None => prober.note(question, "no page", answer.reason()),
        }
    }
    Ok(())
}

/// Also returns the oldest orders.
async fn order_of_the_list(
    prober: &mut Prober<'_>,
    first: &ProbeAnswer,
) -> Result<Vec<Order>, Failure> {
    let question = "In which order are orders listed by default?";
    let is_falling = |orders: &[Order]| {
        let mut pairs = orders.windows(2);
        pairs.all(|pair| pair[0].created_at.instant >= pair[1].created_at.instant)
    };
    match first.orders.as_slice() {
        [] | [_] => prober.unknown(question, "there are fewer than two orders"),
        orders if is_falling(orders) => prober.note(
            question,
            "newest first",
            format!("created_at falls over {} rows", orders.len()),
        ),
        orders => prober.note(
            question,
            "not by creation",
            format!("created_at does not fall over {} rows", orders.len()),
        ),
    }
    let ascending = [("per_page", "60"), ("sort_by", "created_at-asc")];
    let answer = prober.orders(&ascending).await?;
    let question = "Is sort_by=created_at-asc honoured?";
    match answer.orders.as_slice() {
        [] | [_] => prober.unknown(question, answer.reason()),
        rising => {
            let reversed: Vec<Order> = rising.iter().rev().cloned().collect();
            prober.note(
                question,
                yes(is_falling(&reversed)),
                format!("looked at created_at of {} rows", rising.len()),
            );
        }
    }
    let oldest = answer.orders;
    let updated = [("per_page", "1"), ("sort_by", "updated_at-desc")];
    let answer = prober.orders(&updated).await?;
    prober.note(
        "Is sort_by=updated_at-desc accepted?",
        answer
            .status
            .map_or("unknown", |_| yes(answer.is_success())),
        answer.reason(),
    );
    Ok(oldest)
}

/// A filter that is honoured shows no order that was updated in the far future.
async fn updated_filters(prober: &mut Prober<'_>, total: u64) -> Result<(), Failure> {
    let cases = [
        ("Is there a filter updated_at_min?", "updated_at_min"),
        ("Is there a filter updated_at_gt?", "updated_at_gt"),
    ];
    for (question, name) in cases {
        let answer = prober
            .orders(&[("per_page", "1"), (name, "2099-01-01")])
            .await?;
        match answer.total() {
            Some(_) if total == 0 => prober.unknown(question, "there are no orders"),
            Some(filtered) => prober.note(
                question,
                yes(filtered == 0),
                match filtered {
                    0 => "no order is listed as updated after 2099",
                    _ => "orders are listed as if it were not there",
                },
            ),
            None => prober.note(question, "no", answer.reason()),
        }
    }
    Ok(())
}

async fn expanded(prober: &mut Prober<'_>) -> Result<(), Failure> {
    let question = "Is expanded=true honoured (lists give whole orders)?";
    let answer = prober
        .orders(&[("per_page", "10"), ("expanded", "true")])
        .await?;
    let orders = &answer.orders;
    let whole = orders
        .iter()
        .filter(|order| order.completeness() == Completeness::Full)
        .count();
    match orders.len() {
        0 => prober.unknown(question, answer.reason()),
        all => prober.note(
            question,
            yes(whole == all),
            format!("{whole} of {all} rows have amounts and line items"),
        ),
    }
    Ok(())
}
