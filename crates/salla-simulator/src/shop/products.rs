//! The catalogue: products, their options and variants, and the categories.
//! Numbers from `spec.products` upwards belong to products that have been
//! deleted; only old orders still know them.

use super::Shop;
use super::draw::{Draw, Stream};
use super::layer::Layer;
use super::money::Money;
use super::names::{CATEGORIES, PRODUCT_ADJECTIVES, PRODUCT_NOUNS};
use super::riyadh::DAY_SECONDS;
use std::fmt::{self, Write as _};

/// Room for every variant of a product in the numbering of variants.
const VARIANT_SLOTS: u64 = 16;

#[derive(Clone, Debug)]
pub(crate) struct Product {
    pub(crate) index: u64,
    pub(crate) id: i64,
    pub(crate) name: ProductName,
    pub(crate) price: Money,
    /// How many colours and sizes there are; zero means no such option.
    pub(crate) colors: u64,
    pub(crate) sizes: u64,
    pub(crate) grams: u32,
    pub(crate) kind: &'static str,
    pub(crate) status: &'static str,
    pub(crate) on_sale: bool,
    /// `None` means that the stock is unlimited.
    pub(crate) quantity: Option<u64>,
    pub(crate) sold: u64,
    pub(crate) categories: Vec<u64>,
    pub(crate) updated_at: i64,
    /// The second variant has the id of the first.
    pub(crate) repeats_variant_id: bool,
    pub(crate) has_long_sku: bool,
}

impl Product {
    pub(crate) fn sku(&self) -> Sku {
        Sku {
            product: self.index,
            variant: None,
            is_long: self.has_long_sku,
        }
    }

    pub(crate) fn sale_price(&self) -> Option<Money> {
        self.on_sale.then(|| Money(self.price.0 * 4 / 5 / 10 * 10))
    }

    pub(crate) fn variant_count(&self) -> u64 {
        match (self.colors, self.sizes) {
            (0, 0) => 0,
            (colors, sizes) => colors.max(1) * sizes.max(1),
        }
    }

    pub(crate) fn variant(&self, number: u64) -> Variant {
        let sizes = self.sizes.max(1);
        let (color, size) = (number / sizes, number % sizes);
        let slot = match number {
            1 if self.repeats_variant_id => 0,
            number => number,
        };
        Variant {
            number,
            slot: self.index * VARIANT_SLOTS + slot,
            color: (self.colors > 0).then_some(color),
            size: (self.sizes > 0).then_some(size),
            price: self.price + Money::units(5 * size as i64),
            stock: (self.index * 31 + number * 17) % 90,
            sku: Sku {
                product: self.index,
                variant: Some(number),
                is_long: self.has_long_sku,
            },
        }
    }
}

/// One combination of option values, a row of `skus`.
#[derive(Clone, Debug)]
pub(crate) struct Variant {
    pub(crate) number: u64,
    /// Its place in the numbering of all variants of the shop.
    pub(crate) slot: u64,
    pub(crate) color: Option<u64>,
    pub(crate) size: Option<u64>,
    pub(crate) price: Money,
    pub(crate) stock: u64,
    pub(crate) sku: Sku,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sku {
    pub(crate) product: u64,
    pub(crate) variant: Option<u64>,
    pub(crate) is_long: bool,
}

/// Of a long SKU.
const LETTERS: u64 = 4_000;

impl fmt::Display for Sku {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SKU-{:06}", self.product + 1)?;
        if let Some(number) = self.variant {
            write!(f, "-{}", number + 1)?;
        }
        if self.is_long {
            // By chance, so that nothing makes them much shorter.
            let mut draw = Draw::of(self.product, Stream::LongSku, 0);
            for _ in 0..LETTERS {
                f.write_char(char::from(b'#' + draw.below(57) as u8))?;
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct ProductName {
    pub(crate) noun: &'static str,
    pub(crate) adjective: &'static str,
    pub(crate) number: u64,
}

impl fmt::Display for ProductName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.noun, self.adjective, self.number)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Category {
    pub(crate) index: u64,
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) parent: Option<u64>,
    pub(crate) hidden: bool,
    pub(crate) updated_at: i64,
}

/// The catalogue together with what was changed while the shop runs. Orders
/// keep what they say of a product: neither an edit nor a deletion here reaches
/// them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProductBook<'a> {
    pub(crate) shop: &'a Shop,
    pub(crate) layer: &'a Layer,
}

impl ProductBook<'_> {
    pub(crate) fn index_of(&self, id: i64) -> Option<u64> {
        let index = self.shop.ids.product.index(id)?;
        self.layer.is_listed(index).then_some(index)
    }

