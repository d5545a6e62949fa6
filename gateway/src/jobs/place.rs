//! Places in the stream of events: what a client that was cut off goes on from.
//!
//! Invariant: a place of another stream of the same name, made after the first was lost, is never taken for one of this.

use std::fmt;
use std::str::FromStr;

/// An event's place: `<creation of the stream>-<sequence>`, and `.<number>` where it is one of several of one message, and not
/// the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// When the stream was made, milliseconds since the epoch.
    pub created: u64,
    /// The sequence of its message there.
    pub sequence: u64,
    /// How many events of that message are told up to this one; none where it is the last.
    pub part: Option<usize>,
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
        place.created == self.created && place.sequence <= self.last && self.first <= place.next()
    }
}

impl Place {
    /// The sequence of the first message that holds what comes behind it.
    pub(super) fn next(&self) -> u64 {
        self.sequence.saturating_add(u64::from(self.part.is_none()))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.created, self.sequence)?;
        self.part.map_or(Ok(()), |part| write!(f, ".{part}"))
    }
}

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let (created, behind) = text.split_once('-').ok_or(NoPlace)?;
        let (sequence, part) = behind.split_once('.').map_or((behind, None), |(sequence, part)| (sequence, Some(part)));
        let number = |digits: &str| digits.parse().map_err(|_| NoPlace);
        let part = part.map(str::parse).transpose().map_err(|_| NoPlace)?;
        Ok(Self { created: number(created)?, sequence: number(sequence)?, part })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLDS: Holds = Holds { created: 1_000, first: 5, last: 9 };

    #[test]
    fn a_place_reads_back_as_what_it_was() {
        for part in [None, Some(1)] {
            let place = Place { created: 1_790_000_000_000, sequence: 7, part };
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        for text in ["", "7", "a-7", "7-", "1-2-3", "-1", "1-7.", "1-.1", "1-7.1.1"] {
            assert_eq!(text.parse::<Place>(), Err(NoPlace), "{text}");
        }
    }

    #[test]
    fn a_place_is_known_where_nothing_after_it_was_lost() {
        let known = |created, sequence| HOLDS.all_after(Place { created, sequence, part: None });
        assert!(known(1_000, 4) && known(1_000, 9));
        assert!(!known(1_000, 3) && !known(1_000, 10) && !known(999, 7));
        let amid = |sequence| HOLDS.all_after(Place { created: 1_000, sequence, part: Some(1) });
        assert!(amid(5) && amid(9) && !amid(4), "the rest of its message is needed too");
    }
}
