//! What was updated since the run began, read from the list that is sorted by it.
//!
//! That list moves while it is read. An order that is updated again jumps from a page that
//! is still to come to the head, which has been read; one that is deleted pulls its neighbour
//! from a page that is still to come to one that has been read. So where the list takes more
//! than a page, what was updated since its first page was asked for is read as well, and so
//! on, until the first page shows all of it; and where `total` fell from page to page, the
//! same is read again.

use std::collections::{BTreeSet, HashSet};

use domain::ceiling::Ceiling;
use domain::certificate::settlement_bound;
use domain::failure::Failure;
use domain::order::{Completeness, Order};
use domain::plan::Plan;
use domain::resource::Resource;
use domain::window::DayRange;
use jiff::Timestamp;

use super::context::RunContext;
use super::pages::smaller;
use super::planning::orders_request;
use super::unchanged::{self, Evidence};
use super::watermark::{self, Watermark, WatermarkSearch};
use crate::admission::FetchPermit;
use crate::metrics;
use crate::ports::platform::{Decoded, Page, PageRequest, Pagination, Records, Sort};

/// More pages of changes than any shop makes during an import; a list that never ends must not be
/// read forever.
const MAX_CHANGE_PAGES: u32 = 200;

/// What was updated while changes were read fits on a page in nearly every shop, so the
/// second round is mostly the last one.
const MAX_ROUNDS: u32 = 8;

/// What has been read of the list of changes.
pub(super) struct ChangeList {
    pub(super) rows: Vec<Row>,
    /// Orders that may have been updated since the run began.
    pub(super) updated: HashSet<i64>,
    /// Orders whose row differs from what their scan listed.
    pub(super) changed: BTreeSet<i64>,
    /// The list was read to where it began when the run did.
    pub(super) are_all_read: bool,
    per_page: u32,
    /// How many orders the whole list had when its first page showed all changes.
    pub(super) total: Option<u64>,
    /// Those of the updated ones that do not merely stand where they stood.
    pub(super) moved: HashSet<i64>,
    /// The list as it was read, the one that was updated last first.
    pub(super) sequence: Vec<i64>,
    /// Nothing stands behind these.
    pub(super) is_whole: bool,
    /// Where the list began when it was read last.
    pub(super) head: Watermark,
}

/// What is kept of an updated order.
pub(super) struct Row {
    pub(super) id: i64,
    pub(super) created_at: Timestamp,
    pub(super) is_whole: bool,
}

impl Row {
    fn of(decoded: &Decoded<Order>) -> Option<Self> {
        let order = decoded.outcome.as_ref().ok()?;
        Some(Self {
            id: order.id,
            created_at: order.created_at.instant,
            is_whole: order.completeness() == Completeness::Full,
        })
    }
}

/// How a round of reading ended.
enum Round {
    /// The first page has shown everything; further ones only confirmed it.
    Settled,
    /// All was read; what has been updated since its first page was asked for was not.
    Since(Watermark),
    /// The same, but `total` fell meanwhile, so rows may have slipped past the reader.
    Moved { head: Watermark, has_news: bool },
    /// The list shows no more, though there is more.
    CutOff,
    /// A page was longer than any answer that is read; the next ones are smaller.
    TooLarge,
}

/// Reads and lands what was updated since the run began.
pub(super) async fn read(ctx: &RunContext, plan: &Plan) -> Result<ChangeList, Failure> {
    let mut read = ChangeList {
        rows: Vec::new(),
        updated: HashSet::new(),
        changed: BTreeSet::new(),
        are_all_read: false,
        per_page: ctx.portions.of(Resource::Orders),
        total: None,
        moved: HashSet::new(),
        sequence: Vec::new(),
        is_whole: false,
        head: Watermark::default(),
    };
    let mut previous = Watermark::planned(&plan.probe);
    let mut pages_left = MAX_CHANGE_PAGES;
    let mut is_read_again = false;
    for _ in 0..MAX_ROUNDS {
        match read
            .round(ctx, plan.probe.range, &previous, &mut pages_left)
            .await?
        {
            Round::Settled => {
                read.are_all_read = true;
                return Ok(read);
            }
            // A `total` that is never the same tells nothing; then two readings that agree
            // have to do.
            Round::Moved { has_news, .. } if has_news || !is_read_again => is_read_again = true,
            Round::Since(head) | Round::Moved { head, .. } => {
                previous = head;
                is_read_again = false;
            }
            Round::CutOff => break,
            Round::TooLarge => {}
        }
    }
    tracing::warn!(
        listed = read.rows.len(),
        "more has changed than the list of changes shows; all orders are listed again"
    );
    // Where the updated ones end is not known.
    read.updated = read.rows.iter().map(|row| row.id).collect();
    Ok(read)
}

