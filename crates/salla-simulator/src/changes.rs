//! Changes to a shop while it is being read, whoever makes them: a test by the
//! handle, a program over HTTP, or the scenario's drift.

use crate::platform::SimulatedShop;
use crate::shop::{Edit, Layer, Overlay, Scramble, Shop};
use crate::truth::Resource;

impl SimulatedShop {
    /// Adds a record, of which products have no moment in any list, and gives
    /// its id.
    pub(crate) fn insert(&self, resource: Resource, created_at: i64) -> i64 {
        let shop = &self.shop;
        let before = match resource {
            Resource::Orders => shop.calendar.first_at_or_after(created_at + 1),
            Resource::Customers => shop.customers_before(created_at + 1),
            Resource::Products => shop.spec.products,
        };
        self.mutate(|overlay| {
            let index = layer(overlay, resource).add(created_at, before);
            ids(shop, resource).id(index)
        })
    }

    /// False if there is no such record in the lists.
    pub(crate) fn edit(
        &self,
        resource: Resource,
        id: i64,
        now: i64,
        change: impl FnOnce(&mut Edit),
    ) -> bool {
        self.change(resource, id, |layer, index| {
            layer.edit(index, |edit| {
                edit.updated_at = now;
                change(edit);
            })
        })
    }

    /// Takes a record out of its list for good.
    pub(crate) fn delete(&self, resource: Resource, id: i64) -> bool {
        self.change(resource, id, Layer::delete)
    }

    /// Makes a draft of a record: it is in no list, and its details are not
    /// found either.
    pub(crate) fn hide(&self, resource: Resource, id: i64) -> bool {
        self.change(resource, id, Layer::hide)
    }

    /// Puts a hidden record back where it was. That is a change of the record:
    /// it is updated now, while it was created when it was.
    pub(crate) fn unhide(&self, resource: Resource, id: i64, now: i64) -> bool {
        self.change(resource, id, Layer::unhide) && self.edit(resource, id, now, |_| {})
    }

    fn change(
        &self,
        resource: Resource,
        id: i64,
        change: impl FnOnce(&mut Layer, u64) -> bool,
    ) -> bool {
        let index = ids(&self.shop, resource).index(id);
        index.is_some_and(|index| self.mutate(|overlay| change(layer(overlay, resource), index)))
    }
}

fn layer(overlay: &mut Overlay, resource: Resource) -> &mut Layer {
    match resource {
        Resource::Orders => &mut overlay.orders,
        Resource::Customers => &mut overlay.customers,
        Resource::Products => &mut overlay.products,
    }
}

fn ids(shop: &Shop, resource: Resource) -> &Scramble {
    match resource {
        Resource::Orders => &shop.ids.order,
        Resource::Customers => &shop.ids.customer,
        Resource::Products => &shop.ids.product,
    }
}
