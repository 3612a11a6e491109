//! The two options that a product may have, and the ids of their values.

use super::Ids;
use super::names::{COLORS, SIZES};
use super::products::{Product, Variant};

/// Room for both options of a product, and for the values of each.
const OPTION_SLOTS: u64 = 2;
const VALUE_SLOTS: u64 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OptionKind {
    Color = 0,
    Size = 1,
}

impl OptionKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Color => "اللون",
            Self::Size => "المقاس",
        }
    }

    pub(crate) fn value_name(self, value: u64) -> &'static str {
        match self {
            Self::Color => COLORS[value as usize % COLORS.len()],
            Self::Size => SIZES[value as usize % SIZES.len()],
        }
    }
}

impl Ids {
    pub(crate) fn option_of(&self, product: u64, kind: OptionKind) -> i64 {
        self.option.id(product * OPTION_SLOTS + kind as u64)
    }

    pub(crate) fn option_value_of(&self, product: u64, kind: OptionKind, value: u64) -> i64 {
        let option = product * OPTION_SLOTS + kind as u64;
        self.option_value.id(option * VALUE_SLOTS + value)
    }

    /// The id of a choice inside an order's item.
    pub(crate) fn chosen_option(&self, item_slot: u64, kind: OptionKind) -> i64 {
        self.other.id(item_slot * OPTION_SLOTS + kind as u64)
    }
}

impl Product {
    /// The options that the product has, with the number of their values.
    pub(crate) fn options(&self) -> impl Iterator<Item = (OptionKind, u64)> + use<> {
        let counts = [
            (OptionKind::Color, self.colors),
            (OptionKind::Size, self.sizes),
        ];
        counts.into_iter().filter(|(_, count)| *count > 0)
    }
}

impl Variant {
    /// The values that make this variant.
    pub(crate) fn values(&self) -> impl Iterator<Item = (OptionKind, u64)> + use<> {
        let color = self.color.map(|color| (OptionKind::Color, color));
        let size = self.size.map(|size| (OptionKind::Size, size));
        color.into_iter().chain(size)
    }
}
