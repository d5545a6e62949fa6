//! All that is left to chance in a run, drawn from its seed and from nothing else: the same seed is the same run.

use std::cell::RefCell;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

/// A source of choices.
pub(crate) struct Chance(RefCell<Xoshiro256PlusPlus>);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(RefCell::new(Xoshiro256PlusPlus::seed_from_u64(seed)))
    }

    pub(crate) fn bits(&self) -> u64 {
        self.0.borrow_mut().random()
    }

    /// From 0 to 1.
    pub(crate) fn share(&self) -> f64 {
        self.0.borrow_mut().random()
    }

    /// From `least` to `most`, both included.
    pub(crate) fn between(&self, least: u64, most: u64) -> u64 {
        self.0.borrow_mut().random_range(least..=most)
    }

    /// True once in so many times; never where that is 0.
    pub(crate) fn once_in(&self, times: u64) -> bool {
        times > 0 && self.between(1, times) == 1
    }

    pub(crate) fn percent(&self, percent: u64) -> bool {
        self.between(0, 99) < percent
    }

    pub(crate) fn one_of<T: Copy>(&self, choices: &[T]) -> T {
        let last = u64::try_from(choices.len() - 1).unwrap();
        choices[usize::try_from(self.between(0, last)).unwrap()]
    }
}
