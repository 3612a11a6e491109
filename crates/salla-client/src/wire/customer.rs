//! Customers (docs.salla.dev/5394121e0), also as they stand inside an order
//! (docs/salla-api.md#customers).

use serde::Deserialize;

use crate::lenient::Json;

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Customer<'a> {
    #[serde(borrow)]
    pub(crate) id: Json<'a>,
    /// In reduced customers only, in place of first and last name.
    pub(crate) name: Json<'a>,
    pub(crate) full_name: Json<'a>,
    pub(crate) first_name: Json<'a>,
    pub(crate) last_name: Json<'a>,
    /// A number without country code, or a string with it.
    pub(crate) mobile: Json<'a>,
    /// `"+966"` or `"967"`.
    pub(crate) mobile_code: Json<'a>,
    pub(crate) email: Json<'a>,
    pub(crate) gender: Json<'a>,
    pub(crate) birthday: Json<'a>,
    pub(crate) city: Json<'a>,
    pub(crate) country: Json<'a>,
    /// `SA` or `sa`.
    pub(crate) country_code: Json<'a>,
    pub(crate) currency: Json<'a>,
    pub(crate) created_at: Json<'a>,
    pub(crate) updated_at: Json<'a>,
}
