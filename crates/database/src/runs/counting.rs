//! What a window's last scan listed, and the state of these records.

use std::iter::Enumerate;
use std::slice::Iter;
use std::sync::{Mutex, PoisonError};

use domain::certificate::{CurrencyTotal, EntryCounts, InsideCounts, Listing, WindowCounts};
use domain::numbers::with_digits;
use domain::resource::Resource;
use domain::run::WindowId;
use importer::ports::landing::RunLease;
use jiff_sqlx::Date;
use rust_decimal::Decimal;
use sqlx::{PgConnection, PgPool};

use crate::error::TxError;
use crate::ids::parse_resource;
use crate::runs::ceiling_of;
use crate::runs::windows::{days, no_such_window, slice};

/// Records without id on page `p` that count. A page may come twice: at the end of a list that
/// never ends, or because both ends are read once more and no customer signed up meanwhile.
macro_rules! new_without_id {
    () => {
        "CASE WHEN p.without_id > 0 AND p.ids <> '{}' AND EXISTS (
             SELECT FROM salla_sync.sync_pages q
             WHERE q.window_id = p.window_id AND q.walk = p.walk AND q.page < p.page
               AND q.ids = p.ids AND q.without_id = p.without_id)
         THEN 0 ELSE p.without_id END AS without_id"
    };
}

/// The pages of the last scan of window `$1`, and the results of that and the scan before. What its
/// slices have listed counts as listed by it; their keys begin with its own.
macro_rules! listed {
    ($rest:literal) => {
        concat!(
            "WITH pages AS (
                SELECT p.ids, p.page, p.total, ",
            new_without_id!(),
            " FROM salla_sync.sync_pages p
                JOIN salla_sync.sync_windows w ON w.id = p.window_id AND w.walk = p.walk
                WHERE w.id = $1
            ), walk AS (
                SELECT coalesce((array_agg(total ORDER BY page DESC))[1], 0) AS reported,
                       coalesce(min(total) = max(total), false) AS total_was_stable,
                       coalesce(min(total) = (array_agg(total ORDER BY page))[1]
                                AND max(total) = (array_agg(total ORDER BY page DESC))[1], false)
                           AS total_only_grew,
                       coalesce(sum(without_id), 0)::bigint AS without_id,
                       count(*)::integer AS pages
                FROM pages
            ), before AS (
                SELECT p.ids, p.page, p.total, ",
            new_without_id!(),
            " FROM salla_sync.sync_pages p
                JOIN salla_sync.sync_windows w ON w.id = p.window_id AND p.walk = w.walk - 1
                WHERE w.id = $1
            ), comparison AS (
                SELECT CASE WHEN has_all THEN NOT EXISTS (
                           SELECT unnest(ids) FROM pages EXCEPT SELECT unnest(ids) FROM before)
                       ELSE false END AS same_as_before,
                       CASE WHEN has_all THEN (
                           SELECT (SELECT count(DISTINCT id) FROM before, unnest(ids) AS id)
                                  + sum(without_id) = (array_agg(total ORDER BY page DESC))[1]
                           FROM before)
                       ELSE false END AS contains_before
                FROM (SELECT CASE WHEN EXISTS (SELECT FROM before) THEN NOT EXISTS (
                          SELECT unnest(ids) FROM before EXCEPT SELECT unnest(ids) FROM pages)
                      ELSE false END AS has_all) h
            ), of_slices AS (
                SELECT p.ids FROM salla_sync.sync_windows w
                JOIN salla_sync.sync_windows s
                  ON s.run_id = w.run_id AND s.resource = w.resource AND s.replaced_at IS NULL
                 AND s.id <> w.id AND starts_with(s.slice, coalesce(w.slice, ''))
                JOIN salla_sync.sync_pages p ON p.window_id = s.id AND p.walk = s.walk
                WHERE w.id = $1 AND w.sliced_at IS NOT NULL
            ), listed AS MATERIALIZED (
                SELECT DISTINCT unnest(ids) AS id
                FROM (SELECT ids FROM pages UNION ALL SELECT ids FROM of_slices) l
                ORDER BY 1
            ), listing AS (
                SELECT walk.*, comparison.*, (SELECT count(*) FROM listed) AS distinct_ids
                FROM walk CROSS JOIN comparison
            ) ",
            $rest
        )
    };
}

const LISTING: &str = listed!("SELECT * FROM listing");

