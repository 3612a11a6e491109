//! What a writer needs to know besides the record: the shop, what changed in
//! it, the scenario, and the reader's language.

use crate::scenario::Scenario;
use crate::shop::{
    CustomerBook, Order, OrderBook, OrderHead, Original, Overlay, ProductBook, Shop,
};

#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub(crate) shop: &'a Shop,
    pub(crate) overlay: &'a Overlay,
    pub(crate) scenario: &'a Scenario,
    pub(crate) language: Language,
    /// How many API requests of the shop were let in before this one.
    pub(crate) served: u64,
}

/// `Accept-Language`; Arabic is the default (docs.salla.dev/421122m0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    Arabic,
    English,
}

impl<'a> View<'a> {
    pub(crate) fn book(&self) -> OrderBook<'a> {
        OrderBook {
            shop: self.shop,
            layer: &self.overlay.orders,
        }
    }

    pub(crate) fn customers(&self) -> CustomerBook<'a> {
        CustomerBook {
            shop: self.shop,
            layer: &self.overlay.customers,
        }
    }

    pub(crate) fn products(&self) -> ProductBook<'a> {
        ProductBook {
            shop: self.shop,
            layer: &self.overlay.products,
        }
    }

    pub(crate) fn seed(&self) -> u64 {
        self.shop.spec.seed
    }

    pub(crate) fn status_name(&self, status: Original) -> &'static str {
        match self.language {
            Language::Arabic => status.arabic(),
            Language::English => status.english(),
        }
    }

    pub(crate) fn domain(&self) -> String {
        format!("https://salla.sa/dev-{}", self.shop.id)
    }

    pub(crate) fn begin_order(&self, json: &mut super::Json, head: &OrderHead) {
        let broken = self.scenario.invalid.order(self.seed(), head.index);
        json.begin_record(self.seed(), head.index, broken);
    }

    pub(crate) fn order(&self, index: u64) -> Order {
        self.book().order(index)
    }
}
