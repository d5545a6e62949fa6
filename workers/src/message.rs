//! A message of a job as it came from a consumer: read into what decisions are made from, and let go of.

use std::time::Duration;

use sluice_shared::domain::decide::Kind;
use sluice_shared::effects::JobMessage;
use sluice_shared::nats::ack::InHand;
use sluice_shared::nats::guarded::Pointer;
use sluice_shared::topology::{JobSubject, Stage, UnknownSubject};
use sluice_shared::wire::{self, Unreadable};

/// How long a message is left to somebody newer.
pub(crate) const LEAVE_TO_NEWER: Duration = Duration::from_secs(5);
/// How soon a message comes back whose handling stopped on the way.
pub(crate) const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Why a message cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Strange {
    /// Its subject is none of ours.
    #[error(transparent)]
    Subject(#[from] UnknownSubject),
    /// A timer that has not fired was handed out; no consumer asks for those.
    #[error("a timer that has not fired was handed out")]
    Unfired,
    /// Its payload is of a newer version.
    #[error("the payload is of version {0}")]
    Newer(u8),
    /// Its payload is not readable, though its subject is.
    #[error("the payload cannot be read: {why}")]
    Payload {
        /// What its subject says; it points to no attempt.
        message: Box<JobMessage>,
        /// Why not.
        why: String,
    },
}

/// Reads a message of a queue or of a shard's due consumer.
pub(crate) fn read(prefix: &str, in_hand: &InHand) -> Result<JobMessage, Strange> {
    let (stage, address) = JobSubject::parse(prefix, in_hand.subject())?;
    let kind = match stage {
        Stage::Work => Kind::Work,
        Stage::Due => Kind::Due,
        Stage::Later => return Err(Strange::Unfired),
    };
    let (sequence, published) = (in_hand.sequence(), in_hand.published());
    let message = JobMessage { address, kind, attempt: 0, sequence, published };
    match wire::decode::<Pointer>(in_hand.payload()) {
        Ok(Pointer { attempt }) => Ok(JobMessage { attempt, ..message }),
        Err(Unreadable::Newer(version)) => Err(Strange::Newer(version)),
        Err(Unreadable::Malformed(why)) => Err(Strange::Payload { message: Box::new(message), why }),
    }
}
