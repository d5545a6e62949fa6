//! Durable submissions in hand, of all lanes: each is a task.
//!
//! At a stop they may end, and what has not after a time is handed back. Invariant: what breaks off keeps no room.

use std::sync::Arc;
use std::time::Duration;

use sluice_shared::room::{Room, Taken};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::held::Held;
use super::intake::Intake;

/// How many of the largest messages that the broker takes may be in hand by their size.
const LARGEST_AT_ONCE: usize = 4;
/// What comes beside a payload: subject and headers. Bytes.
const BESIDE: usize = 64 * 1024;

/// How much may be in hand, of all lanes together.
pub(super) fn room(at_once: usize, max_payload: usize) -> Room {
    let largest = max_payload + BESIDE;
    Room::new(at_once.max(1), largest * LARGEST_AT_ONCE, largest)
}

/// Submissions of a lane in hand.
#[derive(Default)]
pub(super) struct Hands {
    tasks: JoinSet<()>,
    /// Tells them to let go of what they have not done.
    hand_back: CancellationToken,
}

impl Hands {
    pub(super) fn take(&mut self, intake: Arc<Intake>, held: Held, taken: Taken, name: String) {
        while let Some(ended) = self.tasks.try_join_next() {
            log_broken(ended);
        }
        let hand_back = self.hand_back.clone();
        self.tasks.spawn(async move {
            let _taken = taken;
            if hand_back.run_until_cancelled(intake.take_in(&held, &name)).await.is_none() {
                held.to_somebody_else().await;
            }
        });
    }

    pub(super) async fn finish(mut self, grace: Duration) {
        if tokio::time::timeout(grace, self.all_ended()).await.is_err() {
            tracing::info!(left = self.tasks.len(), "durable submissions are handed back");
            self.hand_back.cancel();
            self.all_ended().await;
        }
    }

    async fn all_ended(&mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            log_broken(ended);
        }
    }
}

fn log_broken(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "taking a durable submission in broke off; it comes again");
    }
}
