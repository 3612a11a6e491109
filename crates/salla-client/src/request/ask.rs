//! Questions and answers.

use domain::order::Version;
use importer::memory::Size;

use crate::pacing::Class;

/// One question to Salla.
#[derive(Clone, Debug)]
pub struct Ask {
    /// For logs and failures: "listing orders of 2025-01-01 to 2025-01-31, page 3". Holds no personal data.
    pub what: String,
    pub path: String,
    pub query: Vec<(&'static str, String)>,
    pub class: Class,
    /// Whether it also costs the budget of `/customers*`.
    pub customers: bool,
}

impl Ask {
    /// What the answer may take in memory. Only lists have pages.
    pub(crate) fn size(&self) -> Size {
        match self.query.iter().any(|(name, _)| *name == "page") {
            _ if self.customers => Size::Customers,
            true => Size::Page,
            false => Size::Record,
        }
    }
}

/// `GET /store/info`, which needs no scope of the import.
pub const STORE_INFO: &str = "store/info";

/// What Salla answered, as read, and when the request was sent that it answers.
#[derive(Clone, Debug)]
pub struct Fetched<T> {
    pub value: T,
    pub version: Version,
}

/// The question whose answer tells a bad token from a missing scope.
pub fn store_info() -> Ask {
    Ask {
        what: "asking for the shop".to_owned(),
        path: STORE_INFO.to_owned(),
        query: Vec::new(),
        class: Class(0),
        customers: false,
    }
}
