//! Money as exact decimals, never as floating point, and how numbers are written for people.

use rust_decimal::Decimal;

/// An amount in one currency. The currency is absent where Salla sends a bare
/// number (`product.price.updated`, docs/salla-api.md#money).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Money {
    pub amount: Decimal,
    pub currency: Option<String>,
}

impl Money {
    pub fn new(amount: Decimal, currency: impl Into<String>) -> Self {
        Self {
            amount,
            currency: Some(currency.into()),
        }
    }
}

/// The rate at which an order in a foreign currency was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeRate {
    pub base_currency: Option<String>,
    pub exchange_currency: Option<String>,
    pub rate: Option<Decimal>,
}

/// How many digits after the point an amount of the currency has, by ISO 4217.
pub fn digits(currency: &str) -> u32 {
    match currency {
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX"
        | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        _ => 2,
    }
}

/// The amount with its currency's digits; more where it has more, so that nothing is cut.
pub fn with_digits(amount: Decimal, currency: &str) -> Decimal {
    let mut amount = amount.normalize();
    let digits = digits(currency);
    if amount.scale() < digits {
        amount.rescale(digits);
    }
    amount
}

/// `1234567` as `1,234,567`, as Salla writes numbers in Arabic and in English.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_has_its_currency_s_digits_and_is_never_cut() {
        let table = [
            ("17.4", "SAR", "17.40"),
            ("57.440", "SAR", "57.44"),
            ("57.445", "SAR", "57.445"),
            ("159.827", "KWD", "159.827"),
            ("27.3", "OMR", "27.300"),
            ("0", "BHD", "0.000"),
            ("-2.19", "TND", "-2.190"),
            ("1200.0", "JPY", "1200"),
            ("1200.5", "JPY", "1200.5"),
            ("5", "?", "5.00"),
            (
                "79228162514264337593543950335",
                "KWD",
                "79228162514264337593543950335",
            ),
        ];
        for (amount, currency, shown) in table {
            let amount = with_digits(amount.parse().unwrap(), currency);
            assert_eq!(amount.to_string(), shown, "{currency}");
        }
    }

    #[test]
    fn thousands_are_grouped() {
        let table = [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
        ];
        for (number, text) in table {
            assert_eq!(grouped(number), text);
        }
    }
}
