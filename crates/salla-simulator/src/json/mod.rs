//! Records as Salla writes them, oddities included.

mod catalogue;
mod customer;
mod delivery;
mod item;
mod oddity;
mod order;
mod order_parts;
mod store;
mod view;
mod writer;

pub(crate) use catalogue::{category, product, product_light, variant};
pub(crate) use customer::customer;
pub(crate) use item::item;
pub(crate) use order::{OrderForm, order};
pub(crate) use store::{order_status, store_info, user_info};
pub(crate) use view::{Language, View};
pub(crate) use writer::Json;
