//! Customers of a shop.

use jiff::civil::Date;

use crate::instant::SallaInstant;

/// A customer (docs.salla.dev/5394121e0). Names and mobile are optional since
/// Salla's change 2.10.11.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Customer {
    pub id: i64,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub email: Option<String>,
    /// Digits without country code, as Salla keeps them.
    pub mobile: Option<String>,
    /// Country code with or without `+`, as sent.
    pub mobile_code: Option<String>,
    pub gender: Option<String>,
    pub birthday: Option<Date>,
    pub city: Option<String>,
    pub country: Option<String>,
    pub country_code: Option<String>,
    pub currency: Option<String>,
    pub created_at: Option<SallaInstant>,
    pub updated_at: Option<SallaInstant>,
}
