//! The orders of a shop together with what was changed while it runs.

use super::layer::Layer;
use super::{Order, OrderHead, Shop};
use std::ops::Range;

#[derive(Clone, Copy, Debug)]
pub(crate) struct OrderBook<'a> {
    pub(crate) shop: &'a Shop,
    pub(crate) layer: &'a Layer,
}

impl OrderBook<'_> {
    pub(crate) fn is_listed(&self, index: u64) -> bool {
        self.layer.is_listed(index)
    }

    pub(crate) fn index_of(&self, id: i64) -> Option<u64> {
        let index = self.shop.ids.order.index(id)?;
        self.is_listed(index).then_some(index)
    }

    pub(crate) fn index_of_reference(&self, reference_id: i64) -> Option<u64> {
        let index = self.shop.index_of_reference(reference_id)?;
        self.is_listed(index).then_some(index)
    }

    /// The shop's own orders of a stretch of time, listed or not.
    pub(crate) fn own(&self, moments: &Range<i64>) -> Range<u64> {
        let calendar = &self.shop.calendar;
        let position = |moment: i64| match moment {
            i64::MIN => 0,
            i64::MAX => calendar.orders(),
            moment => calendar.first_at_or_after(moment),
        };
        position(moments.start)..position(moments.end)
    }

    /// The listed orders of a stretch of time, oldest first.
    pub(crate) fn numbers(&self, moments: Range<i64>) -> impl Iterator<Item = u64> + use<> {
        let own = self.own(&moments);
        self.layer.merged(own.clone(), moments).numbers(own.start)
    }

    pub(crate) fn created_at(&self, index: u64) -> i64 {
        self.layer
            .moment_of_added(index)
            .unwrap_or_else(|| self.shop.calendar.created_at(index))
    }

    pub(crate) fn head(&self, index: u64) -> OrderHead {
        let mut head = self.shop.order_head(index, self.created_at(index));
        if let Some(edit) = self.layer.edit_of(index) {
            if let Some(status) = edit.status {
                head.status = status;
                head.custom_status = None;
            }
            head.updated_at = edit.updated_at;
        }
        head
    }

    pub(crate) fn order(&self, index: u64) -> Order {
        let extra = self.layer.edit_of(index).map_or(0, |edit| edit.steps);
        self.shop.price(self.head(index), extra)
    }
}
