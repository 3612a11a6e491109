//! The part of a list that a window reads where the whole list is longer than Salla
//! shows of it.

use serde::{Deserialize, Serialize};

/// What a list without windows is filtered by (docs/salla-api.md#customers and #products).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Slice {
    /// Products of one status.
    Status(ProductStatus),
    /// Products of one status in one category.
    Category {
        status: ProductStatus,
        category: i64,
    },
    /// Customers by the day of their creation; the window names the days.
    Created(DateMeaning),
}

crate::names! {
    /// The statuses by which products can be listed: each product has exactly one of them.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum ProductStatus {
        Sale = "sale",
        Out = "out",
        Hidden = "hidden",
    }
}

/// Salla's documentation describes `date_from` and `date_to` of customers the wrong way
/// round, and integrators use them as they are named (docs/salla-api.md#customers): it
/// has to be tried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DateMeaning {
    AsNamed,
    Swapped,
}

impl Slice {
    /// As it is stored. The key of a slice begins with that of the slice it is a part of.
    pub fn key(self) -> String {
        match self {
            Self::Status(status) => status.as_str().to_owned(),
            Self::Category { status, category } => format!("{}/{category}", status.as_str()),
            Self::Created(DateMeaning::AsNamed) => "created".to_owned(),
            Self::Created(DateMeaning::Swapped) => "created, swapped".to_owned(),
        }
    }

    pub fn parse(key: &str) -> Option<Self> {
        match key {
            "created" => return Some(Self::Created(DateMeaning::AsNamed)),
            "created, swapped" => return Some(Self::Created(DateMeaning::Swapped)),
            _ => {}
        }
        let Some((status, category)) = key.split_once('/') else {
            return ProductStatus::parse(key).map(Self::Status);
        };
        Some(Self::Category {
            status: ProductStatus::parse(status)?,
            category: category.parse().ok()?,
        })
    }
}

impl std::fmt::Display for Slice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(status) => f.write_str(status.as_str()),
            Self::Category { status, category } => {
                write!(f, "{}, category {category}", status.as_str())
            }
            Self::Created(_) => f.write_str("created"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_read_back_from_its_key() {
        let categories = ProductStatus::ALL.map(|status| Slice::Category {
            status,
            category: 1_473_353_380,
        });
        let dates = [DateMeaning::AsNamed, DateMeaning::Swapped].map(Slice::Created);
        let statuses = ProductStatus::ALL.map(Slice::Status);
        for slice in statuses.into_iter().chain(categories).chain(dates) {
            assert_eq!(Slice::parse(&slice.key()), Some(slice));
        }
        for nonsense in ["", "sale/", "sale/x", "deleted", "created/1"] {
            assert_eq!(Slice::parse(nonsense), None, "{nonsense}");
        }
    }

    /// What a list covers is found by the beginnings of keys.
    #[test]
    fn only_the_parts_of_a_slice_begin_with_its_key() {
        for whole in ProductStatus::ALL {
            for status in ProductStatus::ALL {
                let part = Slice::Category {
                    status,
                    category: 7,
                };
                let begins = part.key().starts_with(&Slice::Status(whole).key());
                assert_eq!(begins, status == whole, "{part} of {whole:?}");
            }
        }
    }
}
