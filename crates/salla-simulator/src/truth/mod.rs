//! What a correct import holds: every record as it was meant, and every record
//! that must be refused, with the reason. It is computed from the same orders
//! as the lists but never from their JSON, so a misreading of the wire cannot
//! agree with it by accident.

mod records;

pub use records::*;

use crate::endpoint::Resource;
use crate::shop::invalid::InvalidRates;
use crate::shop::{
    Currency, CustomerBook, Item, Money, Order, OrderBook, Original, Overlay, Product, ProductBook,
    Shop, riyadh,
};
use jiff::civil::Date;
use rust_decimal::Decimal;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A shop at one moment, changes until then included, to compare with row by
/// row.
#[derive(Clone, Debug)]
pub struct ShopView {
    pub(crate) shop: Arc<Shop>,
    pub(crate) overlay: Arc<Overlay>,
    pub(crate) invalid: InvalidRates,
    pub(crate) utc_labelled_dates: bool,
}

impl ShopView {
    /// The id of the merchant, as `store/info` has it.
    pub fn merchant_id(&self) -> i64 {
        self.shop.id
    }

    pub fn truth(&self, from: Date, to: Date) -> Truth {
        let mut truth = Truth {
            from,
            to,
            orders: 0,
            items: 0,
            customers: self.truth_customers().count() as u64,
            products: 0,
            variants: 0,
            categories: self.truth_categories().count() as u64,
            statuses: self.truth_statuses().count() as u64,
            months: BTreeMap::new(),
            rejections: self.truth_rejections(from, to).collect(),
        };
        for product in self.truth_products() {
            truth.products += 1;
            truth.variants += product.variants.len() as u64;
        }
        for order in self.valid_orders(from, to) {
            truth.add(&order);
        }
        truth
    }

