//! What is in hand of a lane: each message a task. How much that may be, by number and by size, is for all lanes together.
//!
//! Invariant: whatever a task's end, its room is free again.

use sluice_shared::room::{Room, Taken};
use tokio::task::{JoinError, JoinSet};

/// How many of the largest messages there can be may be in hand, beside those that one endpoint may hold.
const LARGEST: usize = 8;
/// What comes beside a payload: subject and headers. Bytes.
const BESIDE: usize = 64 * 1024;

/// Messages in hand.
#[derive(Default)]
pub(super) struct Hands(JoinSet<()>);

impl Hands {
    /// Takes a message, to be handled.
    pub(super) fn take(&mut self, taken: Taken, handling: impl Future<Output = ()> + Send + 'static) {
        while let Some(ended) = self.0.try_join_next() {
            note(ended);
        }
        self.0.spawn(async move {
            let _taken = taken;
            handling.await;
        });
    }

    /// Waits until all are let go of.
    pub(super) async fn all_ended(mut self) {
        while let Some(ended) = self.0.join_next().await {
            note(ended);
        }
    }
}

/// Room for `most` messages; by size for as many of the largest as one endpoint that hangs may hold, and some more.
pub(super) fn room(most: usize, per_endpoint: usize, max_payload: usize) -> Room {
    Room::new(most, most_bytes(per_endpoint, max_payload), max_payload + BESIDE)
}

/// How much of one work may be in hand by size.
pub(super) fn most_bytes(per_endpoint: usize, max_payload: usize) -> usize {
    (max_payload + BESIDE).saturating_mul(per_endpoint.saturating_add(LARGEST))
}

fn note(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "the handling of a message broke off; it comes again");
    }
}

#[cfg(test)]
mod tests {
    use sluice_shared::domain::lane::Lane;

    use super::*;

    #[tokio::test]
    async fn a_task_that_breaks_off_keeps_no_room() {
        let (room, lane, mut hands) = (room(2, 1, 1 << 20), Lane::of("", 1), Hands::default());
        hands.take(room.ask(lane, 1).await.take(7), async { panic!("breaks off") });
        hands.all_ended().await;
        assert_eq!(room.ask(lane, 1).await.messages(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn one_hanging_endpoint_never_takes_all_the_room_that_a_lane_has() {
        let (per_endpoint, payload, lane) = (8, 8 << 20, Lane::of("", 1));
        let (room, mut held) = (room(192, per_endpoint, payload), Vec::new());
        let patience = std::time::Duration::from_secs(1);
        while let Ok(mut ask) = tokio::time::timeout(patience, room.ask(lane, 1)).await {
            held.push(ask.take(payload));
        }
        assert!(held.len() > per_endpoint, "{}", held.len());
    }
}
