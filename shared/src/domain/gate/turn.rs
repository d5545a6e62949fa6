//! One worker at a gate among others: how much it asks for, how far ahead, when it looks again, and when it says what it has
//! in flight. It owns no clock and no chance: times and lots come in.
//!
//! Whoever holds it looks whenever something has changed or the time has come that it named, writes what it offers by
//! compare-and-swap, and tells it what became of that. Only slots of an offer that was written are used.

use std::time::Duration;

use super::lease::{LEASE, in_flight, next_expiry, room};
use super::limits::Limits;
use super::reserve::next_slot;
use super::spare::{KEPT, TakenAhead, beside_kept, take_ahead};
use super::state::{GateState, Nanos};

/// How much of the horizon is reserved ahead.
const REACH: f64 = 0.95;
/// What is left of it when a worker asks for more: somewhere in between, by lot; less for one that has had its turn.
const ITS_TURN: (f64, f64) = (0.88, 0.58);
const HAD_ITS_TURN: (f64, f64) = (0.55, 0.45);
/// Places that have become free at a gate that was short of them are asked for within this time.
const PLACES: Duration = Duration::from_millis(15);
/// How long whoever passes a place on lets the others go first, and how often it does that: more often the more it is taken.
const PASSED_ON: Duration = Duration::from_millis(20);
const PASSED_ON_EVERY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(4));
/// The pause after a lost swap, at most; twice as long after each that is lost, so many times.
const CONFLICT: Duration = Duration::from_millis(2);
const DOUBLED: u32 = 9;
/// How many there may be who choose.
const MANY: f64 = 10_000.0;
/// Between looks.
const LEAST: Duration = Duration::from_micros(500);
/// What is reserved beyond those who wait, at rates where a swap for each call would be too slow.
const AHEAD: Duration = Duration::from_millis(2);

/// What a worker remembers from one look to the next.
#[derive(Clone, Debug, Default)]
pub struct Turn {
    /// How long a swap takes.
    latency: Duration,
    /// The arrival time that its lot was drawn for: a round ends when somebody has reserved.
    round: Nanos,
    lot: f64,
    /// Rounds since it reserved itself, and in how many of them it lets the others go first.
    rounds: u32,
    sits_out: u32,
    /// Swaps that were lost in a row, half of them after one that was won.
    lost: u32,
    /// It waits until then, whatever changes.
    not_before: Nanos,
    /// There was no place for a call when it last looked.
    short: bool,
    /// When it last passed a place on, whether it is not known yet if that was taken, and how often it does so.
    passed_on: Nanos,
    passing: bool,
    passes_every: Duration,
    /// What the entry says that this worker has in flight, and since when.
    stated: u32,
    stated_at: Option<Nanos>,
    kept: Kept,
}

/// Permits for calls at any time, each with a lease.
#[derive(Clone, Debug, Default)]
struct Kept {
    count: u32,
    until: Nanos,
    /// What the gate let through when they were given: under other limits they do not count.
    limits: Option<Limits>,
}

impl Kept {
    fn count(&self, limits: Limits, now: Nanos) -> u32 {
        // One that is farther ahead was set by another clock.
        let fresh = now < self.until && self.until.since(now) <= KEPT * 2;
        if fresh && self.limits == Some(limits) { self.count } else { 0 }
    }
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
    Swap(Box<Offer>),
    /// Look again at this time, or when something has changed.
    Look(Nanos),
}

/// Slots to be written.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The state to be written.
    pub state: GateState,
    slots: Vec<Nanos>,
    /// Whether the first may be used as soon as this is written: the time of its call has come already.
    at_once: bool,
    held: u32,
    kept: Kept,
}

impl Turn {
    /// Whether the entry says that this worker has calls in flight.
    #[must_use]
    pub fn is_stated(&self) -> bool {
        self.stated > 0
    }

    /// One write for all who wait. `lot`, from 0 to 1, is drawn anew for each look.
    #[must_use]
    pub fn reserve(&mut self, sight: Sight<'_>, lot: f64) -> Move {
        let Sight { worker, state, limits, horizon, now, .. } = sight;
        let (held, beside) = (self.held(sight), beside_kept(limits));
        // Slots begin when the swap will be answered: none of them is late then.
        let latency = self.latency.min(horizon / 2);
        let answered = now.after(latency);
        if room(state, worker, held, limits, answered) == 0 {
            self.short = true;
            self.was_taken(true);
            // Room is made by a change that the watch tells, or by a death.
            let expiry = next_expiry(state, worker, answered).unwrap_or(now.after(LEASE / 3));
            return Move::Look(expiry.after(PLACES.mul_f64(late(lot))));
        }
        if let Some(wait) = self.lets_others_go(sight, lot) {
            return Move::Look(wait);
        }
        if state.arrival != self.round {
            (self.round, self.lot, self.rounds) = (state.arrival, lot, self.rounds.saturating_add(1));
        }
        let next = next_slot(state, beside, answered);
        let left = horizon.mul_f64(self.left());
        if next > answered.after(left) {
            return Move::Look(next.before(left + latency).max(now.after(LEAST)));
        }
        let want = sight.waiting.saturating_add(ahead(sight.waiting, limits));
        let reach = horizon.mul_f64(REACH);
        let TakenAhead { taken, kept: count } = take_ahead(state.clone(), worker, held, want, limits, answered, reach);
        let at_once = next_slot(state, beside, now) <= now;
        let kept = Kept { count, until: answered.after(KEPT), limits: Some(limits) };
        Move::Swap(Box::new(Offer { state: taken.state, slots: taken.slots, at_once, held, kept }))
    }

