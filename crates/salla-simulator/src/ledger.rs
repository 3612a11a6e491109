//! What was asked of the simulator, counted: enough to say whether a client
//! wasted its budget, exceeded it, or left it unused.

use crate::clock::SECOND;
use crate::endpoint::Endpoint;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// A snapshot of the counts. Times are simulated.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LedgerReport {
    pub requests: u64,
    pub by_endpoint: BTreeMap<Endpoint, u64>,
    pub by_status: BTreeMap<u16, u64>,
    /// Requests that got no response: hang-ups, and clients that went away.
    pub unanswered: u64,
    pub throttled: u64,
    pub most_in_1s: u64,
    pub most_in_60s: u64,
    /// Of the requests that the customers' limit counts, whatever its window is set to.
    pub most_customers_in_600s: u64,
    pub first_request_ms: Option<i64>,
    pub last_request_ms: Option<i64>,
    /// Time between first and last request in which none was under way
    /// although the shop's budget allowed one.
    pub idle_with_budget_ms: i64,
    /// Requests that got a 200 before and were repeated.
    pub fetched_again: u64,
    /// Pages of lists that were asked for again although they had arrived whole
    /// and nothing in the shop had changed since. A scan may be repeated on
    /// purpose; this counts its pages as well.
    pub avoidable_pages: BTreeMap<Endpoint, u64>,
    /// Details, items or variants that were asked for again although they had
    /// arrived whole and their record had not changed since.
    pub repeated_details: BTreeMap<Endpoint, u64>,
    /// Requests that arrived after a 429 was answered and before its
    /// `Retry-After` had passed. Those that were being answered at that moment
    /// are not counted, but one that crosses the 429 on the wire is.
    pub sent_while_held: u64,
    /// The same for the temporary block, after its first 403.
    pub sent_while_blocked: u64,
    pub refreshes: u64,
    /// Requests that presented a refresh token and were not turned away with a 429.
    pub refresh_presentations: u64,
    /// How often the one of them came that came most often.
    pub max_presentations_of_a_token: u64,
    /// Used refresh tokens that were presented again.
    pub refresh_reuses: u64,
    /// Those of them whose first use had returned the new pair. Must be zero.
    pub known_refresh_reuses: u64,
    pub body_bytes: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    report: LedgerReport,
    last_second: VecDeque<i64>,
    last_minute: VecDeque<i64>,
    last_customers: VecDeque<i64>,
    /// What was answered, and the state of the shop that it showed.
    answered: HashMap<u64, u32>,
    cooldowns: Cooldowns,
    presented: HashMap<String, u64>,
    under_way: u64,
    /// Since when nothing was under way, and from when there was budget.
    quiet: Option<(i64, i64)>,
}

/// A question that was answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RepeatableRequest {
    pub(crate) request_hash: u64,
    pub(crate) endpoint: Endpoint,
    /// Changes with what the response shows; zero if it did not arrive whole
    /// or showed no record.
    pub(crate) state: u32,
}

/// A client has to wait, until a moment in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cooldown {
    /// `by_address` holds the requests for customers only.
    Throttled {
        until: i64,
        by_address: bool,
    },
    Blocked(i64),
}

#[derive(Clone, Copy, Debug, Default)]
struct Cooldowns {
    all_until: i64,
    customers_until: i64,
    blocked_until: i64,
}

impl Ledger {
    pub(crate) fn report(&self) -> LedgerReport {
        self.report.clone()
    }

    pub(crate) fn reset(&mut self) {
        let (under_way, cooldowns) = (self.under_way, self.cooldowns);
        *self = Self {
            under_way,
            cooldowns,
            ..Self::default()
        };
    }

    pub(crate) fn arrived(&mut self, endpoint: Endpoint, now: i64) {
        self.report.requests += 1;
        *self.report.by_endpoint.entry(endpoint).or_default() += 1;
        let most_in_1s = count_recent(&mut self.last_second, now, SECOND);
        let most_in_60s = count_recent(&mut self.last_minute, now, 60 * SECOND);
        self.report.most_in_1s = self.report.most_in_1s.max(most_in_1s);
        self.report.most_in_60s = self.report.most_in_60s.max(most_in_60s);
        if endpoint.is_customers() {
            let most = count_recent(&mut self.last_customers, now, 600 * SECOND);
            let max = &mut self.report.most_customers_in_600s;
            *max = (*max).max(most);
        }
        self.report.first_request_ms.get_or_insert(now / 1_000);
        self.report.last_request_ms = Some(now / 1_000);
        let cooldowns = self.cooldowns;
        let held =
            now < cooldowns.all_until || endpoint.is_customers() && now < cooldowns.customers_until;
        self.report.sent_while_held += u64::from(held);
        self.report.sent_while_blocked += u64::from(now < cooldowns.blocked_until);
        self.under_way += 1;
        if let Some((since, budget_from)) = self.quiet.take() {
            self.report.idle_with_budget_ms += (now - since.max(budget_from)).max(0) / 1_000;
        }
    }

