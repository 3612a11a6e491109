//! The ledger that proves a finished run: what Salla reported, and what became of
//! every record of it.

use jiff::Timestamp;
use jiff::civil::Date;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::ceiling::Ceiling;
use crate::plan::DetailCase;
use crate::resource::Resource;
use crate::run::{RunId, WindowId};
use crate::shop::MerchantId;
use crate::slice::Slice;
use crate::window::DayRange;

/// What the last scan of a window listed: all that decides whether it was read whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listing {
    pub window: WindowId,
    pub resource: Resource,
    /// Absent for resources that are imported whole.
    pub days: Option<DayRange>,
    /// The part of a list that was too long to be read whole.
    #[serde(default)]
    pub slice: Option<Slice>,
    /// The list was too long: slices were read for it, and what they listed counts as
    /// listed by it.
    #[serde(default)]
    pub is_sliced: bool,
    /// How often the window was scanned.
    #[serde(rename = "walks")]
    pub scans: u32,
    /// `total` as Salla's pagination gave it on the last page of the last scan.
    pub reported: u64,
    /// Whether `total` was the same on every page of the last scan.
    pub total_was_stable: bool,
    /// Distinct ids found in the last scan.
    pub distinct: u64,
    /// Records of the last scan that have no readable id; each is a rejection.
    pub without_id: u64,
    /// The run was limited by `--max-orders`, or this is a category that is longer than Salla
    /// shows; so this window was not scanned to its end and proves nothing.
    pub cut_short: bool,
    /// Pages of the last scan.
    #[serde(default)]
    pub pages: u32,
    /// The last two scans listed the same ids.
    #[serde(default)]
    pub same_as_before: bool,
    /// The scan before listed as many as Salla reported at its end, and the last one listed all of
    /// them.
    #[serde(default)]
    pub contains_before: bool,
    /// The first and the last page were read once more after the scan, and count as part of it.
    #[serde(default)]
    #[serde(rename = "ends_read_again")]
    pub ends_rescanned: bool,
    /// `total` never fell below that of the first page, nor rose above `reported`.
    #[serde(default)]
    pub total_only_grew: bool,
    /// Where lists of this shop stop.
    #[serde(default)]
    pub ceiling: Ceiling,
    /// When the scan began: edits that Salla does not list are known as of then.
    #[serde(default)]
    pub read_at: Option<Timestamp>,
    /// When the list was brought up to date by what had come and gone since the scan.
    #[serde(default)]
    pub carried_at: Option<Timestamp>,
}

/// What a window listed and what became of it, as the database holds them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowCounts {
    #[serde(flatten)]
    pub listing: Listing,
    /// Listed ids that are in their table.
    pub loaded: u64,
    /// Listed ids that are kept as rejections, those without id included.
    pub rejected: u64,
    /// Listed ids that Salla no longer gives.
    pub gone: u64,
    pub details_needed: u64,
    pub details_loaded: u64,
    /// What the loaded records hold.
    #[serde(default)]
    pub inside: InsideCounts,
}

/// What is inside the loaded records: as Salla sent it, against the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InsideCounts {
    /// Line items of orders, variants of products.
    pub lines: EntryCounts,
    /// Discounts of orders, categories of products.
    pub others: EntryCounts,
    /// The sums of the orders' totals.
    pub totals: Vec<CurrencyTotal>,
    /// Records whose entries or total are not those that Salla sent.
    pub differing: u64,
}

/// Entries of lists inside records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryCounts {
    /// As Salla sent them, before anything was written.
    pub listed: u64,
    /// Rows.
    pub held: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CurrencyTotal {
    pub currency: String,
    /// As Salla sent it.
    pub read: Decimal,
    /// As the rows have it.
    pub held: Decimal,
}

impl InsideCounts {
    /// The rows hold what Salla sent. The sums follow from the records; they are there to be
    /// read, and a difference in them alone would be a mistake of ours.
    pub fn balances(&self) -> bool {
        self.differing == 0
            && self.lines.listed == self.lines.held
            && self.others.listed == self.others.held
            && self.totals.iter().all(|total| total.read == total.held)
    }
}

