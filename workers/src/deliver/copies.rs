//! Copies of a result: whoever finds its job settled publishes it once more, for nobody can tell whether it was published.
//!
//! The broker recognises a copy for a minute, and forgets even that when it is restarted. So a result that was taken at the
//! first try, and leaves nothing to be remembered, is let go of in one of two ways: once the message that may bring the copy
//! is gone, or remembered. Whoever has that message looks for the result before publishing a copy. Invariant: a result
//! that is not in its stream and not remembered, while its winner's message is there, has not been handled.
//!
//! What remains is a broker that loses an ack together with its own memory.

use std::time::Duration;

use sluice_shared::clock;
use sluice_shared::domain::result::JobResult;
use sluice_shared::effects::{AGAIN, WINNER};
use sluice_shared::nats::ack::InHand;
use sluice_shared::nats::publish::MESSAGE_ID;
use sluice_shared::nats::read::ReadError;
use sluice_shared::topology::JobSubject;
use tokio::time::{Instant, sleep};

use super::hand::{Hand, Made};
use super::handle::Handler;
use super::memory::{Known, may_be_known};

/// How long the winner's message may take to go, once its result is delivered, before the result is remembered.
const GOES_WITHIN: Duration = Duration::from_millis(100);
/// The first pause before it is looked for again; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Whether a result may have been handled before: it says so itself, or by its age.
pub(super) fn may_be_copy(message: &InHand, result: &JobResult) -> bool {
    message.header(AGAIN).is_some()
        || may_be_known(message.delivered(), message.published(), result.outcome.at, clock::now())
}

impl Handler {
    /// Whether an earlier copy is in the stream: it is handled, so this one need not be.
    pub(super) async fn is_there_already(&self, message: &InHand, result: &JobResult) -> Result<bool, ReadError> {
        let (nats, topology) = (self.effects.nats(), self.effects.nats().topology());
        let first = nats.next_from(&topology.results_stream(), message.subject(), 1).await?;
        let same = |id: Option<&str>| id == Some(&result.life());
        Ok(first.is_some_and(|first| first.sequence < message.sequence() && same(first.header(MESSAGE_ID))))
    }

    /// Waits until the winner's message is gone, or what was delivered is remembered: then no copy is posted again. What the
    /// broker will not remember now is tried again, for a result that is left to come again is surely posted once more.
    pub(super) async fn no_copy_is_posted(&self, message: &InHand, hand: &Hand, known: Known, made: &[Made]) {
        let winner = message.header(WINNER).and_then(|address| address.parse::<JobSubject>().ok());
        let Some(winner) = winner else { return };
        let (begin, mut pause) = (Instant::now(), FIRST_PAUSE);
        while self.may_bring_a_copy(&winner).await {
            if begin.elapsed() >= GOES_WITHIN {
                match self.memory.remember(&hand.result, known.clone(), made, true).await {
                    Ok(_) => return,
                    Err(error) => tracing::warn!(%error, "a delivered webhook cannot be remembered at the moment"),
                }
            }
            tokio::select! {
                () = sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                () = self.cut() => return,
            }
        }
    }

    /// Whether the winner's message is there; also where nobody knows.
    async fn may_bring_a_copy(&self, winner: &JobSubject) -> bool {
        let nats = self.effects.nats();
        let stream = nats.topology().jobs_stream(winner.shard);
        !matches!(nats.newest(&stream, &winner.any_stage(nats.prefix())).await, Ok(None))
    }
}
