//! What destinations see.

use std::time::Duration;

use sluice_shared::clock::Millis;
use sluice_shared::domain::decide::Verdict;
use sluice_shared::domain::id::Token;
use sluice_shared::domain::record::Record;

use super::super::clockwork::{Process, TaskId};
use super::super::outside::Place;
use super::{Checks, Invariant, Sight};

/// How soon after a settlement its losers are off the wire, where nothing goes wrong.
const PROMPT: Duration = Duration::from_secs(2);

/// A call and what became of it.
pub(super) struct Call {
    place: Place,
    by: (Process, TaskId),
    on_the_wire: bool,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Whoever made it has not concluded from it.
    Open,
    /// It was concluded: the attempt is over, or was free.
    Concluded { free: bool },
    /// Its holder let go of the message without concluding.
    GivenUp,
    /// Its holder died: it may be made again.
    HolderDied,
}

impl Fate {
    fn forbids_another(self) -> bool {
        match self {
            Self::Open | Self::GivenUp | Self::Concluded { free: false } => true,
            Self::HolderDied | Self::Concluded { free: true } => false,
        }
    }
}

impl Checks {
    /// A call goes out.
    pub(in super::super) fn called(&mut self, place: &Place, record: &Record, by: (Process, TaskId)) -> usize {
        let seen = self.seen.get(&by.1).and_then(Option::as_ref);
        let wanted =
            seen.is_some_and(|seen| seen.incarnation == place.incarnation && seen.is_at(place.branch, place.attempt));
        if !wanted {
            let detail =
                || format!("{place:?} is called, though its caller has read {:?}", super::streams::states(record));
            self.broken(Invariant::NoCallAfterTheEnd, detail);
        }
        if self.told.contains(&by.1) {
            self.broken(Invariant::NoCallAfterTheEnd, || format!("{place:?} is called by who was told to look first"));
        }
        let life = self.lives.get(&(place.job.clone(), place.incarnation.clone()));
        let excused = self.disowned.contains(&by.1) || life.is_some_and(|life| life.lossy);
        let again =
            |call: &&Call| call.place == *place && call.fate.forbids_another() && !self.disowned.contains(&call.by.1);
        let free = |call: &Call| matches!(call.fate, Fate::Concluded { free: true });
        if self.calls.iter().any(|call| call.place == *place && !free(call)) {
            self.sights.insert(Sight::CalledAgain);
        }
        if let Some(earlier) = self.calls.iter().find(again).filter(|_| !excused) {
            let fate = earlier.fate;
            self.broken(Invariant::CalledOnce, || format!("{place:?} is called again, the call before is {fate:?}"));
        }
        self.calls.push(Call { place: place.clone(), by, on_the_wire: true, fate: Fate::Open });
        self.calls.len() - 1
    }

    /// It was answered.
    pub(in super::super) fn answered(&mut self, call: usize, now: Millis) {
        self.call_ended(call, now);
    }

    /// It is not on the wire any more.
    pub(in super::super) fn off_the_wire(&mut self, call: usize, now: Millis) {
        if self.calls[call].on_the_wire {
            self.met(Sight::CallDropped);
        }
        self.call_ended(call, now);
    }

    fn call_ended(&mut self, call: usize, now: Millis) {
        if !std::mem::replace(&mut self.calls[call].on_the_wire, false) || !self.calm {
            return;
        }
        let place = self.calls[call].place.clone();
        let life = self.lives.get(&(place.job.clone(), place.incarnation.clone()));
        let ended =
            life.and_then(|life| life.outcome.as_ref()).filter(|outcome| outcome.winner != Token::Branch(place.branch));
        let late = ended.map(|outcome| now.since(outcome.at.after(super::super::world::SKEW)));
        if let Some(late) = late.filter(|late| *late > PROMPT) {
            self.broken(Invariant::LosersAreDropped, || format!("{place:?} was on the wire {late:?} after the end"));
        }
    }

    /// A task has concluded from its call.
    pub(in super::super) fn concluded(&mut self, task: TaskId, verdict: Verdict) {
        let free = matches!(verdict, Verdict::Limited { .. });
        for call in self.calls.iter_mut().filter(|call| call.by.1 == task && call.fate == Fate::Open) {
            call.fate = Fate::Concluded { free };
        }
    }

    /// A message was handed out: whoever had it before does not have it for himself any more.
    pub(in super::super) fn handed_out(&mut self, sequence: u64, to: TaskId) {
        self.taken_away(sequence);
        self.holders.insert(sequence, to);
    }

    /// The broker has taken a message from whoever has it, or a process that stops has given it back with its call on the
    /// wire.
    pub(in super::super) fn taken_away(&mut self, sequence: u64) {
        if let Some(holder) = self.holders.remove(&sequence) {
            self.disowned.insert(holder);
        }
    }

    /// A task has let go of its message, as it wants.
    pub(in super::super) fn let_go(&mut self, sequence: u64, task: TaskId) {
        if self.holders.get(&sequence) == Some(&task) {
            self.holders.remove(&sequence);
        }
        for call in self.calls.iter_mut().filter(|call| call.by.1 == task && call.fate == Fate::Open) {
            call.fate = Fate::GivenUp;
        }
    }

    /// A process has died, and its calls with it.
    pub(in super::super) fn died(&mut self, process: Process) {
        self.died.insert(process);
        for call in self.calls.iter_mut().filter(|call| call.by.0 == process && call.fate == Fate::Open) {
            call.fate = Fate::HolderDied;
        }
    }
}
