//! What happens when: the earliest first, and what is due at the same moment in the order in which it was said.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;

use sluice_shared::domain::gate::{GateState, Nanos};

/// An entry at its revision.
pub(super) type Entry = Rc<(GateState, u64)>;

/// What one worker, by its number, meets.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// The time has come to look; void where another time was set since.
    Look { worker: usize, set: u64 },
    /// Messages have come into its hands.
    Refill { worker: usize },
    /// The time of a slot.
    Slot { worker: usize, at: Nanos },
    /// A call is over.
    Over { worker: usize },
    /// A swap reaches the broker, made from what was known at a revision.
    Swap { worker: usize, state: Rc<GateState>, revision: u64 },
    /// The swap is answered: the revision that was written, or none where somebody else was first.
    Swapped { worker: usize, written: Option<Entry> },
    /// A read reaches the broker.
    Read { worker: usize },
    /// The entry was read.
    Known { worker: usize, entry: Entry },
    /// The broker has somebody to tell.
    Tell,
    /// The watch tells.
    Told { worker: usize, entry: Entry },
}

#[derive(Default)]
pub(super) struct Events {
    due: BinaryHeap<Reverse<Due>>,
    said: u64,
}

struct Due(Nanos, u64, Event);

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

impl Events {
    pub(super) fn at(&mut self, at: Nanos, event: Event) {
        self.said += 1;
        self.due.push(Reverse(Due(at, self.said, event)));
    }

    pub(super) fn next(&mut self) -> Option<(Nanos, Event)> {
        self.due.pop().map(|Reverse(Due(at, _, event))| (at, event))
    }
}
