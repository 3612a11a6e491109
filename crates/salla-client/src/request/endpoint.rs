//! Kinds of endpoints, for counting requests without ids.

use super::STORE_INFO;

/// What a path asks for. The same set for every shop, however large.
pub(super) fn endpoint_kind(path: &str) -> &'static str {
    match path {
        STORE_INFO => "store_info",
        "orders" => "orders",
        "orders/items" => "order_items",
        "orders/statuses" => "order_statuses",
        "customers" => "customers",
        "products" => "products",
        "categories" => "categories",
        _ if path.starts_with("orders/") => "order",
        _ if path.starts_with("customers/") => "customer",
        _ if path.starts_with("products/") => "product",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_gets_into_a_label() {
        let table = [
            ("orders", "orders"),
            ("orders/1027339291", "order"),
            ("orders/items", "order_items"),
            ("customers/5", "customer"),
            ("store/info", "store_info"),
            ("5/6", "other"),
        ];
        for (path, kind) in table {
            assert_eq!(endpoint_kind(path), kind, "{path}");
        }
    }
}
