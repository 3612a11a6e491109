//! Numbers that PHP wrote from a double with more digits than it takes to tell one double
//! from another.
//!
//! One line of PHP's settings (`serialize_precision`, 17 or 100 instead of -1) makes 67.2
//! `67.200000000000003`, or gives all binary digits of the double that is nearest to
//! 67.2. Nobody typed these digits, and a column of exact decimals would keep them for
//! ever. A decimal of up to 15 digits survives the way through a double, so it can be
//! told from its digits.

/// This many digits of a decimal survive in a double, whichever they are.
pub(super) const DIGITS: usize = 15;

/// The longest double has 767 digits.
const MAX_DIGITS: usize = 800;

/// The shortest decimal that means the same double.
pub(super) struct Shortest {
    /// `6.72e1`
    pub(super) text: String,
    /// Whether it is certainly the decimal that the double was made from, and not the
    /// one that was read.
    pub(super) was_meant: bool,
}

/// Nothing where the number, a plain one perhaps with an exponent, is not what a double
/// looks like when it is written with that many digits.
pub(super) fn shortest(number: &str) -> Option<Shortest> {
    let digits = significant_digits(number);
    if !(1..=MAX_DIGITS).contains(&digits.len()) {
        return None;
    }
    let double: f64 = number.parse().ok()?;
    let written = format!("{double:.*e}", digits.len() - 1);
    // Two numbers this close have the same exponent if they have the same digits.
    if !double.is_finite() || significant_digits(&written) != digits {
        return None;
    }
    let text = format!("{double:e}");
    let was_meant = digits.len() > DIGITS && significant_digits(&text).len() <= DIGITS;
    Some(Shortest { text, was_meant })
}

/// Without sign, point, exponent, and zeros at either end.
fn significant_digits(number: &str) -> String {
    let base = number.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = base.chars().filter(char::is_ascii_digit).collect();
    digits.trim_matches('0').to_owned()
}
