//! Oddities that a lenient reader can decode. Each chance is per field; which
//! field is odd follows from the seed and the record.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quirks {
    /// Numbers sent as strings.
    pub string_numbers: f64,
    /// Such strings written in Arabic-Indic digits ("٥٥٫٥"), as a share of
    /// them. Salla does this in labels; in amounts it is our own malice.
    pub arabic_digits: f64,
    /// "Nothing" sent as `{}`, `[]`, or not at all, where it is usually null.
    pub empty_forms: f64,
    /// The word `"null"` for a missing text.
    pub literal_null: f64,
    /// Dates as plain strings, ISO with Z, or epoch seconds.
    pub date_forms: f64,
    /// The creation date of orders in UTC although it is labelled Riyadh, as
    /// two of Salla's samples seem to have it. The truth keeps the real moment.
    pub utc_labelled_dates: bool,
}

/// What `pagination.links` is when there is no other page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmptyLinks {
    #[default]
    Object,
    Array,
}

/// What `from_date` and `to_date` mean, which Salla does not document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DateFilter {
    pub from_inclusive: bool,
    pub to_inclusive: bool,
    pub zone: FilterZone,
}

impl Default for DateFilter {
    fn default() -> Self {
        Self {
            from_inclusive: true,
            to_inclusive: true,
            zone: FilterZone::Riyadh,
        }
    }
}

/// Whose days a date filter means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilterZone {
    #[default]
    Riyadh,
    Utc,
}

/// How an order item names its product. The documented item does not at all;
/// the full form nests it (docs.salla.dev/5394147e0, /5565737e0).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemProduct {
    #[default]
    Nested,
    /// A bare `product_id`, as in reduced webhooks.
    IdOnly,
    Absent,
}
