//! What answers weigh: how much memory they may take from their first byte until they have
//! landed.
//!
//! An answer is held as it came, as text of each record, as what was understood of it, and
//! once more as it is sent to the database. Its bytes times five are not exceeded by what
//! people sell; only an answer that is made of thousands of tiny values takes more, and their
//! commas tell.

/// The longest answer of Salla's that is read, unpacked.
pub const MAX_BYTES: usize = 8 << 20;

/// The same for customers, who take a kilobyte each. Their pages wait for a separate budget with
/// nothing reserved, so they must stay small.
pub const MAX_CUSTOMER_BYTES: usize = 2 << 20;

/// Weights are counted in kibibytes.
const UNIT: usize = 1 << 10;

/// Of each byte beyond what an answer may have anyway.
const PER_BYTE: usize = 5;

/// Of each byte of a page that is decoded: text of each record, what was understood of it, and
/// once more as it is sent to the database.
const PER_DECODED_BYTE: usize = 3;

/// What a value takes beyond its text, decoded.
const PER_VALUE: usize = 512;

/// An answer has at most one comma for this number of bytes, or is made of tiny values.
const BYTES_PER_COMMA: usize = 12;

/// What an answer may take without being looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseSize {
    Record,
    Page,
    /// A page of customers, which takes no room as long as it is small.
    Customers,
}

impl ResponseSize {
    #[cfg(test)]
    const ALL: [Self; 3] = [Self::Record, Self::Page, Self::Customers];

    /// What it weighs however short it is.
    pub(super) const fn min_weight(self) -> u32 {
        match self {
            Self::Record => 64,
            Self::Page => 2_560,
            Self::Customers => 0,
        }
    }

    /// The number of bytes that weigh no more than that.
    const fn included(self) -> usize {
        match self {
            Self::Record => 16 << 10,
            Self::Page => 512 << 10,
            Self::Customers => 128 << 10,
        }
    }

    pub const fn max_bytes(self) -> usize {
        match self {
            Self::Record | Self::Page => MAX_BYTES,
            Self::Customers => MAX_CUSTOMER_BYTES,
        }
    }

    /// What the longest answer weighs; nothing heavier is read.
    pub(super) const fn max_weight(self) -> u32 {
        Load::of_bytes(self.max_bytes()).weight(self)
    }
}

/// What answers bring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    bytes: usize,
    /// Values beyond what texts of that length have.
    values: usize,
}

impl Load {
    pub const fn of_bytes(bytes: usize) -> Self {
        Self { bytes, values: 0 }
    }

    /// Of an answer that is there.
    pub fn of(body: &[u8]) -> Self {
        let commas = body.iter().filter(|byte| **byte == b',').count();
        Self {
            bytes: body.len(),
            values: commas.saturating_sub(body.len() / BYTES_PER_COMMA),
        }
    }

    pub(super) const fn plus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes + other.bytes,
            values: self.values + other.values,
        }
    }

    pub(super) const fn is_included(self, size: ResponseSize) -> bool {
        self.bytes <= size.included() && self.values == 0
    }

    pub(super) const fn weight(self, size: ResponseSize) -> u32 {
        let beyond = self.bytes.saturating_sub(size.included());
        let more = (beyond * PER_BYTE + self.values * PER_VALUE).div_ceil(UNIT);
        // Nothing that is read comes near the end of the range.
        size.min_weight().saturating_add(more as u32)
    }

    /// What it weighs once nothing of it has to be decoded any more.
    pub(super) const fn decoded_weight(self) -> u32 {
        (self.bytes * PER_DECODED_BYTE + self.values * PER_VALUE).div_ceil(UNIT) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_sell_weighs_by_its_length_and_tiny_values_by_their_number() {
        let order =
            r#"{"id":55,"currency":"SAR","amounts":{"total":{"amount":115,"currency":"SAR"}}},"#;
        let page = order.repeat(60 << 10);
        let usual = Load::of(page.as_bytes());
        assert_eq!(usual, Load::of_bytes(page.len()));
        assert!(usual.weight(ResponseSize::Page) < ResponseSize::Page.max_weight());
        for tiny in ["1,", "{},", r#"{"id":1},"#] {
            let page = tiny.repeat(MAX_BYTES / tiny.len());
            assert!(
                Load::of(page.as_bytes()).weight(ResponseSize::Page)
                    > ResponseSize::Page.max_weight(),
                "{tiny}"
            );
        }
    }

    #[test]
    fn what_is_short_weighs_the_least() {
        for size in ResponseSize::ALL {
            assert_eq!(
                Load::of_bytes(size.included()).weight(size),
                size.min_weight()
            );
            assert_eq!(
                Load::of_bytes(size.included() + 1_024).weight(size),
                size.min_weight() + 5
            );
        }
    }
}
