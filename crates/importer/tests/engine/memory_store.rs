//! `Landing` and `Runs` in memory, for one merchant. Only as much as the stories
//! need; the promises of the ports are tested on the PostgreSQL adapters.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use domain::ceiling::Ceiling;
use domain::certificate::{Certificate, InsideCounts, Listing, WindowCounts};
use domain::failure::Failure;
use domain::instant::riyadh_midnight;
use domain::order::{Completeness, Order, Version};
use domain::plan::Plan;
use domain::resource::Resource;
use domain::run::{RunId, RunState, WindowId};
use domain::shop::{MerchantId, ShopInfo};
use domain::window::DayRange;
use importer::ports::landing::{
    DetailOutcome, Landed, LandedChanges, Landing, OrderDetail, PendingDetail, RejectionTally,
    RunLease, ScannedPage,
};
use importer::ports::platform::{Decoded, Page, Records};
use importer::ports::runs::Owner;
use importer::ports::runs::{
    CarriedList, CatchUp, ChangeHead, Claim, DatabaseClock, Finished, Held, LeaseHolder, Listings,
    OrderMoments, RecordedFailure, Run, RunOptions, Runs, ShopSummary, StoredProgress,
    StoredWindow, WindowList, WindowSpec, Windows,
};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

#[derive(Default)]
pub(crate) struct MemoryStore(pub Mutex<State>);

#[derive(Default)]
pub(crate) struct State {
    pub(crate) run: Option<Run>,
    /// The run that was completed last.
    pub(crate) finished: Option<Run>,
    pub(crate) fencing: i64,
    pub(crate) windows: Vec<Window>,
    pub(crate) orders: BTreeMap<i64, (Timestamp, Completeness)>,
    pub(crate) pending: BTreeSet<(Timestamp, i64)>,
    pub(crate) rejected: BTreeSet<i64>,
    pub(crate) gone: BTreeSet<i64>,
    /// What has landed of other resources.
    pub(crate) others: BTreeMap<Resource, BTreeSet<i64>>,
    seen: u64,
    /// What the list said of each order.
    pub(crate) rows: BTreeMap<i64, String>,
    pub(crate) details: BTreeMap<i64, StoredDetail>,
    /// How many details have landed, each time.
    pub(crate) details_landed: u64,
    /// Whether the order landed last differs from what was known.
    last_changed: bool,
    pub(crate) ceiling: Ceiling,
    /// What was last found to be listed, and by which windows.
    listed: RefCell<Option<(Listed, HashSet<i64>)>>,
}

/// What an order's details say.
#[derive(Clone, Debug)]
pub(crate) struct StoredDetail {
    pub(crate) raw: String,
    pub(crate) updated_at: Option<Timestamp>,
    pub(crate) version: Version,
}

impl StoredDetail {
    fn of(order: &Decoded<Order>, version: Version) -> Self {
        let read = order.outcome.as_ref().ok();
        let updated_at = read.and_then(|order| order.updated_at.as_ref());
        Self {
            raw: order.raw.to_string(),
            updated_at: updated_at.map(|moment| moment.instant),
            version,
        }
    }
}

/// The windows of a list, with what distinguishes each from its former state.
type Listed = (Resource, Vec<(WindowId, u32, i64)>);

#[derive(Clone)]
pub(crate) struct Window {
    pub(crate) stored: StoredWindow,
    pub(crate) replaced: bool,
    pub(crate) cut_short: bool,
    /// Per page of the current scan: total and ids.
    pub(crate) pages: BTreeMap<u32, (u64, Vec<i64>)>,
    /// What the scan before listed.
    before: Option<BTreeSet<i64>>,
    /// As many as it reported at its end.
    before_was_whole: bool,
    ends_rescanned: bool,
}

impl Window {
    fn ids(&self) -> BTreeSet<i64> {
        self.pages.values().flat_map(|p| p.1.clone()).collect()
    }

    fn mark(&self) -> (WindowId, u32, i64) {
        let ids = |(page, (_, ids)): (&u32, &(u64, Vec<i64>))| {
            let sum = ids.iter().fold(0, |sum: i64, id| sum.wrapping_add(*id));
            sum.wrapping_mul(i64::from(*page))
        };
        let sum = self.pages.iter().map(ids).fold(0, i64::wrapping_add);
        (self.stored.id, self.stored.scan, sum)
    }

