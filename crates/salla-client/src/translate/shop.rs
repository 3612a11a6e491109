//! The shop itself.

use domain::rejection::Rejection;
use domain::shop::{ShopInfo, ShopPlan};
use serde_json::value::RawValue;

use super::defect::Defect;
use super::record;
use crate::wire;

/// `GET /store/info` (docs.salla.dev/5394261e0, docs/salla-api.md#store).
pub fn shop_info(raw: &RawValue) -> Result<ShopInfo, Rejection> {
    record(raw, |wire: &wire::ShopInfo<'_>| wire.id, build)
}

/// A missing plan becomes an unknown one: its budget is learnt from the headers.
fn build(salla_id: i64, wire: &wire::ShopInfo<'_>) -> Result<ShopInfo, Defect> {
    Ok(ShopInfo {
        salla_id,
        name: wire.name.string().unwrap_or_default(),
        plan: ShopPlan::parse(wire.plan.text().as_deref().unwrap_or_default()),
        kind: wire.kind.string(),
        status: wire.status.string(),
        currency: wire.currency.string(),
        domain: wire.domain.string(),
    })
}