/// Every id of the scan counts once. A rejection that is still open comes first,
/// because then something of the record lacks even if an older row is there; then the
/// row; then the tombstone. An id without any is missing, and the sums show it.
///
/// What a loaded record holds is compared record by record, because a line too many in one
/// order must not make up for one that another order lacks. `$inside` names what was read
/// and what is held; where nothing was counted, the record does not take part.
///
/// The lateral look-ups with a limit keep the planner from joining whole tables: in
/// the first minutes of an import its statistics still call them empty. Tombstones only
/// matter to ids without a row, so for records that hold nothing they are looked up for
/// those alone; the same look-up also says what was read, and of an order's details. In the
/// order of ids neighbors in the index are looked up one after the other.
macro_rules! judge {
    ($table:literal, $asks_source:literal, $has_details:literal, $inside:expr) => {
        concat!(
            listed!(
                ", changes_of AS MATERIALIZED (
                    SELECT l.id IN (SELECT x.salla_id FROM salla_sync.rejected_records x
                                    WHERE x.merchant_id = $2
                                      AND x.resource = $3::text::salla_sync.resource
                                      AND x.salla_id IS NOT NULL
                                      AND x.resolved_at IS NULL) AS is_rejected,
                           l.id IN (SELECT a.salla_id FROM salla_sync.altered_records a
                                    WHERE a.merchant_id = $2
                                      AND a.resource = $3::text::salla_sync.resource) AS is_altered,
                           t.id IS NOT NULL AS is_present,
                           s.gone_at IS NOT NULL AS is_gone, "
            ),
            $inside,
            $has_details,
            " AS has_details
                FROM listed l
                LEFT JOIN LATERAL (
                    SELECT * FROM ",
            $table,
            " t WHERE t.merchant_id = $2 AND t.id = l.id LIMIT 1) t ON true
                LEFT JOIN LATERAL (
                    SELECT * FROM salla_sync.source_records s
                    WHERE ",
            $asks_source,
            " AND s.merchant_id = $2 AND s.resource = $3::text::salla_sync.resource
                      AND s.salla_id = l.id LIMIT 1) s ON true
            ), loaded AS (
                SELECT * FROM changes_of WHERE is_present AND NOT is_rejected
            ), verdicts AS (
                SELECT count(*) FILTER (WHERE is_rejected) AS rejected,
                       count(*) FILTER (WHERE is_gone AND NOT is_present AND NOT is_rejected) AS gone
                FROM changes_of
            ), inside AS (
                SELECT count(*) AS loaded,
                       count(*) FILTER (WHERE has_details) AS with_details,
                       coalesce(sum(lines), 0)::bigint AS lines_listed,
                       coalesce(sum(lines_held) FILTER (WHERE lines IS NOT NULL), 0)::bigint
                           AS lines_held,
                       coalesce(sum(others), 0)::bigint AS others_listed,
                       coalesce(sum(others_held) FILTER (WHERE others IS NOT NULL), 0)::bigint
                           AS others_held,
                       count(*) FILTER (WHERE is_altered OR lines <> lines_held OR others <> others_held
                           OR total IS NOT NULL
                              AND (total, currency) IS DISTINCT FROM (total_held, currency_held))
                           AS differing
                FROM loaded
            ), totals AS (
                SELECT currency, sum(read)::text AS read, sum(held)::text AS held
                FROM (SELECT coalesce(currency, '?') AS currency, total AS read, 0 AS held
                      FROM loaded WHERE total IS NOT NULL
                      UNION ALL
                      SELECT coalesce(currency_held, '?'), 0, coalesce(total_held, 0)
                      FROM loaded WHERE total IS NOT NULL) both_sides
                GROUP BY currency
            )
            SELECT listing.*, verdicts.*, inside.*,
                   ARRAY(SELECT currency FROM totals ORDER BY currency) AS currencies,
                   ARRAY(SELECT read FROM totals ORDER BY currency) AS totals_read,
                   ARRAY(SELECT held FROM totals ORDER BY currency) AS totals_held
            FROM listing CROSS JOIN verdicts CROSS JOIN inside"
        )
    };
}

/// Of records without lists inside.
macro_rules! nothing_inside {
    () => {
        "NULL::integer AS lines, 0 AS lines_held, NULL::integer AS others, 0 AS others_held,
         NULL::numeric AS total, NULL::numeric AS total_held,
         NULL::text AS currency, NULL::text AS currency_held, "
    };
}

