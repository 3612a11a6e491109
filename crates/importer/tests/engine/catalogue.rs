//! The products and customers of a scripted shop, and what their lists do where they end.

use domain::catalogue::{Category, Product};
use domain::customer::Customer;
use domain::failure::Failure;
use domain::instant::{DateReading, SallaInstant, riyadh_midnight};
use domain::resource::Resource;
use domain::slice::{DateMeaning, ProductStatus, Slice};
use importer::ports::platform::{Decoded, PageRequest, Records};
use jiff::SignedDuration;
use jiff::civil::Date;

/// How the end of a list that is too long looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ceiling {
    Empty,
    Error,
    RepeatLast,
    /// `total` is cut off as well.
    Lie,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Filters {
    #[default]
    Work,
    /// Those of customers the other way round.
    Swapped,
    Ignored,
    Refused,
}

#[derive(Clone, Debug)]
pub(crate) struct ListedProduct {
    pub(crate) id: i64,
    pub(crate) status: ProductStatus,
    pub(crate) categories: Vec<i64>,
}

#[derive(Clone, Debug)]
pub(crate) struct ListedCustomer {
    pub(crate) id: i64,
    pub(crate) day: Date,
}

/// Larger than a page of orders here, so that lists above the ceiling are read quickly.
pub(crate) const PER_PAGE: usize = 50;

/// Lists are newest first.
#[derive(Default)]
pub(crate) struct Catalogue {
    pub(crate) products: Vec<ListedProduct>,
    pub(crate) customers: Vec<ListedCustomer>,
    /// Numbered from 1.
    pub(crate) categories: i64,
    /// At 10,000 rows.
    pub(crate) ceiling: Option<Ceiling>,
    pub(crate) filters: Filters,
}

pub(crate) const CEILING: usize = 10_000;

impl Catalogue {
    /// The rows of a page and its `total`.
    pub(crate) fn page(&self, request: &PageRequest) -> Result<(Records, usize), Failure> {
        if request.slice.is_some() && self.filters == Filters::Refused {
            return Err(refusal());
        }
        match request.resource {
            Resource::Products => {
                let all = self.products.iter().filter(|p| self.shows(p, request));
                let (rows, total) = self.cut(all.collect(), request.page)?;
                let rows = rows.into_iter().map(|p| decoded(product(p)));
                Ok((Records::Products(rows.collect()), total))
            }
            Resource::Customers => {
                let all = self.customers.iter().filter(|c| self.knows(c, request));
                let (rows, total) = self.cut(all.collect(), request.page)?;
                let rows = rows.into_iter().map(|c| decoded(customer(c)));
                Ok((Records::Customers(rows.collect()), total))
            }
            _ => {
                let all: Vec<i64> = (1..=self.categories).collect();
                let (start, end) = places(all.len(), request.page);
                let rows = all[start..end].iter().map(|id| decoded(category(*id)));
                Ok((Records::Categories(rows.collect()), all.len()))
            }
        }
    }

    fn shows(&self, product: &ListedProduct, request: &PageRequest) -> bool {
        match request.slice {
            _ if self.filters == Filters::Ignored => true,
            Some(Slice::Status(status)) => product.status == status,
            Some(Slice::Category { status, category }) => {
                product.status == status && product.categories.contains(&category)
            }
            Some(Slice::Created(_)) | None => true,
        }
    }

    fn knows(&self, customer: &ListedCustomer, request: &PageRequest) -> bool {
        let (Some(Slice::Created(meaning)), Some(days)) = (request.slice, request.days) else {
            return true;
        };
        match (self.filters, meaning) {
            (Filters::Ignored | Filters::Refused, _) => true,
            (Filters::Work, DateMeaning::AsNamed) | (Filters::Swapped, DateMeaning::Swapped) => {
                days.contains(customer.day)
            }
            // The bounds are exchanged, so that only a single day fits between them.
            (Filters::Work | Filters::Swapped, _) => {
                days.to <= customer.day && customer.day <= days.from
            }
        }
    }

    fn cut<T>(&self, mut rows: Vec<T>, page: u32) -> Result<(Vec<T>, usize), Failure> {
        let mut total = rows.len();
        let mut page = page;
        if let Some(ceiling) = self.ceiling.filter(|_| total > CEILING) {
            rows.truncate(CEILING);
            let beyond = page as usize * PER_PAGE > CEILING;
            match ceiling {
                Ceiling::Empty => {}
                Ceiling::Error if beyond => return Err(refusal()),
                Ceiling::Error => {}
                Ceiling::RepeatLast if beyond => page = (CEILING / PER_PAGE) as u32,
                Ceiling::RepeatLast => {}
                Ceiling::Lie => total = CEILING,
            }
        }
        let (start, end) = places(rows.len(), page);
        rows.truncate(end);
        Ok((rows.split_off(start), total))
    }
}

fn refusal() -> Failure {
    Failure::Broken {
        message: "Salla refuses the request".into(),
    }
}

fn places(rows: usize, page: u32) -> (usize, usize) {
    let start = ((page as usize - 1) * PER_PAGE).min(rows);
    (start, (start + PER_PAGE).min(rows))
}

fn decoded<T>(record: T) -> Decoded<T> {
    Decoded {
        raw: "{}".into(),
        outcome: Ok(record),
    }
}

fn customer(listed: &ListedCustomer) -> Customer {
    Customer {
        id: listed.id,
        created_at: Some(SallaInstant {
            instant: riyadh_midnight(listed.day) + SignedDuration::from_hours(12),
            raw: String::new(),
            reading: DateReading::Riyadh,
        }),
        ..Customer::default()
    }
}

fn category(id: i64) -> Category {
    Category {
        id,
        name: None,
        parent_id: None,
        status: None,
        sort_order: None,
        updated_at: None,
        sub_categories: vec![],
    }
}

fn product(listed: &ListedProduct) -> Product {
    Product {
        id: listed.id,
        sku: None,
        name: None,
        kind: None,
        status: Some(listed.status.as_str().into()),
        price: None,
        regular_price: None,
        sale_price: None,
        cost_price: None,
        quantity: None,
        unlimited_quantity: None,
        sold_quantity: None,
        is_available: None,
        weight: None,
        weight_unit: None,
        brand_id: None,
        brand_name: None,
        url: None,
        updated_at: None,
        variants: vec![],
        category_ids: listed.categories.iter().copied().map(Some).collect(),
    }
}
