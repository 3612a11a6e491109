//! Exact numbers from text, in Western or Arabic-Indic digits.

use std::borrow::Cow;

use rust_decimal::Decimal;

/// This many digits of a decimal survive in a double, whichever they are.
const DOUBLE_DIGITS: usize = 15;

/// The longest double has 767 digits.
const MAX_DOUBLE_DIGITS: usize = 800;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NumberError {
    NotANumber,
    /// More digits than the target type holds. Nothing is ever rounded.
    TooLarge,
}

/// Reads `-12`, `12.50`, `1.5e3` or `١٢٫٥٠`. Thousands separators are refused:
/// nothing in Salla's material shows one, and `1,500` could mean two things.
///
/// What PHP wrote from a double with more digits than one holds is read as the decimal
/// that was meant: see [`shortest`].
pub(crate) fn decimal(text: &str) -> Result<Decimal, NumberError> {
    let text = western_digits(text.trim());
    let (base, exponent) = match text.split_once(['e', 'E']) {
        None => (text.as_ref(), None),
        Some((base, exponent)) => (base, Some(exponent)),
    };
    if !is_plain_number(base) || !exponent.is_none_or(is_exponent) {
        return Err(NumberError::NotANumber);
    }
    let exact = exact(&text, base, exponent.is_some());
    // A whole number is none of PHP's doubles, but one of its integers.
    let is_whole = exponent.is_none() && !base.contains('.');
    if is_whole || base.len() <= DOUBLE_DIGITS {
        return exact;
    }
    match shortest(&text) {
        Some(short) if short.was_meant || exact.is_err() => {
            Decimal::from_scientific(&short.text).map_err(|_| NumberError::TooLarge)
        }
        _ => exact,
    }
}

fn exact(text: &str, base: &str, has_exponent: bool) -> Result<Decimal, NumberError> {
    let base = Decimal::from_str_exact(base).map_err(|_| NumberError::TooLarge)?;
    if !has_exponent || base.is_zero() {
        return Ok(base);
    }
    Decimal::from_scientific(text).map_err(|_| NumberError::TooLarge)
}

pub(crate) fn integer(text: &str) -> Result<i64, NumberError> {
    let text = western_digits(text.trim());
    let digits = text.strip_prefix('-').unwrap_or(&text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NumberError::NotANumber);
    }
    text.parse().map_err(|_| NumberError::TooLarge)
}

/// The text with Arabic-Indic and Persian digits, and the Arabic decimal separator, as
/// ASCII (docs/salla-api.md#empty-values-and-types). Allocates only where there are any.
pub(crate) fn western_digits(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(western).collect())
}

fn western(c: char) -> char {
    let digit = match c {
        '\u{660}'..='\u{669}' => u32::from(c) - 0x660,
        '\u{6f0}'..='\u{6f9}' => u32::from(c) - 0x6f0,
        '\u{66b}' => return '.',
        _ => return c,
    };
    char::from_digit(digit, 10).unwrap_or(c)
}

/// An optional minus, digits, and at most one point between or before digits.
///
/// `Decimal` alone would also accept `1_000` and `1.`.
fn is_plain_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = match digits.split_once('.') {
        None => (digits, None),
        Some((whole, fraction)) => (whole, Some(fraction)),
    };
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    all_digits(whole)
        && fraction.is_none_or(|f| !f.is_empty() && all_digits(f))
        && !(whole.is_empty() && fraction.is_none())
}

