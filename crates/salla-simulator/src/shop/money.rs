//! Amounts as whole thousandths, so that every sum of the truth is exact, the
//! three decimals of the Kuwaiti dinar included.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub};

/// An amount in thousandths of its currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Money(pub(crate) i64);

impl Money {
    pub(crate) const ZERO: Self = Self(0);

    pub(crate) const fn units(units: i64) -> Self {
        Self(units * 1000)
    }

    pub(crate) fn times(self, quantity: u32) -> Self {
        Self(self.0 * i64::from(quantity))
    }

    /// A percentage, rounded half up to the smallest coin of the currency.
    pub(crate) fn percent(self, percent: u32, currency: Currency) -> Self {
        let exact = self.0 * i64::from(percent);
        let coin = currency.coin() * 100;
        Self((exact + coin / 2) / coin * currency.coin())
    }

    pub(crate) fn decimal(self) -> Decimal {
        Decimal::new(self.0, 3).normalize()
    }
}

impl Add for Money {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sub for Money {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

/// The currencies a simulated shop sells in. Its own is always the riyal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Currency {
    Sar,
    Kwd,
    Aed,
    Usd,
}

impl Currency {
    /// Code, how many millionths of this currency one riyal is worth, and the same as Salla
    /// writes it into `exchange_rate.rate`.
    fn facts(self) -> (&'static str, i64, &'static str) {
        match self {
            Self::Sar => ("SAR", 1_000_000, "1"),
            Self::Kwd => ("KWD", 81_600, "0.0816"),
            Self::Aed => ("AED", 979_200, "0.9792"),
            Self::Usd => ("USD", 266_592, "0.266592"),
        }
    }

    pub fn code(self) -> &'static str {
        self.facts().0
    }

    pub(crate) fn rate(self) -> &'static str {
        self.facts().2
    }

    /// The smallest amount, in thousandths.
    fn coin(self) -> i64 {
        if self == Self::Kwd { 1 } else { 10 }
    }

    /// An amount in riyals expressed in this currency.
    pub(crate) fn exchange(self, riyals: Money) -> Money {
        let exact = riyals.0 * self.facts().1 / 1_000_000;
        let coin = self.coin();
        Money((exact + coin / 2) / coin * coin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_round_to_the_coin_of_the_currency() {
        assert_eq!(Money(45_220).percent(15, Currency::Sar), Money(6_780));
        assert_eq!(Money(33_330).percent(15, Currency::Sar), Money(5_000));
        assert_eq!(Money(33_330).percent(15, Currency::Kwd), Money(5_000));
        assert_eq!(Money(1_234).percent(15, Currency::Kwd), Money(185));
    }

    #[test]
    fn decimals_lose_their_trailing_zeros() {
        assert_eq!(Money(302_500).decimal().to_string(), "302.5");
        assert_eq!(Money(55_000).decimal().to_string(), "55");
        assert_eq!(Money(12_345).decimal().to_string(), "12.345");
    }
}
