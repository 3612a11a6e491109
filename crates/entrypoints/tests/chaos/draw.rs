//! Chance by the words that plans are drawn with.

/// Draws everything about one case; the same seed draws the same case.
#[derive(Debug)]
pub(crate) struct SeededChoices(fastrand::Rng);

impl SeededChoices {
    pub(crate) fn of(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    pub(crate) fn chance(&mut self, share: f64) -> bool {
        self.0.f64() < share
    }

    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        self.0.u64(least..=most.max(least))
    }

    /// Small numbers far more often than large ones.
    pub(crate) fn mostly_small(&mut self, most: u64) -> u64 {
        let share = self.0.f64();
        (share * share * most as f64) as u64
    }

    pub(crate) fn share(&mut self, most: f64) -> f64 {
        self.0.f64() * most
    }

    pub(crate) fn pick<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.0.usize(..all.len())].clone()
    }

    /// Something with this chance, else what is usual.
    pub(crate) fn maybe<T: Default>(&mut self, share: f64, draw: impl FnOnce(&mut Self) -> T) -> T {
        match self.chance(share) {
            true => draw(self),
            false => T::default(),
        }
    }

    pub(crate) fn seed(&mut self) -> u64 {
        self.0.u64(..)
    }
}