/// How far the scans of a window prove that it was read whole (decisions 8 and 15).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// Stopped early on purpose; says nothing.
    CutShort,
    /// Salla listed every record that it reported, and nothing can have slipped past
    /// the reader in the meantime.
    Proven,
    /// Salla's number differs from its list, but two scans returned the same records and the
    /// difference is small; it is shown.
    Settled,
    Unproven,
}

/// If Salla's number is off by no more than this and two scans agree, the run does not fail.
/// Counters behind a search index are known to lag.
pub fn settlement_bound(reported: u64) -> u64 {
    (reported / 200).max(3)
}

impl Listing {
    pub fn proof(&self) -> Proof {
        if self.cut_short {
            Proof::CutShort
        } else if self.is_sliced {
            // What no slice lists is no small difference, however little it is.
            match self.scan_is_exact() {
                true => Proof::Proven,
                false => Proof::Unproven,
            }
        } else if self.may_be_truncated() {
            Proof::Unproven
        } else if self.scan_is_exact() && (self.same_as_before || self.one_scan_is_enough())
            || self.grew_under_our_eyes()
            || self.grew_since_previous_scan()
        {
            Proof::Proven
        } else if self.same_as_before
            && self.difference().unsigned_abs() <= settlement_bound(self.reported)
            && !self.ceiling.may_hide(self.reported)
        {
            Proof::Settled
        } else {
            Proof::Unproven
        }
    }

    /// The ceiling seems to end the list: it is longer than the ceiling surely shows, and fewer
    /// rows came than there should be. If the ceiling limits `total` as well, a list of exactly as
    /// many rows is not trusted either. Orders have days by which they are split.
    pub fn may_be_truncated(&self) -> bool {
        let (ceiling, listed) = (self.ceiling, self.listed());
        let stops_early = ceiling.may_hide(self.reported)
            && listed < self.reported
            && (ceiling.learned().is_some() || listed <= ceiling.rows());
        let may_be_limited = listed == self.reported && ceiling.may_limit_total(self.reported);
        self.resource.can_be_sliced()
            && !self.is_sliced
            && !self.cut_short
            && (stops_early || may_be_limited)
    }

    /// An undated list that shows less than its `total` has its ceiling where it stops. A `total`
    /// may also be off by a few; the two cases differ in how far it is off, and in whether the list
    /// stops at a number that is as round as a limit.
    pub fn stops_like_at_a_ceiling(&self) -> bool {
        let missing = self.difference();
        self.resource.can_be_sliced()
            && self.total_was_stable
            && missing > 0
            && (missing.unsigned_abs() > settlement_bound(self.reported)
                || self.ceiling.is_worth_a_check(self.listed()))
    }

    /// Salla listed every record that it reported, and did not change its mind in
    /// the meantime.
    pub fn scan_is_exact(&self) -> bool {
        self.total_was_stable && self.difference() == 0
    }

    /// A row that is inserted while another is deleted can hide in an unchanged `total`. One page
    /// is read in one moment. Reconciliation finds an inserted order at the head of the latest
    /// updates. New records of other lists show at an end of them.
    fn one_scan_is_enough(&self) -> bool {
        self.pages <= 1 || self.resource == Resource::Orders || self.ends_rescanned
    }

    /// Nothing but its ends has to be read again for this scan to prove the list. That is left to
    /// the end of the run, where it also shows what was added since.
    pub fn lacks_only_its_ends(&self) -> bool {
        let with_ends = Self {
            ends_rescanned: true,
            ..self.clone()
        };
        self.proof() == Proof::Unproven
            && self.scan_is_exact()
            && with_ends.proof() == Proof::Proven
    }

    /// Customers sign up while their list is read, in a large shop on every scan. They are added at
    /// an end of the list, so reading both ends once more finds them. A customer is missed only if
    /// another is deleted meanwhile, which the falling `total` shows.
    fn grew_under_our_eyes(&self) -> bool {
        self.resource == Resource::Customers
            && self.ends_rescanned
            && self.total_only_grew
            && self.difference() == 0
    }

    /// In a busy shop an order arrives during every scan of today. Everything that the scan before
    /// had is still there, so nothing of it was deleted until this scan passed it, and what this
    /// scan missed, that one did not. So only an order that was added since can be missing, and
    /// reconciliation finds it at the head of the latest updates.
    fn grew_since_previous_scan(&self) -> bool {
        self.resource == Resource::Orders
            && self.contains_before
            && self.total_only_grew
            && self.difference() == 0
    }