    /// `repeatable` is what was asked, if a repetition would be a waste.
    pub(crate) fn answered(
        &mut self,
        status: u16,
        bytes: usize,
        repeatable: Option<RepeatableRequest>,
    ) {
        *self.report.by_status.entry(status).or_default() += 1;
        self.report.body_bytes += bytes as u64;
        self.report.throttled += u64::from(status == 429);
        if let (200, Some(repeatable)) = (status, repeatable) {
            let before = self
                .answered
                .insert(repeatable.request_hash, repeatable.state);
            self.report.fetched_again += u64::from(before.is_some());
            if before == Some(repeatable.state) && repeatable.state > 0 {
                let repetitions = match repeatable.endpoint.is_list() {
                    true => &mut self.report.avoidable_pages,
                    false => &mut self.report.repeated_details,
                };
                *repetitions.entry(repeatable.endpoint).or_default() += 1;
            }
        }
    }

    /// The client has to wait.
    pub(crate) fn held(&mut self, cooldown: Cooldown) {
        let cooldowns = &mut self.cooldowns;
        let (kind, until) = match cooldown {
            Cooldown::Blocked(until) => (&mut cooldowns.blocked_until, until),
            Cooldown::Throttled { until, by_address } if by_address => {
                (&mut cooldowns.customers_until, until)
            }
            Cooldown::Throttled { until, .. } => (&mut cooldowns.all_until, until),
        };
        *kind = until.max(*kind);
    }

    pub(crate) fn unanswered(&mut self) {
        self.report.unanswered += 1;
    }

    /// A request is over; if it was the last one, the quiet begins.
    pub(crate) fn ended(&mut self, now: i64, budget_from: i64) {
        self.under_way = self.under_way.saturating_sub(1);
        if self.under_way == 0 {
            self.quiet = Some((now, budget_from));
        }
    }

    pub(crate) fn refreshed(&mut self) {
        self.report.refreshes += 1;
    }

    pub(crate) fn refresh_presented(&mut self, token: &str) {
        let times = self.presented.entry(token.to_owned()).or_default();
        *times += 1;
        self.report.refresh_presentations += 1;
        let max = &mut self.report.max_presentations_of_a_token;
        *max = (*max).max(*times);
    }

    pub(crate) fn refresh_reused(&mut self, was_answered: bool) {
        self.report.refresh_reuses += 1;
        self.report.known_refresh_reuses += u64::from(was_answered);
    }
}

impl LedgerReport {
    /// The whole platform's counts: what only shops know is summed up.
    pub(crate) fn with_shops(mut self, shops: impl Iterator<Item = Self>) -> Self {
        for shop in shops {
            self.idle_with_budget_ms += shop.idle_with_budget_ms;
            self.fetched_again += shop.fetched_again;
            self.sent_while_held += shop.sent_while_held;
            self.sent_while_blocked += shop.sent_while_blocked;
            add(&mut self.avoidable_pages, shop.avoidable_pages);
            add(&mut self.repeated_details, shop.repeated_details);
        }
        self
    }
}

fn add(sums: &mut BTreeMap<Endpoint, u64>, counts: BTreeMap<Endpoint, u64>) {
    for (endpoint, count) in counts {
        *sums.entry(endpoint).or_default() += count;
    }
}

/// Adds `now` and says how many moments lie less than `span` back.
fn count_recent(moments: &mut VecDeque<i64>, now: i64, span: i64) -> u64 {
    moments.push_back(now);
    while moments.front().is_some_and(|oldest| *oldest <= now - span) {
        moments.pop_front();
    }
    moments.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_idleness_and_repetitions_are_counted() {
        let mut ledger = Ledger::default();
        for step in 0..4 {
            let now = step * SECOND / 2;
            ledger.arrived(Endpoint::Orders, now);
            let repeatable = RepeatableRequest {
                request_hash: step as u64 % 3,
                endpoint: Endpoint::Orders,
                state: 1 + u32::from(step == 3),
            };
            ledger.answered(200, 10, Some(repeatable));
            ledger.ended(now + SECOND / 10, now + SECOND / 10);
        }
        let report = ledger.report();
        assert_eq!(report.requests, 4);
        assert_eq!(report.most_in_1s, 2);
        assert_eq!(report.most_in_60s, 4);
        assert_eq!(report.fetched_again, 1);
        assert!(report.avoidable_pages.is_empty(), "the shop had changed");
        assert_eq!(report.idle_with_budget_ms, 3 * 400);
        assert_eq!(report.body_bytes, 40);
    }

    #[test]
    fn requests_for_customers_are_counted_over_ten_minutes() {
        let mut ledger = Ledger::default();
        for (endpoint, second) in [
            (Endpoint::Customers, 0),
            (Endpoint::Orders, 100),
            (Endpoint::Customers, 599),
            (Endpoint::Customers, 600),
            (Endpoint::Customers, 1_300),
        ] {
            ledger.arrived(endpoint, second * SECOND);
        }
        let report = ledger.report();
        assert_eq!((report.most_customers_in_600s, report.most_in_60s), (2, 2));
    }

    #[test]
    fn quiet_without_budget_is_not_idleness() {
        let mut ledger = Ledger::default();
        ledger.arrived(Endpoint::Orders, 0);
        ledger.ended(0, 60 * SECOND);
        ledger.arrived(Endpoint::Orders, 61 * SECOND);
        assert_eq!(ledger.report().idle_with_budget_ms, 1_000);
    }
}
