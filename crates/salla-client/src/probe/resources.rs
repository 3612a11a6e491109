//! The shop, its user, customers and products.

use domain::failure::Failure;
use serde_json::Value;
use url::Url;

use super::prober::{Surveyor, Told, member_names, silent, yes};

pub(super) async fn shop(surveyor: &mut Surveyor<'_>) -> Result<(), Failure> {
    let told = surveyor.ask("store/info", &[]).await?;
    let question = "Which members does /store/info have?";
    match &told {
        Some(shop) if shop.is_success() => {
            let shop = &shop.json["data"];
            surveyor.note(question, member_names(shop), "one answer");
            let plan = shop["plan"].as_str().unwrap_or_default();
            let known = ["basic", "plus", "pro", "special"].contains(&plan);
            surveyor.note(
                "Is the shop's plan one of those documented?",
                if known { plan } else { "no" },
                "plan of /store/info",
            );
        }
        told => surveyor.unknown(question, silent(told.as_ref())),
    }
    Ok(())
}

pub(super) async fn customers(surveyor: &mut Surveyor<'_>) -> Result<(), Failure> {
    let all = surveyor.ask("customers", &[("per_page", "60")]).await?;
    let all = match all {
        Some(all) if all.is_success() => all,
        refused => {
            surveyor.unknown("Can customers be listed?", silent(refused.as_ref()));
            return Ok(());
        }
    };
    surveyor.note(
        "What do the rate headers of /customers tell of?",
        all.headers
            .limit
            .map_or("nothing".to_owned(), |limit| format!("a limit of {limit}")),
        "500 would be the customers' own budget of ten minutes",
    );
    if let Some(row) = all.rows().first() {
        surveyor.note(
            "Which members does a row of the customer list have?",
            member_names(row),
            "the first row",
        );
    }
    surveyor.note(
        "How many customers does a page give?",
        all.pagination
            .map_or("unknown".to_owned(), |p| p.per_page.to_string()),
        "perPage for per_page=60",
    );
    date_filters(surveyor, &all).await
}

/// The documentation describes the two the wrong way round (docs/salla-api.md#customers).
/// A day in the middle of the customers that one page shows must part them.
async fn date_filters(surveyor: &mut Surveyor<'_>, all: &Told) -> Result<(), Failure> {
    let question = "Do date_from and date_to filter customers?";
    let mut days = all.customers_since.clone();
    days.sort_unstable();
    days.dedup();
    let Some(middle) = days.get(days.len() / 2).filter(|_| days.len() > 2) else {
        surveyor.unknown(
            question,
            "too few rows tell when their customer was created",
        );
        return Ok(());
    };
    let day = middle.to_string();
    let size = ("per_page", "60");
    let from = surveyor
        .ask("customers", &[size, ("date_from", &day)])
        .await?;
    let to = surveyor
        .ask("customers", &[size, ("date_to", &day)])
        .await?;
    let (Some(from), Some(to)) = (from, to) else {
        surveyor.unknown(question, silent(None));
        return Ok(());
    };
    if !from.is_success() || !to.is_success() {
        let refused = if from.is_success() { &to } else { &from };
        surveyor.note(question, "no", silent(Some(refused)));
        return Ok(());
    }
    let is_after = from.customers_since.iter().all(|since| since >= middle);
    let is_before = to.customers_since.iter().all(|since| since <= middle);
    let answer = if from.total() == all.total() && to.total() == all.total() {
        "no"
    } else if is_after && is_before {
        "yes, date_from is the lower bound"
    } else if from.customers_since.iter().all(|since| since <= middle) {
        "yes, but date_from is the upper bound"
    } else {
        "they change the list in a way that is not understood"
    };
    surveyor.note(
        question,
        answer,
        format!(
            "asked with a day in the middle of one page; lists {} customers with date_from and {} \
             with date_to; all created since: {}, until: {}",
            less(&from, all),
            less(&to, all),
            yes(is_after),
            yes(is_before)
        ),
    );
    Ok(())
}

fn less(part: &Told, all: &Told) -> &'static str {
    if part.total() == all.total() {
        "all"
    } else {
        "not all"
    }
}

pub(super) async fn products(surveyor: &mut Surveyor<'_>) -> Result<(), Failure> {
    let sixty = surveyor.ask("products", &[("per_page", "60")]).await?;
    let hundred = surveyor.ask("products", &[("per_page", "100")]).await?;
    let size = |told: Option<&Told>| match told.and_then(|told| told.pagination) {
        Some(pagination) => pagination.per_page.to_string(),
        None => silent(told),
    };
    surveyor.note(
        "How many products does a page give?",
        size(sixty.as_ref()),
        format!("perPage for per_page=100: {}", size(hundred.as_ref())),
    );
    if let Some(row) = sixty.as_ref().and_then(|told| told.rows().first()) {
        surveyor.note(
            "Which members does a row of the product list have?",
            member_names(row),
            "the first row",
        );
    }
    Ok(())
}

pub(super) async fn user(surveyor: &mut Surveyor<'_>, accounts: Url) -> Result<(), Failure> {
    let question = "Is user info wrapped in data?";
    let requester = surveyor.requester.at(accounts);
    let told = surveyor.ask_at(&requester, "oauth2/user/info", &[]).await;
    let told = match told {
        Ok(told) => told,
        // The token serves the API; that this host refuses it is a finding too.
        Err(Failure::Disconnected(_)) => {
            surveyor.unknown(question, "the accounts host refuses the token");
            return Ok(());
        }
        Err(failure) => return Err(failure),
    };
    let told = match told {
        Some(told) if (200..300).contains(&told.status) => told,
        refused => {
            surveyor.unknown(question, silent(refused.as_ref()));
            return Ok(());
        }
    };
    let is_wrapped = told.json["data"].is_object();
    let user = match is_wrapped {
        true => &told.json["data"],
        false => &told.json,
    };
    surveyor.note(
        question,
        yes(is_wrapped),
        format!("members: {}", member_names(user)),
    );
    let merchant = match (&user["merchant"], &user["store"]) {
        (Value::Object(_), _) => "merchant",
        (_, Value::Object(_)) => "store",
        _ => "neither merchant nor store",
    };
    surveyor.note(
        "Under which name does user info tell of the shop?",
        merchant,
        "one answer",
    );
    Ok(())
}

pub(super) fn throttling(surveyor: &mut Surveyor<'_>) {
    let question = "Does a 429 carry Retry-After?";
    let met = surveyor.throttles.len();
    let with = surveyor
        .throttles
        .iter()
        .filter(|carries| **carries)
        .count();
    match met {
        0 => surveyor.unknown(question, "no 429 came, and none was provoked"),
        met => surveyor.note(question, yes(with == met), format!("{with} of {met} did")),
    }
}
