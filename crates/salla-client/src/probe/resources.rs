//! The shop, its user, customers and products.

use domain::failure::Failure;
use serde_json::Value;
use url::Url;

use super::{NO_ANSWER, ProbeAnswer, Prober, member_names, yes};

pub(super) async fn shop(prober: &mut Prober<'_>) -> Result<(), Failure> {
    let answer = prober.request("store/info", &[]).await?;
    let question = "Which members does /store/info have?";
    if !answer.is_success() {
        prober.unknown(question, answer.reason());
        return Ok(());
    }
    let shop = &answer.json["data"];
    prober.note(question, member_names(shop), "one answer");
    let plan = shop["plan"].as_str().unwrap_or_default();
    let known = ["basic", "plus", "pro", "special"].contains(&plan);
    prober.note(
        "Is the shop's plan one of those documented?",
        if known { plan } else { "no" },
        "plan of /store/info",
    );
    Ok(())
}

pub(super) async fn customers(prober: &mut Prober<'_>) -> Result<(), Failure> {
    let all = prober.request("customers", &[("per_page", "60")]).await?;
    if !all.is_success() {
        prober.unknown("Can customers be listed?", all.reason());
        return Ok(());
    }
    prober.note(
        "What do the rate headers of /customers report?",
        all.headers
            .limit
            .map_or("nothing".to_owned(), |limit| format!("a limit of {limit}")),
        "500 would be the customers' own budget of ten minutes",
    );
    if let Some(row) = all.rows().first() {
        prober.note(
            "Which members does a row of the customer list have?",
            member_names(row),
            "the first row",
        );
    }
    prober.note(
        "How many customers does a page give?",
        all.pagination
            .map_or("unknown".to_owned(), |p| p.per_page.to_string()),
        "perPage for per_page=60",
    );
    date_filters(prober, &all).await
}

/// The documentation describes the two the wrong way round (docs/salla-api.md#customers).
/// A day in the middle of the customers that one page shows must part them.
async fn date_filters(prober: &mut Prober<'_>, all: &ProbeAnswer) -> Result<(), Failure> {
    let question = "Do date_from and date_to filter customers?";
    let mut days = all.customers_since.clone();
    days.sort_unstable();
    days.dedup();
    let Some(middle) = days.get(days.len() / 2).filter(|_| days.len() > 2) else {
        prober.unknown(question, "too few rows have their customer's creation date");
        return Ok(());
    };
    let day = middle.to_string();
    let size = ("per_page", "60");
    let from = prober
        .request("customers", &[size, ("date_from", &day)])
        .await?;
    let to = prober
        .request("customers", &[size, ("date_to", &day)])
        .await?;
    if from.status.is_none() || to.status.is_none() {
        prober.unknown(question, NO_ANSWER);
        return Ok(());
    }
    if !from.is_success() || !to.is_success() {
        let refused = if from.is_success() { &to } else { &from };
        prober.note(question, "no", refused.reason());
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
        "they change the list in an unexpected way"
    };
    prober.note(
        question,
        answer,
        format!(
            "requested with a day in the middle of one page; lists {} customers with date_from and \
             {} with date_to; all created since: {}, until: {}",
            less(&from, all),
            less(&to, all),
            yes(is_after),
            yes(is_before)
        ),
    );
    Ok(())
}

fn less(part: &ProbeAnswer, all: &ProbeAnswer) -> &'static str {
    if part.total() == all.total() {
        "all"
    } else {
        "not all"
    }
}

pub(super) async fn products(prober: &mut Prober<'_>) -> Result<(), Failure> {
    let sixty = prober.request("products", &[("per_page", "60")]).await?;
    let hundred = prober.request("products", &[("per_page", "100")]).await?;
    let size = |answer: &ProbeAnswer| match answer.pagination {
        Some(pagination) => pagination.per_page.to_string(),
        None => answer.reason(),
    };
    prober.note(
        "How many products does a page give?",
        size(&sixty),
        format!("perPage for per_page=100: {}", size(&hundred)),
    );
    if let Some(row) = sixty.rows().first() {
        prober.note(
            "Which members does a row of the product list have?",
            member_names(row),
            "the first row",
        );
    }
    Ok(())
}

pub(super) async fn user(prober: &mut Prober<'_>, accounts: Url) -> Result<(), Failure> {
    let question = "Is user info wrapped in data?";
    let requester = prober.requester.at(accounts);
    let answer = prober.request_at(&requester, "oauth2/user/info", &[]).await;
    let answer = match answer {
        Ok(answer) => answer,
        // The token serves the API; that this host refuses it is a finding too.
        Err(Failure::Disconnected(_)) => {
            prober.unknown(question, "the accounts host refuses the token");
            return Ok(());
        }
        Err(failure) => return Err(failure),
    };
    if !answer.has_good_status() {
        prober.unknown(question, answer.reason());
        return Ok(());
    }
    let is_wrapped = answer.json["data"].is_object();
    let user = match is_wrapped {
        true => &answer.json["data"],
        false => &answer.json,
    };
    prober.note(
        question,
        yes(is_wrapped),
        format!("members: {}", member_names(user)),
    );
    let merchant = match (&user["merchant"], &user["store"]) {
        (Value::Object(_), _) => "merchant",
        (_, Value::Object(_)) => "store",
        _ => "neither merchant nor store",
    };
    prober.note(
        "Under which name does user info give the shop?",
        merchant,
        "one answer",
    );
    Ok(())
}

pub(super) fn throttling(prober: &mut Prober<'_>) {
    let question = "Does a 429 have Retry-After?";
    let met = prober.throttles.len();
    let with = prober.throttles.iter().filter(|carries| **carries).count();
    match met {
        0 => prober.unknown(question, "there was no 429, and none was provoked"),
        met => prober.note(question, yes(with == met), format!("{with} of {met} did")),
    }
}
