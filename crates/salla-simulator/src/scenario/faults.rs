//! Faults as values: single ones to be queued, chances of faults, and what goes away while
//! an import runs.

use serde::{Deserialize, Serialize};

/// One fault for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Answers with this status and does nothing: an HTML page for 502 and
    /// 504, which come from the edge, and Salla's JSON for the rest.
    Status(u16),
    /// Answers with this status and no body at all.
    EmptyStatus(u16),
    /// Answers with this status and a line of plain text.
    TextStatus(u16),
    /// Never answers; the client has to give up.
    Hang,
    /// Answers correctly, this many simulated milliseconds later.
    Slow(u64),
    /// Hangs up without having done anything.
    Reset,
    /// Sends the first half of the right body as if it were all of it.
    Truncate,
    /// Sends an HTML page with status 200.
    Html,
    /// Answers 429 although there is budget left.
    Throttle,
    /// Does what was asked and hangs up before answering.
    LostAnswer,
    /// Does what was requested, and responds with this status all the same.
    DoneStatus(u16),
    /// Does what was requested, and responds with an HTML page and this status.
    DoneHtml(u16),
    /// Never answers, and does nothing.
    HangUndone,
    /// Sends an HTML page with status 200, and does nothing.
    HtmlUndone,
    /// Lets the request's access token expire first.
    ExpireToken,
}

impl Fault {
    /// The status, of the faults that respond with one and do nothing.
    pub(crate) fn status(self) -> Option<u16> {
        match self {
            Self::Status(status) | Self::EmptyStatus(status) | Self::TextStatus(status) => {
                Some(status)
            }
            _ => None,
        }
    }
}

/// The chance of each fault for one request. The first that hits wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FaultRates {
    pub status_500: f64,
    pub status_502: f64,
    pub status_503: f64,
    pub status_504: f64,
    /// 502 with an empty body.
    pub empty_502: f64,
    /// 503 with a line of plain text.
    pub text_503: f64,
    pub reset: f64,
    pub lost_answer: f64,
    pub truncate: f64,
    pub html: f64,
    pub throttle: f64,
    pub hang: f64,
    pub slow: f64,
    /// How long a slow response takes, in simulated milliseconds.
    pub slow_ms: u64,
    /// Does what was requested, and responds with 503 all the same.
    pub done_503: f64,
    /// Does what was requested, and responds with an HTML page and status 200.
    pub done_html: f64,
}

impl FaultRates {
    /// The fault that a number in `[0, 1)` stands for, if any.
    pub(crate) fn choose(&self, mut place: f64) -> Option<Fault> {
        let table = [
            (self.status_500, Fault::Status(500)),
            (self.status_502, Fault::Status(502)),
            (self.status_503, Fault::Status(503)),
            (self.status_504, Fault::Status(504)),
            (self.empty_502, Fault::EmptyStatus(502)),
            (self.text_503, Fault::TextStatus(503)),
            (self.reset, Fault::Reset),
            (self.lost_answer, Fault::LostAnswer),
            (self.truncate, Fault::Truncate),
            (self.html, Fault::Html),
            (self.throttle, Fault::Throttle),
            (self.hang, Fault::Hang),
            (self.slow, Fault::Slow(self.slow_ms)),
            (self.done_503, Fault::DoneStatus(503)),
            (self.done_html, Fault::DoneHtml(200)),
        ];
        for (rate, fault) in table {
            if place < rate {
                return Some(fault);
            }
            place -= rate;
        }
        None
    }
}

/// How long every response takes, in simulated milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Latency {
    pub fixed_ms: u64,
    /// Up to this much is added by chance.
    pub jitter_ms: u64,
}

/// Orders that lose their items in mid-import, as when Salla changes a default for an app. Counted
/// in accepted requests of the shop; nothing happens if absent, and zero means immediately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ItemLoss {
    /// `GET /orders/{id}` becomes the light form: only `/orders/items` helps.
    pub details_after: Option<u64>,
    /// Rows of the expanded list are full orders without `items`.
    pub rows_without_items_after: Option<u64>,
    /// `expanded` is ignored; rows are the short ones.
    pub expanded_ignored_after: Option<u64>,
}

/// A time in which every request to the API fails. The accounts host lives on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// The request to the API, counted from 1 over all shops, that is the first
    /// to fail. Zero or one in the past means the next one.
    pub from_request: u64,
    pub lasts: OutageLength,
    pub how: Fault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutageLength {
    /// Number of requests that fail.
    Requests(u64),
    /// Simulated seconds for which requests fail, from the first that did.
    Seconds(u64),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_divide_the_unit_interval() {
        let rates = FaultRates {
            status_500: 0.1,
            hang: 0.2,
            ..FaultRates::default()
        };
        assert_eq!(rates.choose(0.05), Some(Fault::Status(500)));
        assert_eq!(rates.choose(0.15), Some(Fault::Hang));
        assert_eq!(rates.choose(0.35), None);
    }
}