    fn is_slice_of(&self, whole: &Self) -> bool {
        let key = |window: &Self| window.stored.slice.map(domain::slice::Slice::key);
        let begins = |own: String| own.starts_with(&key(whole).unwrap_or_default());
        self.stored.id != whole.stored.id
            && self.stored.resource == whole.stored.resource
            && !self.replaced
            && whole.stored.is_sliced
            && key(self).is_some_and(begins)
    }
}

impl MemoryStore {
    /// Another worker claims the run: what is written under the old claim fails.
    pub(crate) fn steal(&self) {
        self.0.lock().unwrap().fencing += 1;
    }

    fn locked(&self, lease: RunLease) -> Result<std::sync::MutexGuard<'_, State>, Failure> {
        let state = self.0.lock().unwrap();
        if state.fencing != lease.fencing_token {
            return Err(Failure::LeaseLost);
        }
        Ok(state)
    }
}

impl State {
    /// The next import is a new run; the orders stay.
    pub(crate) fn forget_the_run(&mut self) {
        self.run = None;
        self.finished = None;
        self.windows.clear();
    }

    fn window(&mut self, id: WindowId) -> &mut Window {
        self.windows.iter_mut().find(|w| w.stored.id == id).unwrap()
    }

    fn land_order(&mut self, decoded: &Decoded<Order>, landed: &mut Landed) -> Option<i64> {
        self.seen += 1;
        match &decoded.outcome {
            Ok(order) => {
                landed.loaded += 1;
                let row = decoded.raw.to_string();
                self.last_changed = self.rows.insert(order.id, row.clone()) != Some(row);
                let created_at = order.created_at.instant;
                let known = self.orders.get(&order.id).map(|(_, c)| *c);
                let completeness = order
                    .completeness()
                    .max(known.unwrap_or(Completeness::Header));
                self.orders.insert(order.id, (created_at, completeness));
                if order.completeness() == Completeness::Full {
                    self.pending.remove(&(created_at, order.id));
                } else if known.is_none() {
                    self.pending.insert((created_at, order.id));
                }
                Some(order.id)
            }
            Err(rejection) => {
                landed.rejected += 1;
                self.rejected.extend(rejection.salla_id);
                rejection.salla_id
            }
        }
    }

    fn not_listed(&self, resource: Resource, ids: impl Iterator<Item = i64>) -> Vec<i64> {
        let of_it = |w: &&Window| !w.replaced && w.stored.resource == resource;
        let present = || self.windows.iter().filter(of_it);
        // A list in hundreds of slices is asked for as often, and has not changed meanwhile.
        let key: Listed = (resource, present().map(Window::mark).collect());
        let mut known = self.listed.borrow_mut();
        if known.as_ref().is_none_or(|(of, _)| *of != key) {
            *known = Some((key, present().flat_map(Window::ids).collect()));
        }
        let listed = known.as_ref().map(|(_, listed)| listed).unwrap();
        ids.filter(|id| !listed.contains(id)).collect()
    }

    fn counts(&self, window: &Window) -> WindowCounts {
        let mut ids = window.ids();
        let slices = self.windows.iter().filter(|w| w.is_slice_of(window));
        ids.extend(slices.flat_map(Window::ids));
        let totals: BTreeSet<u64> = window.pages.values().map(|p| p.0).collect();
        let first = window.pages.values().next().map(|p| &p.0);
        let last = window.pages.values().last().map(|p| &p.0);
        let count = |set: &dyn Fn(&i64) -> bool| ids.iter().filter(|id| set(id)).count() as u64;
        let is_of_orders = window.stored.resource == Resource::Orders;
        let loaded = match self.others.get(&window.stored.resource) {
            Some(others) => count(&|id| others.contains(id)),
            None => count(&|id| self.orders.contains_key(id) && !self.rejected.contains(id)),
        };
        let full = count(&|id| {
            let order = self.orders.get(id);
            is_of_orders && order.is_some_and(|(_, c)| *c == Completeness::Full)
        });
        let listing = Listing {
            window: window.stored.id,
            resource: window.stored.resource,
            days: window.stored.days,
            slice: window.stored.slice,
            is_sliced: window.stored.is_sliced,
            scans: window.stored.scan,
            reported: window.pages.values().last().map_or(0, |p| p.0),
            total_was_stable: totals.len() <= 1,
            distinct: ids.len() as u64,
            without_id: 0,
            cut_short: window.cut_short,
            pages: window.pages.len() as u32,
            same_as_before: window.before.as_ref() == Some(&window.ids()),
            contains_before: window.before_was_whole
                && window
                    .before
                    .as_ref()
                    .is_some_and(|before| before.is_subset(&window.ids())),
            ends_rescanned: window.ends_rescanned,
            total_only_grew: totals.first() == first && totals.last() == last,
            ceiling: self.ceiling,
            read_at: None,
            carried_at: None,
        };
        WindowCounts {
            listing,
            loaded,
            rejected: count(&|id| self.rejected.contains(id)),
            gone: count(&|id| self.gone.contains(id)),
            details_needed: if is_of_orders { loaded } else { 0 },
            details_loaded: full,
            inside: InsideCounts::default(),
        }
    }
}