/// An order's details are there when its items are known and it is not on the
/// worklist, which it is again when its header has changed.
const ORDERS: &str = judge!(
    "salla.orders",
    "true",
    "t.has_items AND s.detail_version IS NOT NULL
         AND NOT EXISTS (SELECT FROM salla_sync.pending_details p
                         WHERE p.merchant_id = $2 AND p.order_id = l.id)",
    "s.lines, s.other_entries AS others, s.total, s.currency,
     (SELECT count(*) FROM salla.order_items i
      WHERE i.merchant_id = $2 AND i.order_id = l.id) AS lines_held,
     (SELECT count(*) FROM salla.order_discounts d
      WHERE d.merchant_id = $2 AND d.order_id = l.id) AS others_held,
     t.total AS total_held, t.currency AS currency_held, "
);
const CUSTOMERS: &str = judge!(
    "salla.customers",
    "t.id IS NULL",
    "false",
    nothing_inside!()
);
const PRODUCTS: &str = judge!(
    "salla.products",
    "true",
    "false",
    "s.lines, s.other_entries AS others, NULL::numeric AS total, NULL::text AS currency,
     (SELECT count(*) FROM salla.product_variants v
      WHERE v.merchant_id = $2 AND v.product_id = l.id) AS lines_held,
     (SELECT count(*) FROM salla.product_categories c
      WHERE c.merchant_id = $2 AND c.product_id = l.id) AS others_held,
     NULL::numeric AS total_held, NULL::text AS currency_held, "
);
const CATEGORIES: &str = judge!(
    "salla.categories",
    "t.id IS NULL",
    "false",
    nothing_inside!()
);
const ORDER_STATUSES: &str = judge!(
    "salla.order_statuses",
    "t.id IS NULL",
    "false",
    nothing_inside!()
);

#[derive(sqlx::FromRow)]
struct Listed {
    reported: i64,
    total_was_stable: bool,
    total_only_grew: bool,
    without_id: i64,
    pages: i32,
    same_as_before: bool,
    contains_before: bool,
    distinct_ids: i64,
}

impl Listed {
    fn of(self, window: &CountedWindow) -> Result<Listing, TxError> {
        Ok(Listing {
            window: WindowId(window.id),
            resource: parse_resource(&window.resource)?,
            days: days(window.day_from, window.day_to),
            slice: slice(window.slice.as_deref())?,
            is_sliced: window.is_sliced,
            scans: window.walk.cast_unsigned(),
            reported: self.reported.cast_unsigned(),
            total_was_stable: self.total_was_stable,
            distinct: self.distinct_ids.cast_unsigned(),
            without_id: self.without_id.cast_unsigned(),
            cut_short: window.cut_short,
            pages: self.pages.cast_unsigned(),
            same_as_before: self.same_as_before,
            contains_before: self.contains_before,
            ends_rescanned: window.ends_read_again,
            total_only_grew: self.total_only_grew,
            ceiling: ceiling_of(window.list_ceiling),
            read_at: window.read_at.map(jiff_sqlx::Timestamp::to_jiff),
            carried_at: window.carried_at.map(jiff_sqlx::Timestamp::to_jiff),
        })
    }
}

#[derive(sqlx::FromRow)]
struct Judged {
    #[sqlx(flatten)]
    listed: Listed,
    rejected: i64,
    loaded: i64,
    with_details: i64,
    gone: i64,
    #[sqlx(flatten)]
    inside: Inside,
}

#[derive(sqlx::FromRow)]
struct Inside {
    lines_listed: i64,
    lines_held: i64,
    others_listed: i64,
    others_held: i64,
    differing: i64,
    currencies: Vec<String>,
    totals_read: Vec<String>,
    totals_held: Vec<String>,
}

impl From<Inside> for InsideCounts {
    fn from(inside: Inside) -> Self {
        let entries = |listed: i64, held: i64| EntryCounts {
            listed: listed.cast_unsigned(),
            held: held.cast_unsigned(),
        };
        let sums = inside.totals_read.into_iter().zip(inside.totals_held);
        let totals = inside.currencies.into_iter().zip(sums);
        Self {
            lines: entries(inside.lines_listed, inside.lines_held),
            others: entries(inside.others_listed, inside.others_held),
            totals: totals
                .map(|(currency, (read, held))| CurrencyTotal {
                    read: sum(&read, &currency),
                    held: sum(&held, &currency),
                    currency,
                })
                .collect(),
            differing: inside.differing.cast_unsigned(),
        }
    }
}

/// Each amount is held exactly; their sum may have more digits than we hold. It is for
/// people, so the last of them are rounded, and no amount can keep a run from its end.
pub(crate) fn sum(digits: &str, currency: &str) -> Decimal {
    let largest = match digits.starts_with('-') {
        true => Decimal::MIN,
        false => Decimal::MAX,
    };
    with_digits(digits.parse().unwrap_or(largest), currency)
}

