//! How the lists lie: about their totals, about where they end, and about what
//! lies too deep. All of it is off by default.

use serde::{Deserialize, Serialize};

/// The behavior of each of the great lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lists {
    pub orders: ListBehavior,
    pub customers: ListBehavior,
    pub products: ListBehavior,
}

with_defaults! {
    /// What one list does to its readers. The rows themselves stay true.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct ListBehavior {
        /// Added to every `total`; one integrator saw 4,610 for 4,598 customers.
        pub total_off: i64,
        /// `total` moves up and down by as much as this from page to page. The
        /// same page of the same list always has the same `total`.
        pub total_jitter: u32,
        /// Whether `totalPages` follows the false total; else it is the true one.
        pub pages_follow_total: bool = true,
        pub ceiling: Option<Ceiling>,
        pub endless_pages: Option<EndlessPages>,
    }
}

with_defaults! {
    /// How deep a single question can be read. One connector reports that
    /// `page` × `per_page` must not pass 10,000.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Ceiling {
        pub rows: u64 = 10_000,
        pub how: CeilingBehavior,
        /// A page that reaches across the ceiling is beyond it, instead of ending at it.
        pub whole_pages: bool,
        /// The status of `CeilingBehavior::Error`: 422, or 400 with a number as code.
        pub error_status: u16 = 422,
    }
}

/// What a page beyond the ceiling is like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CeilingBehavior {
    /// Empty, while `total` still counts all rows.
    #[default]
    Empty,
    /// An error, which the request paid for.
    Error,
    /// Empty, and `total` is cut on every page, as if there were no more.
    Lie,
    /// The last page below the ceiling again.
    RepeatLast,
}

/// Lists that never come to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndlessPages {
    /// Past the end comes the last page again, always with a `links.next`;
    /// `totalPages` stays true.
    LastPage,
    /// The same, and `totalPages` is always one more than the page asked for.
    LastPageGrowing,
    /// Whatever page is asked for, the first one comes and calls itself so.
    FirstPage,
}
