//! Landing the answers of the detail pass.

use std::collections::BTreeMap;

use domain::order::{Order, OrderItem, Version};
use domain::rejection::Rejection;
use domain::resource::Resource;
use importer::ports::landing::{DetailOutcome, Landed, LandedDetail, RunLease};
use importer::ports::platform::Decoded;
use jiff::Timestamp;
use sqlx::PgPool;

use crate::failure::Trouble;
use crate::landing::counters::{Cursor, record};
use crate::landing::orders::{WholeOrder, land_whole};
use crate::landing::pages::{NewRows, Workplace};
use crate::landing::raw::Press;
use crate::landing::rejections::{ORDER_DETAIL, ORDER_ITEMS, Rejected, set_aside};
use crate::landing::sources::{Incoming, land_gone};
use crate::landing::{order_lines, pending};
use crate::lease::hold;

pub(crate) async fn land(
    pool: &PgPool,
    lease: RunLease,
    details: &[LandedDetail],
    now: Timestamp,
) -> Result<Landed, Trouble> {
    let Some(last) = details.last() else {
        return Ok(Landed::default());
    };
    let mut tx = pool.begin().await?;
    let run = hold(&mut tx, lease).await?;
    let mut place = Workplace::new(&mut tx, run, now, NewRows::MayExist)?;
    land_outcomes(&mut place, details).await?;
    let cursor = Cursor {
        resource: "order_details",
        window: None,
        page: None,
        order_id: Some(last.order_id),
    };
    record(place.tx, &place.run, &place.tally, cursor, now).await?;
    let landed = place.tally.landed;
    tx.commit().await?;
    Ok(landed)
}

/// Everything but the counters.
pub(crate) async fn land_outcomes(
    place: &mut Workplace<'_>,
    details: &[LandedDetail],
) -> Result<(), Trouble> {
    let sorted = sort(details);
    let whole = press_whole(&mut place.press, &sorted.found)?;
    land_whole(place, &whole).await?;
    bury(place, &sorted.gone).await?;
    set_details_aside(place, &sorted.rejected).await
}

/// A detail that was understood, with its items and the text they came in.
struct Found<'a> {
    version: Version,
    raw: &'a str,
    items_raw: Option<&'a str>,
    whole: WholeOrder<'a>,
}

#[derive(Default)]
struct Sorted<'a> {
    /// By id, the newest of each.
    found: BTreeMap<i64, Found<'a>>,
    gone: BTreeMap<i64, Version>,
    rejected: Vec<Rejected<'a>>,
}

fn sort(details: &[LandedDetail]) -> Sorted<'_> {
    let mut sorted = Sorted::default();
    for detail in details {
        match &detail.outcome {
            DetailOutcome::Gone => {
                let known = sorted.gone.entry(detail.order_id).or_insert(detail.version);
                *known = detail.version.max(*known);
            }
            DetailOutcome::Found { order, items } => match understood(order, items.as_ref()) {
                Ok((order, items)) => {
                    let found = found(detail.version, order, items);
                    let older = sorted.found.get(&found.whole.order.id);
                    if older.is_none_or(|known| known.version <= found.version) {
                        sorted.found.insert(found.whole.order.id, found);
                    }
                }
                Err((kind, rejection, raw)) => sorted.rejected.push(Rejected {
                    kind,
                    rejection,
                    // We asked for this very order, whatever the answer says.
                    salla_id: Some(detail.order_id),
                    raw,
                    version: detail.version,
                    origin: None,
                }),
            },
        }
    }
    sorted
}

type Understood<'a> = ((&'a Order, &'a str), Option<(&'a [OrderItem], &'a str)>);

/// An order whose items cannot be read is set aside as a whole: with a line missing
/// it would be wrong.
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
    Ok((understood, items))
}

fn found<'a>(
    version: Version,
    (order, raw): (&'a Order, &'a str),
    items: Option<(&'a [OrderItem], &'a str)>,
) -> Found<'a> {
    Found {
        version,
        raw,
        items_raw: items.map(|(_, raw)| raw),
        whole: WholeOrder {
            order,
            items: items.map(|(list, _)| list).or(order.items.as_deref()),
        },
    }
}

fn press_whole<'a>(
    press: &mut Press,
    found: &BTreeMap<i64, Found<'a>>,
) -> Result<Vec<Incoming<WholeOrder<'a>>>, Trouble> {
    let mut pressed = Vec::with_capacity(found.len());
    for (id, found) in found {
        let (content, items_raw) = match found.items_raw {
            None => (press.content(found.raw)?, None),
            Some(items) => (
                press.content_of([found.raw, items])?,
                press.compress(items)?,
            ),
        };
        pressed.push(Incoming {
            id: *id,
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
async fn bury(place: &mut Workplace<'_>, gone: &BTreeMap<i64, Version>) -> Result<(), Trouble> {
    if gone.is_empty() {
        return Ok(());
    }
    let gone: Vec<(i64, Version)> = gone.iter().map(|(id, version)| (*id, *version)).collect();
    let verdicts = land_gone(place.tx, &place.run, Resource::Orders, &gone).await?;
    place.tally.discount_gone(&verdicts);
    let ids: Vec<i64> = verdicts.iter().map(|v| v.salla_id).collect();
    sqlx::query(REMOVE_ORDERS)
        .bind(place.run.merchant.0)
        .bind(&ids)
        .execute(&mut *place.tx)
        .await?;
    order_lines::remove_all(place.tx, &place.run, &ids).await?;
    pending::remove(place.tx, &place.run, &ids).await
}

/// A rejected detail takes the order off the worklist; its header's row stays.
async fn set_details_aside(
    place: &mut Workplace<'_>,
    rejected: &[Rejected<'_>],
) -> Result<(), Trouble> {
    let ids: Vec<i64> = rejected.iter().filter_map(|r| r.salla_id).collect();
    pending::remove(place.tx, &place.run, &ids).await?;
    let resource = Resource::Orders;
    let count = set_aside(place.tx, &place.run, resource, rejected, place.now).await?;
    place.tally.count_rejected(count);
    Ok(())
}
