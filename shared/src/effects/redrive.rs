//! A dead letter is tried once more: what it holds goes back to where it came from.
//!
//! The letter is forgotten after that: whoever dies between the two leaves a letter whose redrive is harmless to repeat.

use super::{Effects, NotDone, NotPostedAnew};
use crate::domain::delivery::Delivery;
use crate::domain::demand::When;
use crate::domain::result::JobResult;
use crate::nats::dead::DeadKind;
use crate::nats::guarded::{NotMoved, Pointer};
use crate::nats::letters::{Letter, NotForgotten};
use crate::topology::JobSubject;
use crate::wire;

/// Why a dead letter is still there.
#[derive(Debug, thiserror::Error)]
pub enum NotRedriven {
    /// There is no way back for it.
    #[error("{0}")]
    NoWayBack(&'static str),
    /// What it holds cannot be read by this program.
    #[error("what the letter holds cannot be read: {0}")]
    Unreadable(String),
    /// It may not have been handed back.
    #[error(transparent)]
    NotPostedAnew(#[from] NotPostedAnew),
    /// It may not have been handed back.
    #[error(transparent)]
    NotMoved(#[from] NotMoved),
    /// It may not have been handed back.
    #[error(transparent)]
    NotDone(#[from] NotDone),
    /// It was handed back, and the letter stays.
    #[error(transparent)]
    NotForgotten(#[from] NotForgotten),
}

impl From<wire::Unreadable> for NotRedriven {
    fn from(why: wire::Unreadable) -> Self {
        Self::Unreadable(why.to_string())
    }
}

impl Effects {
    /// Tries a dead letter once more, and forgets it.
    ///
    /// # Errors
    /// Where there is no way back for it, or the broker does not answer.
    pub async fn redrive(&self, letter: &Letter) -> Result<(), NotRedriven> {
        match letter.kind {
            DeadKind::Webhook => self.redrive_webhook(&letter.payload).await?,
            DeadKind::Result => self.hand_to_delivery(&wire::decode::<JobResult>(&letter.payload)?, true).await?,
            DeadKind::Message => self.redrive_message(letter).await?,
            DeadKind::Submission => {
                return Err(NotRedriven::NoWayBack("a submission that was refused has to be corrected and sent again"));
            }
        }
        Ok(self.nats.forget_letter(letter).await?)
    }

    async fn redrive_webhook(&self, payload: &[u8]) -> Result<(), NotRedriven> {
        let Delivery { result, webhook, .. } = wire::decode(payload)?;
        Ok(self.post_anew(&result, usize::from(webhook)).await?)
    }

    /// Its name is the subject that the message had, and the sequence.
    async fn redrive_message(&self, letter: &Letter) -> Result<(), NotRedriven> {
        let subject = letter.name.rsplit_once('.').map_or("", |(subject, _)| subject);
        let prefix = self.nats.prefix();
        if let Ok((_, address)) = JobSubject::parse(prefix, &format!("{prefix}.{subject}")) {
            let Pointer { attempt } = wire::decode(&letter.payload)?;
            // Whatever its stage was: whoever handles it makes the work of it, and sees first that its queue is pulled.
            self.nats.move_chain(&address, When::Due, attempt, 0).await?;
            return Ok(());
        }
        match subject.split('.').next() {
            Some("results") => Ok(self.hand_to_delivery(&wire::decode::<JobResult>(&letter.payload)?, true).await?),
            Some("deliveries") => self.redrive_webhook(&letter.payload).await,
            Some(_) | None => Err(NotRedriven::NoWayBack("nobody knows where this message came from")),
        }
    }
}
