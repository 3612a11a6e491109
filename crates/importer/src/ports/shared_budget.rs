//! A request budget that several processes spend from.

use std::time::Duration;

use async_trait::async_trait;
use domain::failure::Failure;
use domain::plan::{CUSTOMERS_PER_WINDOW, CUSTOMERS_WINDOW_SECONDS};
use uuid::Uuid;

/// `requests` in any stretch of `period`, for all processes together.
///
/// A permit is for one request, to be sent within `usable_for` of the time at which the permit was
/// requested. From then on it counts for a whole period. So no stretch of one period has more
/// requests than the limit, whatever phase the other end counts in, and the phase need not be
/// known. The permits of a process that dies expire.
///
/// Calls may run in parallel, from any number of processes. A call that fails may have
/// been carried out all the same, and then its permits age out unused; one that is
/// dropped likewise.
#[async_trait]
pub trait SharedBudget: Send + Sync + std::fmt::Debug {
    /// Requests permits for the `wanted` requests that wait now.
    ///
    /// It grants what is available immediately, in small blocks, and does not wait. While others
    /// want permits as well, no process gets more than an equal part of the limit. A process that
    /// got fewer than it wanted counts as wanting as long as it requests again within half a
    /// minute.
    async fn acquire(&self, wanted: u32) -> Result<Grant, Failure>;

    /// This many of these permits were not used and never will be. Must be called at most once for
    /// each permit.
    async fn return_unused(&self, grant: GrantId, permits: u32) -> Result<(), Failure>;

    /// The other end refused a request because it had too many: no process gets permits for this
    /// time.
    async fn report_refusal(&self, wait: Duration) -> Result<(), Failure>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GrantId(pub Uuid);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    Permits {
        id: GrantId,
        /// At least one.
        permits: u32,
        /// From the moment of the request.
        usable_for: Duration,
    },
    /// None are available now; it is worth trying again after this time, because others may return
    /// some.
    Exhausted { retry_after: Duration },
}

/// The size of a shared budget, and how it is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetRules {
    pub limit: u32,
    /// How long a request counts, with what makes up for unequal ways.
    pub period: Duration,
    /// How long a permit may be used. So much longer than the period in which it counts, so it is
    /// what sharing costs.
    pub usable_for: Duration,
    /// The largest grant.
    pub block: u32,
}

impl BudgetRules {
    /// The customers' budget (docs/salla-api.md#rate-limits). The second makes up for
    /// unequal ways to Salla. A permit is used within a second or two of being given,
    /// unless its shop has spent its own budget meanwhile; sharing costs 2.5 % of the
    /// budget.
    pub const CUSTOMERS: Self = Self {
        limit: CUSTOMERS_PER_WINDOW as u32,
        period: Duration::from_secs(CUSTOMERS_WINDOW_SECONDS + 1),
        usable_for: Duration::from_secs(15),
        block: 25,
    };
    /// No process needs to request more often, and none that wants permits requests less often.
    pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(10);
    /// How long a process counts as wanting permits after it got too few.
    pub const DEMAND_TTL: Duration = Duration::from_secs(30);

    /// How long a permit counts from the moment of asking, if it is used as late as it may.
    pub fn counted_for(&self) -> Duration {
        self.usable_for + self.period
    }

    /// How many of `wanted` permits are given.
    pub fn fair_share(&self, wanted: u32, counted: BudgetUsage) -> u32 {
        let free = self.limit.saturating_sub(counted.all);
        let fair = if counted.other_takers == 0 {
            free
        } else {
            // Rounded up: else a rest would be left that no process may have.
            let part = self.limit.div_ceil(counted.other_takers + 1);
            part.saturating_sub(counted.own)
        };
        wanted.min(self.block).min(free).min(fair)
    }
}

/// The permits that count at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BudgetUsage {
    pub all: u32,
    pub own: u32,
    pub other_takers: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: BudgetRules = BudgetRules::CUSTOMERS;

    #[test]
    fn nobody_gets_more_than_is_free_nor_than_a_part_where_others_want() {
        let table = [
            // wanted, all, own, others who want: given
            (1, 0, 0, 0, 1),
            (300, 0, 0, 0, 25),
            (300, 490, 490, 0, 10),
            (300, 500, 0, 0, 0),
            (300, 600, 0, 0, 0),
            (300, 400, 250, 1, 0),
            (300, 400, 240, 1, 10),
            (300, 400, 150, 1, 25),
            (300, 499, 166, 2, 1),
        ];
        for (wanted, all, own, other_takers, given) in table {
            let counted = BudgetUsage {
                all,
                own,
                other_takers,
            };
            assert_eq!(
                RULES.fair_share(wanted, counted),
                given,
                "{wanted} {counted:?}"
            );
        }
    }

    #[test]
    fn what_is_free_is_never_kept_from_everybody() {
        for takers in 1..=40_u32 {
            let mut own = vec![0_u32; takers as usize];
            loop {
                let all: u32 = own.iter().sum();
                let mut given = 0;
                for own in &mut own {
                    let counted = BudgetUsage {
                        all: all + given,
                        own: *own,
                        other_takers: takers - 1,
                    };
                    let more = RULES.fair_share(1_000, counted);
                    *own += more;
                    given += more;
                }
                if given == 0 {
                    break;
                }
            }
            assert_eq!(own.iter().sum::<u32>(), RULES.limit);
            let (least, most) = (own.iter().min(), own.iter().max());
            assert!(most.unwrap() - least.unwrap() <= takers, "{own:?}");
        }
    }
}
