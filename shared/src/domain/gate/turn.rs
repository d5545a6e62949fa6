//! One worker at a gate among others: how much it asks for, how far ahead, when it looks again, and when it says what it has
//! in flight. It owns no clock and no chance: times and lots come in.
//!
//! Whoever holds it looks whenever something has changed or the time has come that it named, writes what it offers by
//! compare-and-swap, and tells it what became of that. Only slots of an offer that was written are used.

use std::ops::Range;
use std::time::Duration;

use super::lease::{LEASE, in_flight, next_expiry, room};
use super::limits::Limits;
use super::reserve::{Taken, next_slot, take};
use super::state::{GateState, Nanos};

/// The pause after a lost swap, at most.
const CONFLICT: Duration = Duration::from_millis(2);
/// How much of the horizon is reserved ahead by a worker that had the last slots, and by others.
const HAD_THE_LAST: f64 = 0.7;
const OTHERS: Range<f64> = 0.8..0.95;
/// What is reserved beyond those who wait, at rates where a swap for each call would be too slow.
const AHEAD: Duration = Duration::from_millis(2);

/// What a worker remembers from one look to the next.
#[derive(Clone, Debug, Default)]
pub struct Turn {
    /// How long a swap takes.
    latency: Duration,
    /// Whether the last slots that this worker asked for were its own.
    had_the_last: bool,
    /// What the entry says that this worker has in flight, and since when.
    stated: u32,
    stated_at: Option<Nanos>,
}

/// What a worker sees when it looks.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// The worker's name.
    pub worker: &'a str,
    /// The gate.
    pub state: &'a GateState,
    /// The limits that count.
    pub limits: Limits,
    /// How far ahead slots are reserved at most.
    pub horizon: Duration,
    /// The worker's calls in flight, and its slots that nobody has yet.
    pub held: u32,
    /// Those who wait for a slot.
    pub waiting: u32,
    /// The time.
    pub now: Nanos,
}

/// What a worker does about those who wait.
#[derive(Clone, Debug)]
pub enum Move {
    /// Write this.
    Swap(Offer),
    /// Look again at this time, or when something has changed.
    Look(Nanos),
}

/// Slots to be written.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The state to be written.
    pub state: GateState,
    slots: Vec<Nanos>,
    held: u32,
}

impl Turn {
    /// Whether the entry says that this worker has calls in flight.
    #[must_use]
    pub fn is_stated(&self) -> bool {
        self.stated > 0
    }

    /// One write for all who wait. `lot`, from 0 to 1, is drawn anew for each look.
    #[must_use]
    pub fn reserve(&self, sight: Sight<'_>, lot: f64) -> Move {
        let Sight { worker, state, limits, horizon, held, now, .. } = sight;
        // Slots begin when the swap will be answered: none of them is late then.
        let answered = now.after(self.latency.min(horizon / 2));
        if room(state, worker, held, limits, answered) == 0 {
            // Room is made by a change that the watch tells, or by a death.
            return Move::Look(match next_expiry(state, worker, answered) {
                Some(expiry) => expiry.after(CONFLICT.mul_f64(10.0 * lot)),
                None => now.after(LEASE / 3),
            });
        }
        let reach = horizon.mul_f64(self.reach(lot));
        let next = next_slot(state, limits, answered);
        if next >= answered.after(reach) {
            return Move::Look(next.before(reach.mul_f64(0.9)).max(now.after(CONFLICT / 4)));
        }
        let want = sight.waiting.saturating_add(ahead(sight.waiting, limits));
        let Taken { state: next, mut slots, .. } = take(state.clone(), worker, held, want, limits, answered, reach);
        // A call that conforms already need not wait: those after it keep their distance from its slot.
        if next_slot(state, limits, now) <= now {
            slots.first_mut().iter_mut().for_each(|first| **first = now);
        }
        Move::Swap(Offer { state: next, slots, held })
    }

    /// How much of the horizon is reserved ahead. Workers of one gate take turns: who had the last slots lets the others go
    /// first, and those draw lots, or whoever's way to the broker is a little shorter would have them all.
    fn reach(&self, lot: f64) -> f64 {
        if self.had_the_last { HAD_THE_LAST } else { OTHERS.start + (OTHERS.end - OTHERS.start) * lot }
    }

    /// A swap was answered after so long.
    pub fn took(&mut self, latency: Duration) {
        self.latency = if latency > self.latency { latency } else { (self.latency * 15 + latency) / 16 };
    }

    /// The offer was written: the slots that are this worker's now, in order.
    #[must_use]
    pub fn won(&mut self, offer: Offer, now: Nanos) -> Vec<Nanos> {
        self.had_the_last = true;
        self.restated(offer.held.saturating_add(count(offer.slots.len())), now);
        offer.slots
    }

    /// Somebody else wrote first, or nobody knows: the slots may be taken, so nobody uses them. When to look again.
    #[must_use]
    pub fn lost(&mut self, now: Nanos, lot: f64) -> Nanos {
        self.had_the_last = false;
        now.after(CONFLICT.mul_f64(0.1 + 0.9 * lot))
    }

    /// Whether it is time to say what is in flight: to renew it, or to give back promptly where the gate is short of it.
    #[must_use]
    pub fn must_restate(&mut self, sight: Sight<'_>) -> bool {
        if sight.held == 0 && self.is_older_than(LEASE, sight.now) {
            self.stated = 0;
        }
        let short = in_flight(sight.state, sight.now) >= sight.limits.concurrency;
        let due = sight.held > 0 && self.is_older_than(LEASE / 3, sight.now);
        due || (short && self.stated > sight.held)
    }

    /// The entry says since now that so many are in flight.
    pub fn restated(&mut self, held: u32, now: Nanos) {
        (self.stated, self.stated_at) = (held, Some(now));
    }

    /// When the lease is looked after next, with so many in flight.
    #[must_use]
    pub fn next_upkeep(&self, held: u32) -> Option<Nanos> {
        // Without calls in flight one last look forgets what the entry says, when it has expired there.
        let next = if held > 0 { LEASE / 3 } else { LEASE };
        self.stated_at.filter(|_| self.stated > 0).map(|at| at.after(next))
    }

    /// A statement that seems to come from the future was made before the clock was set back: nobody knows how old it is.
    fn is_older_than(&self, age: Duration, now: Nanos) -> bool {
        self.stated_at.is_none_or(|at| at > now || now.since(at) >= age)
    }
}

/// Slots beyond those who wait: none below a thousand a second.
fn ahead(waiting: u32, limits: Limits) -> u32 {
    let each = u128::from(limits.interval.nanos());
    let within = u32::try_from(AHEAD.as_nanos() / each).unwrap_or(u32::MAX);
    if within < 2 { 0 } else { within.min(waiting.saturating_mul(4)) }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
