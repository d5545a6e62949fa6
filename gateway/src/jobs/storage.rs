//! Whether the broker has room for new jobs. Above a share of what it may store, jobs are refused, so that those that
//! were accepted can end.
//!
//! Looks every few seconds at what the account uses. Where the account has no limit of its own, nobody tells a client
//! what the server may store: then a publish that found no room is the only sign, and counts for as long.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::jetstream::account::Account;
use sluice_shared::nats::{Nats, broker_error};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// How often the broker is asked, and how long a publish that found no room counts.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Whether the broker has room. Clones say the same.
#[derive(Clone, Debug, Default)]
pub struct Storage(Arc<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// As of the last look.
    above: AtomicBool,
    /// When a publish last found no room.
    no_room: Mutex<Option<Instant>>,
}

impl Storage {
    /// Looks from now on until told to stop. `watermark` is the share of its storage that the broker may fill.
    #[must_use]
    pub fn watch(nats: &Nats, watermark: f64, every: Duration, stop: CancellationToken) -> Self {
        let storage = Self::default();
        let (nats, kept) = (nats.clone(), storage.clone());
        tokio::spawn(stop.run_until_cancelled_owned(async move { kept.keep(&nats, watermark, every).await }));
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
        lately || self.0.above.load(Ordering::Relaxed)
    }

    /// A publish found no room.
    pub(super) fn found_no_room(&self) {
        *self.0.no_room.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    async fn keep(&self, nats: &Nats, watermark: f64, every: Duration) {
        let replicas = nats.topology().settings().replicas;
        let mut looks = interval(every);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            match nats.jetstream().query_account().await {
                Ok(account) => self.saw(is_above(&account, replicas, watermark)),
                // Nothing is known, so what was known stands.
                Err(error) => tracing::debug!(error = broker_error(&error), "the broker's storage is not known"),
            }
        }
    }

    fn saw(&self, above: bool) {
        if self.0.above.swap(above, Ordering::Relaxed) != above {
            match above {
                true => tracing::warn!("the broker's storage is above the watermark: new jobs are refused"),
                false => tracing::info!("the broker has room: new jobs are taken"),
            }
        }
    }
}

/// Whether the account uses more than this share of a limit it has: the one for streams with so many replicas, or the
/// one for all.
fn is_above(account: &Account, replicas: u8, watermark: f64) -> bool {
    let tier = account.tiers.get(&format!("R{replicas}"));
    let of_tier = tier.map(|tier| (tier.storage, tier.limits.max_storage));
    let limits = [Some((account.storage, account.limits.max_storage)), of_tier];
    limits.into_iter().flatten().any(|(used, limit)| share(used, limit).is_some_and(|share| share > watermark))
}

#[allow(clippy::cast_precision_loss, reason = "bytes of a disk are known well enough as a float")]
fn share(used: u64, limit: Option<i64>) -> Option<f64> {
    let limit = limit.filter(|limit| *limit > 0)?;
    Some(used as f64 / limit as f64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "an account that cannot be read fails the test")]

    use super::*;

    fn account(used: u64, limit: i64, tiers: &str) -> Account {
        let limits = |limit: i64| {
            format!(
                r#"{{"max_memory":-1,"max_storage":{limit},"max_streams":-1,"max_consumers":-1,"max_bytes_required":false,
                "max_ack_pending":-1,"memory_max_stream_bytes":-1,"storage_max_stream_bytes":-1}}"#
            )
        };
        let one = |used: u64, limit: i64| {
            format!(
                r#""memory":0,"storage":{used},"reserved_memory":0,"reserved_storage":0,"streams":1,"consumers":1,
                "limits":{}"#,
                limits(limit)
            )
        };
        let tier = if tiers.is_empty() { String::new() } else { format!(r#""{tiers}":{{{}}}"#, one(95, 100)) };
        let json = format!(r#"{{{},"api":{{"total":1,"errors":0}},"tiers":{{{tier}}}}}"#, one(used, limit));
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn an_account_is_full_above_its_watermark_and_never_without_a_limit() {
        assert!(is_above(&account(91, 100, ""), 1, 0.9));
        assert!(!is_above(&account(90, 100, ""), 1, 0.9));
        assert!(!is_above(&account(u64::MAX, -1, ""), 1, 0.9));
        assert!(!is_above(&account(1, 0, ""), 1, 0.9));
    }

    #[test]
    fn a_publish_that_found_no_room_counts_for_a_while() {
        let storage = Storage::default();
        assert!(!storage.is_full());
        storage.found_no_room();
        assert!(storage.clone().is_full());
        assert!(!storage.is_full_at(Instant::now() + LOOK_EVERY));
    }

    #[test]
    fn the_limit_of_a_tier_counts_for_its_replicas_only() {
        assert!(is_above(&account(95, 0, "R3"), 3, 0.9));
        assert!(!is_above(&account(95, 0, "R3"), 1, 0.9));
    }
}
