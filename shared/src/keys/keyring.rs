//! A watched copy of all keys, for those who let callers in by them.
//!
//! Knows of a change as soon as the broker tells it, milliseconds after it was made. Without a connection the last state that
//! was whole stands; before there was one, nobody is let in or turned away.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::by_age;
use crate::clock;
use crate::domain::access::{ApiKey, Key};
use crate::domain::id::KeyId;
use crate::nats::Nats;
use crate::nats::watched::Watched;

/// How often it is looked whether a key has expired.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why a key does not let anybody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// The keys were not read yet: ask again.
    #[error("the keys are not known yet: ask again")]
    NotLoaded,
    /// There is none of this id, or its secret is another.
    #[error("this key is not known, or was revoked")]
    Unknown,
    /// Its time is over.
    #[error("this key has expired")]
    Expired,
}

/// The copy. Cheap to clone.
#[derive(Clone)]
pub struct Keyring {
    known: Arc<RwLock<Watched<KeyId, Arc<Key>>>>,
    version: watch::Receiver<u64>,
}

impl Keyring {
    /// Starts watching; does not wait until the keys are there.
    #[must_use]
    pub fn watch(nats: &Nats) -> Self {
        let (known, version) = Watched::follow(&nats.bucket::<Arc<Key>>(&nats.topology().keys_bucket()));
        Self { known, version }
    }

    /// Waits until the keys are there, for so long at most.
    pub async fn loaded(&self, at_most: Duration) {
        let mut version = self.version.clone();
        // A broker that never answers is told to those who come with a key.
        let _ = tokio::time::timeout(at_most, version.wait_for(|version| *version > 0)).await;
    }

    /// Whether the keys are there.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        *self.version.borrow() > 0
    }

    /// What a key allows, if it is taken.
    ///
    /// # Errors
    /// Where it is not.
    pub fn check(&self, presented: &ApiKey) -> Result<Arc<Key>, NotTaken> {
        if !self.is_loaded() {
            return Err(NotTaken::NotLoaded);
        }
        let key = self.get(&presented.id).filter(|key| key.hash.is_of(&presented.secret)).ok_or(NotTaken::Unknown)?;
        if key.has_expired(clock::now()) { Err(NotTaken::Expired) } else { Ok(key) }
    }

    /// The key of this id.
    #[must_use]
    pub fn get(&self, id: &KeyId) -> Option<Arc<Key>> {
        self.known().get(id).map(|entry| Arc::clone(&entry.value))
    }

    /// All keys, the oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<(KeyId, Key)> {
        by_age(self.known().iter().map(|(id, entry)| (id.clone(), Key::clone(&entry.value))).collect())
    }

    /// Waits until a key is there, or is gone, for a second at most: whoever made it or revoked it sees it so.
    pub async fn sees(&self, id: &KeyId, there: bool) {
        let mut version = self.version.clone();
        let seen = async { while self.get(id).is_some() != there && version.changed().await.is_ok() {} };
        let _ = tokio::time::timeout(Duration::from_secs(1), seen).await;
    }

    /// Waits until a key lets nobody in any more: it is revoked or has expired.
    pub async fn ended(&self, id: &KeyId) {
        let mut version = self.version.clone();
        while self.get(id).is_some_and(|key| !key.has_expired(clock::now())) {
            tokio::select! {
                changed = version.changed() => if changed.is_err() { return },
                () = sleep(LOOK_EVERY) => {}
            }
        }
    }

    fn known(&self) -> RwLockReadGuard<'_, Watched<KeyId, Arc<Key>>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }
}