impl ChangeList {
    async fn round(
        &mut self,
        ctx: &RunContext,
        range: DayRange,
        previous: &Watermark,
        pages_left: &mut u32,
    ) -> Result<Round, Failure> {
        let mut recent = WatermarkSearch::since(previous);
        let mut head = Watermark::default();
        let (mut is_settled, mut has_news) = (true, false);
        let mut seen = BTreeSet::new();
        let mut has_moved = false;
        let mut total_before: Option<u64> = None;
        for number in 1.. {
            let Some(left) = pages_left.checked_sub(1) else {
                break;
            };
            *pages_left = left;
            // The memory is kept until the page has landed and was looked through.
            let mut permit = FetchPermit::default();
            let page = page(ctx, range, number, self.per_page, &mut permit).await;
            let page = match (page, smaller(self.per_page)) {
                (Err(Failure::TooLarge { .. }), Some(portion)) => {
                    self.per_page = portion;
                    return Ok(Round::TooLarge);
                }
                (Err(Failure::TooLarge { .. }), None) => None,
                (page, _) => page?,
            };
            let Some(page) = page else {
                break;
            };
            seen.extend(page.records.ids());
            let total = page.pagination.total;
            has_moved |= total_before.replace(total) > Some(total);
            let is_news = self.land(ctx, &page).await?;
            has_news |= is_news;
            recent.read(watermark::rows(&page.records));
            let first = page.records.ids().first().copied();
            let end = ListEnd::of(&page, seen.len() as u64, ctx.ceiling.get());
            if number == 1 {
                head = Watermark::of(&page);
                self.head = head.clone();
                self.total = Some(total);
                is_settled = end == Some(ListEnd::Whole) || recent.is_complete();
            } else {
                is_settled &= !is_news;
            }
            if let Records::Orders(orders) = page.records {
                self.rows.extend(orders.iter().filter_map(Row::of));
            }
            drop(permit);
            let is_whole = end == Some(ListEnd::Whole);
            let can_end = number == 1
                || is_news
                || is_whole
                || look_for_end(ctx, first, previous, &mut recent).await?;
            if is_whole || (!is_news && recent.is_complete()) {
                self.add(&recent);
                self.is_whole |= is_whole;
                // All of one second, of which the first page alone cannot show the end.
                is_settled |= !has_moved && !has_news && head.ids == previous.ids;
                return Ok(match (is_settled, has_moved) {
                    (true, _) => Round::Settled,
                    (false, true) => Round::Moved { head, has_news },
                    (false, false) => Round::Since(head),
                });
            }
            if end.is_some() || (!can_end && recent.is_lost()) {
                break;
            }
        }
        Ok(Round::CutOff)
    }

    /// Adds a list that was read to where the updated ones end, later than those before it.
    fn add(&mut self, recent: &WatermarkSearch) {
        let (updated, in_doubt) = (recent.updated(), recent.in_doubt());
        let moved = updated.iter().filter(|id| !in_doubt.contains(id));
        self.moved.extend(moved);
        self.updated.extend(updated);
        put_ahead(&mut self.sequence, recent.present());
    }

    /// Says whether the page has shown anything that differs from what is known.
    async fn land(&mut self, ctx: &RunContext, page: &Page) -> Result<bool, Failure> {
        let begun = ctx.clock.monotonic();
        let news = ctx.landing.land_changes(ctx.lease, page).await?;
        let took = ctx.clock.monotonic().saturating_sub(begun);
        metrics::changes_landed(&news.landed, took);
        metrics::rejected(page.records.resource(), page.records.rejections());
        metrics::refused(page.records.resource(), &news.landed);
        ctx.check_rejections(&news.landed).await?;
        let is_news = !news.changed.is_empty();
        self.changed.extend(news.changed);
        Ok(is_news)
    }
}

