//! Chance without memory: every record's random choices are computed from the
//! shop's seed and the record's number, so that nothing has to be stored and
//! record 499,999 costs as much as record 0.

/// What a sequence of choices is for. Two streams of one record are
/// independent, so the status of an order is known without drawing its items.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stream {
    OrderHead = 1,
    OrderBody = 2,
    OrderMoment = 3,
    Customer = 4,
    Product = 5,
    Category = 6,
    DayNoise = 7,
    InvalidOrder = 8,
    InvalidCustomer = 9,
    InvalidProduct = 10,
    Quirk = 11,
    Drift = 12,
    TotalJitter = 13,
    RepeatedEntries = 14,
    LongSku = 15,
    Gap = 16,
}

/// A stream of choices (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Draw {
    state: u64,
}

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The finalizer of SplitMix64: close numbers give unrelated results.
pub(crate) fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

impl Draw {
    pub(crate) fn of(seed: u64, stream: Stream, index: u64) -> Self {
        let lane = mix(seed.wrapping_add((stream as u64).wrapping_mul(GOLDEN)));
        Self {
            state: mix(lane ^ index.wrapping_mul(GOLDEN)),
        }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// A number below `bound`, which must not be zero.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// A number in `[0, 1)`.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(crate) fn chance(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// One of `(weight, value)` in proportion to the weights.
    pub(crate) fn weighted<T: Copy>(&mut self, from: &[(u32, T)]) -> T {
        let total: u32 = from.iter().map(|(weight, _)| weight).sum();
        let mut left = self.below(u64::from(total)) as u32;
        for (weight, value) in from {
            if left < *weight {
                return *value;
            }
            left -= weight;
        }
        from[from.len() - 1].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_draws_the_same_every_time_and_streams_differ() {
        let first = Draw::of(7, Stream::OrderHead, 3).next();
        assert_eq!(first, Draw::of(7, Stream::OrderHead, 3).next());
        assert_ne!(first, Draw::of(7, Stream::OrderBody, 3).next());
        assert_ne!(first, Draw::of(8, Stream::OrderHead, 3).next());
        assert_ne!(first, Draw::of(7, Stream::OrderHead, 4).next());
    }

    #[test]
    fn weights_are_respected() {
        let mut draw = Draw::of(1, Stream::OrderHead, 0);
        let heavy = (0..10_000)
            .filter(|_| draw.weighted(&[(9, true), (1, false)]))
            .count();
        assert!((8_800..9_200).contains(&heavy), "{heavy}");
    }
}
