//! Places in the stream of events: what a client that was cut off goes on from.
//!
//! Invariant: a place of another stream of the same name, made after the first was lost, is never taken for one of this.

use std::fmt;
use std::str::FromStr;

/// An event's place: `<creation of the stream>-<sequence>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// When the stream was made, milliseconds since the epoch.
    pub created: u64,
    /// The event's sequence there.
    pub sequence: u64,
}

/// What a stream of events holds at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holds {
    /// When it was made, milliseconds since the epoch.
    pub(super) created: u64,
    /// The first sequence it holds.
    pub(super) first: u64,
    /// The last sequence it gave out.
    pub(super) last: u64,
}

/// A text that is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoPlace;

impl Holds {
    /// Whether everything after this place is still held.
    pub(super) fn all_after(&self, place: Place) -> bool {
        place.created == self.created && place.sequence <= self.last && self.first <= place.sequence.saturating_add(1)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.created, self.sequence)
    }
}

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let (created, sequence) = text.split_once('-').ok_or(NoPlace)?;
        let number = |digits: &str| digits.parse().map_err(|_| NoPlace);
        Ok(Self { created: number(created)?, sequence: number(sequence)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLDS: Holds = Holds { created: 1_000, first: 5, last: 9 };

    #[test]
    fn a_place_reads_back_as_what_it_was() {
        let place = Place { created: 1_790_000_000_000, sequence: 7 };
        assert_eq!(place.to_string().parse(), Ok(place));
        for text in ["", "7", "a-7", "7-", "1-2-3", "-1"] {
            assert_eq!(text.parse::<Place>(), Err(NoPlace), "{text}");
        }
    }

    #[test]
    fn a_place_is_known_where_nothing_after_it_was_lost() {
        let known = |created, sequence| HOLDS.all_after(Place { created, sequence });
        assert!(known(1_000, 4) && known(1_000, 9));
        assert!(!known(1_000, 3) && !known(1_000, 10) && !known(999, 7));
    }
}
