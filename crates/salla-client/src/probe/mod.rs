//! Questions about Salla's API that its documentation leaves open
//! (docs/salla-api.md#not-established), put to a real shop by reading alone.
//!
//! What is found may be passed on: statuses, counts, names of members, yes or no. No
//! value of a record gets into a [`Finding`].

mod date_filters;
mod order_detail;
mod order_list;
mod resources;

use domain::failure::{Disconnection, Failure};
use domain::order::Order;
use importer::ports::platform::Pagination;
use jiff::civil::Date;
use serde::Serialize;
use serde_json::Value;
use url::Url;

use crate::envelope::split_list;
use crate::lenient::readable;
use crate::pacing::{LatencyClass, RateHeaders};
use crate::request::{ApiRequest, Requester};
use crate::{SallaClient, translate};

/// The most requests that a probe sends, retries aside.
pub const MAX_REQUESTS: u64 = 24;

#[derive(Clone, Debug, Serialize)]
pub struct ProbeReport {
    pub requests: u64,
    pub findings: Vec<Finding>,
}

/// A question with its answer and the evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub question: &'static str,
    /// `yes`, `no`, `unknown`, or a few words.
    pub answer: String,
    pub evidence: String,
}

/// Answers all questions. `accounts_url` is the host that knows the user. An `Err` means that
/// no request succeeds at all; a question whose requests fail is answered `unknown`.
pub async fn probe(client: &SallaClient, accounts_url: Url) -> Result<ProbeReport, Failure> {
    let mut prober = Prober::new(&client.requester);
    resources::shop(&mut prober).await?;
    let listed = order_list::orders(&mut prober).await?;
    order_detail::parts(&mut prober, &listed).await?;
    date_filters::filters(&mut prober, &listed).await?;
    resources::customers(&mut prober).await?;
    resources::products(&mut prober).await?;
    resources::user(&mut prober, accounts_url).await?;
    resources::throttling(&mut prober);
    Ok(ProbeReport {
        requests: prober.sent,
        findings: prober.findings,
    })
}

// Sends requests, and notes what was found.

/// Responses of all kinds; how long they take does not matter here.
const CLASS: LatencyClass = LatencyClass(9);

const NO_ANSWER: &str = "there was no readable response";

struct Prober<'a> {
    requester: &'a Requester,
    sent: u64,
    findings: Vec<Finding>,
    /// Of each 429 met: whether it said when to come back.
    throttles: Vec<bool>,
}

/// A response as far as the questions look at it.
#[derive(Default)]
struct ProbeAnswer {
    /// Absent where no response that can be read came, although it was tried again.
    status: Option<u16>,
    headers: RateHeaders,
    json: Value,
    pagination: Option<Pagination>,
    /// Those rows that are understood as orders; of order lists only.
    orders: Vec<Order>,
    /// When those rows that say so were created, in Riyadh; of customer lists only.
    customers_since: Vec<Date>,
}

impl ProbeAnswer {
    fn total(&self) -> Option<u64> {
        self.pagination.map(|pagination| pagination.total)
    }

    fn rows(&self) -> &[Value] {
        self.json["data"].as_array().map_or(&[], Vec::as_slice)
    }

    fn is_success(&self) -> bool {
        self.has_good_status() && self.json["success"] != Value::Bool(false)
    }

    fn has_good_status(&self) -> bool {
        self.status
            .is_some_and(|status| (200..300).contains(&status))
    }

    /// Why it shows nothing.
    fn reason(&self) -> String {
        match self.status {
            None => NO_ANSWER.to_owned(),
            Some(status) => format!("Salla responded with status {status}"),
        }
    }
}

/// The parameters of a question.
type Query<'q> = &'q [(&'static str, &'q str)];

impl<'a> Prober<'a> {
    fn new(requester: &'a Requester) -> Self {
        Self {
            requester,
            sent: 0,
            findings: Vec::new(),
            throttles: Vec::new(),
        }
    }

