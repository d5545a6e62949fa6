//! Secrets in their bucket: each an entry, the last who writes wins.

use std::marker::PhantomData;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::SecretKey;
use crate::clock::Millis;
use crate::effects::Effects;
use crate::nats::Nats;
use crate::nats::bucket::{Bucket, BucketError, Change, Entry, Written};
use crate::seal::{Kept, NotOpened, Seal};
use crate::wire::{self, Unreadable};

/// How often a write that was lost or not answered is tried again.
const TRIES: u32 = 10;
/// How long it may take to list what is in a bucket.
const LISTED_WITHIN: Duration = Duration::from_secs(5);

/// What is kept of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptEntry {
    /// When it was set.
    pub set_at: Millis,
    /// The value.
    pub kept: Kept,
}

/// A bucket, and the keys to it. Cheap to clone.
pub struct SecretsStore<K> {
    bucket: Bucket<KeptEntry>,
    seal: Seal,
    kind: PhantomData<fn() -> K>,
}

impl<K> Clone for SecretsStore<K> {
    fn clone(&self) -> Self {
        Self { bucket: self.bucket.clone(), seal: self.seal.clone(), kind: PhantomData }
    }
}

/// Why a secret cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum NotKept {
    /// The broker does not answer, or will not take it.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// It cannot be opened here.
    #[error("what is kept cannot be opened: {0}")]
    NotOpened(#[from] NotOpened),
    /// What was opened is nothing that this program wrote.
    #[error("what is kept cannot be read: {0}")]
    Unreadable(#[from] Unreadable),
    /// It may be written or not: repeat it.
    #[error("the broker did not answer in time")]
    Unknown,
}

impl KeptEntry {
    /// The value that is kept here.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub fn open<K: SecretKey>(&self, key: &K, seal: &Seal) -> Result<K::Value, NotKept> {
        Ok(wire::decode(&seal.read(&self.kept, &key.place())?)?)
    }

    fn of<K: SecretKey>(key: &K, value: &K::Value, seal: &Seal, set_at: Millis) -> Self {
        Self { set_at, kept: seal.keep(wire::encode(value), &key.place()) }
    }
}

impl<K: SecretKey> SecretsStore<K> {
    /// Reads and writes through this connection.
    #[must_use]
    pub fn new(nats: &Nats, seal: &Seal) -> Self {
        Self { bucket: nats.bucket(&K::bucket(nats.topology())), seal: seal.clone(), kind: PhantomData }
    }

    /// The same through these effects.
    #[must_use]
    pub fn of(effects: &Effects) -> Self {
        Self::new(effects.nats(), effects.sealing().seal())
    }

    pub(super) fn bucket(&self) -> &Bucket<KeptEntry> {
        &self.bucket
    }

    /// The keys.
    #[must_use]
    pub fn seal(&self) -> &Seal {
        &self.seal
    }

    /// A secret, if it is there, and when it was set.
    ///
    /// # Errors
    /// Where the broker does not answer, or it cannot be opened.
    pub async fn get(&self, key: &K) -> Result<Option<(K::Value, Millis)>, NotKept> {
        let Some(there) = self.bucket.get(&key.text()).await? else { return Ok(None) };
        Ok(Some((there.value.open(key, &self.seal)?, there.value.set_at)))
    }

    /// All that are wanted, and when each was set; not their values. As they are told, in no order.
    ///
    /// # Errors
    /// Where the broker does not answer.
    pub async fn list(&self, wanted: impl Fn(&K) -> bool) -> Result<Vec<(K, Millis)>, NotKept> {
        let listing = async {
            let (mut changes, mut found) = (self.bucket.watch(), Vec::new());
            while let Some(change) = changes.recv().await {
                match change {
                    Change::Put { key, entry, .. } => {
                        found.extend(K::parse(&key).filter(&wanted).map(|key| (key, entry.value.set_at)));
                    }
                    Change::Anew => found.clear(),
                    Change::Current => break,
                    Change::Removed { .. } | Change::Unreadable { .. } => {}
                }
            }
            found
        };
        tokio::time::timeout(LISTED_WITHIN, listing).await.map_err(|_| NotKept::Unknown)
    }

    /// Sets a secret in place of what it was. Repeating it is harmless.
    ///
    /// # Errors
    /// Where it may not be written.
    pub async fn set(&self, key: &K, value: &K::Value, now: Millis) -> Result<(), NotKept> {
        let (text, entry) = (key.text(), KeptEntry::of(key, value, &self.seal, now));
        for again in 0..TRIES {
            let written = match self.bucket.revision(&text).await? {
                None => self.bucket.create(&text, &entry).await?,
                Some(revision) => self.bucket.swap(&text, &entry, revision).await?,
            };
            match written {
                Written::At(_) => return Ok(()),
                // Somebody else was first, or nobody knows: written twice it is the same as once.
                Written::Changed | Written::Unknown => pause(again).await,
            }
        }
        Err(NotKept::Unknown)
    }

    /// Forgets a secret; says whether it was there. Repeating it is harmless.
    ///
    /// # Errors
    /// Where it may not be forgotten.
    pub async fn remove(&self, key: &K) -> Result<bool, NotKept> {
        let text = key.text();
        for again in 0..TRIES {
            let Some(revision) = self.bucket.revision(&text).await? else { return Ok(again > 0) };
            match self.bucket.remove(&text, revision).await? {
                Written::At(_) => return Ok(true),
                Written::Changed | Written::Unknown => pause(again).await,
            }
        }
        Err(NotKept::Unknown)
    }

    /// Seals all entries with the key of now that were kept under another one, or under none: after a rotation the earlier
    /// key is not needed for them any more. What cannot be opened or written stays as it is.
    pub async fn seal_anew(self) {
        let mut changes = self.bucket.watch();
        while let Some(change) = changes.recv().await {
            match change {
                Change::Put { key, entry, .. } if self.seal.is_outdated(&entry.value.kept) => {
                    self.seal_one_anew(&key, &entry).await;
                }
                Change::Current => return,
                Change::Anew | Change::Put { .. } | Change::Removed { .. } | Change::Unreadable { .. } => {}
            }
        }
    }

    async fn seal_one_anew(&self, text: &str, entry: &Entry<KeptEntry>) {
        let Some(key) = K::parse(text) else { return };
        let again = match entry.value.open(&key, &self.seal) {
            Ok(value) => KeptEntry::of(&key, &value, &self.seal, entry.value.set_at),
            Err(error) => return tracing::warn!(of = text, %error, "a secret cannot be sealed anew"),
        };
        match self.bucket.swap(text, &again, entry.revision).await {
            Ok(written) => tracing::info!(of = text, ?written, "a secret is sealed with another key"),
            Err(error) => tracing::warn!(of = text, %error, "a secret is not sealed anew"),
        }
    }
}

async fn pause(again: u32) {
    tokio::time::sleep(Duration::from_millis(20 << again.min(5))).await;
}