    /// Takes one of the permits that are kept, if there are any.
    #[must_use]
    pub fn uses_kept(&mut self, limits: Limits, now: Nanos) -> bool {
        let any = self.kept.count(limits, now) > 0;
        if any {
            self.kept.count -= 1;
        }
        any
    }

    /// Those that are kept are not used any more.
    pub fn gives_up(&mut self) {
        self.kept = Kept::default();
    }

    /// What it holds leases for: calls in flight, and those to come.
    fn held(&self, sight: Sight<'_>) -> u32 {
        sight.held.saturating_add(self.kept.count(sight.limits, sight.now))
    }

    /// Until when others go first: after a lost swap, and where a gate that is short of places has one.
    fn lets_others_go(&mut self, sight: Sight<'_>, lot: f64) -> Option<Nanos> {
        let Sight { state, limits, now, .. } = sight;
        if self.not_before <= now {
            self.was_taken(false);
        }
        // Nobody else sees room: what there is was this worker's own.
        let own = in_flight(state, now) >= limits.concurrency;
        if own {
            self.passes_on(now);
        } else if std::mem::take(&mut self.short) {
            self.not_before = self.not_before.max(now.after(PLACES.mul_f64(late(lot))));
        }
        // One that is farther ahead was set by another clock.
        Some(self.not_before).filter(|until| *until > now && *until < now.after(LEASE))
    }

    /// A place of its own is free: from time to time others may have it.
    fn passes_on(&mut self, now: Nanos) {
        let every = self.passes_every.max(PASSED_ON_EVERY.0);
        if self.passed_on > now || now.since(self.passed_on) >= every {
            (self.passed_on, self.passing) = (now, true);
            self.not_before = now.after(PASSED_ON);
        }
    }

    /// The place that was passed on was taken by somebody, or by nobody.
    fn was_taken(&mut self, taken: bool) {
        if std::mem::take(&mut self.passing) {
            let every = if taken { self.passes_every / 2 } else { self.passes_every * 2 };
            self.passes_every = every.clamp(PASSED_ON_EVERY.0, PASSED_ON_EVERY.1);
        }
    }

    /// How much of the horizon is left when this worker asks for more. Workers of one gate take turns: who has had one lets as
    /// many others go first as did the last time, and all draw lots, or whoever's way to the broker is a little shorter would
    /// have every slot.
    fn left(&self) -> f64 {
        let (most, least) = if self.rounds < self.sits_out { HAD_ITS_TURN } else { ITS_TURN };
        most - (most - least) * late(self.lot)
    }

    /// A swap was answered after so long.
    pub fn took(&mut self, latency: Duration) {
        self.latency = if latency > self.latency { latency } else { (self.latency * 15 + latency) / 16 };
    }

    /// The offer was written: the slots that are this worker's now, in order.
    #[must_use]
    pub fn won(&mut self, offer: &Offer, now: Nanos) -> Vec<Nanos> {
        (self.round, self.lot) = (offer.state.arrival, 1.0);
        (self.sits_out, self.rounds) = ((self.rounds - self.rounds / 8).max(1), 0);
        self.lost /= 2;
        self.restated(offer.held.saturating_add(count(offer.slots.len())).saturating_add(offer.kept.count), now);
        self.kept = offer.kept.clone();
        let mut slots = offer.slots.clone();
        // Those after it keep their distance from its slot, which is later.
        if let Some(first) = slots.first_mut().filter(|_| offer.at_once) {
            *first = now.min(*first);
        }
        slots
    }

    /// Somebody else wrote first, or nobody knows: the slots may be taken, so nobody uses them. When to look again.
    #[must_use]
    pub fn lost(&mut self, now: Nanos, lot: f64) -> Nanos {
        self.lost = self.lost.saturating_add(1).min(DOUBLED);
        self.not_before = now.after((CONFLICT * (1 << (self.lost - 1))).mul_f64(0.1 + 0.9 * lot));
        self.not_before
    }

    /// Whether it is time to say what is in flight: to renew it, or to give back promptly where the gate is short of it.
    #[must_use]
    pub fn must_restate(&mut self, sight: Sight<'_>) -> bool {
        if sight.held == 0 && self.is_older_than(LEASE, sight.now) {
            self.stated = 0;
        }
        let short = in_flight(sight.state, sight.now) >= sight.limits.concurrency;
        let due = sight.held > 0 && self.is_older_than(LEASE / 3, sight.now);
        let gives_back = short && self.stated > sight.held;
        if gives_back {
            self.passes_on(sight.now);
        }
        if due || gives_back {
            self.gives_up(); // what is in flight is said, and no more
        }
        due || gives_back
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

/// A moment of a time that many have to choose one from, from 0 to 1, so that the first of them is likely alone, be they two or
/// a thousand: few choose an early one. (K. Jamieson, H. Balakrishnan, Y. C. Tay 2006, "Sift: a MAC protocol for event-driven
/// wireless sensor networks", <https://doi.org/10.1007/11669463_20>.)
fn late(lot: f64) -> f64 {
    (1.0 + lot * (MANY - 1.0)).ln() / MANY.ln()
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
