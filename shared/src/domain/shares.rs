//! How much of something that tenants, or lanes, share each of them may hold, so that whatever one of them does leaves room for
//! the others.
//!
//! The dynamic threshold of shared buffers (Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet
//! switches", 1998): nobody takes more once they hold seven times what is free. One tenant alone gets seven eighths of all,
//! two that want everything 7/15 each, and there is always something left for the next one. Nothing is taken away from anybody:
//! what is given back goes to those who hold less.

use std::collections::HashMap;
use std::hash::Hash;

use super::id::Tenant;

/// How many times what is free one may hold.
const TIMES_WHAT_IS_FREE: usize = 7;

/// Who holds how much of something: tenants, where nothing else is said.
#[derive(Debug)]
pub struct Shares<K = Tenant> {
    most: usize,
    held: usize,
    each: HashMap<K, usize>,
}

/// How much of so many one gets who is alone.
#[must_use]
pub fn alone(most: usize) -> usize {
    let seven_eighths = most.saturating_mul(TIMES_WHAT_IS_FREE).div_ceil(TIMES_WHAT_IS_FREE + 1);
    seven_eighths.min(most.saturating_sub(1)).max(1)
}

impl<K: Clone + Eq + Hash> Shares<K> {
    /// Nobody holds any of `most`, which is one at least.
    #[must_use]
    pub fn of(most: usize) -> Self {
        Self { most: most.max(1), held: 0, each: HashMap::new() }
    }

    /// Whether somebody may take so much now.
    #[must_use]
    pub fn may_take(&self, who: &K, weight: usize) -> bool {
        let (free, held) = (self.most.saturating_sub(self.held), self.held_by(who));
        match held {
            0 => free > 0,
            _ => weight < free && held < free.saturating_mul(TIMES_WHAT_IS_FREE),
        }
    }

    /// Takes so much for somebody. Whoever holds nothing may take more than what is free.
    pub fn take(&mut self, who: &K, weight: usize) {
        self.held += weight;
        *self.each.entry(who.clone()).or_default() += weight;
    }

    /// Gives back what somebody has taken.
    pub fn give_back(&mut self, who: &K, weight: usize) {
        self.held = self.held.saturating_sub(weight);
        if let Some(held) = self.each.get_mut(who) {
            *held = held.saturating_sub(weight);
            if *held == 0 {
                self.each.remove(who);
            }
        }
    }

    /// How much somebody holds.
    #[must_use]
    pub fn held_by(&self, who: &K) -> usize {
        self.each.get(who).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a name that is none fails the test")]

    use proptest::prelude::*;

    use super::*;

    fn tenant(number: usize) -> Tenant {
        format!("t{number}").parse().unwrap()
    }

    /// Takes as much as it may; how much that is.
    fn fill(shares: &mut Shares, tenant: &Tenant) -> usize {
        let before = shares.held_by(tenant);
        while shares.may_take(tenant, 1) {
            shares.take(tenant, 1);
        }
        shares.held_by(tenant) - before
    }

    #[test]
    fn one_alone_gets_seven_eighths_and_the_next_one_of_what_is_left() {
        let mut shares = Shares::of(512);
        let got = [1, 2, 3, 4].map(|number| fill(&mut shares, &tenant(number)));
        assert_eq!(got, [448, 56, 7, 1]);
    }

    #[test]
    fn of_a_small_thing_one_is_left() {
        for (most, alone) in [(0, 1), (1, 1), (2, 1), (4, 3), (8, 7), (16, 14)] {
            assert_eq!(fill(&mut Shares::of(most), &tenant(1)), alone, "of {most}");
        }
    }

    #[test]
    fn what_one_alone_gets_is_known_before() {
        for most in 0..2_000 {
            assert_eq!(fill(&mut Shares::of(most), &tenant(1)), alone(most), "of {most}");
        }
    }

    #[test]
    fn what_one_gives_back_goes_to_others_until_all_have_the_same() {
        let (mut shares, a, b) = (Shares::of(512), tenant(1), tenant(2));
        fill(&mut shares, &a);
        fill(&mut shares, &b);
        for _ in 0..2_000 {
            // The first gives back by and by, and asks for more at once.
            shares.give_back(&a, 1);
            fill(&mut shares, &a);
            fill(&mut shares, &b);
        }
        let (of_a, of_b) = (shares.held_by(&a), shares.held_by(&b));
        assert!(of_a.abs_diff(of_b) <= 8 && of_a + of_b > 470, "{of_a}, {of_b}");
    }

    #[test]
    fn what_is_heavy_counts_as_such_and_leaves_room_for_others_still() {
        let (mut shares, a, b) = (Shares::of(192), tenant(1), tenant(2));
        while shares.may_take(&a, 12) {
            shares.take(&a, 12);
        }
        assert!(shares.held_by(&a) <= 180 && shares.may_take(&b, 1), "{shares:?}");
    }

    proptest! {
        /// Whatever was taken and given back: never more than all is held, and whoever holds nothing finds something as long
        /// as there is any, which is so while fewer tenants want everything than there are steps of eight in it.
        #[test]
        fn nobody_keeps_another_from_their_first(steps in prop::collection::vec((0_usize..3, any::<bool>()), 0..2_000)) {
            let mut shares = Shares::of(512);
            for (number, takes) in steps {
                let tenant = tenant(number);
                if takes {
                    if shares.may_take(&tenant, 1) {
                        shares.take(&tenant, 1);
                    }
                } else if shares.held_by(&tenant) > 0 {
                    shares.give_back(&tenant, 1);
                }
                prop_assert!(shares.held <= 512);
                prop_assert_eq!(shares.each.values().sum::<usize>(), shares.held);
                prop_assert!(shares.may_take(&self::tenant(9), 1));
            }
        }
    }
}
