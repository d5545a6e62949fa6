//! What a decision asks for: messages, results, and what becomes of the message in hand.

use super::id::{BranchId, Token};
use super::record::Record;
use crate::clock::Millis;

/// Where a job's message goes and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Work for the branch's queue, now.
    Work,
    /// A signal for the shard, now.
    Due,
    /// A timer: it comes as due at this moment.
    Later(Millis),
}

/// What the newest message of the chain must be for a publish to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// There is none: the first of a chain, and signals.
    Nothing,
    /// The message in hand.
    InHand,
}

/// One thing that the record now demands. Repeating any of them is harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Demand {
    /// A message of a chain, or a signal.
    Message {
        /// Whose chain, or which signal.
        token: Token,
        /// Where to and when.
        when: When,
        /// The attempt it points to; 0 for a signal.
        attempt: u32,
        /// What keeps a repeat from being stored twice.
        expect: Expect,
    },
    /// The outcome, for the delivery service. Told from a repeat by the job's incarnation.
    Result {
        /// Whether somebody else may have published it already.
        again: bool,
    },
    /// The end of the race, for those who are in flight.
    Announce,
    /// `on_failure`, because the job is overdue. Its key derives from the job's, so it is submitted once.
    SubmitOnFailure,
}

/// What becomes of the message in hand once everything demanded is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// It has done its work.
    Ack,
    /// The branch's attempt is to be made.
    Execute {
        /// Which branch.
        branch: BranchId,
        /// Which attempt.
        attempt: u32,
    },
    /// It comes again when the gate reopens; the attempt is not used up.
    GiveBack {
        /// When the gate is expected to reopen.
        until: Millis,
    },
    /// Somebody newer understands it.
    LeaveToNewer,
    /// It cannot be: an operator should see it. It is kept as a dead letter, then acked.
    SetAside(Oddity),
}

/// What cannot be, and yet was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Oddity {
    /// The record is not there, though it should be: the broker lost it.
    #[error("the job's record is not there")]
    RecordLost,
    /// The record is not readable.
    #[error("the job's record cannot be read")]
    RecordUnreadable,
    /// The message is ahead of the record.
    #[error("the message is of an attempt that the record has not reached")]
    AheadOfRecord,
    /// The record has no such branch.
    #[error("the record has no such branch")]
    NoSuchBranch,
    /// The subject says what no message of this program says.
    #[error("a message of a stage where it does not belong")]
    WrongStage,
}

/// What is to be done about a message, in this order: swap, demands, then.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The record to swap in, if there is something to change.
    pub swap: Option<Box<Record>>,
    /// What the record then demands.
    pub demands: Vec<Demand>,
    /// What becomes of the message.
    pub then: Then,
}

impl Decision {
    /// Nothing to change, nothing demanded.
    #[must_use]
    pub fn only(then: Then) -> Self {
        Self { swap: None, demands: Vec::new(), then }
    }

    /// Nothing to change, these demands, then ack.
    #[must_use]
    pub fn ack_after(demands: Vec<Demand>) -> Self {
        Self { swap: None, demands, then: Then::Ack }
    }
}