/// `later` was read after `sequence`, so what both have now stands where it has it.
pub(super) fn put_ahead(sequence: &mut Vec<i64>, later: &[i64]) {
    let is_there: HashSet<i64> = later.iter().copied().collect();
    sequence.retain(|id| !is_there.contains(id));
    sequence.splice(0..0, later.iter().copied());
}

/// Where rows do not say when they were updated and the sequence is another one, the details of a
/// page's first order show whether the updated ones end ahead of it. Returns whether an order
/// further on may show that.
async fn look_for_end(
    ctx: &RunContext,
    first: Option<i64>,
    previous: &Watermark,
    recent: &mut WatermarkSearch,
) -> Result<bool, Failure> {
    let Some(id) = first.filter(|_| recent.needs_details()) else {
        return Ok(true);
    };
    let evidence = unchanged::refetch(ctx, id, previous.asked_at).await?;
    if evidence == Evidence::Unchanged {
        recent.ends_before(id);
    }
    Ok(evidence != Evidence::Undated)
}

/// A page of the list of changes, if Salla shows it.
async fn page(
    ctx: &RunContext,
    range: DayRange,
    number: u32,
    per_page: u32,
    permit: &mut FetchPermit,
) -> Result<Option<Page>, Failure> {
    // Just the days that the windows ask for together, so that `total` can be compared.
    let request = PageRequest {
        per_page,
        ..orders_request(ctx.reach.of(range), Sort::UpdatedFirst, number)
    };
    match ctx.platform.list_page(&request, permit).await {
        // The pages behind a ceiling may be refused.
        Err(Failure::Broken { .. }) if number > 1 => Ok(None),
        page => page.map(Some),
    }
}

/// How the list of changes ends with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ListEnd {
    Whole,
    /// A ceiling ends it, whatever it says of its length.
    CutOff,
}

impl ListEnd {
    /// `listed`: different rows up to here. `None` if the list continues.
    fn of(page: &Page, listed: u64, ceiling: Ceiling) -> Option<Self> {
        let Pagination {
            current_page,
            total_pages,
            ..
        } = page.pagination;
        if page.records.is_empty() && current_page < total_pages {
            return Some(Self::CutOff);
        }
        let is_last = page.records.is_empty() || current_page >= total_pages;
        let total = page.pagination.total;
        let stops_early = total.saturating_sub(listed) > settlement_bound(total);
        is_last.then_some(match stops_early || ceiling.may_hide(listed) {
            true => Self::CutOff,
            false => Self::Whole,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::rejection::{Rejection, RejectionCode};

    fn end(rows: usize, current_page: u32, listed: u64, total: u64) -> Option<ListEnd> {
        let row = || Decoded {
            raw: "{}".into(),
            outcome: Err(Rejection {
                code: RejectionCode::InvalidId,
                path: String::new(),
                message: String::new(),
                salla_id: None,
            }),
        };
        let page = Page {
            records: Records::Orders((0..rows).map(|_| row()).collect()),
            pagination: Pagination {
                count: rows as u32,
                total,
                per_page: 60,
                current_page,
                total_pages: 170,
            },
            version: Timestamp::UNIX_EPOCH,
        };
        ListEnd::of(&page, listed, Ceiling::UNKNOWN)
    }

    #[test]
    fn a_list_of_changes_is_whole_only_where_nothing_can_hide_behind_its_end() {
        for (rows, current_page, listed, total, expected) in [
            (60, 1, 60, 10_200, None),
            (60, 169, 10_140, 10_200, None),
            (60, 170, 9_899, 9_899, Some(ListEnd::Whole)),
            (0, 171, 9_899, 9_902, Some(ListEnd::Whole)),
            (60, 170, 9_900, 9_900, Some(ListEnd::CutOff)),
            (60, 170, 10_000, 10_200, Some(ListEnd::CutOff)),
            (0, 171, 10_000, 10_200, Some(ListEnd::CutOff)),
            (0, 9, 480, 10_200, Some(ListEnd::CutOff)),
            // One page came again and again.
            (60, 170, 1_020, 10_200, Some(ListEnd::CutOff)),
        ] {
            let found = end(rows, current_page, listed, total);
            assert_eq!(found, expected, "{rows} {current_page} {listed}");
        }
    }
}
