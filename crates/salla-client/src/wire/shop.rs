//! `GET /store/info` (docs.salla.dev/5394261e0, docs/salla-api.md#store).

use serde::Deserialize;

use crate::lenient::Json;

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct ShopInfo<'a> {
    #[serde(borrow)]
    pub(crate) id: Json<'a>,
    pub(crate) name: Json<'a>,
    pub(crate) plan: Json<'a>,
    #[serde(rename = "type")]
    pub(crate) kind: Json<'a>,
    pub(crate) status: Json<'a>,
    pub(crate) currency: Json<'a>,
    pub(crate) domain: Json<'a>,
}
