//! The broker as far as a gate needs it: one entry, changed by one writer at a time, and everybody told of each change.
//!
//! The stream takes writes and reads one after the other. Those who watch are told by the other processors, one after the
//! other; whoever has not been told yet of the change before is told of the newest only, as a bucket keeps no other.

use std::collections::VecDeque;
use std::time::Duration;

use sluice_shared::domain::gate::{GateState, Nanos};

use super::events::Entry;

/// What a broker takes its time for. As measured by `costs_of_…` in the suite `scale`, on one of two cores.
#[derive(Clone, Copy, Debug)]
pub struct Costs {
    /// A swap, won or lost, at the stream, which does one at a time.
    pub swap: Duration,
    /// A read.
    pub read: Duration,
    /// To tell one worker.
    pub tell: Duration,
    /// The same for each KiB of the entry.
    pub tell_kib: Duration,
    /// Cores that tell.
    pub cores: u32,
}

impl Default for Costs {
    fn default() -> Self {
        Self {
            swap: Duration::from_micros(80),
            read: Duration::from_micros(100),
            tell: Duration::from_micros(25),
            tell_kib: Duration::from_nanos(2_500),
            cores: 2,
        }
    }
}

/// What it has done.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Done {
    pub(super) won: u64,
    pub(super) lost: u64,
    pub(super) reads: u64,
    pub(super) told: u64,
    pub(super) busy: Duration,
}

pub(super) struct Broker {
    costs: Costs,
    pub(super) entry: Entry,
    /// Until when the stream is taken.
    taken: Nanos,
    /// Those who are to be told, and whether somebody tells.
    waiting: VecDeque<usize>,
    is_waiting: Vec<bool>,
    tells: bool,
    pub(super) done: Done,
}

impl Broker {
    pub(super) fn new(costs: Costs, entry: Entry, workers: usize) -> Self {
        let (waiting, is_waiting) = (VecDeque::new(), vec![false; workers]);
        Self { costs, entry, taken: Nanos(0), waiting, is_waiting, tells: false, done: Done::default() }
    }

    /// When what comes now is dealt with at the stream.
    fn serve(&mut self, now: Nanos, takes: Duration) -> Nanos {
        self.taken = self.taken.max(now).after(takes);
        self.done.busy += takes;
        self.taken
    }

    /// Writes if nobody has since that revision; when that is answered, and what was written.
    pub(super) fn swap(&mut self, state: &GateState, revision: u64, now: Nanos) -> (Nanos, Option<Entry>) {
        let at = self.serve(now, self.costs.swap);
        if self.entry.1 != revision {
            self.done.lost += 1;
            return (at, None);
        }
        self.done.won += 1;
        self.entry = Entry::new((state.clone(), revision + 1));
        for worker in 0..self.is_waiting.len() {
            if !std::mem::replace(&mut self.is_waiting[worker], true) {
                self.waiting.push_back(worker);
            }
        }
        // Nobody is the first at every change.
        self.waiting.rotate_left(usize::try_from(revision).unwrap_or(0) * 7 % self.waiting.len().max(1));
        (at, Some(self.entry.clone()))
    }

    pub(super) fn read(&mut self, now: Nanos) -> (Nanos, Entry) {
        self.done.reads += 1;
        (self.serve(now, self.costs.read), self.entry.clone())
    }

    /// Whether somebody has to begin to tell.
    pub(super) fn begins_to_tell(&mut self) -> bool {
        let begins = !self.tells && !self.waiting.is_empty();
        self.tells |= begins;
        begins
    }

    /// Tells the next: whom, and when the one after that is told.
    pub(super) fn tell(&mut self, now: Nanos) -> Option<(usize, Nanos)> {
        let Some(worker) = self.waiting.pop_front() else {
            self.tells = false;
            return None;
        };
        self.is_waiting[worker] = false;
        self.done.told += 1;
        let takes = self.costs.tell + self.costs.tell_kib.mul_f64(size(&self.entry.0) / 1024.0);
        self.done.busy += takes;
        Some((worker, now.after(takes / self.costs.cores)))
    }
}

/// Bytes of an entry, about.
pub(super) fn size(state: &GateState) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "some thousands")]
    let leases = state.leases.len() as f64;
    70.0 + 46.0 * leases
}
