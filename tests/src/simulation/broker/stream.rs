//! Streams: one message for each subject, expectations on the newest of a chain, work that is handed out and acked.

use std::time::Duration;

use sluice_shared::clock::Millis;
use sluice_shared::domain::id::{Incarnation, JobId};
use sluice_shared::domain::result::JobResult;
use sluice_shared::nats::publish::PublishError;
use sluice_shared::topology::Stage;

use super::{Broker, Chain, Consumer, Hold, Load, Message};

/// How long a repeated result is told by its id.
const WINDOW: Duration = Duration::from_secs(60);

/// What a message that was stored did to the stream.
pub(crate) struct Added {
    pub(crate) sequence: u64,
    /// What was there under its very subject, and is not any more.
    pub(crate) evicted: Option<Message>,
}

impl Broker {
    pub(crate) fn newest(&self, chain: &Chain) -> Option<&Message> {
        self.messages.iter().rev().find(|message| message.chain == *chain)
    }

    /// The oldest message that carries this life's result.
    pub(crate) fn first_copy(&self, result: &JobResult) -> Option<u64> {
        let carries = |message: &&Message| match &message.load {
            Load::Result(held, _) => held.life() == result.life(),
            Load::Pointer(_) | Load::Delivery(_) => false,
        };
        self.messages.iter().find(carries).map(|message| message.sequence)
    }

    pub(crate) fn message(&self, sequence: u64) -> Option<&Message> {
        self.messages.iter().find(|message| message.sequence == sequence)
    }

    fn message_mut(&mut self, sequence: u64) -> Option<&mut Message> {
        self.messages.iter_mut().find(|message| message.sequence == sequence)
    }

    /// Stores a message if the newest of its chain is the expected one (0: none), or whatever it is.
    pub(crate) fn publish(
        &mut self,
        (stage, chain): (Stage, &Chain),
        load: Load,
        at: Option<Millis>,
        expected: Option<u64>,
        now: Millis,
    ) -> Result<Added, PublishError> {
        if self.is_full(now) {
            return Err(PublishError::NoRoom("full".into()));
        }
        let newest = self.newest(chain).map_or(0, |message| message.sequence);
        if expected.is_some_and(|expected| expected != newest) {
            return Err(PublishError::Behind);
        }
        Ok(self.add(stage, chain.clone(), load, at, now))
    }

    fn add(&mut self, stage: Stage, chain: Chain, load: Load, at: Option<Millis>, now: Millis) -> Added {
        let one_each = !matches!(chain, Chain::Result(_));
        let same = self.messages.iter().position(|old| one_each && old.stage == stage && old.chain == chain);
        let evicted = same.map(|place| self.messages.remove(place));
        let sequence = self.next();
        let message = Message { sequence, stage, chain, load, stored: now, at, hold: Hold::Nobody, delivered: 0 };
        self.messages.push(message);
        Added { sequence, evicted }
    }

    /// A result, unless its id was seen within the window: then nothing is stored.
    pub(crate) fn publish_result(
        &mut self,
        id: &(JobId, Incarnation),
        load: Load,
        now: Millis,
    ) -> Result<Option<Added>, PublishError> {
        if self.is_full(now) {
            return Err(PublishError::NoRoom("full".into()));
        }
        if self.ids.get(id).is_some_and(|(stored, _)| now.since(*stored) < WINDOW) {
            return Ok(None);
        }
        let added = self.add(Stage::Work, Chain::Result(id.0.clone()), load, None, now);
        self.ids.insert(id.clone(), (now, added.sequence));
        Ok(Some(added))
    }

    /// A timer's time has come: it is gone, and there is a message of `stage` in its place, whatever else is in its chain.
    pub(crate) fn fire(&mut self, sequence: u64, stage: Stage, now: Millis) -> Option<Added> {
        let timer = self.remove(sequence)?;
        Some(self.add(stage, timer.chain, timer.load, None, now))
    }

    pub(crate) fn remove(&mut self, sequence: u64) -> Option<Message> {
        let place = self.messages.iter().position(|message| message.sequence == sequence)?;
        Some(self.messages.remove(place))
    }

    /// Hands a message out; says which hand has it now.
    pub(crate) fn hand_out(&mut self, sequence: u64) -> Option<(u64, Message)> {
        self.hands += 1;
        let hand = self.hands;
        let message = self.message_mut(sequence)?;
        (message.hold, message.delivered) = (Hold::Holder(hand), message.delivered + 1);
        Some((hand, message.clone()))
    }

    /// A message that is in a hand may be handed out again, at once or after a time.
    pub(crate) fn take_back(&mut self, sequence: u64, until: Option<Millis>) {
        if let Some(message) = self.message_mut(sequence) {
            message.hold = until.map_or(Hold::Nobody, Hold::Delayed);
        }
    }

    /// A consumer and all that it knew is gone, and made again: what is not acked comes again as if for the first time.
    pub(crate) fn forget(&mut self, consumer: Consumer) -> Vec<u64> {
        let its = self.messages.iter_mut().filter(|message| message.consumer() == Some(consumer));
        its.map(|message| {
            (message.hold, message.delivered) = (Hold::Nobody, 0);
            message.sequence
        })
        .collect()
    }

    /// A broker that was restarted tells repeats by what its stream still holds.
    pub(crate) fn restarted(&mut self) {
        let held: Vec<u64> = self.messages.iter().map(|message| message.sequence).collect();
        self.ids.retain(|_, (_, sequence)| held.contains(sequence));
    }
}
