//! What has been changed in a shop since it was made: the place for records
//! that are inserted, edited, hidden or deleted while somebody reads them.

use super::Shop;
use super::layer::Layer;

#[derive(Clone, Debug)]
pub(crate) struct Overlay {
    pub(crate) orders: Layer,
    pub(crate) customers: Layer,
    pub(crate) products: Layer,
}

impl Overlay {
    /// A shop in which nothing has happened yet.
    pub(crate) fn new(shop: &Shop) -> Self {
        let (orders, customers) = (shop.spec.orders, shop.spec.customers);
        Self {
            orders: Layer::new(orders, orders),
            customers: Layer::new(customers, customers),
            products: Layer::new(shop.spec.products, shop.first_added_product()),
        }
    }
}
