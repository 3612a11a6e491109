//! Landing the responses of the details phase.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use domain::order::{Order, OrderItem, Version};
use domain::rejection::Rejection;
use domain::resource::Resource;
use importer::ports::landing::{DetailOutcome, Landed, OrderDetail, RunLease};
use importer::ports::platform::Decoded;
use jiff::Timestamp;
use sqlx::PgPool;

use crate::error::TxError;
use crate::landing::context::{Care, LandingContext};
use crate::landing::counters::{Cursor, record};
use crate::landing::entries::WholeOrder;
use crate::landing::isolation::{Lands, land_each};
use crate::landing::orders::{ReadFrom, land_whole};
use crate::landing::raw::RawEncoder;
use crate::landing::rejections::{
    ORDER_DETAIL, ORDER_ITEMS, Rejected, reject, reject_customers, resolve_by_row,
};
use crate::landing::versions::NewRows;
use crate::landing::versions::{Incoming, land_gone};
use crate::landing::{order_lines, pending};
use crate::transaction::lock_run;

pub(crate) async fn land(
    pool: &PgPool,
    lease: RunLease,
    details: &[OrderDetail],
    now: Timestamp,
    care: Care,
) -> Result<Landed, TxError> {
    let Some(last) = details.last() else {
        return Ok(Landed::default());
    };
    let mut tx = pool.begin().await?;
    let run = lock_run(&mut tx, lease).await?;
    let mut ctx = LandingContext::new(&mut tx, run, now, NewRows::MayExist, care)?;
    land_outcomes(&mut ctx, details).await?;
    let cursor = Cursor {
        resource: "order_details",
        window: None,
        page: None,
        order_id: Some(last.order_id),
    };
    record(ctx.tx, &ctx.run, &mut ctx.tally, cursor, now).await?;
    let landed = ctx.tally.landed;
    tx.commit().await?;
    Ok(landed)
}

/// Everything but the counters.
pub(crate) async fn land_outcomes(
    ctx: &mut LandingContext<'_>,
    details: &[OrderDetail],
) -> Result<(), TxError> {
    let SortedDetails { known, rejected } = sort(details);
    let refused = land_each(ctx, &known).await?;
    let refused = refused.iter().map(|(known, why)| known.rejected(why));
    let rejected: Vec<Rejected<'_>> = rejected.into_iter().chain(refused).collect();
    reject_details(ctx, &rejected).await?;
    reject_customers(ctx, |order_id| {
        let known = known.iter().find(|known| known.order_id() == order_id);
        known.map(Known::version)
    })
    .await
}

/// A detail that was understood, with its items and the text they came in.
struct DetailRecord<'a> {
    version: Version,
    raw: &'a str,
    items_raw: Option<&'a str>,
    whole: WholeOrder<'a>,
}

/// What is known of an order now.
enum Known<'a> {
    DetailRecord(DetailRecord<'a>),
    Gone(i64, Version),
}

impl<'a> Known<'a> {
    fn order_id(&self) -> i64 {
        match self {
            Self::DetailRecord(found) => found.whole.order.id,
            Self::Gone(order_id, _) => *order_id,
        }
    }

    fn version(&self) -> Version {
        match self {
            Self::DetailRecord(found) => found.version,
            Self::Gone(_, version) => *version,
        }
    }

    fn rejected<'r>(&'r self, rejection: &'r Rejection) -> Rejected<'r> {
        Rejected {
            kind: ORDER_DETAIL,
            rejection,
            salla_id: Some(self.order_id()),
            raw: match self {
                Self::DetailRecord(found) => found.raw,
                Self::Gone(..) => "",
            },
            version: self.version(),
            origin: None,
        }
    }
}

impl Lands for Known<'_> {
    const IS_WHOLE: bool = true;

    async fn land(ctx: &mut LandingContext<'_>, known: &[Self]) -> Result<(), TxError> {
        let (mut found, mut gone) = (Vec::new(), Vec::new());
        for known in known {
            match known {
                Known::DetailRecord(detail) => found.push(detail),
                Known::Gone(order_id, version) => gone.push((*order_id, *version)),
            }
        }
        let whole = encode_details(&mut ctx.press, &found)?;
        land_whole(ctx, &whole, ReadFrom::Details).await?;
        tombstone_orders(ctx, &gone).await
    }
}

/// What is known is sorted by id, the orders that are gone behind the others.
struct SortedDetails<'a> {
    known: Vec<Known<'a>>,
    rejected: Vec<Rejected<'a>>,
}

