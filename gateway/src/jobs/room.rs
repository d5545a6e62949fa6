//! How much room the broker has for jobs, from what is known of its limits. Pure.

use std::fmt;
use std::sync::Arc;

use async_nats::jetstream::account::Account;

/// What must be free on the disk of the broker, whatever the share: for what a store needs beside its messages. Bytes.
const LEAST_FREE: u64 = 128 << 20;

/// Asks how much is free on the disk of the broker, in bytes; `None` where nobody knows.
pub type Free = Arc<dyn Fn() -> Option<u64> + Send + Sync>;

/// What is known of the room for jobs, beside what the account says itself.
#[derive(Clone)]
pub struct Room {
    /// The share of its storage that the broker may fill.
    pub watermark: f64,
    /// What the broker may store, in bytes, where that is known.
    pub limit: Option<u64>,
    /// What is free on its disk, where that is this machine's.
    pub free: Option<Free>,
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Room({} of {:?} bytes)", self.watermark, self.limit)
    }
}

impl Room {
    /// Where nothing is known but what the account says.
    #[must_use]
    pub fn above(watermark: f64) -> Self {
        Self { watermark, limit: None, free: None }
    }

    /// How many bytes may still be stored before new jobs are refused; `None` where nobody knows a limit.
    pub(super) fn left(&self, account: &Account, replicas: u8) -> Option<u64> {
        let tier = account.tiers.get(&format!("R{replicas}")).map(|tier| (tier.storage, tier.limits.max_storage));
        let of_account = [Some((account.storage, account.limits.max_storage)), tier];
        let limited = of_account.into_iter().flatten().filter_map(|(used, limit)| {
            let limit = u64::try_from(limit?).ok().filter(|limit| *limit > 0)?;
            Some((used, limit))
        });
        let configured = self.limit.map(|limit| (account.storage, limit));
        let free = self.free.as_ref().and_then(|free| free());
        let on_disk = free.map(|free| (account.storage, account.storage.saturating_add(free)));
        let too_little = free.filter(|free| *free < LEAST_FREE).map(|_| 0);
        let by_limit = limited.chain(configured).chain(on_disk).map(|(used, limit)| self.below_mark(limit, used));
        by_limit.chain(too_little).min()
    }

    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bytes of a disk are known well enough as a float"
    )]
    fn below_mark(&self, limit: u64, used: u64) -> u64 {
        ((limit as f64 * self.watermark) as u64).saturating_sub(used)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "an account that cannot be read fails the test")]

    use super::*;

    const GIB: u64 = 1 << 30;

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

    fn above(watermark: f64, limit: Option<u64>, free: Option<u64>) -> Room {
        Room { watermark, limit, free: free.map(|free| -> Free { Arc::new(move || Some(free)) }) }
    }

    #[test]
    fn the_limit_of_an_account_counts_where_it_has_one() {
        let room = Room::above(0.9);
        assert_eq!(room.left(&account(60, 100, ""), 1), Some(30));
        assert_eq!(room.left(&account(91, 100, ""), 1), Some(0));
        assert_eq!(room.left(&account(u64::MAX, -1, ""), 1), None);
        assert_eq!(room.left(&account(1, 0, ""), 1), None);
    }

    #[test]
    fn the_limit_of_a_tier_counts_for_its_replicas_only() {
        assert_eq!(Room::above(0.9).left(&account(95, 0, "R3"), 3), Some(0));
        assert_eq!(Room::above(0.9).left(&account(95, 0, "R3"), 1), None);
    }

    #[test]
    fn what_is_configured_counts_and_the_least_of_all_that_is_known() {
        assert_eq!(above(0.5, Some(100), None).left(&account(10, -1, ""), 1), Some(40));
        assert_eq!(above(0.5, Some(100), None).left(&account(10, 60, ""), 1), Some(20));
    }

    #[test]
    fn a_disk_that_others_fill_leaves_no_room_whatever_the_limit() {
        let used = account(9 * GIB, -1, "");
        assert_eq!(above(0.5, Some(100 * GIB), Some(20 * GIB)).left(&used, 1), Some(11 * GIB / 2));
        assert_eq!(above(0.5, Some(100 * GIB), Some(5 * GIB)).left(&used, 1), Some(0));
        assert_eq!(above(0.9, Some(100 * GIB), Some(LEAST_FREE - 1)).left(&account(0, -1, ""), 1), Some(0));
    }
}
