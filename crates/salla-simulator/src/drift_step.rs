//! Carries out a scenario's drift: after a response, so that the change falls between two pages,
//! and with regard to the list that is being read.

use crate::api::{self, ClientRequest, Page, Rows};
use crate::drift::{DriftEvent, DriftKind, PagesRead};
use crate::endpoint::Resource;
use crate::json::{Language, View};
use crate::locked;
use crate::scenario::{DriftCounts, ResourceDrift, Scenario};
use crate::shop::{Draw, Original, Overlay, Stream};
use crate::simulated_shop::{SimulatedShop, ids};

/// Lets the shop change after it has answered a request.
pub(crate) fn after_response(
    shop: &SimulatedShop,
    scenario: &Scenario,
    request: &ClientRequest,
    served: u64,
    now: i64,
) {
    let drift = &scenario.drift;
    if drift.is_off() {
        return;
    }
    let mut state = locked(&shop.drift);
    let endpoint = request.endpoint();
    let listed = Resource::of_list(endpoint);
    let of_all = state.count(None);
    let of_own = listed.map(|resource| {
        let page = Page::of_list(endpoint, &request.query, scenario);
        state.note(resource, &request.query, page);
        (resource, state.count(Some(resource)))
    });
    for (resource, drift_of) in [
        (Resource::Orders, drift.orders),
        (Resource::Customers, drift.customers),
        (Resource::Products, drift.products),
    ] {
        let count = match (drift.counts, of_own) {
            (DriftCounts::AllRequests, _) => of_all,
            (DriftCounts::OwnList, Some((own, count))) if own == resource => count,
            (DriftCounts::OwnList, _) => continue,
        };
        if drift_of.until_request > 0 && served > drift_of.until_request {
            continue;
        }
        let lane = count * 4 + resource as u64;
        let mut step = DriftStep {
            shop,
            scenario,
            resource,
            drift: drift_of,
            pages_read: state.pages_read.get(&resource).cloned().unwrap_or_default(),
            draw: Draw::of(drift.seed, Stream::Drift, lane),
            now,
            done: Vec::new(),
        };
        step.take(count);
        let event = |(kind, id)| DriftEvent {
            after_request: served,
            resource,
            kind,
            id,
        };
        state.events.extend(step.done.into_iter().map(event));
    }
}

/// The changes to one kind of record after one response.
struct DriftStep<'a> {
    shop: &'a SimulatedShop,
    scenario: &'a Scenario,
    resource: Resource,
    drift: ResourceDrift,
    pages_read: PagesRead,
    draw: Draw,
    now: i64,
    done: Vec<(DriftKind, i64)>,
}

impl DriftStep<'_> {
    fn take(&mut self, count: u64) {
        let due = |every: u64| every > 0 && count.is_multiple_of(every);
        if due(self.drift.delete_every) {
            self.delete();
        }
        if due(self.drift.edit_every) {
            self.edit();
        }
        if due(self.drift.arrive_every) {
            let id = self.shop.insert(self.resource, self.now);
            self.done.push((DriftKind::Arrived, id));
        }
    }

    fn delete(&mut self) {
        let overlay = self.shop.overlay();
        let rows = self.rows(&overlay);
        let Some(place) = self.read_place(rows.len()) else {
            return;
        };
        let late = self.late_moment(&overlay, &rows);
        let id = self.id(rows.at(place));
        if self.shop.delete(self.resource, id) {
            self.done.push((DriftKind::Deleted, id));
        }
        if self.drift.pair_with_insert {
            let id = self.shop.insert(self.resource, late);
            if !self.drift.silent_inserts {
                self.shop.edit(self.resource, id, self.now, |_| {});
            }
            self.done.push((DriftKind::Inserted, id));
        }
    }

    fn edit(&mut self) {
        let overlay = self.shop.overlay();
        let rows = self.rows(&overlay);
        if rows.len() == 0 {
            return;
        }
        let index = rows.at(self.draw.below(rows.len()));
        let id = self.id(index);
        let status = self.new_status(&overlay, index);
        let edited = self
            .shop
            .edit(self.resource, id, self.now, |edit| match status {
                Some(status) => edit.status = Some(status),
                None => edit.steps += 1,
            });
        if edited {
            self.done.push((DriftKind::Edited, id));
        }
    }

    /// Half of the edits of orders change the status, to another one.
    fn new_status(&mut self, overlay: &Overlay, index: u64) -> Option<Original> {
        if self.resource != Resource::Orders || self.draw.chance(0.5) {
            return None;
        }
        let present = self.view(overlay).book().head(index).status;
        let others = Original::ALL.map(|status| (u32::from(status != present), status));
        Some(self.draw.weighted(&others))
    }

    /// A place on a page that has been read.
    fn read_place(&mut self, total: u64) -> Option<u64> {
        let pages: Vec<Page> = self.read_pages().collect();
        let filled = |page: &Page| !page.places(total).is_empty();
        let pages: Vec<Page> = pages.into_iter().filter(filled).collect();
        if pages.is_empty() {
            return None;
        }
        let places = self.draw.pick(&pages).places(total);
        Some(places.start + self.draw.below(places.end - places.start))
    }

    /// The creation moment of a record that has not been read, or of any.
    fn late_moment(&mut self, overlay: &Overlay, rows: &Rows) -> i64 {
        let read_to = self.read_pages().map(|page| page.places(rows.len()).end);
        let read_to = read_to.max().unwrap_or(0);
        let start = if read_to < rows.len() { read_to } else { 0 };
        let place = start + self.draw.below(rows.len() - start);
        let view = self.view(overlay);
        match self.resource {
            Resource::Orders => view.book().created_at(rows.at(place)),
            Resource::Customers => view.customers().customer(rows.at(place)).created_at,
            Resource::Products => self.now,
        }
    }

    fn read_pages(&self) -> impl Iterator<Item = Page> + '_ {
        let first = Page::of_list(self.resource.list(), &self.pages_read.query, self.scenario);
        let page = move |number: &u64| Page {
            number: *number,
            ..first
        };
        self.pages_read.read.iter().map(page)
    }

    /// The list that is being read, as it is now.
    fn rows(&self, overlay: &Overlay) -> Rows {
        let selections = &self.shop.selections;
        api::rows(
            self.resource.list(),
            &self.pages_read.query,
            self.view(overlay),
            selections,
        )
        .unwrap_or_default()
    }

    fn id(&self, index: u64) -> i64 {
        ids(&self.shop.shop, self.resource).id(index)
    }

    fn view<'v>(&'v self, overlay: &'v Overlay) -> View<'v> {
        View {
            shop: &self.shop.shop,
            overlay,
            scenario: self.scenario,
            language: Language::Arabic,
            served: 0,
        }
    }
}
