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
    /// two of Salla's samples seem to have it. No reader can know, so the truth
    /// is what the label says: `created_at`, its day and its month are those of
    /// the string read as Riyadh time, three hours before the real moment. The
    /// lists still filter and sort by the real one, so an order placed between
    /// midnight and three is listed under a day on which, by its date, it was
    /// not placed.
    pub utc_labelled_dates: bool,
    /// How many digits a fraction has, which is one setting for all of PHP.
    pub float_digits: FloatDigits,
    /// A byte in one text of each response that has a name in it.
    pub damaged_texts: Option<TextDamage>,
    /// The damaged text is in an undocumented member, so that all others equal the truth.
    pub damage_spares_names: bool,
    /// Records that are longer than anything a shop holds.
    pub long_records: Option<LongRecords>,
    /// Responses of the API with status 200 are compressed for every client.
    pub gzip: bool,
}

/// An additional, undocumented member in records of lists and in single ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LongRecords {
    pub bytes: usize,
    /// One in this number of records, by their ids.
    pub one_of: u64,
    pub filling: Filling,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filling {
    /// One letter again and again: next to nothing once it is compressed.
    Letter,
    /// Letters without a pattern.
    Noise,
    /// Line items of a few bytes each: short as a text, and not in memory.
    Items,
}

/// PHP's `serialize_precision`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FloatDigits {
    /// -1: `67.2`.
    #[default]
    Shortest,
    /// 17: `67.200000000000003`.
    Seventeen,
    /// 100: every binary digit, `67.2000000000000028421709430404007434844970703125`.
    All,
}

/// What stands at the beginning of a text and makes the whole response no JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextDamage {
    /// A byte that is no UTF-8.
    StrayByte,
    /// A character of Latin-1.
    Latin1,
    /// A control character that is not escaped.
    RawControl,
    /// U+0000, which is not escaped either.
    RawNul,
    /// An escape that JSON does not know.
    UnknownEscape,
}

impl TextDamage {
    pub(crate) fn bytes(self) -> &'static [u8] {
        match self {
            Self::StrayByte => b"\xd8",
            Self::Latin1 => b"\xe9t\xe9",
            Self::RawControl => b"\x1b",
            Self::RawNul => b"\x00",
            Self::UnknownEscape => br"\x41",
        }
    }
}

/// What `pagination.links` is when there is no other page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmptyLinks {
    #[default]
    Object,
    Array,
}

with_defaults! {
    /// What `from_date` and `to_date` mean, which Salla does not document; the same
    /// for `date_from` and `date_to` of customers. A bound that is a day is meant
    /// as a whole one: an exclusive bound leaves its whole day out.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct DateFilter {
        pub from_inclusive: bool = true,
        pub to_inclusive: bool = true,
        pub zone: FilterZone = FilterZone::Riyadh,
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

/// What the bounds of the customer list do. Salla's page describes them the
/// wrong way round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CustomerDates {
    /// `date_from` is the lower bound, as integrators use it.
    #[default]
    AsNamed,
    /// `date_from` is the upper bound, as the page describes it.
    Swapped,
    /// They do nothing.
    Ignored,
}

/// What `status` and `category` of the product list do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProductFilters {
    #[default]
    Honoured,
    /// They do nothing.
    Ignored,
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
