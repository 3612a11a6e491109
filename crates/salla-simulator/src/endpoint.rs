//! The endpoints, and which one a path means; the three kinds of records with great lists.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// `GET /oauth2/auth`
    OauthAuth,
    /// `POST /oauth2/token`
    OauthToken,
    /// `GET /oauth2/user/info`
    UserInfo,
    /// `POST /exchange-authority/v1/introspect`
    Introspect,
    /// `GET /embedded/app/{id}`, the dashboard that frames an app's page
    Dashboard,
    /// `GET /admin/v2/store/info`
    StoreInfo,
    /// `GET /admin/v2/orders`
    Orders,
    /// `GET /admin/v2/orders/{id}`
    Order,
    /// `GET /admin/v2/orders/items?order_id=`
    OrderItems,
    /// `GET /admin/v2/orders/statuses`
    OrderStatuses,
    /// `GET /admin/v2/customers`
    Customers,
    /// `GET /admin/v2/customers/{id}`
    Customer,
    /// `GET /admin/v2/products`
    Products,
    /// `GET /admin/v2/products/{id}`
    Product,
    /// `GET /admin/v2/products/{id}/variants`
    ProductVariants,
    /// `GET /admin/v2/categories`
    Categories,
    /// Anything else.
    Unknown,
}

impl Endpoint {
    pub(crate) fn is_accounts(self) -> bool {
        matches!(
            self,
            Self::OauthAuth
                | Self::OauthToken
                | Self::UserInfo
                | Self::Introspect
                | Self::Dashboard
        )
    }

    /// Whether it is one of the lists that are scanned page by page.
    pub(crate) fn is_list(self) -> bool {
        matches!(self, Self::Orders | Self::Customers | Self::Products)
    }

    /// Whether the extra limit of `/customers*` applies (change log 2.9.1).
    pub(crate) fn is_customers(self) -> bool {
        matches!(self, Self::Customers | Self::Customer)
    }

    /// The scope that the endpoint's page names, without `_write`.
    pub(crate) fn scope(self) -> Option<&'static str> {
        match self {
            Self::Orders | Self::Order | Self::OrderItems | Self::OrderStatuses => {
                Some("orders.read")
            }
            Self::Customers | Self::Customer => Some("customers.read"),
            Self::Products | Self::Product | Self::ProductVariants => Some("products.read"),
            Self::Categories => Some("categories.read"),
            Self::OauthAuth
            | Self::OauthToken
            | Self::UserInfo
            | Self::Introspect
            | Self::Dashboard
            | Self::StoreInfo
            | Self::Unknown => None,
        }
    }

    pub(crate) fn method(self) -> &'static str {
        if matches!(self, Self::OauthToken | Self::Introspect) {
            "POST"
        } else {
            "GET"
        }
    }

    /// The endpoint of a path, and the id in it if there is one.
    pub(crate) fn of_path(path: &str) -> (Self, Option<&str>) {
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        let parts = [(); 5].map(|()| parts.next().unwrap_or(""));
        match parts {
            ["oauth2", "auth", "", ..] => (Self::OauthAuth, None),
            ["oauth2", "token", "", ..] => (Self::OauthToken, None),
            ["oauth2", "user", "info", ..] => (Self::UserInfo, None),
            ["admin", "v2", "oauth2", "user", "info"] => (Self::UserInfo, None),
            ["exchange-authority", "v1", "introspect", "", _] => (Self::Introspect, None),
            ["embedded", "app", id, ..] => (Self::Dashboard, Some(id)),
            ["admin", "v2", "store", "info", _] => (Self::StoreInfo, None),
            ["admin", "v2", "orders", "", _] => (Self::Orders, None),
            ["admin", "v2", "orders", "items", ""] => (Self::OrderItems, None),
            ["admin", "v2", "orders", "statuses", ""] => (Self::OrderStatuses, None),
            ["admin", "v2", "orders", id, ""] => (Self::Order, Some(id)),
            ["admin", "v2", "customers", "", _] => (Self::Customers, None),
            ["admin", "v2", "customers", id, ""] => (Self::Customer, Some(id)),
            ["admin", "v2", "products", "", _] => (Self::Products, None),
            ["admin", "v2", "products", id, ""] => (Self::Product, Some(id)),
            ["admin", "v2", "products", id, "variants"] => (Self::ProductVariants, Some(id)),
            ["admin", "v2", "categories", "", _] => (Self::Categories, None),
            _ => (Self::Unknown, None),
        }
    }
}

/// The kinds of records that can change and be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    Orders,
    Customers,
    Products,
}

impl Resource {
    pub(crate) fn of_list(endpoint: Endpoint) -> Option<Self> {
        match endpoint {
            Endpoint::Orders => Some(Self::Orders),
            Endpoint::Customers => Some(Self::Customers),
            Endpoint::Products => Some(Self::Products),
            _ => None,
        }
    }

    pub(crate) fn list(self) -> Endpoint {
        match self {
            Self::Orders => Endpoint::Orders,
            Self::Customers => Endpoint::Customers,
            Self::Products => Endpoint::Products,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_find_their_endpoints() {
        let cases = [
            ("/oauth2/token", Endpoint::OauthToken, None),
            ("/admin/v2/orders", Endpoint::Orders, None),
            ("/admin/v2/orders/", Endpoint::Orders, None),
            ("/admin/v2/orders/items", Endpoint::OrderItems, None),
            ("/admin/v2/orders/77", Endpoint::Order, Some("77")),
            (
                "/admin/v2/products/7/variants",
                Endpoint::ProductVariants,
                Some("7"),
            ),
            ("/admin/v2/carts", Endpoint::Unknown, None),
        ];
        for (path, endpoint, id) in cases {
            assert_eq!(Endpoint::of_path(path), (endpoint, id), "{path}");
        }
    }
}
