//! What must hold in every run, whatever goes wrong: watched from outside, by what the broker stores and the destinations
//! see. The handlers cannot hide anything from it, for it asks them nothing.

mod calls;
mod end;
mod posts;
mod records;
mod sights;
mod streams;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use sluice_shared::clock::Millis;
use sluice_shared::domain::delivery::Deliveries;
use sluice_shared::domain::id::{Incarnation, JobId};
use sluice_shared::domain::outcome::Outcome;
use sluice_shared::domain::record::Record;

use super::clockwork::{Process, TaskId};
use calls::Call;
use posts::Post;
pub use sights::Sight;
pub(super) use streams::may_be_lost;

/// What must hold, by the rules of the design.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// An incarnation has one outcome, which never changes (rules 1 and 6).
    OneOutcome,
    /// A record only goes forward (rule 1).
    OnlyForward,
    /// A result says what the record says (rule 6).
    ResultIsTheOutcome,
    /// Where nothing goes wrong a job's result is stored once (rule 6).
    OneResult,
    /// A job with a live branch fails by its deadline only, unless it is a fanout (rule 5).
    FailsWhenAllAreDead,
    /// A fanout succeeds once every region has, or who goes on for it elsewhere.
    SucceedsWhenAllHave,
    /// A branch is called as often as its policy says (rule 5).
    WithinThePolicy,
    /// A fallback starts when its trigger has come (rules 4, 5, 7).
    TriggerHasCome,
    /// A live branch has a message, or one that will make its message (rule 3).
    LiveBranchHasAMessage,
    /// What is to happen at a time has its timer before the first message of the chain that it belongs to (rules 2, 4, 8).
    SignalsComeFirst,
    /// A chain only goes forward (rule 3).
    ChainGoesForward,
    /// What cannot happen does not (rule 2, last row).
    NothingOdd,
    /// Nobody calls who has read that the job has ended, or is further on; whoever is told so looks first (rules 2, 5, 6).
    NoCallAfterTheEnd,
    /// An attempt is made again only where its call was in the hands of somebody who died or lost the message.
    CalledOnce,
    /// A loser's call does not stay on the wire once the end is announced (rule 6).
    LosersAreDropped,
    /// A follow-up is one job, however often it is submitted.
    OneFollowUp,
    /// Nobody posts a webhook who has read that it is delivered (rule 13).
    NoPostAfterDelivery,
    /// A webhook is delivered once, unless its delivery was in the hands of somebody who died or lost the message; where
    /// nothing goes wrong, once.
    DeliveredOnce,
    /// Once nothing goes wrong any more, every job ends, its webhooks are delivered or given up, its follow-ups are
    /// there, and nothing is left behind.
    EverythingEnds,
    /// Slots of a gate keep its rate and burst in every window (rule 10).
    GateKeepsItsRate,
    /// Calls in flight through a gate are never more than it allows.
    GateKeepsItsConcurrency,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// An invariant that did not hold.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// How.
    pub detail: String,
}

/// What is known of one life of a key.
#[derive(Default)]
pub(super) struct Life {
    outcome: Option<Outcome>,
    /// Results stored.
    results: u32,
    /// The first message of its own request was stored.
    committed: bool,
    /// The broker lost a message of it.
    pub(super) lossy: bool,
    /// Webhooks that were delivered or given up.
    webhooks: BTreeSet<usize>,
}

/// Those who watch.
#[derive(Default)]
pub(super) struct Checks {
    pub(super) violation: Option<Violation>,
    pub(super) lives: BTreeMap<(JobId, Incarnation), Life>,
    /// What each task has read of its record last.
    seen: BTreeMap<TaskId, Option<Record>>,
    /// Who was told of an end and has not looked since.
    told: BTreeSet<TaskId>,
    recalled: BTreeMap<TaskId, Deliveries>,
    calls: Vec<Call>,
    /// Who has which message, and who had one that was handed out again.
    holders: BTreeMap<u64, TaskId>,
    disowned: BTreeSet<TaskId>,
    posts: Vec<Post>,
    /// Processes that have died.
    died: BTreeSet<Process>,
    /// Jobs whose submission or cancel was acknowledged.
    acknowledged: BTreeSet<JobId>,
    /// What the run has met.
    pub(super) sights: BTreeSet<Sight>,
    /// Whether nothing goes wrong in this run.
    calm: bool,
}

impl Checks {
    /// `calm`: nothing goes wrong.
    pub(super) fn new(calm: bool) -> Self {
        Self { calm, ..Self::default() }
    }

    /// The first violation counts; what follows may follow from it.
    pub(super) fn broken(&mut self, invariant: Invariant, detail: impl FnOnce() -> String) {
        if self.violation.is_none() {
            self.violation = Some(Violation { invariant, detail: detail() });
        }
    }

    pub(super) fn met(&mut self, sight: Sight) {
        self.sights.insert(sight);
    }

    /// A task has read a record, or written it.
    pub(super) fn saw(&mut self, task: TaskId, record: Option<Record>) {
        self.seen.insert(task, record);
        self.told.remove(&task);
    }

    /// A task is told that its job may have ended.
    pub(super) fn told(&mut self, task: TaskId) {
        self.told.insert(task);
    }

    /// The same for what is remembered of a job's webhooks.
    pub(super) fn recalled(&mut self, task: TaskId, state: Deliveries) {
        self.recalled.insert(task, state);
    }

    pub(super) fn has_died(&self, process: Process) -> bool {
        self.died.contains(&process)
    }

    /// A client was told that a job is taken or cancelled.
    pub(super) fn must_end(&mut self, job: &JobId) {
        self.acknowledged.insert(job.clone());
    }

    fn life(&mut self, record: &Record, job: &JobId) -> &mut Life {
        self.lives.entry((job.clone(), record.incarnation.clone())).or_default()
    }
}

/// The difference that clocks may make.
fn about(now: Millis) -> Millis {
    now.after(super::world::SKEW * 2)
}