    async fn orders(&mut self, query: Query<'_>) -> Result<ProbeAnswer, Failure> {
        self.request("orders", query).await
    }

    /// Only what makes every further question useless is an error.
    async fn request(&mut self, path: &str, query: Query<'_>) -> Result<ProbeAnswer, Failure> {
        let requester = self.requester;
        self.request_at(requester, path, query).await
    }

    async fn request_at(
        &mut self,
        requester: &Requester,
        path: &str,
        query: Query<'_>,
    ) -> Result<ProbeAnswer, Failure> {
        let request = ApiRequest {
            description: "probing Salla's API".to_owned(),
            path: path.to_owned(),
            query: query
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned()))
                .collect(),
            class: CLASS,
            customers: path.starts_with("customers"),
        };
        self.sent += 1;
        let response = match requester.get_raw(&request).await {
            Ok(response) => response,
            Err(Failure::Transient { .. } | Failure::NotJson { .. } | Failure::Broken { .. }) => {
                return Ok(ProbeAnswer::default());
            }
            // The token serves, only not for this.
            Err(Failure::Disconnected(Disconnection::ScopeMissing | Disconnection::Forbidden)) => {
                return Ok(ProbeAnswer {
                    status: Some(401),
                    ..ProbeAnswer::default()
                });
            }
            Err(failure) => return Err(failure),
        };
        self.throttles.extend(&response.throttles);
        let body = readable(&response.body);
        let (rows, pagination) = match split_list(&body) {
            Ok((rows, pagination)) => (rows, Some(pagination)),
            Err(_) => (Vec::new(), None),
        };
        let rows_of = |list: &str| if path == list { rows.as_slice() } else { &[] };
        let orders = rows_of("orders").iter();
        let customers = rows_of("customers").iter();
        let since = customers.filter_map(|row| translate::customer(row).ok()?.created_at);
        Ok(ProbeAnswer {
            status: Some(response.status),
            headers: response.headers,
            json: serde_json::from_slice(&body).unwrap_or_default(),
            pagination,
            orders: orders
                .filter_map(|row| translate::order(row).ok())
                .collect(),
            customers_since: since.map(|at| at.riyadh_date()).collect(),
        })
    }

    fn note(
        &mut self,
        question: &'static str,
        answer: impl Into<String>,
        evidence: impl Into<String>,
    ) {
        self.findings.push(Finding {
            question,
            answer: answer.into(),
            evidence: evidence.into(),
        });
    }

    fn unknown(&mut self, question: &'static str, reason: impl Into<String>) {
        self.note(question, "unknown", reason);
    }
}

/// `yes` or `no`.
fn yes(is_so: bool) -> &'static str {
    if is_so { "yes" } else { "no" }
}

/// More names than this say nothing more about a shape.
const MAX_NAMES: usize = 60;

/// The names of an object's members, sorted. A name that does not look like one of an
/// API is only counted: some objects are keyed by what people have typed.
fn member_names(value: &Value) -> String {
    let Some(members) = value.as_object() else {
        return format!("not an object but {}", kind(value));
    };
    let mut known: Vec<&str> = members
        .keys()
        .map(String::as_str)
        .filter(|name| is_name(name))
        .collect();
    known.sort_unstable();
    known.truncate(MAX_NAMES);
    let others = members.len() - known.len();
    let mut text = known.join(", ");
    if others > 0 {
        text.push_str(&format!(" and {others} more"));
    }
    text
}

fn is_name(name: &str) -> bool {
    (1..=40).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b == b'_' || b == b'-')
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_people_may_have_typed_are_counted_only() {
        let value = serde_json::json!({
            "id": 1, "user-agent": 2, "اللون": 3, "someone@example.com": 4, "0501234567": 5,
            "Noura": 6
        });
        assert_eq!(member_names(&value), "id, user-agent and 4 more");
        assert_eq!(
            member_names(&serde_json::json!([1])),
            "not an object but a list"
        );
    }
}
