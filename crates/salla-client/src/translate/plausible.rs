//! What becomes of dates that cannot be true: of those that nothing depends on, nothing
//! is kept but the raw record; an order whose own date is one of them is rejected, because
//! it belongs to no day.

use domain::catalogue::{Category, Product};
use domain::customer::Customer;
use domain::instant::SallaInstant;
use domain::order::{Order, OrderCustomer, OrderItem, OrderStatus};
use domain::plausible::PlausibleDates;
use domain::rejection::{Rejection, RejectionCode};
use importer::ports::platform::{Decoded, Records};
use jiff::Timestamp;

use super::fields::Defect;

/// A record with its own dates or those of its parts.
pub(crate) trait Dated {
    fn keep_plausible(&mut self, dates: &PlausibleDates) -> Result<(), Rejection>;
}

/// The record without the dates that it cannot have had at `now`.
pub(crate) fn with_plausible_dates<T: Dated>(record: Decoded<T>, now: Timestamp) -> Decoded<T> {
    checked(record, &PlausibleDates::at(now))
}

pub(crate) fn with_plausible_dates_of_list(records: Records, now: Timestamp) -> Records {
    fn all<T: Dated>(records: Vec<Decoded<T>>, dates: &PlausibleDates) -> Vec<Decoded<T>> {
        let records = records.into_iter();
        records.map(|record| checked(record, dates)).collect()
    }
    let dates = &PlausibleDates::at(now);
    match records {
        Records::Orders(records) => Records::Orders(all(records, dates)),
        Records::Customers(records) => Records::Customers(all(records, dates)),
        Records::Products(records) => Records::Products(all(records, dates)),
        Records::Categories(records) => Records::Categories(all(records, dates)),
        Records::OrderStatuses(records) => Records::OrderStatuses(records),
    }
}

fn checked<T: Dated>(record: Decoded<T>, dates: &PlausibleDates) -> Decoded<T> {
    let outcome = record.outcome.and_then(|mut value| {
        value.keep_plausible(dates)?;
        Ok(value)
    });
    Decoded { outcome, ..record }
}

fn keep(date: &mut Option<SallaInstant>, dates: &PlausibleDates) {
    if date
        .as_ref()
        .is_some_and(|date| !dates.contain(date.instant))
    {
        *date = None;
    }
}

impl Dated for Order {
    fn keep_plausible(&mut self, dates: &PlausibleDates) -> Result<(), Rejection> {
        if !dates.contain(self.created_at.instant) {
            let message = "the date is before the year 2000 or in the future";
            let defect = Defect::new(RejectionCode::InvalidDate, message);
            return Err(defect.at("date").reject(Some(self.id)));
        }
        keep(&mut self.updated_at, dates);
        match &mut self.customer {
            Some(OrderCustomer::Known(customer)) => customer.keep_plausible(dates),
            Some(OrderCustomer::Guest) | None => Ok(()),
        }
    }
}

impl Dated for Customer {
    fn keep_plausible(&mut self, dates: &PlausibleDates) -> Result<(), Rejection> {
        keep(&mut self.created_at, dates);
        keep(&mut self.updated_at, dates);
        self.birthday = self.birthday.filter(|day| dates.contain_birthday(*day));
        Ok(())
    }
}

impl Dated for Product {
    fn keep_plausible(&mut self, dates: &PlausibleDates) -> Result<(), Rejection> {
        keep(&mut self.updated_at, dates);
        Ok(())
    }
}

impl Dated for Category {
    fn keep_plausible(&mut self, dates: &PlausibleDates) -> Result<(), Rejection> {
        keep(&mut self.updated_at, dates);
        let mut below = self.sub_categories.iter_mut();
        below.try_for_each(|category| category.keep_plausible(dates))
    }
}

/// Neither items nor statuses have dates.
impl Dated for Vec<OrderItem> {
    fn keep_plausible(&mut self, _: &PlausibleDates) -> Result<(), Rejection> {
        Ok(())
    }
}

impl Dated for OrderStatus {
    fn keep_plausible(&mut self, _: &PlausibleDates) -> Result<(), Rejection> {
        Ok(())
    }
}
