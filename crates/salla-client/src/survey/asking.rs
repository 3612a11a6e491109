//! Asking, and noting what was found.

use domain::failure::{Disconnection, Failure};
use domain::order::Order;
use importer::ports::platform::Pagination;
use jiff::civil::Date;
use serde_json::Value;

use super::Finding;
use crate::envelope::split_list;
use crate::lenient::readable;
use crate::pacing::{Class, RateHeaders};
use crate::request::{ApiRequest, Requester};
use crate::translate;

/// Answers of all kinds; how long they take matters to nobody here.
const CLASS: Class = Class(9);

pub(super) struct Surveyor<'a> {
    pub(super) requester: &'a Requester,
    pub(super) asked: u64,
    pub(super) findings: Vec<Finding>,
    /// Of each 429 met: whether it said when to come back.
    pub(super) throttles: Vec<bool>,
}

/// An answer as far as the questions look at it.
pub(super) struct Told {
    pub(super) status: u16,
    pub(super) headers: RateHeaders,
    pub(super) json: Value,
    pub(super) pagination: Option<Pagination>,
    /// Those rows that are understood as orders; of order lists only.
    pub(super) orders: Vec<Order>,
    /// When those rows that tell it were created, in Riyadh; of customer lists only.
    pub(super) customers_since: Vec<Date>,
}

impl Told {
    fn refusal() -> Self {
        Self {
            status: 401,
            headers: RateHeaders::default(),
            json: Value::Null,
            pagination: None,
            orders: Vec::new(),
            customers_since: Vec::new(),
        }
    }

    pub(super) fn total(&self) -> Option<u64> {
        self.pagination.map(|pagination| pagination.total)
    }

    pub(super) fn rows(&self) -> &[Value] {
        self.json["data"].as_array().map_or(&[], Vec::as_slice)
    }

    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status) && self.json["success"] != Value::Bool(false)
    }
}

/// The parameters of a question.
pub(super) type Query<'q> = &'q [(&'static str, &'q str)];

impl<'a> Surveyor<'a> {
    pub(super) fn new(requester: &'a Requester) -> Self {
        Self {
            requester,
            asked: 0,
            findings: Vec::new(),
            throttles: Vec::new(),
        }
    }

    pub(super) async fn orders(&mut self, query: Query<'_>) -> Result<Option<Told>, Failure> {
        self.ask("orders", query).await
    }

    /// `None`: no answer came although it was tried again. Only what makes every further
    /// question useless is an error.
    pub(super) async fn ask(
        &mut self,
        path: &str,
        query: Query<'_>,
    ) -> Result<Option<Told>, Failure> {
        let requester = self.requester;
        self.ask_at(requester, path, query).await
    }

    pub(super) async fn ask_at(
        &mut self,
        requester: &Requester,
        path: &str,
        query: Query<'_>,
    ) -> Result<Option<Told>, Failure> {
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
        self.asked += 1;
        let response = match requester.get_raw(&request).await {
            Ok(response) => response,
            Err(Failure::Transient { .. } | Failure::NotJson { .. } | Failure::Broken { .. }) => {
                return Ok(None);
            }
            // The token serves, only not for this.
            Err(Failure::Disconnected(Disconnection::ScopeMissing | Disconnection::Forbidden)) => {
                return Ok(Some(Told::refusal()));
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
        Ok(Some(Told {
            status: response.status,
            headers: response.headers,
            json: serde_json::from_slice(&body).unwrap_or_default(),
            pagination,
            orders: orders
                .filter_map(|row| translate::order(row).ok())
                .collect(),
            customers_since: since.map(|at| at.riyadh_date()).collect(),
        }))
    }

    pub(super) fn note(
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

    pub(super) fn unknown(&mut self, question: &'static str, why: impl Into<String>) {
        self.note(question, "unknown", why);
    }
}

/// `yes` or `no`.
pub(super) fn yes(is_so: bool) -> &'static str {
    if is_so { "yes" } else { "no" }
}

/// Why an answer tells nothing.
pub(super) fn silent(told: Option<&Told>) -> String {
    match told {
        None => "no answer that can be read came".to_owned(),
        Some(told) => format!("Salla answered with status {}", told.status),
    }
}