/// A window as far as counting needs it.
#[derive(sqlx::FromRow)]
pub(crate) struct CountedWindow {
    id: i64,
    resource: String,
    day_from: Option<Date>,
    day_to: Option<Date>,
    slice: Option<String>,
    is_sliced: bool,
    walk: i32,
    cut_short: bool,
    ends_read_again: bool,
    list_ceiling: Option<i64>,
    read_at: Option<jiff_sqlx::Timestamp>,
    carried_at: Option<jiff_sqlx::Timestamp>,
}

const WINDOWS: &str = "
    SELECT w.id, w.resource::text, w.day_from, w.day_to, w.slice,
           w.sliced_at IS NOT NULL AS is_sliced, w.walk, w.cut_short, w.ends_read_again,
           m.list_ceiling, w.read_at, w.carried_at
    FROM salla_sync.sync_windows w
    JOIN salla_sync.sync_runs r ON r.id = w.run_id
    JOIN salla_sync.merchants m ON m.id = r.merchant_id
    WHERE w.run_id = $1 AND w.replaced_at IS NULL AND ($2::bigint IS NULL OR w.id = $2)
    ORDER BY w.position";

pub(crate) async fn listing(
    pool: &PgPool,
    lease: RunLease,
    window: WindowId,
) -> Result<Listing, TxError> {
    let mut connection = pool.acquire().await?;
    let window: Option<CountedWindow> = sqlx::query_as(WINDOWS)
        .bind(lease.run.0)
        .bind(Some(window.0))
        .fetch_optional(&mut *connection)
        .await?;
    let window = window.ok_or_else(|| no_such_window("counted"))?;
    let listed: Listed = sqlx::query_as(LISTING)
        .bind(window.id)
        .fetch_one(&mut *connection)
        .await?;
    listed.of(&window)
}

/// Counts all windows of the run, in their order. `helper` is another session that sees
/// the same snapshot: counting is the end of every import, when the other processors have
/// nothing else to do.
pub(crate) async fn count_windows(
    connection: &mut PgConnection,
    helper: Option<&mut PgConnection>,
    lease: RunLease,
) -> Result<Vec<WindowCounts>, TxError> {
    let windows: Vec<CountedWindow> = sqlx::query_as(WINDOWS)
        .bind(lease.run.0)
        .bind(None::<i64>)
        .fetch_all(&mut *connection)
        .await?;
    let waiting = Mutex::new(windows.iter().enumerate());
    let own = count_while(connection, lease, &waiting);
    let mut counts = match helper {
        None => own.await?,
        Some(helper) => {
            let (own, helped) = tokio::try_join!(own, count_while(helper, lease, &waiting))?;
            [own, helped].concat()
        }
    };
    counts.sort_unstable_by_key(|(place, _)| *place);
    Ok(counts.into_iter().map(|(_, counts)| counts).collect())
}

type Waiting<'a> = Mutex<Enumerate<Iter<'a, CountedWindow>>>;

/// Counts windows as long as some wait, each with its place.
async fn count_while(
    connection: &mut PgConnection,
    lease: RunLease,
    waiting: &Waiting<'_>,
) -> Result<Vec<(usize, WindowCounts)>, TxError> {
    let next = || {
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.next()
    };
    let mut counts = Vec::new();
    while let Some((place, window)) = next() {
        counts.push((place, count(connection, lease, window).await?));
    }
    Ok(counts)
}

async fn count(
    connection: &mut PgConnection,
    lease: RunLease,
    window: &CountedWindow,
) -> Result<WindowCounts, TxError> {
    let resource = parse_resource(&window.resource)?;
    let sql = match resource {
        Resource::Orders => ORDERS,
        Resource::Customers => CUSTOMERS,
        Resource::Products => PRODUCTS,
        Resource::Categories => CATEGORIES,
        Resource::OrderStatuses => ORDER_STATUSES,
    };
    let changes_of: Judged = sqlx::query_as(sql)
        .bind(window.id)
        .bind(lease.merchant.0)
        .bind(resource.as_str())
        .fetch_one(connection)
        .await?;
    let has_details = resource == Resource::Orders;
    // A record without id is always a rejection, written with its page.
    let rejected = changes_of.rejected + changes_of.listed.without_id;
    Ok(WindowCounts {
        listing: changes_of.listed.of(window)?,
        loaded: changes_of.loaded.cast_unsigned(),
        rejected: rejected.cast_unsigned(),
        gone: changes_of.gone.cast_unsigned(),
        details_needed: if has_details {
            changes_of.loaded.cast_unsigned()
        } else {
            0
        },
        details_loaded: changes_of.with_details.cast_unsigned(),
        inside: changes_of.inside.into(),
    })
}
