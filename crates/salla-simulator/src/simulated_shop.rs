//! One shop of a running simulator, and the changes to it while it is being read: by a
//! test's handle, by a program over HTTP, or by the scenario's drift.

use crate::accounts::Tokens;
use crate::api::Selections;
use crate::drift::DriftState;
use crate::endpoint::Resource;
use crate::ledger::Ledger;
use crate::limits::ShopLimiter;
use crate::shop::{Edit, Layer, Overlay, Scramble, Shop};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// One shop and what happens to it.
#[derive(Debug)]
pub(crate) struct SimulatedShop {
    pub(crate) shop: Arc<Shop>,
    pub(crate) tokens: Tokens,
    pub(crate) limiter: Mutex<ShopLimiter>,
    pub(crate) ledger: Mutex<Ledger>,
    pub(crate) selections: Mutex<Selections>,
    pub(crate) drift: Mutex<DriftState>,
    /// How many requests to the API were let in.
    pub(crate) served: AtomicU64,
    overlay: RwLock<Arc<Overlay>>,
}

impl SimulatedShop {
    pub(crate) fn new(shop: Arc<Shop>, tokens: Tokens) -> Self {
        Self {
            overlay: RwLock::new(Arc::new(Overlay::new(&shop))),
            shop,
            tokens,
            limiter: Mutex::default(),
            ledger: Mutex::default(),
            selections: Mutex::default(),
            drift: Mutex::default(),
            served: AtomicU64::new(0),
        }
    }

    pub(crate) fn overlay(&self) -> Arc<Overlay> {
        self.overlay
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Changes the shop. Holders of the former overlay keep it.
    fn mutate<T>(&self, change: impl FnOnce(&mut Overlay) -> T) -> T {
        let mut overlay = self.overlay.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut overlay))
    }

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

/// The numbering of the records of a kind.
pub(crate) fn ids(shop: &Shop, resource: Resource) -> &Scramble {
    match resource {
        Resource::Orders => &shop.ids.order,
        Resource::Customers => &shop.ids.customer,
        Resource::Products => &shop.ids.product,
    }
}
