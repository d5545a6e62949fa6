//! What goes wrong in a run, and how often: chosen by the seed, over at a moment after which everything works.
//!
//! A fifth of the runs are calm, so that what never needs a fault shows; two fifths have one kind of fault, so that its
//! traces are short; the others have several. Where a rule is broken that few faults are for, most runs have those.

use std::time::Duration;

use sluice_shared::clock::Millis;

use super::chance::Chance;
use super::rules::{Rule, Rules};

/// How often each thing goes wrong: once in so many times, 0 for never.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    pub(super) until: Millis,
    /// The longest that a message is under way, in milliseconds, where nothing goes wrong.
    pub(super) way: u64,
    /// A process dies before or after a step.
    pub(super) crash: u64,
    /// A request is done, its answer is lost.
    pub(super) answer_lost: u64,
    /// A request is lost.
    pub(super) request_lost: u64,
    /// A request is done after whoever made it has given up.
    pub(super) late: u64,
    /// A request or its answer takes long.
    pub(super) slow: u64,
    /// An ack, a nak or an announcement is lost.
    pub(super) sent_in_vain: u64,
    /// A message is handed out once more while somebody has it in hand.
    pub(super) handed_out_twice: u64,
    /// A timer does not fire.
    pub(super) swallowed: u64,
    /// Seconds between two moments at which the broker loses messages that nobody has in hand.
    pub(super) lost: u64,
    /// The same for a process that stands still for a while.
    pub(super) stall: u64,
    /// The same for a process that is told to stop, and one that starts later.
    pub(super) restart: u64,
    /// The same for a consumer that the broker forgets.
    pub(super) forgotten: u64,
    /// The same for a broker that is away for a while.
    pub(super) away: u64,
    /// The sweep takes long between two looks.
    pub(super) dawdle: u64,
    /// The same for a broker that has no room for a while.
    pub(super) full: u64,
    /// The same for gates that are closed for a while: nobody pulls from queues.
    pub(super) closed: u64,
}

const KINDS: u64 = 16;
const CALM: u64 = 0;
const CRASH: u64 = 1;
const AWAY: u64 = 13;
const DAWDLE: u64 = 15;
const CLOSED: u64 = 16;

/// The kind of fault that tells most of whether a rule is kept.
fn telling(rule: Rule) -> Option<u64> {
    match rule {
        Rule::EnsureFallbacks | Rule::ResultBeforeRetry => Some(CRASH),
        Rule::KeepTheCall => Some(AWAY),
        Rule::RememberDeliveries => Some(CLOSED),
        Rule::ChainBeforeRecord => Some(DAWDLE),
        Rule::FinishTheLook | Rule::AnnounceAfterTheSwap | Rule::OneResultOfACancel => Some(CALM),
        Rule::AckLast
        | Rule::ReadBeforeActing
        | Rule::ExpectTheNewest
        | Rule::TimersFireIntoDue
        | Rule::ActFromTheRecord
        | Rule::LookAfterSwaps
        | Rule::SignalsApart
        | Rule::KeepTheAnswer
        | Rule::UnknownSlotsAreGivenUp
        | Rule::MissedSlotsAreGivenUp => None,
    }
}

impl Faults {
    pub(super) fn draw(chance: &Chance, begin: Millis, rules: Rules) -> Self {
        let until = begin.after(Duration::from_secs(chance.one_of(&[20, 60, 200, 600])));
        let mut faults = Self { until, way: chance.one_of(&[2, 20, 200]), ..Self::default() };
        if let Some(kind) = rules.broken().and_then(telling).filter(|_| chance.percent(80)) {
            faults.allow(chance, kind);
            return faults;
        }
        match chance.between(1, 5) {
            1 => {}
            2 | 3 => faults.allow(chance, chance.between(1, KINDS)),
            _ => {
                for _ in 0..chance.between(2, 6) {
                    faults.allow(chance, chance.between(1, KINDS));
                }
            }
        }
        faults
    }

    /// Whether nothing at all goes wrong.
    pub(super) fn are_none(&self) -> bool {
        let Self { crash, answer_lost, request_lost, late, slow, sent_in_vain, handed_out_twice, .. } = self;
        let Self { swallowed, lost, stall, restart, forgotten, away, full, dawdle, closed, .. } = self;
        [crash, answer_lost, request_lost, late, slow, sent_in_vain, handed_out_twice].iter().all(|often| **often == 0)
            && [swallowed, lost, stall, restart, forgotten, away, full, dawdle, closed].iter().all(|often| **often == 0)
    }

    fn allow(&mut self, chance: &Chance, kind: u64) {
        let (often, seconds) = (chance.one_of(&[4, 10, 30, 80]), chance.one_of(&[3, 10, 40]));
        match kind {
            CALM => self.way = 200,
            CRASH => self.crash = often * 2,
            2 => self.answer_lost = often,
            3 => self.request_lost = often,
            4 => self.late = often,
            5 => self.slow = often,
            6 => self.sent_in_vain = often,
            7 => self.handed_out_twice = often.min(10),
            8 => self.swallowed = often.min(10),
            9 => self.lost = seconds,
            10 => self.stall = seconds,
            11 => self.restart = seconds,
            12 => self.forgotten = seconds,
            AWAY => self.away = seconds * 2,
            14 => self.full = seconds * 2,
            CLOSED => (self.closed, self.crash) = (seconds, often * 2),
            _ => {
                (self.dawdle, self.swallowed) = (2, 2);
                self.until = self.until.after(Duration::from_secs(600));
            }
        }
    }
}