fn is_exponent(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The shortest decimal that means the same double.
///
/// One line of PHP's settings (`serialize_precision`, 17 or 100 instead of -1) makes 67.2
/// `67.200000000000003`, or gives all binary digits of the double that is nearest to 67.2. No one
/// typed these digits, and a column of exact decimals would keep them forever. A decimal of up to
/// 15 digits survives the way through a double, so it can be recovered from its digits.
struct Shortest {
    /// `6.72e1`
    text: String,
    /// Whether it is certainly the decimal that the double was made from, and not the
    /// one that was read.
    was_meant: bool,
}

/// Nothing where the number, a plain one perhaps with an exponent, is not what a double
/// looks like when it is written with that many digits.
fn shortest(number: &str) -> Option<Shortest> {
    let digits = significant_digits(number);
    if !(1..=MAX_DOUBLE_DIGITS).contains(&digits.len()) {
        return None;
    }
    let double: f64 = number.parse().ok()?;
    let written = format!("{double:.*e}", digits.len() - 1);
    // Two numbers this close have the same exponent if they have the same digits.
    if !double.is_finite() || significant_digits(&written) != digits {
        return None;
    }
    let text = format!("{double:e}");
    let was_meant =
        digits.len() > DOUBLE_DIGITS && significant_digits(&text).len() <= DOUBLE_DIGITS;
    Some(Shortest { text, was_meant })
}

/// Without sign, point, exponent, and zeros at either end.
fn significant_digits(number: &str) -> String {
    let base = number.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = base.chars().filter(char::is_ascii_digit).collect();
    digits.trim_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_a_number() {
        let table = [
            ("0", Ok("0")),
            ("-12.50", Ok("-12.50")),
            ("  15.00 ", Ok("15.00")),
            (".5", Ok("0.5")),
            ("١٢٫٥٠", Ok("12.50")),
            ("۱۲", Ok("12")),
            ("1.5e3", Ok("1500")),
            ("1.5E+3", Ok("1500")),
            ("25e-2", Ok("0.25")),
            ("0e999", Ok("0")),
            (
                "79228162514264337593543950335",
                Ok("79228162514264337593543950335"),
            ),
            ("79228162514264337593543950336", Err(NumberError::TooLarge)),
            ("1e40", Err(NumberError::TooLarge)),
            ("1e4294967296", Err(NumberError::TooLarge)),
            ("1e-40", Err(NumberError::TooLarge)),
            ("", Err(NumberError::NotANumber)),
            ("abc", Err(NumberError::NotANumber)),
            ("1,500", Err(NumberError::NotANumber)),
            ("١٬٥٠٠", Err(NumberError::NotANumber)),
            ("1_000", Err(NumberError::NotANumber)),
            ("5.", Err(NumberError::NotANumber)),
            ("1.2.3", Err(NumberError::NotANumber)),
            ("--1", Err(NumberError::NotANumber)),
            ("+1", Err(NumberError::NotANumber)),
            ("1e", Err(NumberError::NotANumber)),
            ("NaN", Err(NumberError::NotANumber)),
            ("10 SAR", Err(NumberError::NotANumber)),
        ];
        for (text, expected) in table {
            let expected = expected.map(|t| t.parse::<Decimal>().unwrap());
            assert_eq!(decimal(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_an_integer() {
        let table = [
            ("9223372036854775807", Ok(i64::MAX)),
            ("9223372036854775808", Err(NumberError::TooLarge)),
            ("-3", Ok(-3)),
            ("٤٢", Ok(42)),
            ("1.0", Err(NumberError::NotANumber)),
            ("1e3", Err(NumberError::NotANumber)),
            ("-", Err(NumberError::NotANumber)),
        ];
        for (text, expected) in table {
            assert_eq!(integer(text), expected, "{text}");
        }
    }

    /// Digits that PHP's setting adds are removed; all others stay.
    #[test]
    fn the_digits_of_a_double_are_read_as_the_decimal_that_was_meant() {
        let table = [
            ("67.200000000000003", "67.2"),
            ("67.2000000000000028421709430404007434844970703125", "67.2"),
            (
                "-67.2000000000000028421709430404007434844970703125",
                "-67.2",
            ),
            ("1.1499999999999999", "1.15"),
            (
                "0.050000000000000002775557561562891351059079170227050781",
                "0.05",
            ),
            ("1.0000000000000001e-5", "0.00001"),
            ("10000000000000000905969664.0", "10000000000000000000000000"),
            ("٦٧٫٢٠٠٠٠٠٠٠٠٠٠٠٠٠٣", "67.2"),
            ("302.50000000000000000000000000000000000", "302.5"),
            // Computed, not typed: no shorter decimal is the same double.
            ("0.30000000000000004", "0.30000000000000004"),
            (
                "0.3000000000000000444089209850062616169452667236328125",
                "0.30000000000000004",
            ),
            // Not what a double looks like.
            ("3.7500000000000001", "3.7500000000000001"),
            (
                "0.1234567890123456789012345678",
                "0.1234567890123456789012345678",
            ),
            ("67.2000000000000029", "67.2000000000000029"),
            ("12345678901234567.50", "12345678901234567.50"),
            // Integers of PHP are exact.
            ("123456789012345008", "123456789012345008"),
            ("-0.0", "0"),
        ];
        for (text, expected) in table {
            let read = decimal(text).unwrap();
            assert_eq!(read, expected.parse::<Decimal>().unwrap(), "{text}");
        }
        let too_large = [
            "67.20000000000000284217094304040074348449707031251",
            "1.4210854715202004e-14",
            "123456789012345678901234567890.5",
            "1e400",
        ];
        for text in too_large {
            assert_eq!(decimal(text), Err(NumberError::TooLarge), "{text}");
        }
        let endless = format!("0.{}", "1".repeat(200_000));
        assert_eq!(decimal(&endless), Err(NumberError::TooLarge));
    }

    /// A decimal of at most 15 digits, as PHP shows the double that it keeps it in.
    fn as_php_writes(value: Decimal, precision: usize) -> String {
        let float: f64 = value.to_string().parse().unwrap();
        let written = format!("{float:.*e}", precision - 1);
        let exponent: i32 = written.split_once('e').unwrap().1.parse().unwrap();
        if !(-5..17).contains(&exponent) {
            return written;
        }
        let decimals = usize::try_from(precision as i32 - 1 - exponent).unwrap_or(0);
        let plain = format!("{float:.decimals$}");
        match plain.contains('.') {
            true => plain.trim_end_matches('0').trim_end_matches('.').to_owned(),
            false => plain,
        }
    }

    /// One decimal of many is by chance what PHP would show of a double.
    fn has_the_digits_of_a_double(value: Decimal) -> bool {
        let digits = |text: &str| {
            let base = text.split('e').next().unwrap();
            let digits: String = base.chars().filter(char::is_ascii_digit).collect();
            digits.trim_matches('0').to_owned()
        };
        let text = value.to_string();
        let (own, float) = (digits(&text), text.parse::<f64>().unwrap());
        own.len() > DOUBLE_DIGITS && digits(&format!("{float:.*e}", own.len() - 1)) == own
    }

    proptest! {
        #[test]
        fn what_php_writes_of_a_decimal_is_that_decimal(
            mantissa in -999_999_999_999_999_i64..=999_999_999_999_999, scale in 0_u32..=15,
        ) {
            let value = Decimal::new(mantissa, scale);
            for precision in [17, 18, 25, 54, 100] {
                let written = as_php_writes(value, precision);
                prop_assert_eq!(decimal(&written), Ok(value), "{}", written);
            }
        }

        #[test]
        fn decimals_survive_exactly(mantissa: i64, scale in 0u32..=28) {
            let value = Decimal::from_i128_with_scale(i128::from(mantissa), scale);
            prop_assume!(!has_the_digits_of_a_double(value));
            let read = decimal(&value.to_string()).unwrap();
            prop_assert_eq!(read, value);
            prop_assert_eq!(read.scale(), value.scale());
            let arabic: String = value.to_string().chars().map(|c| match c {
                '0'..='9' => char::from_u32(u32::from(c) - 0x30 + 0x660).unwrap(),
                '.' => '\u{66b}',
                other => other,
            }).collect();
            prop_assert_eq!(decimal(&arabic).unwrap(), value);
        }

        #[test]
        fn exponents_shift_the_point(mantissa in -1_000_000i64..1_000_000, exponent in -10i32..=10) {
            let read = decimal(&format!("{mantissa}e{exponent}")).unwrap();
            let shift = Decimal::from(10_i64.pow(exponent.unsigned_abs()));
            let whole = Decimal::from(mantissa);
            prop_assert_eq!(read, if exponent < 0 { whole / shift } else { whole * shift });
        }

        #[test]
        fn any_text_is_taken_calmly(text in "\\PC*", digits in "[-+0-9.eE]{0,80}") {
            let _ = (decimal(&text), integer(&text), decimal(&digits), integer(&digits));
        }
    }
}