    /// Two scans agree on a list that differs more from Salla's number than may be settled: another
    /// scan would change nothing.
    pub fn cannot_settle(&self) -> bool {
        self.same_as_before && self.total_was_stable && self.proof() == Proof::Unproven
    }

    /// Records that were listed, those without a readable id included.
    pub fn listed(&self) -> u64 {
        self.distinct + self.without_id
    }

    /// What Salla reported beyond (or below, if negative) what it listed.
    pub fn difference(&self) -> i64 {
        self.reported.cast_signed() - self.listed().cast_signed()
    }
}

impl WindowCounts {
    /// Every record that was listed is loaded, rejected or gone, has its details, and
    /// holds what Salla sent of it.
    pub fn records_are_accounted_for(&self) -> bool {
        self.listing.listed() == self.loaded + self.rejected + self.gone
            && self.details_needed == self.details_loaded
            && self.inside.balances()
    }

    pub fn balances(&self) -> bool {
        self.listing.proof() != Proof::Unproven && self.records_are_accounted_for()
    }

    /// Why the window does not balance; of no meaning where it does.
    fn imbalance(&self) -> Imbalance {
        let listing = &self.listing;
        if listing.proof() != Proof::Unproven {
            Imbalance::Records
        } else if listing.is_sliced || listing.ceiling.may_hide(listing.reported) {
            Imbalance::Hidden
        } else if listing.same_as_before {
            Imbalance::Total
        } else {
            Imbalance::Moving
        }
    }
}

/// Why windows do not balance. The reader can do something else about each, so that the
/// first that applies to any window is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Imbalance {
    /// What was listed is not in the database as it was listed.
    Records,
    /// Salla hides the end of a list, and no filter divides it any further.
    Hidden,
    /// Salla's count of a list and the list itself differ every time.
    Total,
    /// The list changed on every scan.
    Moving,
}

impl Imbalance {
    /// What the reader can do about it.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Records => {
                "everything that was read is stored; `salla-sync verify` names what is missing, \
                 and `salla-sync import --again` fetches it again"
            }
            Self::Hidden => {
                "everything that Salla shows is stored, and reading it again shows no more; the \
                 certificate names the list and how many records are hidden (give products without \
                 a category one)"
            }
            Self::Total => {
                "everything that Salla lists is stored, and reading it again changes nothing until \
                 Salla's count is right: report the list to Salla with the certificate"
            }
            Self::Moving => {
                "everything that was read is stored; run the same command again when the shop is \
                 less busy: only these windows are read again"
            }
        }
    }
}

impl std::fmt::Display for Imbalance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Records => "some of what Salla listed is missing from the database",
            Self::Hidden => "Salla does not show the end of a list, and no filter splits it",
            Self::Total => "Salla's count differs from its list, on every scan",
            Self::Moving => "the list changed on every scan",
        })
    }
}

/// Loaded orders of one Riyadh month in one currency; those with an open rejection
/// are not among them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonthTotal {
    /// First day of the month.
    pub month: Date,
    pub currency: String,
    pub orders: u64,
    /// Sum of the order totals, with the currency's digits.
    pub total: Decimal,
    /// Orders of which Salla gave no total.
    #[serde(default)]
    pub without_total: u64,
}

/// Open rejections of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectionCount {
    pub resource: Resource,
    pub code: String,
    pub count: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    pub run_id: RunId,
    pub merchant_id: MerchantId,
    pub range: DayRange,
    pub detail_case: DetailCase,
    /// The moment at which the statement is true.
    pub as_of: Timestamp,
    pub started_at: Timestamp,
    pub windows: Vec<WindowCounts>,
    pub month_totals: Vec<MonthTotal>,
    pub rejections: Vec<RejectionCount>,
    /// Orders of the range that Salla no longer lists and, requested one by one, no longer has.
    #[serde(default)]
    pub vanished: u64,
    /// Orders of the range that Salla does not list but, requested one by one, still has.
    #[serde(default)]
    pub unlisted: u64,
}

/// The sums of one resource over all its windows. Windows may overlap, so sums
/// over windows may count a record twice. Slices are not added: their list counts what
/// they hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ResourceSummary {
    pub reported: u64,
    pub distinct: u64,
    pub loaded: u64,
    pub rejected: u64,
    pub gone: u64,
    pub details_needed: u64,
    pub details_loaded: u64,
    #[serde(default)]
    pub lines_listed: u64,
    #[serde(default)]
    pub lines_held: u64,
    pub balanced: bool,
}