    /// All listed products, the oldest first.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u64> + use<> {
        let own = 0..self.shop.spec.products;
        self.layer.merged(own, i64::MIN..i64::MAX).numbers(0)
    }

    /// An edit raises the price.
    pub(crate) fn product(&self, index: u64) -> Product {
        let mut product = self.shop.product(index);
        if let Some(moment) = self.layer.moment_of_added(index) {
            product.updated_at = moment;
        }
        if let Some(edit) = self.layer.edit_of(index) {
            product.price += Money::units(5 * i64::from(edit.steps));
            product.updated_at = edit.updated_at;
        }
        product
    }
}

impl Shop {
    /// Numbers between the shop's own products and this one belong to deleted
    /// products.
    pub(crate) fn first_added_product(&self) -> u64 {
        self.spec.products + self.once_deleted()
    }

    fn once_deleted(&self) -> u64 {
        self.spec.products / 10 + 5
    }

    pub(crate) fn product(&self, index: u64) -> Product {
        let mut draw = Draw::of(self.spec.seed, Stream::Product, index);
        let (colors, sizes) = option_counts(&mut draw);
        let repeated = self.repeated(!index);
        let mut product = Product {
            index,
            id: self.ids.product.id(index),
            name: ProductName {
                noun: draw.pick(&PRODUCT_NOUNS),
                adjective: draw.pick(&PRODUCT_ADJECTIVES),
                number: index + 1,
            },
            price: price(&mut draw),
            colors,
            sizes,
            grams: 50 + 50 * draw.below(60) as u32,
            kind: draw.weighted(&[
                (86, "product"),
                (5, "digital"),
                (4, "food"),
                (2, "codes"),
                (2, "service"),
                (1, "group_products"),
            ]),
            status: draw.weighted(&[(84, "sale"), (9, "out"), (7, "hidden")]),
            on_sale: draw.chance(0.2),
            quantity: (!draw.chance(0.1)).then(|| draw.below(400)),
            sold: draw.below(2_000),
            categories: self.categories_of_product(&mut draw),
            updated_at: self.now - draw.below(400 * DAY_SECONDS as u64) as i64,
            repeats_variant_id: repeated.id,
            has_long_sku: index < self.spec.long_skus,
        };
        if repeated.copy {
            product
                .categories
                .extend(product.categories.first().copied());
        }
        product
    }

    /// The product behind an item of an order: for old orders it may be gone.
    pub(crate) fn product_of_item(&self, order: u64, draw: &mut Draw) -> u64 {
        let old = order < self.spec.orders / 2;
        let gone = draw.chance(self.spec.deleted_products_share) && old;
        if gone || self.spec.products == 0 {
            self.spec.products + draw.below(self.once_deleted())
        } else {
            let popularity = draw.unit();
            (popularity * popularity * self.spec.products as f64) as u64
        }
    }

    pub(crate) fn is_deleted_product(&self, index: u64) -> bool {
        index >= self.spec.products
    }

    pub(crate) fn category(&self, index: u64) -> Category {
        let mut draw = Draw::of(self.spec.seed, Stream::Category, index);
        let word = CATEGORIES[index as usize % CATEGORIES.len()];
        let round = index / CATEGORIES.len() as u64;
        Category {
            index,
            id: self.ids.category.id(index),
            name: if round == 0 {
                word.to_owned()
            } else {
                format!("{word} {}", round + 1)
            },
            parent: (index >= self.top_category_count())
                .then(|| draw.below(self.top_category_count())),
            hidden: draw.chance(0.08),
            updated_at: self.now - draw.below(500 * DAY_SECONDS as u64) as i64,
        }
    }

    pub(crate) fn category_count(&self) -> u64 {
        self.spec.categories
    }

    /// Two thirds of the categories stand at the top, the rest below them.
    pub(crate) fn top_category_count(&self) -> u64 {
        (self.spec.categories * 2).div_ceil(3)
    }

    fn categories_of_product(&self, draw: &mut Draw) -> Vec<u64> {
        if self.spec.categories == 0 {
            return Vec::new();
        }
        // A shop without them is the same to the last letter as before there were any.
        let share = self.spec.uncategorised_share;
        if share > 0.0 && draw.chance(share) {
            return Vec::new();
        }
        let first = draw.below(self.spec.categories);
        let second = draw.below(self.spec.categories);
        if second == first || draw.chance(0.6) {
            vec![first]
        } else {
            vec![first, second]
        }
    }
}

fn option_counts(draw: &mut Draw) -> (u64, u64) {
    let colors = 2 + draw.below(3);
    let sizes = 2 + draw.below(2);
    draw.weighted(&[
        (5, (0, 0)),
        (2, (colors, 0)),
        (1, (0, sizes)),
        (2, (colors, sizes)),
    ])
}

/// Mostly tens of riyals, with the endings that shops like.
fn price(draw: &mut Draw) -> Money {
    let spread = draw.unit();
    let riyals = 5 + (spread * spread * spread * 700.0) as i64 + draw.below(60) as i64;
    let ending = draw.weighted(&[(6, 0), (2, 990), (1, 500), (1, 250)]);
    Money(riyals * 1_000 + ending)
}
