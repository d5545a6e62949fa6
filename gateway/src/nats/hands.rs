//! How many durable submissions are in hand, by number and by size; each is a task.
//!
//! At a stop they may end, and what has not after a time is handed back. Invariant: what breaks off keeps no room.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::held::Held;
use super::intake::Intake;

/// How many of the largest messages that the broker takes may be in hand by their size.
const LARGEST_AT_ONCE: usize = 4;

/// Submissions in hand.
pub(super) struct Hands {
    tasks: JoinSet<()>,
    /// What may still be taken by its size.
    kibibytes: Arc<Semaphore>,
    /// The largest message there can be, with what comes beside it, in KiB.
    largest: usize,
    /// Tells them to let go of what they have not done.
    hand_back: CancellationToken,
}

impl Hands {
    pub(super) fn new(max_payload: usize) -> Self {
        let largest = max_payload / 1024 + 64;
        let kibibytes = Arc::new(Semaphore::new(largest * LARGEST_AT_ONCE));
        Self { tasks: JoinSet::new(), kibibytes, largest, hand_back: CancellationToken::new() }
    }

    /// How many submissions and bytes there is room for, once it is worth a request: for many, and for the largest.
    pub(super) fn room(&self, at_once: usize) -> Option<(usize, usize)> {
        let (room, kibibytes) = (at_once.saturating_sub(self.tasks.len()), self.kibibytes.available_permits());
        (room >= at_once.div_ceil(4) && kibibytes >= self.largest).then_some((room, kibibytes * 1024))
    }

    pub(super) fn take(&mut self, intake: Arc<Intake>, held: Held, name: String) {
        let hand_back = self.hand_back.clone();
        let size = u32::try_from(held.0.payload().len() / 1024 + 1).unwrap_or(u32::MAX);
        // Nothing is taken that was not asked for; where the sizes round up beyond it, so be it.
        let space = Arc::clone(&self.kibibytes).try_acquire_many_owned(size).ok();
        self.tasks.spawn(async move {
            let _space = space;
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

    /// Waits until one is done with; for ever where there is none.
    pub(super) async fn one_ended(&mut self) {
        match self.tasks.join_next().await {
            Some(ended) => log_broken(ended),
            None => std::future::pending().await,
        }
    }

    async fn all_ended(&mut self) {
        while !self.tasks.is_empty() {
            self.one_ended().await;
        }
    }
}

fn log_broken(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "taking a durable submission in broke off; it comes again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn there_is_room_for_many_and_for_the_largest_or_none_is_asked_for() {
        let mut hands = Hands::new(8 << 20);
        let bytes = LARGEST_AT_ONCE * ((8 << 20) + (64 << 10));
        assert_eq!(hands.room(1), Some((1, bytes)));
        assert_eq!(hands.room(256), Some((256, bytes)));
        for _ in 0..193 {
            hands.tasks.spawn(std::future::pending());
        }
        assert_eq!(hands.room(256), None);
        assert_eq!(hands.room(257), None);
        assert_eq!(hands.room(258), Some((65, bytes)));
        hands.kibibytes.forget_permits(bytes / 1024 - hands.largest + 1);
        assert_eq!(hands.room(1_000), None);
    }
}