#[async_trait]
impl Landing for MemoryStore {
    async fn land_pages(&self, lease: RunLease, pages: &[ScannedPage]) -> Result<Landed, Failure> {
        let mut state = self.locked(lease)?;
        let mut landed = Landed::default();
        for page in pages {
            let mut ids = Vec::new();
            if let Records::Orders(orders) = &page.records {
                for order in orders {
                    ids.extend(state.land_order(order, &mut landed));
                }
            } else {
                ids = page.records.ids();
                let resource = page.records.resource();
                state.others.entry(resource).or_default().extend(&ids);
            }
            let window = state.window(page.window);
            assert_eq!(window.stored.scan, page.scan);
            window.pages.insert(page.page, (page.pagination.total, ids));
        }
        Ok(landed)
    }

    async fn land_details(
        &self,
        lease: RunLease,
        details: &[OrderDetail],
    ) -> Result<Landed, Failure> {
        let mut state = self.locked(lease)?;
        let mut landed = Landed::default();
        for detail in details {
            let created_at = state.orders[&detail.order_id].0;
            state.pending.remove(&(created_at, detail.order_id));
            state.details_landed += 1;
            match &detail.outcome {
                DetailOutcome::Gone => {
                    state.orders.remove(&detail.order_id);
                    state.gone.insert(detail.order_id);
                }
                DetailOutcome::Found { order, items } => {
                    let of_items = items.as_ref().and_then(|i| i.outcome.as_ref().err());
                    if let Some(rejection) = of_items {
                        landed.rejected += 1;
                        state.rejected.extend(rejection.salla_id);
                        continue;
                    }
                    let row = state.rows.get(&detail.order_id).cloned();
                    state.land_order(order, &mut landed);
                    if order.outcome.is_ok() {
                        let stored = StoredDetail::of(order, detail.version);
                        state.details.insert(detail.order_id, stored);
                        // What the list says of it stays.
                        state.rows.extend(row.map(|row| (detail.order_id, row)));
                    }
                    if items.is_some() {
                        let full = (created_at, Completeness::Full);
                        state.orders.insert(detail.order_id, full);
                    }
                }
            }
        }
        Ok(landed)
    }

    async fn pending_details(
        &self,
        lease: RunLease,
        after: Option<PendingDetail>,
        limit: u32,
    ) -> Result<Vec<PendingDetail>, Failure> {
        let state = self.locked(lease)?;
        let older =
            |key: &&(Timestamp, i64)| after.is_none_or(|a| **key < (a.created_at, a.order_id));
        let pending = state
            .pending
            .iter()
            .rev()
            .filter(older)
            .take(limit as usize);
        Ok(pending
            .map(|(created_at, order_id)| PendingDetail {
                order_id: *order_id,
                created_at: *created_at,
            })
            .collect())
    }

    async fn count_pending(&self, lease: RunLease) -> Result<u64, Failure> {
        Ok(self.locked(lease)?.pending.len() as u64)
    }

    async fn land_changes(&self, lease: RunLease, page: &Page) -> Result<LandedChanges, Failure> {
        let mut state = self.locked(lease)?;
        let mut changes = LandedChanges::default();
        if let Records::Orders(orders) = &page.records {
            for order in orders {
                let id = state.land_order(order, &mut changes.landed);
                changes.changed.extend(id.filter(|_| state.last_changed));
            }
        }
        Ok(changes)
    }

