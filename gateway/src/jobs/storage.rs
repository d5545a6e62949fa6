//! Whether the broker has room for new jobs. Above a share of what it may store, jobs are refused, so that those that
//! were accepted can end.
//!
//! Looks every few seconds at what the account uses, and counts what is submitted in between, so that no burst uses up what
//! is left for the others. Where nobody tells what may be stored, a publish that found no room is the only sign, and counts
//! for as long. What room there is is decided in `room`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sluice_shared::nats::{Nats, broker_error};
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::room::Room;

/// How often the broker is asked, and how long a publish that found no room counts.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How soon it is asked again where what was left is used up.
const LOOK_SOON: Duration = Duration::from_millis(100);
/// What a job takes beside its JSON, in bytes: its record, its first message, its signals, what the gate notes.
const BESIDE: u64 = 4 * 1024;

/// Whether the broker has room. Clones say the same.
#[derive(Clone, Debug)]
pub struct Storage(Arc<Seen>);

#[derive(Debug)]
struct Seen {
    /// What may still be stored as of the last look, in bytes; the largest number where nobody knows.
    left: AtomicU64,
    /// What was submitted since.
    taken: AtomicU64,
    /// How often each byte is stored.
    copies: u64,
    /// When a publish last found no room.
    no_room: Mutex<Option<Instant>>,
    /// A look is worth it before its time.
    soon: Notify,
}

impl Default for Storage {
    /// Room without end, until a publish finds none.
    fn default() -> Self {
        Self::stored_in(1)
    }
}

impl Storage {
    fn stored_in(copies: u8) -> Self {
        let (no_room, soon) = (Mutex::default(), Notify::new());
        Self(Arc::new(Seen {
            left: AtomicU64::new(u64::MAX),
            taken: AtomicU64::new(0),
            copies: copies.into(),
            no_room,
            soon,
        }))
    }

    /// Looks from now on until told to stop.
    #[must_use]
    pub fn watch(nats: &Nats, room: Room, every: Duration, stop: CancellationToken) -> Self {
        let storage = Self::stored_in(nats.topology().settings().replicas);
        let (nats, kept) = (nats.clone(), storage.clone());
        tokio::spawn(stop.run_until_cancelled_owned(async move { kept.keep(&nats, &room, every).await }));
        storage
    }

    /// Whether new jobs are to be refused.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.is_full_at(Instant::now())
    }

    fn is_full_at(&self, now: Instant) -> bool {
        let no_room = *self.0.no_room.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = no_room.is_some_and(|at| now.saturating_duration_since(at) < LOOK_EVERY);
        let used_up = self.0.taken.load(Ordering::Relaxed) >= self.0.left.load(Ordering::Relaxed);
        if used_up {
            self.0.soon.notify_one();
        }
        lately || used_up
    }

    /// A job of so many bytes is about to be stored.
    pub(super) fn takes(&self, bytes: usize) {
        let bytes = (u64::try_from(bytes).unwrap_or(u64::MAX).saturating_add(BESIDE)).saturating_mul(self.0.copies);
        self.0.taken.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A publish found no room.
    pub(super) fn found_no_room(&self) {
        *self.0.no_room.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    async fn keep(&self, nats: &Nats, room: &Room, every: Duration) {
        let replicas = nats.topology().settings().replicas;
        let mut looks = interval(every);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut silent = true;
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                () = self.0.soon.notified() => sleep(LOOK_SOON.min(every)).await,
            }
            let before = self.0.taken.load(Ordering::Relaxed);
            match nats.jetstream().query_account().await {
                Ok(account) => {
                    let left = room.left(&account, replicas);
                    if left.is_none() && std::mem::take(&mut silent) {
                        tracing::info!("nobody says how much the broker may store: say it as gateway.storage_limit");
                    }
                    self.saw(left, before);
                }
                // Nothing is known, so what was known stands.
                Err(error) => tracing::debug!(error = broker_error(&error), "the broker's storage is not known"),
            }
        }
    }

    /// What was `taken` before the look is in what it saw.
    fn saw(&self, left: Option<u64>, taken: u64) {
        let left = left.unwrap_or(u64::MAX);
        let before = self.0.left.swap(left, Ordering::Relaxed);
        self.0.taken.fetch_sub(taken, Ordering::Relaxed);
        match (before == 0, left == 0) {
            (false, true) => tracing::warn!("the broker's storage is above the watermark: new jobs are refused"),
            (true, false) => tracing::info!("the broker has room: new jobs are taken"),
            (true, true) | (false, false) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publish_that_found_no_room_counts_for_a_while() {
        let storage = Storage::default();
        assert!(!storage.is_full());
        storage.found_no_room();
        assert!(storage.clone().is_full());
        assert!(!storage.is_full_at(Instant::now() + LOOK_EVERY));
    }

    #[test]
    fn what_is_submitted_between_two_looks_counts_until_the_second_has_seen_it() {
        let (storage, kib) = (Storage::stored_in(3), |kib: usize| kib << 10);
        storage.saw(Some(100 << 10), 0);
        storage.takes(kib(12));
        assert!(!storage.is_full());
        storage.takes(kib(16));
        assert!(storage.is_full(), "3 copies of 36 KiB are more than 100 KiB");
        storage.saw(Some(50 << 10), 3 * (36 << 10));
        assert!(!storage.is_full());
        storage.saw(Some(0), 0);
        assert!(storage.is_full());
        storage.saw(None, 0);
        assert!(!storage.is_full(), "nobody knows a limit any more");
    }
}