impl Certificate {
    pub fn balances(&self) -> bool {
        self.windows.iter().all(WindowCounts::balances)
    }

    pub fn unbalanced(&self) -> impl Iterator<Item = &WindowCounts> {
        self.windows.iter().filter(|w| !w.balances())
    }

    /// Why the certificate does not balance, if it does not.
    pub fn imbalance(&self) -> Option<Imbalance> {
        self.unbalanced().map(WindowCounts::imbalance).min()
    }

    pub fn summary(&self, resource: Resource) -> ResourceSummary {
        let mut sum = ResourceSummary {
            balanced: true,
            ..ResourceSummary::default()
        };
        let of_it = |w: &&WindowCounts| w.listing.resource == resource;
        for w in self.windows.iter().filter(of_it) {
            sum.balanced &= w.balances();
            if w.listing.slice.is_some() {
                continue;
            }
            sum.reported += w.listing.reported;
            sum.distinct += w.listing.listed();
            sum.loaded += w.loaded;
            sum.rejected += w.rejected;
            sum.gone += w.gone;
            sum.details_needed += w.details_needed;
            sum.details_loaded += w.details_loaded;
            sum.lines_listed += w.inside.lines.listed;
            sum.lines_held += w.inside.lines.held;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slice::ProductStatus;

    fn listing() -> Listing {
        Listing {
            window: WindowId(1),
            resource: Resource::Orders,
            days: None,
            slice: None,
            is_sliced: false,
            scans: 1,
            reported: 100,
            total_was_stable: true,
            distinct: 99,
            without_id: 1,
            cut_short: false,
            pages: 2,
            same_as_before: false,
            contains_before: false,
            ends_rescanned: false,
            total_only_grew: true,
            ceiling: Ceiling::UNKNOWN,
            read_at: None,
            carried_at: None,
        }
    }

    fn counts() -> WindowCounts {
        WindowCounts {
            listing: listing(),
            loaded: 95,
            rejected: 4,
            gone: 1,
            details_needed: 95,
            details_loaded: 95,
            inside: InsideCounts {
                lines: EntryCounts {
                    listed: 200,
                    held: 200,
                },
                others: EntryCounts { listed: 9, held: 9 },
                totals: vec![CurrencyTotal {
                    currency: "SAR".to_owned(),
                    read: Decimal::TEN,
                    held: Decimal::TEN,
                }],
                differing: 0,
            },
        }
    }

    #[test]
    fn a_window_balances_only_when_every_clause_holds() {
        assert!(counts().balances());
        let broken: [fn(&mut WindowCounts); 12] = [
            |w| w.listing.reported = 101,
            |w| w.listing.reported = 99,
            |w| w.listing.total_was_stable = false,
            |w| w.loaded = 94,
            |w| w.rejected = 5,
            |w| w.details_loaded = 94,
            |w| w.inside.lines.held = 199,
            |w| w.inside.lines.held = 201,
            |w| w.inside.others.held = 8,
            |w| w.inside.totals[0].held = Decimal::ONE,
            |w| w.inside.totals[0].read = Decimal::ONE,
            |w| w.inside.differing = 1,
        ];
        for (index, change) in broken.iter().enumerate() {
            let mut window = counts();
            change(&mut window);
            assert!(!window.balances(), "case {index}");
        }
    }

    fn certificate(windows: Vec<WindowCounts>) -> Certificate {
        let day = "2025-06-15".parse().unwrap();
        Certificate {
            run_id: RunId(uuid::Uuid::nil()),
            merchant_id: MerchantId(uuid::Uuid::nil()),
            range: DayRange { from: day, to: day },
            detail_case: DetailCase::Details,
            as_of: Timestamp::UNIX_EPOCH,
            started_at: Timestamp::UNIX_EPOCH,
            windows,
            month_totals: vec![],
            rejections: vec![],
            vanished: 0,
            unlisted: 0,
        }
    }

    #[test]
    fn a_certificate_of_an_earlier_version_can_be_read() {
        let mut json = serde_json::to_value(counts()).unwrap();
        assert!(json.as_object_mut().unwrap().remove("inside").is_some());
        let window: WindowCounts = serde_json::from_value(json).unwrap();
        assert_eq!(window.inside, InsideCounts::default());
        assert!(window.balances());
    }

    #[test]
    fn a_certificate_balances_when_all_its_windows_do() {
        let mut broken = counts();
        broken.listing.reported = 7;
        assert!(certificate(vec![counts(), counts()]).balances());
        let one_broken = certificate(vec![counts(), broken.clone()]);
        assert!(!one_broken.balances());
        assert_eq!(one_broken.unbalanced().collect::<Vec<_>>(), [&broken]);
        assert!(!one_broken.summary(Resource::Orders).balanced);
        assert!(one_broken.summary(Resource::Products).balanced);
    }

    #[test]
    fn the_summary_adds_up_the_windows_of_its_resource() {
        let mut products = counts();
        products.listing.resource = Resource::Products;
        let summary = certificate(vec![counts(), products, counts()]).summary(Resource::Orders);
        let expected = ResourceSummary {
            reported: 200,
            distinct: 200,
            loaded: 190,
            rejected: 8,
            gone: 2,
            details_needed: 190,
            details_loaded: 190,
            lines_listed: 400,
            lines_held: 400,
            balanced: true,
        };
        assert_eq!(summary, expected);
    }

    #[test]
    fn two_scans_that_agree_settle_a_small_difference() {
        let table = [
            // reported, listed, agree, proof
            (1_000, 1_000, false, Proof::Proven),
            (1_000, 999, false, Proof::Unproven),
            (1_000, 995, true, Proof::Settled),
            (1_000, 1_005, true, Proof::Settled),
            (1_000, 994, true, Proof::Unproven),
            (100, 97, true, Proof::Settled),
            (100, 96, true, Proof::Unproven),
            (0, 3, true, Proof::Settled),
            (9_899, 9_890, true, Proof::Settled),
            (9_975, 9_960, true, Proof::Unproven),
            // A ceiling may be lying: what it hides is not a small difference.
            (10_000, 10_020, true, Proof::Unproven),
        ];
        for (reported, listed, same_as_before, proof) in table {
            let window = Listing {
                reported,
                distinct: listed,
                without_id: 0,
                same_as_before,
                ..listing()
            };
            assert_eq!(
                window.proof(),
                proof,
                "{reported} {listed} {same_as_before}"
            );
        }
    }

    #[test]
    fn a_list_that_ends_at_the_ceiling_is_not_believed() {
        let table = [
            // resource, reported, listed, proof
            (Resource::Products, 10_000, 10_000, Proof::Unproven),
            (Resource::Customers, 10_000, 10_000, Proof::Unproven),
            (Resource::Products, 12_000, 9_960, Proof::Unproven),
            // It hides the whole page that reaches across it.
            (Resource::Products, 9_975, 9_960, Proof::Unproven),
            (Resource::Products, 9_960, 9_960, Proof::Unproven),
            // No ceiling after all.
            (Resource::Products, 12_000, 12_000, Proof::Proven),
            (Resource::Products, 9_999, 9_999, Proof::Proven),
            (Resource::Products, 9_975, 9_975, Proof::Proven),
            // Read from both ends, a day shows more than a ceiling lets through.
            (Resource::Orders, 10_000, 10_000, Proof::Proven),
        ];
        for (resource, reported, listed, proof) in table {
            let window = Listing {
                resource,
                reported,
                distinct: listed,
                without_id: 0,
                same_as_before: true,
                ..listing()
            };
            assert_eq!(window.proof(), proof, "{resource} {reported} {listed}");
        }
    }

    #[test]
    fn slices_prove_their_list_when_nothing_is_left_over() {
        let table = [
            (30_000, 30_000, true, Proof::Proven),
            (10_000, 10_000, true, Proof::Proven),
            (30_000, 29_999, true, Proof::Unproven),
            // The number itself was cut off: it cannot say that nothing is missing.
            (10_000, 30_000, true, Proof::Unproven),
            (30_000, 30_000, false, Proof::Unproven),
        ];
        for (reported, listed, total_was_stable, proof) in table {
            let window = Listing {
                resource: Resource::Products,
                is_sliced: true,
                reported,
                total_was_stable,
                distinct: listed,
                without_id: 0,
                same_as_before: true,
                ..listing()
            };
            assert_eq!(window.proof(), proof, "{reported} {listed}");
        }
    }

    #[test]
    fn slices_are_no_part_of_the_sums_but_must_balance() {
        let of_products = |slice: Option<ProductStatus>| {
            let mut window = counts();
            window.listing.resource = Resource::Products;
            window.listing.slice = slice.map(Slice::Status);
            window.listing.is_sliced = slice.is_none();
            window
        };
        let whole = of_products(None);
        let mut slices = ProductStatus::ALL.map(|status| of_products(Some(status)));
        for slice in &mut slices {
            slice.listing.same_as_before = true;
        }
        let all = [vec![whole], slices.to_vec()].concat();
        let summary = certificate(all.clone()).summary(Resource::Products);
        assert_eq!((summary.reported, summary.balanced), (100, true));
        let mut broken = all;
        broken[2].loaded -= 1;
        let summary = certificate(broken).summary(Resource::Products);
        assert_eq!((summary.loaded, summary.balanced), (95, false));
    }

    #[test]
    fn a_total_that_moved_needs_a_second_scan() {
        let mut window = listing();
        window.total_was_stable = false;
        assert_eq!(window.proof(), Proof::Unproven);
        window.same_as_before = true;
        assert_eq!(window.proof(), Proof::Settled);
    }

    #[test]
    fn what_one_exact_scan_proves_depends_on_the_list() {
        let table = [
            (Resource::Orders, 2, false, Proof::Proven),
            (Resource::Customers, 2, false, Proof::Unproven),
            (Resource::Customers, 2, true, Proof::Proven),
            (Resource::Customers, 1, false, Proof::Proven),
            (Resource::Products, 1, false, Proof::Proven),
            (Resource::Products, 2, false, Proof::Unproven),
            (Resource::Products, 2, true, Proof::Proven),
            (Resource::Categories, 2, true, Proof::Proven),
        ];
        for (resource, pages, ends_rescanned, proof) in table {
            let mut window = Listing {
                resource,
                pages,
                ends_rescanned,
                ..listing()
            };
            assert_eq!(window.proof(), proof, "{resource} {pages} {ends_rescanned}");
            window.same_as_before = true;
            assert_eq!(window.proof(), Proof::Proven, "{resource} walked twice");
        }
    }

    fn each_breaks_the_proof(proven: &Listing, changes: &[fn(&mut Listing)]) {
        assert_eq!(proven.proof(), Proof::Proven);
        for (index, change) in changes.iter().enumerate() {
            let mut window = proven.clone();
            change(&mut window);
            assert_eq!(window.proof(), Proof::Unproven, "case {index}");
        }
    }

    #[test]
    fn customers_may_sign_up_while_their_list_is_read() {
        let mut window = Listing {
            resource: Resource::Customers,
            total_was_stable: false,
            ends_rescanned: true,
            ..listing()
        };
        let broken: [fn(&mut Listing); 4] = [
            |w| w.resource = Resource::Orders,
            |w| w.ends_rescanned = false,
            |w| w.total_only_grew = false,
            |w| w.reported += 1,
        ];
        each_breaks_the_proof(&window, &broken);
        window.same_as_before = true;
        assert_eq!(window.proof(), Proof::Proven);
    }

    #[test]
    fn orders_may_arrive_while_their_list_is_read_twice() {
        let window = Listing {
            total_was_stable: false,
            contains_before: true,
            ..listing()
        };
        let broken: [fn(&mut Listing); 4] = [
            |w| w.resource = Resource::Products,
            |w| w.contains_before = false,
            |w| w.total_only_grew = false,
            |w| w.reported += 1,
        ];
        each_breaks_the_proof(&window, &broken);
    }

    #[test]
    fn only_agreement_far_from_the_number_is_hopeless() {
        let mut window = listing();
        window.reported = 500;
        assert!(!window.cannot_settle());
        window.same_as_before = true;
        assert!(window.cannot_settle());
        window.total_was_stable = false;
        assert!(!window.cannot_settle(), "the number may come to rest");
    }

    #[test]
    fn the_difference_has_a_sign() {
        let mut window = listing();
        window.reported = 98;
        assert_eq!(window.difference(), -2);
    }
}
