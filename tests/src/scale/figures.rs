//! What a run says.

use std::time::Duration;

use sluice_shared::domain::gate::{Limits, Nanos};

use super::Plan;
use super::broker::Done;

/// How long everybody starts.
pub(super) const SETTLING: Duration = Duration::from_secs(2);

/// What a run is about, in figures.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// The share of the limit that was used: of the rate, or where that is more than calls in flight allow, of these.
    pub used: f64,
    /// The most calls in any second.
    pub worst_second: usize,
    /// The most slots beyond what the rate gives, in any window that begins and ends with one: the burst at most.
    pub worst_excess: u64,
    /// The most calls in flight.
    pub most_in_flight: u64,
    /// How evenly the calls are spread over the workers: Jain's index, 1 where all have the same, 1 / workers where one has all.
    pub fairness: f64,
    /// Workers that sent nothing.
    pub without: usize,
    /// Slots that came too late, and were given up.
    pub missed: u64,
    /// Swaps a second that were won, and that were lost.
    pub won: f64,
    /// See `won`.
    pub lost: f64,
    /// Updates a second that the watches were told.
    pub told: f64,
    /// Cores of the broker that all of it keeps busy.
    pub cores: f64,
    /// Bytes of the entry, at most.
    pub entry_bytes: f64,
}

/// What is written down during a run.
#[derive(Default)]
pub(super) struct Seen {
    sent: Vec<Nanos>,
    slots: Vec<Nanos>,
    in_flight: u64,
    most_in_flight: u64,
    pub(super) missed: u64,
    pub(super) largest: f64,
    before: (Done, Vec<u64>),
    counts_from: usize,
}

impl Seen {
    pub(super) fn begin(&mut self, done: Done, sent: impl Iterator<Item = u64>) {
        self.before = (done, sent.collect());
        (self.counts_from, self.missed, self.most_in_flight) = (self.sent.len(), 0, self.in_flight);
    }

    pub(super) fn slots(&mut self, slots: &[Nanos]) {
        self.slots.extend(slots);
    }

    pub(super) fn sent(&mut self, now: Nanos) {
        self.sent.push(now);
        self.in_flight += 1;
        self.most_in_flight = self.most_in_flight.max(self.in_flight);
    }

    pub(super) fn over(&mut self) {
        self.in_flight -= 1;
    }

    #[allow(clippy::cast_precision_loss, reason = "counts of a few seconds")]
    pub(super) fn figures(self, plan: &Plan, limits: Limits, done: Done, sent: &[u64]) -> Figures {
        let seconds = plan.lasts.as_secs_f64();
        let (before, sent_before) = &self.before;
        let counted = &self.sent[self.counts_from..];
        let at_most = plan.rate.min(f64::from(plan.concurrency) / plan.calls_last.as_secs_f64());
        let each: Vec<f64> = sent.iter().zip(sent_before).map(|(now, then)| (now - then) as f64).collect();
        let per_second = |now: u64, then: u64| (now - then) as f64 / seconds;
        Figures {
            used: counted.len() as f64 / (at_most * seconds),
            worst_second: worst_second(counted),
            worst_excess: worst_excess(self.slots, limits),
            most_in_flight: self.most_in_flight,
            fairness: jain(&each),
            without: each.iter().filter(|sent| **sent == 0.0).count(),
            missed: self.missed,
            won: per_second(done.won, before.won),
            lost: per_second(done.lost, before.lost),
            told: per_second(done.told, before.told),
            cores: (done.busy - before.busy).as_secs_f64() / seconds,
            entry_bytes: self.largest,
        }
    }
}

/// R. Jain, D. Chiu, W. Hawe 1984, "A quantitative measure of fairness", <https://arxiv.org/abs/cs/9809099>.
fn jain(each: &[f64]) -> f64 {
    let (sum, squares) = each.iter().fold((0.0, 0.0), |(sum, squares), x| (sum + x, squares + x * x));
    #[allow(clippy::cast_precision_loss, reason = "a thousand at most")]
    let workers = each.len() as f64;
    if squares == 0.0 { 0.0 } else { sum * sum / (workers * squares) }
}

fn worst_second(sent: &[Nanos]) -> usize {
    let (mut from, mut worst) = (0, 0);
    for (to, at) in sent.iter().enumerate() {
        while at.since(sent[from]) >= Duration::from_secs(1) {
            from += 1;
        }
        worst = worst.max(to - from + 1);
    }
    worst
}

/// The most slots beyond what the rate gives over all windows, in one pass: each slot is due an interval after the one before.
fn worst_excess(mut slots: Vec<Nanos>, limits: Limits) -> u64 {
    slots.sort_unstable();
    let (interval, mut due, mut worst) = (limits.interval.nanos(), 0_u64, 0_u64);
    for slot in slots {
        due = due.max(slot.0) + interval;
        worst = worst.max((due - slot.0).div_ceil(interval));
    }
    worst
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fairness_is_one_where_all_have_the_same_and_a_share_where_one_has_all() {
        assert!((jain(&[3.0, 3.0, 3.0]) - 1.0).abs() < 1e-9);
        assert!((jain(&[9.0, 0.0, 0.0]) - 1.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn a_second_is_counted_wherever_it_begins() {
        let at = |millis: u64| Nanos(millis * 1_000_000);
        assert_eq!(worst_second(&[at(0), at(900), at(1000), at(1899), at(1900)]), 3);
    }
}