    async fn mark_pending(&self, lease: RunLease, orders: &[i64]) -> Result<(), Failure> {
        let mut state = self.locked(lease)?;
        for id in orders {
            if let Some((created_at, _)) = state.orders.get(id).copied() {
                state.pending.insert((created_at, *id));
            }
        }
        Ok(())
    }

    async fn tombstone(
        &self,
        lease: RunLease,
        resource: Resource,
        ids: &[i64],
        _: Version,
    ) -> Result<(), Failure> {
        let mut state = self.locked(lease)?;
        let known = state.others.entry(resource).or_default();
        known.retain(|id| !ids.contains(id));
        Ok(())
    }

    async fn clear_vanished(&self, lease: RunLease) -> Result<(), Failure> {
        self.locked(lease).map(drop)
    }

    async fn rejection_tally(&self, lease: RunLease) -> Result<Vec<RejectionTally>, Failure> {
        let state = self.locked(lease)?;
        Ok(vec![RejectionTally {
            resource: Resource::Orders,
            code: domain::rejection::RejectionCode::InvalidDate,
            count: state.rejected.len() as u64,
            seen: state.seen,
        }])
    }
}

#[async_trait]
impl Runs for MemoryStore {
    async fn database_clock(&self) -> Result<DatabaseClock, Failure> {
        Ok(DatabaseClock {
            now: Timestamp::UNIX_EPOCH,
            one_machine: true,
        })
    }

    async fn ensure_merchant(&self, _: &ShopInfo) -> Result<MerchantId, Failure> {
        Ok(MerchantId(Uuid::nil()))
    }

    async fn latest_full(&self, merchant: MerchantId) -> Result<Option<Run>, Failure> {
        self.latest(merchant).await
    }

    async fn completed_days(&self, _: MerchantId) -> Result<Vec<DayRange>, Failure> {
        Ok(vec![])
    }

    async fn latest(&self, _: MerchantId) -> Result<Option<Run>, Failure> {
        Ok(self.0.lock().unwrap().run.clone())
    }

    async fn list(&self) -> Result<Vec<(ShopSummary, Option<Run>)>, Failure> {
        Ok(vec![])
    }

    async fn create_or_join(
        &self,
        merchant: MerchantId,
        options: &RunOptions,
        range: DayRange,
        catch_up: Option<CatchUp>,
    ) -> Result<Run, Failure> {
        let mut state = self.0.lock().unwrap();
        let is_over = |run: &Run| run.state == RunState::Completed;
        if catch_up.is_some() && state.run.as_ref().is_some_and(is_over) {
            state.run = None;
        }
        let run = state.run.get_or_insert_with(|| Run {
            id: RunId(Uuid::nil()),
            merchant,
            state: RunState::Pending,
            options: options.clone(),
            range,
            created_at: riyadh_midnight(range.to) + SignedDuration::from_hours(12),
            started_at: None,
            completed_at: None,
            is_job: false,
            waiting_until: None,
            ended_at: None,
            made_progress: false,
            plan: None,
            failure: None,
            certificate: None,
            holder: None,
            progress: StoredProgress::default(),
            catches_up: None,
            change_head: None,
        });
        if run.state == RunState::Failed {
            run.state = RunState::Pending;
        }
        run.catches_up = catch_up.or(run.catches_up);
        Ok(run.clone())
    }

    async fn latest_finished(&self, _: MerchantId) -> Result<Option<Finished>, Failure> {
        let run = self.0.lock().unwrap().finished.clone();
        let is_try = |run: &Run| run.options.max_orders.is_some() || run.options.only.is_some();
        Ok(run.filter(|run| !is_try(run)).map(|run| Finished {
            covers: run.range,
            run,
        }))
    }

    /// There is only one list of windows.
    async fn take_over(&self, lease: RunLease, _: RunId) -> Result<(), Failure> {
        self.locked(lease).map(drop)
    }

    async fn save_change_head(&self, lease: RunLease, head: &ChangeHead) -> Result<(), Failure> {
        let mut state = self.locked(lease)?;
        state.run.as_mut().unwrap().change_head = Some(head.clone());
        Ok(())
    }

