//! Setting aside what cannot be done, where an operator finds it; counted once for each letter.

use super::Effects;
use crate::nats::ack::InHand;
use crate::nats::dead::{DeadKind, DeadLetter};
use crate::nats::guarded::{Moved, NotMoved};

impl Effects {
    /// Keeps a dead letter, until it is certain. Keeping it again is the same as once.
    ///
    /// # Errors
    /// Where the broker gave no answer for several seconds, or has no room.
    pub async fn set_aside(&self, letter: DeadLetter<'_>) -> Result<Moved, NotMoved> {
        let kind = letter.kind;
        self.counted(kind, self.nats.set_aside(letter).await)
    }

    /// Keeps a message that nobody can handle, as it is, until it is certain.
    ///
    /// # Errors
    /// As `set_aside`.
    pub async fn set_message_aside(&self, message: &InHand, reason: &str) -> Result<Moved, NotMoved> {
        self.counted(DeadKind::Message, self.nats.set_message_aside(message, reason).await)
    }

    fn counted(&self, kind: DeadKind, stored: Result<Moved, NotMoved>) -> Result<Moved, NotMoved> {
        if let Ok(Moved::Stored) = stored {
            self.metrics.set_aside(kind);
        }
        stored
    }
}
