//! A worker at the gate: what it has in hand and what its gate's task is at.

use std::collections::VecDeque;
use std::rc::Rc;

use sluice_shared::domain::gate::{GateState, Limits, Nanos, Offer, Sight, Turn};

use super::events::Entry;

/// Messages that a worker may have in hand, as configured by default.
const PLACES: u32 = 512;

pub(super) struct Worker {
    pub(super) name: String,
    pub(super) known: Entry,
    pub(super) turn: Turn,
    /// Messages without a slot.
    pub(super) waiting: u32,
    /// Messages whose slot has not come.
    pub(super) slotted: u32,
    /// Calls in flight.
    pub(super) on_the_wire: u32,
    /// Slots that nobody has.
    pub(super) spare: VecDeque<Nanos>,
    pub(super) doing: Doing,
    /// Something has changed since it last looked.
    pub(super) changed: bool,
    /// Which of the times to look counts.
    pub(super) look: u64,
    pub(super) refills: bool,
    pub(super) asked_at: Nanos,
    /// Calls that it has sent, and since when its messages wait for a slot.
    pub(super) sent: u64,
}

/// What the task of a gate is at.
#[derive(Debug)]
pub(super) enum Doing {
    /// It waits for a change, or for a time.
    Nothing,
    /// It has offered a swap.
    Offered(Box<Offer>),
    /// It reads after a swap that was lost.
    Reads,
    /// It says what it has in flight.
    States { held: u32 },
    /// It reads to say that again, or waits for a moment before it does.
    StatesAgain,
}

impl Worker {
    pub(super) fn new(number: usize, known: Entry) -> Self {
        Self {
            name: format!("{number:05}-{number:016x}"),
            known,
            turn: Turn::default(),
            waiting: 0,
            slotted: 0,
            on_the_wire: 0,
            spare: VecDeque::new(),
            doing: Doing::Nothing,
            changed: false,
            look: 0,
            refills: false,
            asked_at: Nanos(0),
            sent: 0,
        }
    }

    /// Calls that have a lease, and slots that nobody has.
    pub(super) fn held(&self) -> u32 {
        self.slotted + self.on_the_wire + u32::try_from(self.spare.len()).unwrap()
    }

    /// `GateSet::take`: how many more messages it may have in hand.
    pub(super) fn room(&self, limits: Limits, soon: u32) -> u32 {
        let in_hand = self.waiting + self.slotted + self.on_the_wire;
        let soon = soon.max(limits.burst).saturating_sub(self.waiting + self.slotted);
        limits.concurrency.min(PLACES).saturating_sub(in_hand).min(soon)
    }

    pub(super) fn sight<'a>(&'a self, state: &'a GateState, limits: Limits, now: Nanos) -> Sight<'a> {
        let (held, waiting, worker) = (self.held(), self.waiting, self.name.as_str());
        Sight { worker, state, limits, horizon: super::gate::HORIZON, held, waiting, now }
    }

    pub(super) fn saw(&mut self, entry: Entry) {
        if entry.1 > self.known.1 {
            self.known = Rc::clone(&entry);
            self.changed = true;
        }
    }
}
