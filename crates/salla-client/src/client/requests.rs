//! The import's wishes as Salla's paths and parameters (docs/salla-api.md#list-of-orders,
//! #customers and #products).

use domain::plan::MOST_PER_PAGE;
use domain::resource::Resource;
use domain::slice::{DateMeaning, ProductStatus, Slice};
use domain::window::DayRange;
use importer::ports::platform::{PageRequest, Sort};

use crate::pacing::LatencyClass;
use crate::request::ApiRequest;

/// Kinds of request by how long their responses take.
mod class {
    use crate::pacing::LatencyClass;

    pub(super) const ORDERS: LatencyClass = LatencyClass(1);
    pub(super) const EXPANDED_ORDERS: LatencyClass = LatencyClass(2);
    pub(super) const CUSTOMERS: LatencyClass = LatencyClass(3);
    pub(super) const PRODUCTS: LatencyClass = LatencyClass(4);
    pub(super) const SMALL_LISTS: LatencyClass = LatencyClass(5);
    pub(super) const ORDER_DETAIL: LatencyClass = LatencyClass(6);
    pub(super) const ORDER_ITEMS: LatencyClass = LatencyClass(7);
    pub(super) const ONE_RECORD: LatencyClass = LatencyClass(8);
}

pub(super) fn list(request: &PageRequest) -> ApiRequest {
    let (path, class) = path_and_class(request.resource, request.expanded);
    let mut query = vec![
        ("per_page", request.per_page.to_string()),
        ("page", request.page.to_string()),
    ];
    if request.resource == Resource::Orders {
        query.extend(order_filters(request));
    } else if let Some(slice) = request.slice {
        query.extend(slice_filters(slice, request.days));
    }
    ApiRequest {
        description: description(request),
        path: path.to_owned(),
        query,
        class,
        customers: request.resource == Resource::Customers,
    }
}

/// "listing orders of 2025-01-01 to 2025-01-31, page 3": enough to request the page by hand.
fn description(request: &PageRequest) -> String {
    let days = request.days;
    let days = days.map_or_else(String::new, |days| {
        format!(" of {} to {}", days.from, days.to)
    });
    let slice = request
        .slice
        .map_or_else(String::new, |slice| format!(" in {}", slice.key()));
    let of = match request.per_page {
        MOST_PER_PAGE => String::new(),
        rows => format!(" of {rows} each"),
    };
    format!(
        "listing {}{slice}{days}, page {}{of}",
        request.resource, request.page
    )
}

fn path_and_class(resource: Resource, expanded: bool) -> (&'static str, LatencyClass) {
    match resource {
        Resource::Orders if expanded => ("orders", class::EXPANDED_ORDERS),
        Resource::Orders => ("orders", class::ORDERS),
        Resource::Customers => ("customers", class::CUSTOMERS),
        Resource::Products => ("products", class::PRODUCTS),
        Resource::Categories => ("categories", class::SMALL_LISTS),
        Resource::OrderStatuses => ("orders/statuses", class::SMALL_LISTS),
    }
}

/// Other lists have no order, and other filters (docs/salla-api.md#customers and #products).
fn order_filters(request: &PageRequest) -> Vec<(&'static str, String)> {
    let sort = match request.sort {
        Sort::OldestFirst => "created_at-asc",
        Sort::NewestFirst => "created_at-desc",
        Sort::UpdatedFirst => "updated_at-desc",
    };
    let mut query = vec![("sort_by", sort.to_owned())];
    if let Some(days) = request.days {
        query.push(("from_date", days.from.to_string()));
        query.push(("to_date", days.to.to_string()));
    }
    if request.expanded {
        query.push(("expanded", "true".to_owned()));
    }
    query
}

fn slice_filters(slice: Slice, days: Option<DayRange>) -> Vec<(&'static str, String)> {
    let status = |status: ProductStatus| ("status", status.as_str().to_owned());
    match slice {
        Slice::Status(of) => vec![status(of)],
        Slice::Category {
            status: of,
            category,
        } => vec![status(of), ("category", category.to_string())],
        Slice::Created(meaning) => days.map_or(vec![], |days| created_filters(meaning, days)),
    }
}

fn created_filters(meaning: DateMeaning, days: DayRange) -> Vec<(&'static str, String)> {
    let (first, last) = match meaning {
        DateMeaning::AsNamed => ("date_from", "date_to"),
        DateMeaning::Swapped => ("date_to", "date_from"),
    };
    vec![(first, days.from.to_string()), (last, days.to.to_string())]
}

pub(super) fn order(order_id: i64) -> ApiRequest {
    let path = format!("orders/{order_id}");
    record(
        format!("requesting order {order_id}"),
        path,
        class::ORDER_DETAIL,
    )
}

/// `page` counts from 1; Salla documents no other one.
pub(super) fn order_items(order_id: i64, page: usize) -> ApiRequest {
    let mut query = vec![("order_id", order_id.to_string())];
    if page > 1 {
        query.push(("page", page.to_string()));
    }
    let description = format!("requesting the items of order {order_id}");
    ApiRequest {
        query,
        ..record(description, "orders/items".to_owned(), class::ORDER_ITEMS)
    }
}

/// By the number that people see; the filter is documented (docs/salla-api.md#list-of-orders).
pub(super) fn order_by_reference(number: i64) -> ApiRequest {
    let description = format!("requesting the order with the number {number}");
    ApiRequest {
        query: vec![("reference_id", number.to_string())],
        ..record(description, "orders".to_owned(), class::ONE_RECORD)
    }
}

pub(super) fn customer(id: i64) -> ApiRequest {
    let path = format!("customers/{id}");
    ApiRequest {
        customers: true,
        ..record(format!("requesting customer {id}"), path, class::ONE_RECORD)
    }
}

pub(super) fn product(id: i64) -> ApiRequest {
    let path = format!("products/{id}");
    record(format!("requesting product {id}"), path, class::ONE_RECORD)
}

fn record(description: String, path: String, class: LatencyClass) -> ApiRequest {
    ApiRequest {
        description,
        path,
        query: Vec::new(),
        class,
        customers: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_become_the_filters_of_their_list() {
        let days = DayRange::new("2025-01-01".parse().unwrap(), "2025-01-31".parse().unwrap());
        let (first, last) = ("2025-01-01", "2025-01-31");
        let sale = ProductStatus::Sale;
        let category = Slice::Category {
            status: ProductStatus::Out,
            category: 77,
        };
        let table = [
            (Resource::Products, None, vec![]),
            (
                Resource::Products,
                Some(Slice::Status(sale)),
                vec![("status", "sale")],
            ),
            (
                Resource::Products,
                Some(category),
                vec![("status", "out"), ("category", "77")],
            ),
            (
                Resource::Customers,
                Some(Slice::Created(DateMeaning::AsNamed)),
                vec![("date_from", first), ("date_to", last)],
            ),
            (
                Resource::Customers,
                Some(Slice::Created(DateMeaning::Swapped)),
                vec![("date_to", first), ("date_from", last)],
            ),
        ];
        for (resource, slice, filters) in table {
            let asked = list(&PageRequest {
                slice,
                ..PageRequest::first(resource, days)
            });
            let parameters: Vec<_> = asked.query[2..].iter().map(|(k, v)| (*k, &**v)).collect();
            assert_eq!(parameters, filters, "{slice:?}");
        }
    }
}