    async fn ceiling(&self, _: MerchantId) -> Result<Ceiling, Failure> {
        Ok(self.0.lock().unwrap().ceiling)
    }

    async fn remember_ceiling(&self, lease: RunLease, ceiling: Ceiling) -> Result<(), Failure> {
        self.locked(lease)?.ceiling = ceiling;
        Ok(())
    }

    async fn claim(&self, _: RunId, owner: &Owner, _: Duration) -> Result<Claim, Failure> {
        let mut state = self.0.lock().unwrap();
        state.fencing += 1;
        let fencing = state.fencing;
        let run = state.run.as_mut().unwrap();
        if let Some(holder) = &run.holder {
            return Ok(Claim::Taken(holder.clone()));
        }
        run.state = RunState::InProgress;
        run.holder = Some(LeaseHolder {
            owner: owner.name.clone(),
            until: Timestamp::UNIX_EPOCH,
        });
        let lease = RunLease {
            run: run.id,
            merchant: run.merchant,
            fencing_token: fencing,
        };
        Ok(Claim::Granted(lease, Box::new(run.clone())))
    }

    async fn held(&self, _: RunId, _: &Owner) -> Result<Option<Held>, Failure> {
        let state = self.0.lock().unwrap();
        let holder = state.run.as_ref().and_then(|run| run.holder.clone());
        Ok(holder.map(|holder| Held {
            holder,
            lapses_in: Duration::ZERO,
            is_abandoned: false,
        }))
    }

    async fn extend_lease(&self, lease: RunLease, _: Duration) -> Result<(), Failure> {
        self.locked(lease).map(drop)
    }

    async fn release(&self, lease: RunLease, _: Option<Duration>) -> Result<(), Failure> {
        let mut state = self.locked(lease)?;
        let run = state.run.as_mut().unwrap();
        run.state = RunState::Pending;
        run.holder = None;
        Ok(())
    }

    async fn wait(&self, lease: RunLease, until: Timestamp, why: &Failure) -> Result<(), Failure> {
        let mut state = self.locked(lease)?;
        let run = state.run.as_mut().unwrap();
        run.state = RunState::Waiting;
        run.waiting_until = Some(until);
        run.failure = Some(RecordedFailure::of(why, false));
        run.holder = None;
        Ok(())
    }

    async fn report_progress(
        &self,
        lease: RunLease,
        _: u8,
        _: Option<Timestamp>,
    ) -> Result<(), Failure> {
        self.locked(lease).map(drop)
    }

    async fn certify(&self, lease: RunLease, as_of: Timestamp) -> Result<Certificate, Failure> {
        let state = self.locked(lease)?;
        let run = state.run.as_ref().unwrap();
        let windows = state.windows.iter().filter(|w| !w.replaced);
        Ok(Certificate {
            run_id: run.id,
            merchant_id: run.merchant,
            range: run.range,
            detail_case: run.plan.as_ref().unwrap().probe.detail_case,
            as_of,
            started_at: as_of,
            windows: windows.map(|w| state.counts(w)).collect(),
            month_totals: vec![],
            rejections: vec![],
            vanished: state.gone.len() as u64,
            unlisted: state
                .not_listed(Resource::Orders, state.orders.keys().copied())
                .len() as u64,
        })
    }

    async fn complete(&self, lease: RunLease, certificate: &Certificate) -> Result<(), Failure> {
        let mut state = self.locked(lease)?;
        let run = state.run.as_mut().unwrap();
        run.state = RunState::Completed;
        run.certificate = Some(certificate.clone());
        run.holder = None;
        state.finished = state.run.clone();
        Ok(())
    }

    async fn fail(
        &self,
        lease: RunLease,
        failure: &Failure,
        certificate: Option<&Certificate>,
    ) -> Result<(), Failure> {
        let mut state = self.locked(lease)?;
        let run = state.run.as_mut().unwrap();
        run.state = RunState::Failed;
        run.failure = Some(RecordedFailure::of(failure, false));
        run.certificate = certificate.cloned();
        run.holder = None;
        Ok(())
    }
}

