//! A copy of a bucket, kept by what its watch tells.
//!
//! While a new watch tells what is there, the old copy stands; it is replaced when all has been told. So whoever looks at it
//! sees the last state that was whole, also over a reconnect.

use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::bucket::{Bucket, Change, Entry};

/// The entries of a bucket whose keys are of the type `K`; others are passed over.
#[derive(Debug)]
pub struct Watched<K, T> {
    entries: HashMap<K, Entry<T>>,
    fresh: Option<HashMap<K, Entry<T>>>,
}

impl<K, T> Default for Watched<K, T> {
    fn default() -> Self {
        Self { entries: HashMap::new(), fresh: None }
    }
}

impl<K, T> Deref for Watched<K, T> {
    type Target = HashMap<K, Entry<T>>;

    fn deref(&self) -> &Self::Target {
        &self.entries
    }
}

/// A copy that many look at, and how many times it was whole and new.
pub type Followed<K, T> = (Arc<RwLock<Watched<K, T>>>, watch::Receiver<u64>);

impl<K, T> Watched<K, T>
where
    K: FromStr + Eq + Hash + Send + Sync + 'static,
    T: DeserializeOwned + Serialize + Send + Sync + 'static,
{
    /// Follows a bucket in a task of its own, as long as anybody looks at the copy.
    #[must_use]
    pub fn follow(bucket: &Bucket<T>) -> Followed<K, T> {
        let known = Arc::new(RwLock::new(Self::default()));
        let (changed, version) = watch::channel(0_u64);
        let (mut changes, copy) = (bucket.watch(), Arc::clone(&known));
        tokio::spawn(async move {
            loop {
                let change = tokio::select! {
                    change = changes.recv() => change,
                    () = changed.closed() => None, // nobody looks at the copy any more
                };
                let Some(change) = change else { return };
                if copy.write().unwrap_or_else(PoisonError::into_inner).take(change) {
                    changed.send_modify(|n| *n += 1);
                }
            }
        });
        (known, version)
    }
}

impl<K: FromStr + Eq + Hash, T> Watched<K, T> {
    /// Takes a change in. Says whether the copy is whole and new.
    pub fn take(&mut self, change: Change<T>) -> bool {
        match change {
            Change::Anew => self.fresh = Some(HashMap::new()),
            Change::Put { key, entry, .. } => {
                if let Ok(key) = key.parse() {
                    self.fresh.as_mut().unwrap_or(&mut self.entries).insert(key, entry);
                }
            }
            Change::Removed { key } => {
                if let Ok(key) = key.parse::<K>() {
                    self.fresh.as_mut().unwrap_or(&mut self.entries).remove(&key);
                }
            }
            // What somebody newer wrote, or of another kind: what is known of it stands.
            Change::Unreadable { .. } => {}
            Change::Current => self.entries = self.fresh.take().unwrap_or_default(),
        }
        self.fresh.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Millis;

    fn put(key: &str, value: u8) -> Change<u8> {
        Change::Put { key: key.into(), entry: Entry { value, revision: 1 }, at: Millis(0) }
    }

    fn seen(copy: &Watched<u16, u8>) -> Vec<(u16, u8)> {
        let mut seen: Vec<_> = copy.iter().map(|(key, entry)| (*key, entry.value)).collect();
        seen.sort_unstable();
        seen
    }

    #[test]
    fn the_old_copy_stands_until_a_new_watch_has_told_all() {
        let mut copy = Watched::<u16, u8>::default();
        assert!(!copy.take(Change::Anew) && !copy.take(put("1", 1)));
        assert!(seen(&copy).is_empty());
        assert!(copy.take(Change::Current) && copy.take(put("2", 2)));
        assert_eq!(seen(&copy), [(1, 1), (2, 2)]);
        // The connection was lost, and key 1 removed meanwhile.
        assert!(!copy.take(Change::Anew) && !copy.take(put("2", 3)));
        assert_eq!(seen(&copy), [(1, 1), (2, 2)]);
        assert!(copy.take(Change::Current));
        assert_eq!(seen(&copy), [(2, 3)]);
        assert!(copy.take(Change::Removed { key: "2".into() }) && copy.take(put("no number", 1)));
        assert!(seen(&copy).is_empty());
    }
}
