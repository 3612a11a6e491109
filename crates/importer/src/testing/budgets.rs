//! A shared budget in memory, on a clock that tests can drive.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use domain::failure::Failure;
use uuid::Uuid;

use crate::ports::clock::Clock;
use crate::ports::shared_budget::{BudgetRules, BudgetUsage, Grant, GrantId, SharedBudget};

/// One taker of a budget; [`MemoryBudget::other_process`] gives another one.
#[derive(Debug)]
pub struct MemoryBudget {
    granted: Arc<Mutex<GrantedPermits>>,
    clock: Arc<dyn Clock>,
    rules: BudgetRules,
    taker: u32,
}

#[derive(Debug, Default)]
struct GrantedPermits {
    takers: u32,
    takes: u64,
    /// What is still counted, by its number: taker, permits, until when.
    grants: HashMap<u128, (u32, u32, Duration)>,
    numbers: u128,
    asked_in_vain: HashMap<u32, Duration>,
    refused_until: Duration,
}

impl MemoryBudget {
    pub fn new(clock: Arc<dyn Clock>, rules: BudgetRules) -> Self {
        Self {
            granted: Arc::default(),
            clock,
            rules,
            taker: 0,
        }
    }

    pub fn other_process(&self) -> Self {
        let mut granted = self.granted();
        granted.takers += 1;
        Self {
            granted: self.granted.clone(),
            clock: self.clock.clone(),
            rules: self.rules,
            taker: granted.takers,
        }
    }

    /// How often all takers requested permits.
    pub fn takes(&self) -> u64 {
        self.granted().takes
    }

    /// Permits that count now.
    pub fn counted(&self) -> u32 {
        let now = self.clock.monotonic();
        self.granted().standing(now, self.taker).all
    }

    fn granted(&self) -> MutexGuard<'_, GrantedPermits> {
        self.granted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GrantedPermits {
    fn standing(&mut self, now: Duration, taker: u32) -> BudgetUsage {
        self.grants.retain(|_, (_, _, until)| now < *until);
        let sum = |of: &dyn Fn(u32) -> bool| {
            let grants = self.grants.values().filter(|(taker, _, _)| of(*taker));
            grants.map(|(_, permits, _)| permits).sum()
        };
        let recently = |at: &Duration| now < *at + BudgetRules::DEMAND_TTL;
        let others = self.asked_in_vain.iter();
        let others = others.filter(|(other, at)| **other != taker && recently(at));
        BudgetUsage {
            all: sum(&|_| true),
            own: sum(&|owner| owner == taker),
            other_takers: others.count().try_into().unwrap_or(u32::MAX),
        }
    }
}

#[async_trait]
impl SharedBudget for MemoryBudget {
    async fn acquire(&self, wanted: u32) -> Result<Grant, Failure> {
        let now = self.clock.monotonic();
        let mut granted = self.granted();
        granted.takes += 1;
        let held = granted.refused_until.saturating_sub(now);
        let counted = granted.standing(now, self.taker);
        let given = match held.is_zero() {
            true => self.rules.fair_share(wanted, counted),
            false => 0,
        };
        if given < wanted {
            granted.asked_in_vain.insert(self.taker, now);
        } else {
            granted.asked_in_vain.remove(&self.taker);
        }
        if given == 0 {
            let free_at = granted.grants.values().map(|(_, _, until)| *until).min();
            let wait = free_at.map_or(held, |at| held.max(at - now));
            let least = Duration::from_millis(200);
            return Ok(Grant::Exhausted {
                retry_after: wait.clamp(least, BudgetRules::MAX_RETRY_AFTER),
            });
        }
        granted.numbers += 1;
        let number = granted.numbers;
        let until = now + self.rules.usable_for + self.rules.period;
        granted.grants.insert(number, (self.taker, given, until));
        Ok(Grant::Permits {
            id: GrantId(Uuid::from_u128(number)),
            permits: given,
            usable_for: self.rules.usable_for,
        })
    }

    async fn return_unused(&self, grant: GrantId, permits: u32) -> Result<(), Failure> {
        if let Some((_, left, _)) = self.granted().grants.get_mut(&grant.0.as_u128()) {
            *left = left.saturating_sub(permits);
        }
        Ok(())
    }

    async fn report_refusal(&self, wait: Duration) -> Result<(), Failure> {
        let until = self.clock.monotonic() + wait;
        let mut granted = self.granted();
        granted.refused_until = granted.refused_until.max(until);
        Ok(())
    }
}