#[async_trait]
impl Windows for MemoryStore {
    async fn stretch_window(
        &self,
        lease: RunLease,
        window: WindowId,
        days: DayRange,
    ) -> Result<(), Failure> {
        self.locked(lease)?.window(window).stored.days = Some(days);
        Ok(())
    }

    async fn save_plan(
        &self,
        lease: RunLease,
        plan: &Plan,
        windows: &[(Resource, Option<DayRange>)],
    ) -> Result<(), Failure> {
        let mut state = self.locked(lease)?;
        state.run.as_mut().unwrap().plan = Some(plan.clone());
        for (resource, days) in windows {
            let id = state.windows.len() as i64;
            let (slice, days) = (None, *days);
            state
                .windows
                .push(new_window(id, *resource, WindowSpec { slice, days }));
        }
        Ok(())
    }

    async fn windows(&self, lease: RunLease) -> Result<Vec<StoredWindow>, Failure> {
        let state = self.locked(lease)?;
        let present = state.windows.iter().filter(|w| !w.replaced);
        Ok(present
            .map(|w| StoredWindow {
                pages_done: w.pages.keys().copied().collect(),
                first_total: w.pages.values().next().map(|p| p.0),
                total_pages: w.pages.values().next().map(|p| {
                    let per_page = crate::scripted_platform::per_page(w.stored.resource);
                    p.0.div_ceil(per_page as u64) as u32
                }),
                ..w.stored.clone()
            })
            .collect())
    }

    async fn begin_scan(&self, lease: RunLease, window: WindowId) -> Result<u32, Failure> {
        let mut state = self.locked(lease)?;
        let window = state.window(window);
        window.before = (window.stored.scan > 0).then(|| window.ids());
        window.before_was_whole =
            window.pages.values().last().map(|p| p.0) == Some(window.ids().len() as u64);
        window.stored.scan += 1;
        window.stored.done = false;
        window.ends_rescanned = false;
        window.pages.clear();
        Ok(window.stored.scan)
    }

    async fn split_window(
        &self,
        lease: RunLease,
        window: WindowId,
        halves: [DayRange; 2],
    ) -> Result<(), Failure> {
        let mut state = self.locked(lease)?;
        let replaced = state.window(window);
        replaced.replaced = true;
        let (resource, slice) = (replaced.stored.resource, replaced.stored.slice);
        for days in halves.map(Some) {
            let id = state.windows.len() as i64;
            state
                .windows
                .push(new_window(id, resource, WindowSpec { slice, days }));
        }
        Ok(())
    }

    async fn slice_window(
        &self,
        lease: RunLease,
        window: WindowId,
        parts: &[WindowSpec],
    ) -> Result<(), Failure> {
        let mut state = self.locked(lease)?;
        let sliced = state.window(window);
        sliced.stored.is_sliced = true;
        let resource = sliced.stored.resource;
        for part in parts {
            let id = state.windows.len() as i64;
            state.windows.push(new_window(id, resource, *part));
        }
        Ok(())
    }

    async fn mark_window_done(
        &self,
        lease: RunLease,
        window: WindowId,
        cut_short: bool,
    ) -> Result<(), Failure> {
        let mut state = self.locked(lease)?;
        let window = state.window(window);
        window.stored.done = true;
        window.cut_short = cut_short;
        Ok(())
    }

    async fn record_ends_rescanned(
        &self,
        lease: RunLease,
        window: WindowId,
    ) -> Result<(), Failure> {
        self.locked(lease)?.window(window).ends_rescanned = true;
        Ok(())
    }
}

#[async_trait]
impl Listings for MemoryStore {
    async fn window_list(&self, lease: RunLease, window: WindowId) -> Result<WindowList, Failure> {
        let mut state = self.locked(lease)?;
        let mut seen = BTreeSet::new();
        let pages = state.window(window).pages.values();
        let ids = pages.flat_map(|(_, ids)| ids.clone());
        Ok(WindowList {
            ids: ids.filter(|id| seen.insert(*id)).collect(),
            without_id: 0,
        })
    }

    async fn carry_list(&self, lease: RunLease, list: &CarriedList) -> Result<(), Failure> {
        let mut state = self.locked(lease)?;
        let window = state.window(list.window);
        window.pages = BTreeMap::from([(1, (list.pagination.total, list.ids.clone()))]);
        if list.pagination.total != list.ids.len() as u64 {
            window.before = Some(window.ids());
        }
        window.stored.scan = window.stored.scan.max(1);
        window.stored.done = true;
        window.cut_short = false;
        Ok(())
    }

