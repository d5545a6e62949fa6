//! How much of one consumer is in hand: by number and by size, each message a task.
//!
//! Invariant: whatever a task's end, its room is free again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::{JoinError, JoinSet};

/// How many of the largest messages there can be may be in hand, beside those that one endpoint may hold.
const LARGEST: usize = 8;
/// What comes beside a payload: subject and headers. Bytes.
const BESIDE: usize = 64 * 1024;

/// Messages in hand.
pub(super) struct Hands {
    tasks: JoinSet<()>,
    bytes: Arc<AtomicUsize>,
    most: usize,
    most_bytes: usize,
    largest: usize,
}

/// The size of a message in hand, until this is dropped.
struct Weight(Arc<AtomicUsize>, usize);

impl Drop for Weight {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::AcqRel);
    }
}

impl Hands {
    /// Room for `most` messages; by size for as many of the largest as one endpoint that hangs may hold, and some more.
    pub(super) fn new(most: usize, per_endpoint: usize, max_payload: usize) -> Self {
        let (largest, most_bytes) = (max_payload + BESIDE, most_bytes(per_endpoint, max_payload));
        Self { tasks: JoinSet::new(), bytes: Arc::default(), most, most_bytes, largest }
    }

    /// How many messages and bytes to ask for; nothing where the largest message would not fit. Not all that there is room
    /// for at once: the broker cuts a connection for which it has 64 MiB waiting, and others ask over this one too.
    pub(super) fn room(&mut self) -> Option<(usize, usize)> {
        while let Some(ended) = self.tasks.try_join_next() {
            note(ended);
        }
        let messages = self.most.saturating_sub(self.tasks.len());
        let bytes = self.most_bytes.saturating_sub(self.bytes.load(Ordering::Acquire));
        (messages > 0 && bytes >= self.largest).then_some((messages, bytes.min(self.largest * 3 / 2)))
    }

    /// Takes a message of this size, to be handled.
    pub(super) fn take(&mut self, size: usize, handling: impl Future<Output = ()> + Send + 'static) {
        self.bytes.fetch_add(size, Ordering::AcqRel);
        let weight = Weight(Arc::clone(&self.bytes), size);
        self.tasks.spawn(async move {
            let _weight = weight;
            handling.await;
        });
    }

    /// Waits until one is let go of; for ever where none is in hand.
    pub(super) async fn one_ended(&mut self) {
        match self.tasks.join_next().await {
            Some(ended) => note(ended),
            None => std::future::pending().await,
        }
    }

    /// Waits until all are let go of.
    pub(super) async fn all_ended(mut self) {
        while !self.tasks.is_empty() {
            self.one_ended().await;
        }
    }
}

/// How much of one consumer may be in hand by size.
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
    use super::*;

    #[tokio::test]
    async fn there_is_room_by_number_and_by_size_and_one_hanging_endpoint_never_takes_all() {
        let mut hands = Hands::new(20, 2, 1 << 20);
        let largest = (1 << 20) + BESIDE;
        assert_eq!(hands.room(), Some((20, largest * 3 / 2)));
        for _ in 0..9 {
            hands.take(largest, std::future::pending());
        }
        assert_eq!(hands.room(), Some((11, largest)));
        hands.take(1, std::future::pending());
        assert_eq!(hands.room(), None, "the largest would not fit");
        let mut hands = Hands::new(2, 2, 1 << 20);
        hands.take(0, std::future::pending());
        hands.take(0, std::future::pending());
        assert_eq!(hands.room(), None);
    }

    #[tokio::test]
    async fn a_task_that_breaks_off_keeps_no_room() {
        let mut hands = Hands::new(1, 1, 1 << 20);
        let before = hands.room();
        hands.take(7, async { panic!("breaks off") });
        assert_eq!(hands.room(), None);
        hands.one_ended().await;
        assert_eq!(hands.room(), before);
    }
}