fn sort(details: &[OrderDetail]) -> SortedDetails<'_> {
    let mut newest: BTreeMap<i64, DetailRecord<'_>> = BTreeMap::new();
    let mut gone: BTreeMap<i64, Version> = BTreeMap::new();
    let mut rejected = Vec::new();
    for detail in details {
        match &detail.outcome {
            DetailOutcome::Gone => {
                let known = gone.entry(detail.order_id).or_insert(detail.version);
                *known = detail.version.max(*known);
            }
            DetailOutcome::Found { order, items } => match understood(order, items.as_ref()) {
                Ok((order, items)) => {
                    let found = found(detail.version, order, items);
                    let older = newest.get(&found.whole.order.id);
                    if older.is_none_or(|known| known.version <= found.version) {
                        newest.insert(found.whole.order.id, found);
                    }
                }
                Err((kind, rejection, raw)) => rejected.push(Rejected {
                    kind,
                    rejection,
                    // We requested this very order, even if the response has another id.
                    salla_id: Some(detail.order_id),
                    raw,
                    version: detail.version,
                    origin: None,
                }),
            },
        }
    }
    let found = newest.into_values().map(Known::DetailRecord);
    let gone = gone
        .into_iter()
        .map(|(id, version)| Known::Gone(id, version));
    SortedDetails {
        known: found.chain(gone).collect(),
        rejected,
    }
}

type Understood<'a> = ((&'a Order, &'a str), Option<(&'a [OrderItem], &'a str)>);

static NO_ITEMS: LazyLock<Rejection> = LazyLock::new(|| Rejection::no_items(None));

/// An order with unreadable items is rejected as a whole: with a line missing it would be wrong.
/// So is one without items that must have some, whose lines would else be deleted.
fn understood<'a>(
    order: &'a Decoded<Order>,
    items: Option<&'a Decoded<Vec<OrderItem>>>,
) -> Result<Understood<'a>, (&'static str, &'a Rejection, &'a str)> {
    let understood = match &order.outcome {
        Ok(order_record) => (order_record, &*order.raw),
        Err(rejection) => return Err((ORDER_DETAIL, rejection, &order.raw)),
    };
    let items = match items {
        None => None,
        Some(items) => match &items.outcome {
            Ok(list) => Some((list.as_slice(), &*items.raw)),
            Err(rejection) => return Err((ORDER_ITEMS, rejection, &items.raw)),
        },
    };
    let order = understood.0;
    let lines = items.map(|(list, _)| list).or(order.items.as_deref());
    if lines.is_some_and(|lines| order.lacks_all_items(lines)) {
        return Err((ORDER_ITEMS, &NO_ITEMS, items.map_or("", |(_, raw)| raw)));
    }
    Ok((understood, items))
}

fn found<'a>(
    version: Version,
    (order, raw): (&'a Order, &'a str),
    items: Option<(&'a [OrderItem], &'a str)>,
) -> DetailRecord<'a> {
    DetailRecord {
        version,
        raw,
        items_raw: items.map(|(_, raw)| raw),
        whole: WholeOrder {
            order,
            items: items.map(|(list, _)| list).or(order.items.as_deref()),
        },
    }
}

fn encode_details<'a>(
    press: &mut RawEncoder,
    found: &[&DetailRecord<'a>],
) -> Result<Vec<Incoming<WholeOrder<'a>>>, TxError> {
    let mut pressed = Vec::with_capacity(found.len());
    for found in found {
        let (content, items_raw) = match found.items_raw {
            None => (press.content(found.raw)?, None),
            Some(items) => (
                press.content_of([found.raw, items])?,
                press.compress(items)?,
            ),
        };
        pressed.push(Incoming {
            id: found.whole.order.id,
            version: found.version,
            content,
            items_raw,
            record: found.whole,
        });
    }
    Ok(pressed)
}

const REMOVE_ORDERS: &str = "DELETE FROM salla.orders WHERE merchant_id = $1 AND id = ANY($2)";

/// Takes away the orders that Salla no longer has, unless something newer is known.
async fn tombstone_orders(
    ctx: &mut LandingContext<'_>,
    gone: &[(i64, Version)],
) -> Result<(), TxError> {
    if gone.is_empty() {
        return Ok(());
    }
    let changes = land_gone(ctx.tx, &ctx.run, Resource::Orders, gone).await?;
    ctx.tally.discount_gone(&changes);
    let ids: Vec<i64> = changes.iter().map(|v| v.salla_id).collect();
    sqlx::query(REMOVE_ORDERS)
        .bind(ctx.run.merchant.0)
        .bind(&ids)
        .execute(&mut *ctx.tx)
        .await?;
    order_lines::remove_all(ctx.tx, &ctx.run, &ids).await?;
    let resolved = resolve_by_row(ctx, Resource::Orders, &ids).await?;
    ctx.tally.rejections_resolved(resolved);
    pending::remove(ctx.tx, &ctx.run, &ids).await
}

/// A rejected detail takes the order off the worklist; the row of its summary stays.
async fn reject_details(
    ctx: &mut LandingContext<'_>,
    rejected: &[Rejected<'_>],
) -> Result<(), TxError> {
    let ids: Vec<i64> = rejected.iter().filter_map(|r| r.salla_id).collect();
    pending::remove(ctx.tx, &ctx.run, &ids).await?;
    reject(ctx, Resource::Orders, rejected).await
}