    async fn count_listed(&self, lease: RunLease, resource: Resource) -> Result<u64, Failure> {
        let state = self.locked(lease)?;
        let windows = state.windows.iter();
        let of_it = windows.filter(|w| !w.replaced && w.stored.resource == resource);
        let ids: BTreeSet<i64> = of_it.flat_map(Window::ids).collect();
        Ok(ids.len() as u64)
    }

    async fn order_moments(
        &self,
        lease: RunLease,
        ids: &[i64],
    ) -> Result<Vec<OrderMoments>, Failure> {
        let state = self.locked(lease)?;
        let row = |id: &i64| {
            let detail = state.details.get(id);
            Some(OrderMoments {
                id: *id,
                created_at: state.orders.get(id)?.0,
                updated_at: detail.and_then(|detail| detail.updated_at),
                detailed_at: detail.map(|detail| detail.version),
            })
        };
        let mut moments: Vec<_> = ids.iter().filter_map(row).collect();
        moments.sort_by_key(|order| order.created_at);
        Ok(moments)
    }

    async fn listed(&self, lease: RunLease, window: WindowId) -> Result<Vec<i64>, Failure> {
        let mut state = self.locked(lease)?;
        let pages = &state.window(window).pages;
        let first = pages.values().next().map(|p| p.0);
        let in_turn = (1..)
            .zip(pages)
            .take_while(|(number, (page, (total, _)))| number == *page && Some(*total) == first);
        Ok(in_turn.flat_map(|(_, (_, (_, ids)))| ids.clone()).collect())
    }

    async fn carry_over(
        &self,
        lease: RunLease,
        window: WindowId,
        ids: &[i64],
    ) -> Result<(), Failure> {
        let mut state = self.locked(lease)?;
        let pages = &mut state.window(window).pages;
        let (total, first) = pages[&1].clone();
        pages.insert(2, (total, ids[first.len()..].to_vec()));
        Ok(())
    }

    async fn listing(&self, lease: RunLease, window: WindowId) -> Result<Listing, Failure> {
        let mut state = self.locked(lease)?;
        let window = state.window(window).clone();
        Ok(state.counts(&window).listing)
    }

    async fn listed_orders(&self, lease: RunLease) -> Result<Option<u64>, Failure> {
        let state = self.locked(lease)?;
        let of_orders = |w: &&Window| !w.replaced && w.stored.resource == Resource::Orders;
        let windows: Vec<&Window> = state.windows.iter().filter(of_orders).collect();
        let is_exact = |w: &&Window| {
            let reported = w.pages.values().last().map(|(total, _)| *total);
            w.stored.done && !w.cut_short && reported == Some(w.ids().len() as u64)
        };
        let listed: BTreeSet<i64> = windows.iter().flat_map(|w| w.ids()).collect();
        Ok(windows.iter().all(is_exact).then_some(listed.len() as u64))
    }

    async fn not_listed(
        &self,
        lease: RunLease,
        resource: Resource,
        ids: &[i64],
    ) -> Result<Vec<i64>, Failure> {
        let state = self.locked(lease)?;
        Ok(state.not_listed(resource, ids.iter().copied()))
    }

    async fn vanished(&self, lease: RunLease, resource: Resource) -> Result<Vec<i64>, Failure> {
        let state = self.locked(lease)?;
        Ok(match resource {
            Resource::Orders => state.not_listed(resource, state.orders.keys().copied()),
            _ => {
                let known = state.others.get(&resource).into_iter().flatten();
                state.not_listed(resource, known.copied())
            }
        })
    }
}

fn new_window(id: i64, resource: Resource, WindowSpec { slice, days }: WindowSpec) -> Window {
    Window {
        stored: StoredWindow {
            id: WindowId(id),
            resource,
            days,
            slice,
            is_sliced: false,
            scan: 0,
            first_total: None,
            total_pages: None,
            pages_done: vec![],
            done: false,
        },
        replaced: false,
        cut_short: false,
        pages: BTreeMap::new(),
        before: None,
        before_was_whole: false,
        ends_rescanned: false,
    }
}
