//! Lanes: work of all tenants, spread over a few by the tenant, so that one tenant's backlog holds up nobody but those who share
//! its lane.

use std::fmt;

/// One of so many lanes, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane(u16);

impl Lane {
    /// All of so many, one at least.
    pub fn all(lanes: u16) -> impl Iterator<Item = Self> + use<> {
        (0..lanes.max(1)).map(Self)
    }

    /// That of a name, always the same: its FNV-1a hash of 32 bits, by the rest of a division. A nats-server's `partition(n)`
    /// does the same (<https://docs.nats.io/nats-concepts/subject_mapping>), so both find the same lane.
    #[must_use]
    pub fn of(name: &str, lanes: u16) -> Self {
        let rest = fnv_1a(name.as_bytes()) % u32::from(lanes.max(1));
        Self(u16::try_from(rest).unwrap_or(0))
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many messages to ask a lane for after a request for `asked` brought so many, never more than `most`: twice as many where
/// it was used up, as many as came where it was not, one where nothing came.
#[must_use]
pub fn appetite(asked: usize, brought: usize, most: usize) -> usize {
    let wanted = if brought >= asked { asked.saturating_mul(2) } else { brought };
    wanted.clamp(1, most.max(1))
}

/// The hash of Fowler, Noll and Vo, <https://www.rfc-editor.org/rfc/rfc9923>.
fn fnv_1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn the_hash_is_that_of_its_published_test_vectors() {
        for (text, hash) in [("", 0x811c_9dc5), ("a", 0xe40c_292c), ("foobar", 0xbf9c_f968)] {
            assert_eq!(fnv_1a(text.as_bytes()), hash, "{text}");
        }
    }

    #[test]
    fn names_are_spread_over_all_lanes_about_evenly() {
        for lanes in [1, 3, 8, 16] {
            let mut each = HashMap::<Lane, usize>::new();
            for number in 0..1_000 * usize::from(lanes) {
                *each.entry(Lane::of(&format!("sluice.submit.tenant-{number}"), lanes)).or_default() += 1;
            }
            assert!(Lane::all(lanes).all(|lane| (700..1_300).contains(&each[&lane])), "{each:?}");
        }
    }

    #[test]
    fn a_lane_asks_for_much_where_much_comes_and_for_one_where_nothing_does() {
        let steps: Vec<usize> =
            std::iter::successors(Some(1), |&asked| Some(appetite(asked, asked, 100))).take(9).collect();
        assert_eq!(steps, [1, 2, 4, 8, 16, 32, 64, 100, 100]);
        assert_eq!(
            [(64, 40), (64, 1), (64, 0), (1, 0)].map(|(asked, brought)| appetite(asked, brought, 100)),
            [40, 1, 1, 1]
        );
        assert_eq!(appetite(1, 1, 0), 1);
    }

    #[test]
    fn a_lane_that_there_is_not_is_never_found() {
        assert_eq!(Lane::of("any", 0), Lane::of("any", 1));
        assert_eq!(Lane::all(0).count(), 1);
    }
}
