//! Ids that do not follow time. Salla's ids are a fixed scrambling of internal row numbers, so the
//! greatest id is not the newest record and must not serve as a cursor. This is our own permutation
//! with the same properties; it can be turned round, so `/orders/{id}` finds its record by
//! arithmetic.

use super::draw::mix;

const BITS: u32 = 30;
const MASK: u32 = (1 << BITS) - 1;
const HALF: u32 = BITS / 2;

/// Keeps ordinary ids at nine or ten digits and above zero.
const BASE: i64 = 1 << 28;

/// One id in sixteen does not fit into 32 bits, as some of Salla's do not
/// (docs.salla.dev/5394147e0 shows 3155923424).
const WIDE: i64 = 1 << 33;

/// Which resource an id belongs to. Ids are unique per resource only.
#[derive(Clone, Copy, Debug)]
pub(crate) enum IdSpace {
    Order = 1,
    Item = 2,
    Customer = 3,
    Product = 4,
    Variant = 5,
    Option = 6,
    OptionValue = 7,
    Category = 8,
    CustomStatus = 9,
    Other = 10,
}

/// A bijection between the numbers below 2^30 and the ids of one resource.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scramble {
    key: u32,
    factors: [u32; 2],
    inverses: [u32; 2],
}

impl Scramble {
    pub(crate) fn new(seed: u64, space: IdSpace) -> Self {
        let first = mix(seed ^ mix(space as u64));
        let second = mix(first);
        let factors = [(first as u32) | 1, (second as u32) | 1];
        Self {
            key: ((first >> 32) as u32) & MASK,
            factors,
            inverses: factors.map(inverse_of_odd),
        }
    }

    /// The id of record number `index`, which must be below 2^30.
    pub(crate) fn id(&self, index: u64) -> i64 {
        debug_assert!(index <= u64::from(MASK));
        let scrambled = self.forward(index as u32);
        let wide = if is_wide(scrambled) { WIDE } else { 0 };
        BASE + i64::from(scrambled) + wide
    }

    /// The record number behind an id, unless no record could have that id.
    pub(crate) fn index(&self, id: i64) -> Option<u64> {
        let low = if id >= WIDE { id - WIDE } else { id } - BASE;
        let scrambled = u32::try_from(low).ok().filter(|low| *low <= MASK)?;
        (is_wide(scrambled) == (id >= WIDE)).then(|| u64::from(self.backward(scrambled)))
    }

    fn forward(&self, index: u32) -> u32 {
        let mut x = (index ^ self.key) & MASK;
        for factor in self.factors {
            x = x.wrapping_mul(factor) & MASK;
            x ^= x >> HALF;
        }
        x
    }

    /// Each step of `forward` undone in reverse; the shift by half the width
    /// is its own inverse.
    fn backward(&self, scrambled: u32) -> u32 {
        let mut x = scrambled;
        for inverse in self.inverses.iter().rev() {
            x ^= x >> HALF;
            x = x.wrapping_mul(*inverse) & MASK;
        }
        (x ^ self.key) & MASK
    }
}

fn is_wide(scrambled: u32) -> bool {
    scrambled % 16 == 3
}

/// Newton's iteration doubles the number of correct low bits each time.
fn inverse_of_odd(odd: u32) -> u32 {
    let mut inverse = odd;
    for _ in 0..5 {
        inverse = inverse.wrapping_mul(2u32.wrapping_sub(odd.wrapping_mul(inverse)));
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    proptest! {
        #[test]
        fn every_number_comes_back(seed: u64, index in 0..=u64::from(MASK)) {
            let scramble = Scramble::new(seed, IdSpace::Order);
            let id = scramble.id(index);
            prop_assert!(id > 0);
            prop_assert_eq!(scramble.index(id), Some(index));
        }

        #[test]
        fn every_accepted_id_comes_back(seed: u64, id in 0..(1i64 << 34)) {
            let scramble = Scramble::new(seed, IdSpace::Customer);
            if let Some(index) = scramble.index(id) {
                prop_assert_eq!(scramble.id(index), id);
            }
        }
    }

    #[test]
    fn ids_are_distinct_unordered_and_sometimes_wide() {
        let scramble = Scramble::new(1, IdSpace::Order);
        let ids: Vec<i64> = (0..20_000).map(|index| scramble.id(index)).collect();
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
        let rising = ids.windows(2).filter(|pair| pair[0] < pair[1]).count();
        assert!((8_000..12_000).contains(&rising), "{rising}");
        let wide = ids.iter().filter(|id| **id > i64::from(u32::MAX)).count();
        assert!((900..1_700).contains(&wide), "{wide}");
    }
}
