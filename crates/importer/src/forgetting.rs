//! A platform that replaces forgotten customers.
//!
//! Their data never reaches the import: an empty placeholder takes their place, in lists, in orders
//! and in raw texts. So lists keep their number of rows, orders keep their amounts, and no
//! forgotten customer comes back.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use domain::customer::Customer;
use domain::failure::Failure;
use domain::order::{Order, OrderCustomer, OrderItem, Version};
use domain::resource::Resource;
use domain::shop::ShopInfo;
use jiff::SignedDuration;

use crate::admission::FetchPermit;
use crate::ports::platform::{
    BudgetStatus, Decoded, Page, PageRequest, Platform, Records, VersionedRecord,
};
use crate::ports::privacy::{ForgottenCustomers, Redactor};

pub struct ForgettingPlatform {
    pub platform: Arc<dyn Platform>,
    pub forgotten: Arc<dyn ForgottenCustomers>,
    pub redactor: Arc<dyn Redactor>,
    /// Orders of forgotten customers whose items may be requested next.
    orders: Mutex<HashSet<i64>>,
}

impl ForgettingPlatform {
    pub fn new(
        platform: Arc<dyn Platform>,
        forgotten: Arc<dyn ForgottenCustomers>,
        redactor: Arc<dyn Redactor>,
    ) -> Self {
        Self {
            platform,
            forgotten,
            redactor,
            orders: Mutex::default(),
        }
    }

    fn customer(&self, record: &mut Decoded<Customer>) {
        let id = match &record.outcome {
            Ok(customer) => Some(customer.id),
            Err(rejection) => rejection.salla_id,
        };
        let Some(stand_in) = id.and_then(|id| self.forgotten.stand_in(id)) else {
            return;
        };
        record.raw = self.redactor.customer(stand_in).into();
        match &mut record.outcome {
            Ok(customer) => *customer = placeholder(stand_in),
            Err(rejection) => rejection.salla_id = Some(stand_in),
        }
    }

    fn order(&self, record: &mut Decoded<Order>) {
        let known = match &record.outcome {
            Ok(order) => order.customer.as_ref().and_then(OrderCustomer::id),
            Err(_) => None,
        };
        let customer = known.or_else(|| self.redactor.customer_of(&record.raw));
        let stand_in = customer.and_then(|id| self.forgotten.stand_in(id));
        let Some(stand_in) = stand_in else { return };
        record.raw = self.redactor.order(&record.raw, stand_in).into();
        if let Ok(order) = &mut record.outcome {
            if order.customer.is_some() {
                order.customer = Some(OrderCustomer::Known(Box::new(placeholder(stand_in))));
            }
            let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
            orders.insert(order.id);
        }
    }
}

/// All that is left of a customer.
fn placeholder(stand_in: i64) -> Customer {
    Customer {
        id: stand_in,
        ..Customer::default()
    }
}

#[async_trait]
impl Platform for ForgettingPlatform {
    async fn shop_info(&self) -> Result<ShopInfo, Failure> {
        self.platform.shop_info().await
    }

    async fn list_page(
        &self,
        request: &PageRequest,
        permit: &mut FetchPermit,
    ) -> Result<Page, Failure> {
        let mut page = self.platform.list_page(request, permit).await?;
        match &mut page.records {
            Records::Customers(records) => {
                records.iter_mut().for_each(|record| self.customer(record));
            }
            Records::Orders(records) => records.iter_mut().for_each(|record| self.order(record)),
            Records::Products(_) | Records::Categories(_) | Records::OrderStatuses(_) => {}
        }
        Ok(page)
    }

    async fn order_detail(
        &self,
        order_id: i64,
        permit: &mut FetchPermit,
    ) -> Result<Option<VersionedRecord<Order>>, Failure> {
        let mut answer = self.platform.order_detail(order_id, permit).await?;
        if let Some(answer) = &mut answer {
            self.order(&mut answer.record);
        }
        Ok(answer)
    }

    async fn order_items(
        &self,
        order_id: i64,
        permit: &mut FetchPermit,
    ) -> Result<Option<VersionedRecord<Vec<OrderItem>>>, Failure> {
        let mut answer = self.platform.order_items(order_id, permit).await?;
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = &mut answer
            && orders.remove(&order_id)
        {
            answer.record.raw = self.redactor.order_items(&answer.record.raw).into();
        }
        Ok(answer)
    }

    async fn record(
        &self,
        resource: Resource,
        id: i64,
        permit: &mut FetchPermit,
    ) -> Result<Option<(Records, Version)>, Failure> {
        let mut answer = self.platform.record(resource, id, permit).await?;
        match &mut answer {
            Some((Records::Customers(records), _)) => {
                records.iter_mut().for_each(|record| self.customer(record));
            }
            None if resource == Resource::Customers => {
                return Ok(self.forgotten.stand_in(id).map(|stand_in| {
                    let record = Decoded {
                        raw: self.redactor.customer(stand_in).into(),
                        outcome: Ok(placeholder(stand_in)),
                    };
                    // Older than every stored version, so that it changes nothing: a tombstone
                    // would hold the id of a forgotten customer.
                    (Records::Customers(vec![record]), Version::UNIX_EPOCH)
                }));
            }
            _ => {}
        }
        Ok(answer)
    }

    fn budget(&self) -> BudgetStatus {
        self.platform.budget()
    }

    fn clock_offset(&self) -> Option<SignedDuration> {
        self.platform.clock_offset()
    }
}
