//! The simulated broker: streams, records and what it tells repeats by, as the real one was measured to behave.
//!
//! Plain state, changed at one moment: when that moment comes, who asked for it and what goes wrong on the way is not
//! decided here. One sequence counts for all streams and buckets; only its order matters.

mod records;
mod stream;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use sluice_shared::clock::Millis;
use sluice_shared::domain::delivery::{Deliveries, Delivery};
use sluice_shared::domain::id::{Incarnation, JobId};
use sluice_shared::domain::record::Record;
use sluice_shared::domain::result::JobResult;
use sluice_shared::topology::{JobSubject, Stage};

pub(super) use stream::Added;

/// What all messages that follow each other share: the subject without its stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Chain {
    /// A branch's or a signal's.
    Job(JobSubject),
    /// The results of a job: no chain, nothing is expected of it.
    Result(JobId),
    /// A webhook's.
    Webhook(JobId, Incarnation, usize),
}

/// What a message carries.
#[derive(Clone, Debug)]
pub(super) enum Load {
    /// The attempt that it points to.
    Pointer(u32),
    /// And whether it may have been published before.
    Result(Rc<JobResult>, bool),
    Delivery(Rc<Delivery>),
}

/// Who has a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// It waits to be handed out, or for its time to fire.
    Nobody,
    /// It was handed out, so many times over all.
    Holder(u64),
    /// It was given back and waits until then.
    Delayed(Millis),
}

#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) sequence: u64,
    pub(super) stage: Stage,
    pub(super) chain: Chain,
    pub(super) load: Load,
    pub(super) stored: Millis,
    /// When it is to fire, where it is a timer.
    pub(super) at: Option<Millis>,
    pub(super) hold: Hold,
    /// How often this life of its consumer has handed it out.
    pub(super) delivered: u64,
}

/// The four consumers: each stands for all of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consumer {
    Queue,
    Due,
    Results,
    Webhooks,
}

/// A record as the broker keeps it.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) record: Rc<Record>,
    pub(super) revision: u64,
    pub(super) stored: Millis,
    pub(super) until: Option<Millis>,
}

/// All that the broker holds.
#[derive(Default)]
pub(super) struct Broker {
    sequence: u64,
    /// In the order of their sequences.
    pub(super) messages: Vec<Message>,
    pub(super) records: BTreeMap<JobId, Kept>,
    pub(super) webhooks: BTreeMap<(JobId, Incarnation), (Rc<Deliveries>, u64)>,
    /// Results by what their repeats are told by, and when and as what each was stored.
    ids: BTreeMap<(JobId, Incarnation), (Millis, u64)>,
    pub(super) dead: BTreeSet<String>,
    /// Nothing is answered until then.
    pub(super) away_until: Millis,
    /// Nobody answers for its streams until then.
    pub(super) no_leader_until: Millis,
    /// When the consumer of results was made, or the broker restarted: what is older may have been handed out before.
    pub(super) results_since: Millis,
    /// Nothing is stored until then.
    pub(super) full_until: Millis,
    hands: u64,
}

impl Message {
    /// Who hands it out; a timer is handed out by nobody.
    pub(super) fn consumer(&self) -> Option<Consumer> {
        match (&self.chain, self.stage) {
            (_, Stage::Later) => None,
            (Chain::Job(_), Stage::Work) => Some(Consumer::Queue),
            (Chain::Job(_), Stage::Due) => Some(Consumer::Due),
            (Chain::Result(_), _) => Some(Consumer::Results),
            (Chain::Webhook(..), _) => Some(Consumer::Webhooks),
        }
    }

    /// For people.
    pub(super) fn name(&self) -> String {
        name(self.stage, &self.chain, &self.load)
    }
}

/// A message for people: `due.0 attempt 2 (#17)` without its number.
pub(super) fn name(stage: Stage, chain: &Chain, load: &Load) -> String {
    match (chain, load) {
        (Chain::Job(at), Load::Pointer(0)) => format!("{}.{}{}", stage.as_str(), at.token, short(&at.incarnation)),
        (Chain::Job(at), Load::Pointer(attempt)) => {
            format!("{}.{} attempt {attempt}{}", stage.as_str(), at.token, short(&at.incarnation))
        }
        (Chain::Webhook(_, _, number), Load::Delivery(delivery)) => {
            format!("webhook {number} try {} {}", delivery.attempt, if stage == Stage::Due { "due" } else { "later" })
        }
        (Chain::Result(_), Load::Result(result, _)) => {
            format!("result {}{}", result.outcome.status.as_str(), short(&result.incarnation))
        }
        (chain, _) => format!("{chain:?}"),
    }
}

/// The beginning of an incarnation, enough to tell it from the others of a run.
pub(super) fn short(incarnation: &Incarnation) -> String {
    format!(" ~{}", &incarnation.as_str()[..3])
}

impl Broker {
    fn next(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    pub(super) fn is_away(&self, now: Millis) -> bool {
        self.away_until > now || self.has_no_leader(now)
    }

    pub(super) fn has_no_leader(&self, now: Millis) -> bool {
        self.no_leader_until > now
    }

    pub(super) fn is_full(&self, now: Millis) -> bool {
        self.full_until > now
    }
}