    /// The acceptable orders of a window of Riyadh days, oldest first.
    pub fn truth_orders(&self, from: Date, to: Date) -> impl Iterator<Item = TruthOrder> + '_ {
        self.valid_orders(from, to)
            .map(|order| self.truth_order(&order))
    }

    pub fn truth_customers(&self) -> impl Iterator<Item = TruthCustomer> + '_ {
        let valid = |index: &u64| self.invalid.customer(self.seed(), *index).is_none();
        self.customers()
            .numbers()
            .filter(valid)
            .map(|index| self.truth_customer(index))
    }

    pub fn truth_products(&self) -> impl Iterator<Item = TruthProduct> + '_ {
        let valid = |index: &u64| self.invalid.product(self.seed(), *index).is_none();
        self.products()
            .numbers()
            .filter(valid)
            .map(|index| self.truth_product(&self.products().product(index)))
    }

    /// All categories, those below others included.
    pub fn truth_categories(&self) -> impl Iterator<Item = TruthCategory> + '_ {
        (0..self.shop.category_count()).map(|index| {
            let category = self.shop.category(index);
            TruthCategory {
                id: category.id,
                name: category.name,
                parent_id: category
                    .parent
                    .map(|parent| self.shop.ids.category.id(parent)),
                status: if category.hidden { "hidden" } else { "active" },
            }
        })
    }

    /// The fixed statuses in Arabic, and the shop's own.
    pub fn truth_statuses(&self) -> impl Iterator<Item = TruthStatus> + '_ {
        let fixed = Original::ALL.into_iter().map(|original| TruthStatus {
            id: original.id(),
            name: original.arabic().to_owned(),
            slug: original.slug(),
            original_id: None,
        });
        let own = self.shop.spec.custom_statuses.iter().enumerate();
        fixed.chain(own.map(|(place, custom)| TruthStatus {
            id: self.shop.ids.custom_status.id(place as u64),
            name: custom.name.clone(),
            slug: custom.original.slug(),
            original_id: Some(custom.original.id()),
        }))
    }

    /// What must be refused: orders of the window, and all broken customers
    /// and products.
    pub fn truth_rejections(
        &self,
        from: Date,
        to: Date,
    ) -> impl Iterator<Item = TruthRejection> + '_ {
        let orders = self.order_numbers(from, to).filter_map(|index| {
            let kind = self.invalid.order(self.seed(), index)?;
            Some((Resource::Orders, self.shop.ids.order.id(index), kind))
        });
        let customers = self.customers().numbers().filter_map(|index| {
            let kind = self.invalid.customer(self.seed(), index)?;
            Some((Resource::Customers, self.shop.ids.customer.id(index), kind))
        });
        let products = self.products().numbers().filter_map(|index| {
            let kind = self.invalid.product(self.seed(), index)?;
            Some((Resource::Products, self.shop.ids.product.id(index), kind))
        });
        orders
            .chain(customers)
            .chain(products)
            .map(|(resource, id, kind)| TruthRejection { resource, id, kind })
    }

    fn seed(&self) -> u64 {
        self.shop.spec.seed
    }

    fn book(&self) -> OrderBook<'_> {
        OrderBook {
            shop: &self.shop,
            layer: &self.overlay.orders,
        }
    }

    fn customers(&self) -> CustomerBook<'_> {
        CustomerBook {
            shop: &self.shop,
            layer: &self.overlay.customers,
        }
    }

    fn products(&self) -> ProductBook<'_> {
        ProductBook {
            shop: &self.shop,
            layer: &self.overlay.products,
        }
    }

    fn valid_orders(&self, from: Date, to: Date) -> impl Iterator<Item = Order> + '_ {
        self.order_numbers(from, to)
            .filter(|index| self.invalid.order(self.seed(), *index).is_none())
            .map(|index| {
                let mut order = self.book().order(index);
                order.head.created_at -= self.label_lag();
                order
            })
    }

    /// The listed orders of the window, oldest first.
    fn order_numbers(&self, from: Date, to: Date) -> impl Iterator<Item = u64> + '_ {
        let moment = |day| riyadh::day_start(day) + self.label_lag();
        let start = moment(riyadh::number_of(from));
        let end = moment(riyadh::number_of(to) + 1);
        self.book().numbers(start..end)
    }

    /// How far the creation dates of orders lie before the real moments.
    fn label_lag(&self) -> i64 {
        if self.utc_labelled_dates { 3 * 3600 } else { 0 }
    }

    fn truth_order(&self, order: &Order) -> TruthOrder {
        let head = &order.head;
        TruthOrder {
            id: head.id,
            reference_id: head.reference_id,
            created_at: head.created_at,
            updated_at: head.updated_at,
            riyadh_date: riyadh::date_of(order.day()),
            status_slug: head.status.slug(),
            status_id: head.status.id(),
            custom_status_id: head
                .custom_status
                .map(|place| self.shop.ids.custom_status.id(place as u64)),
            payment_method: head.payment_method,
            customer_id: head.customer.map(|index| self.shop.ids.customer.id(index)),
            currency: head.currency.code(),
            sub_total: order.sub_total.decimal(),
            shipping: order.shipping.decimal(),
            cash_on_delivery: order.cash_on_delivery.decimal(),
            discount: order.discount.decimal(),
            tax_percent: Decimal::from(order.tax_percent),
            tax: order.tax.decimal(),
            total: order.total.decimal(),
            items: order.items.iter().map(truth_item).collect(),
            gaps: head.untold,
        }
    }

    fn truth_customer(&self, index: u64) -> TruthCustomer {
        let customer = self.customers().customer(index);
        TruthCustomer {
            id: customer.id,
            first_name: customer.first_name,
            last_name: customer.last_name,
            mobile: customer.mobile,
            email: customer.email(),
            city: customer.city_as_written(),
            country_code: customer.country_code_as_written(),
            created_at: customer.created_at,
            updated_at: customer.updated_at,
        }
    }

    fn truth_product(&self, product: &Product) -> TruthProduct {
        let sale_price = product.sale_price().map(Money::decimal);
        TruthProduct {
            id: product.id,
            sku: product.sku().to_string(),
            name: product.name.to_string(),
            kind: product.kind,
            status: product.status,
            price: sale_price.unwrap_or(product.price.decimal()),
            regular_price: product.price.decimal(),
            sale_price,
            quantity: product.quantity,
            updated_at: product.updated_at,
            category_ids: product
                .categories
                .iter()
                .map(|index| self.shop.ids.category.id(*index))
                .collect(),
            variants: (0..product.variant_count())
                .map(|number| self.truth_variant(product, number))
                .collect(),
        }
    }

    fn truth_variant(&self, product: &Product, number: u64) -> TruthVariant {
        let variant = product.variant(number);
        TruthVariant {
            id: self.shop.ids.variant.id(variant.slot),
            sku: variant.sku.to_string(),
            price: variant.price.decimal(),
            stock: variant.stock,
        }
    }
}

fn truth_item(item: &Item) -> TruthItem {
    TruthItem {
        id: item.id,
        product_id: (!item.product_deleted && !item.is_unnamed).then_some(item.product.id),
        sold_product_id: item.product.id,
        sku: item.sku().to_string(),
        name: item.product.name.to_string(),
        quantity: item.wire_quantity(),
        unit_price: item.unit_price.decimal(),
        discount: item.discount.decimal(),
        tax: item.tax.decimal(),
        total: item.total.decimal(),
    }
}

impl Truth {
    fn add(&mut self, order: &Order) {
        self.orders += 1;
        self.items += order.items.len() as u64;
        let date = riyadh::date_of(order.day());
        let month = format!("{:04}-{:02}", date.year(), date.month());
        let currency: Currency = order.head.currency;
        let totals = self.months.entry(month).or_default();
        let total = totals.entry(currency.code()).or_default();
        total.orders += 1;
        total.total = (total.total + order.total.decimal()).normalize();
    }
}
