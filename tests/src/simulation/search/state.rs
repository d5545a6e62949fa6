//! A state of the search: the record, the messages of its chains, those who are at work, and what is left to go wrong.

use sluice_shared::domain::demand::When;
use sluice_shared::domain::id::Token;
use sluice_shared::domain::outcome::Status;
use sluice_shared::topology::Stage;

use super::core::{Answered, Pointer, RecordId};

/// A message; its place in the list is its name, and the newest of a chain is its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Message {
    pub(super) token: Token,
    pub(super) stage: Stage,
    pub(super) attempt: u32,
    /// It is a timer that will not fire.
    pub(super) stuck: bool,
}

/// What the newest message of a chain must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Expected {
    Nothing,
    /// The message at this place; `None`: it is gone.
    This(Option<u8>),
}

/// One thing to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Todo {
    Publish(Message, Expected),
    Result(RecordId),
    SubmitOnFailure,
}

/// Who is at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Who {
    Worker,
    Submitter,
    Canceller,
    Sweep,
}

/// What becomes of the work in hand once everything is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum End {
    Ack,
    GiveBack,
    Execute,
    /// The signal is handled on the spot.
    Handle,
}

/// How far somebody is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum At {
    /// Doing what was decided.
    Doing(Vec<Todo>, End),
    /// A call is on the wire.
    Calling,
    /// A swap was not answered: reads and decides again, the answer in hand.
    Again(Option<Answered>),
    /// The sweep has seen which of the chains it looked for are empty.
    Seen(Vec<Token>),
}

/// Somebody at work.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Hand {
    pub(super) who: Who,
    pub(super) pointer: Pointer,
    /// Where the message in hand is; `None`: nothing is in hand, or it is gone.
    pub(super) holds: Option<u8>,
    pub(super) at: At,
}

/// A state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) record: Option<RecordId>,
    /// The record as it was before: what a replica may still say. Kept only where replicas are read.
    pub(super) before: Vec<RecordId>,
    pub(super) messages: Vec<Message>,
    pub(super) hands: Vec<Hand>,
    /// Things that may still go wrong.
    pub(super) faults: u8,
    /// Calls that faults allow to be made again.
    pub(super) again: u8,
    /// Attempts that were called and not concluded.
    pub(super) called: Vec<(Token, u32)>,
    /// Branches that were answered 429.
    pub(super) limited: Vec<Token>,
    pub(super) submitters: u8,
    pub(super) cancels: u8,
    pub(super) committed: bool,
    /// The broker has lost a message.
    pub(super) lossy: bool,
    pub(super) result: Option<Status>,
    pub(super) on_failure: bool,
    /// What does not hold, if anything.
    pub(super) broken: Option<&'static str>,
}

impl Message {
    pub(super) fn of(token: Token, when: When, attempt: u32) -> Self {
        let stage = match when {
            When::Work => Stage::Work,
            When::Due => Stage::Due,
            When::Later(_) => Stage::Later,
        };
        Self { token, stage, attempt, stuck: false }
    }
}

impl State {
    pub(super) fn newest(&self, token: Token) -> Option<u8> {
        let place = self.messages.iter().rposition(|message| message.token == token)?;
        Some(u8::try_from(place).unwrap())
    }

    pub(super) fn message(&self, place: u8) -> Message {
        self.messages[usize::from(place)]
    }

    /// Stores a message behind the others of its chain, in the place of one with its subject.
    pub(super) fn store(&mut self, message: Message) {
        let same = |old: &Message| old.token == message.token && old.stage == message.stage;
        if let Some(evicted) = self.messages.iter().position(same) {
            self.remove(u8::try_from(evicted).unwrap());
        }
        let place = self.messages.partition_point(|old| old.token <= message.token);
        self.messages.insert(place, message);
        let place = u8::try_from(place).unwrap();
        self.rename(|old| Some(if old >= place { old + 1 } else { old }));
    }

    pub(super) fn remove(&mut self, place: u8) {
        self.messages.remove(usize::from(place));
        self.rename(|old| match old.cmp(&place) {
            std::cmp::Ordering::Less => Some(old),
            std::cmp::Ordering::Equal => None,
            std::cmp::Ordering::Greater => Some(old - 1),
        });
    }

    fn rename(&mut self, name: impl Fn(u8) -> Option<u8>) {
        for hand in &mut self.hands {
            hand.holds = hand.holds.and_then(&name);
            let At::Doing(todo, _) = &mut hand.at else { continue };
            for one in todo {
                if let Todo::Publish(_, Expected::This(place)) = one {
                    *place = place.and_then(&name);
                }
            }
        }
    }

    pub(super) fn breaks(&mut self, what: &'static str) {
        self.broken = self.broken.or(Some(what));
    }
}
