//! A watched copy of all secrets of one kind, opened.
//!
//! Not the common copy, `nats::watched`: there the old one stands over a reconnect, and what cannot be read is passed over. Here
//! whoever asks waits until the copy is whole again, for a secret may have been taken back meanwhile; one that cannot be read or
//! opened is an error to them, and each is opened once.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;

use super::SecretKey;
use super::store::{KeptEntry, SecretsStore};
use crate::nats::Nats;
use crate::nats::bucket::Change;
use crate::seal::Seal;

/// A copy that follows the bucket. Cheap to clone.
pub struct WatchedSecrets<K: SecretKey>(watch::Receiver<Copied<K>>);

impl<K: SecretKey> Clone for WatchedSecrets<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Why nobody can say what a secret is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotKnown {
    /// It is there, and cannot be opened or read here.
    #[error("{0}")]
    Closed(Arc<str>),
    /// Nobody follows the bucket any more.
    #[error("nobody follows the secrets any more")]
    NotFollowed,
}

type Opened<K> = Result<Arc<<K as SecretKey>::Value>, Arc<str>>;

struct Copied<K: SecretKey> {
    /// Whether nothing is missing from it.
    whole: bool,
    secrets: HashMap<K, Opened<K>>,
}

impl<K: SecretKey> Default for Copied<K> {
    fn default() -> Self {
        Self { whole: false, secrets: HashMap::new() }
    }
}

impl<K: SecretKey> WatchedSecrets<K> {
    /// Follows the bucket until nobody has the copy any more.
    #[must_use]
    pub fn start(nats: &Nats, seal: &Seal) -> Self {
        let (copied, copy) = watch::channel(Copied::default());
        tokio::spawn(follow(nats.clone(), SecretsStore::new(nats, seal), copied));
        Self(copy)
    }

    /// Waits until the copy is whole. It may be so no more when this is looked at.
    pub async fn whole(&self) {
        // Whoever asks for a secret then is told where nobody follows any more.
        let _ = self.0.clone().wait_for(|copied| copied.whole).await;
    }

    /// A secret, if it is there. Waits until the copy is whole.
    ///
    /// # Errors
    /// Where it is there and cannot be used.
    pub async fn of(&self, key: &K) -> Result<Option<Arc<K::Value>>, NotKnown> {
        let mut copy = self.0.clone();
        let whole = copy.wait_for(|copied| copied.whole).await.map_err(|_| NotKnown::NotFollowed)?;
        whole.secrets.get(key).cloned().transpose().map_err(NotKnown::Closed)
    }
}

async fn follow<K: SecretKey>(nats: Nats, store: SecretsStore<K>, copied: watch::Sender<Copied<K>>) {
    let (mut changes, mut connections) = (store.bucket().watch(), nats.connections());
    loop {
        tokio::select! {
            biased;
            // What was changed meanwhile is told by the watch that is opened now.
            Ok(()) = connections.changed() => copied.send_modify(|copied| copied.whole = false),
            change = changes.recv() => match change {
                Some(change) => {
                    if matches!(change, Change::Anew) {
                        connections.mark_unchanged();
                    }
                    copied.send_modify(|copied| copied.apply(change, store.seal()));
                }
                None => return,
            },
            () = copied.closed() => return,
        }
    }
}

impl<K: SecretKey> Copied<K> {
    fn apply(&mut self, change: Change<KeptEntry>, seal: &Seal) {
        match change {
            Change::Anew => *self = Self::default(),
            Change::Put { key, entry, .. } => self.put(&key, |key| match entry.value.open(key, seal) {
                Ok(value) => Ok(Arc::new(value)),
                Err(error) => {
                    tracing::error!(of = key.text(), %error, "a secret cannot be used");
                    Err(error.to_string().into())
                }
            }),
            Change::Unreadable { key } => self.put(&key, |_| Err("what is kept is not for this version".into())),
            Change::Removed { key } => {
                if let Some(key) = K::parse(&key) {
                    self.secrets.remove(&key);
                }
            }
            Change::Current => self.whole = true,
        }
    }

    fn put(&mut self, key: &str, opened: impl FnOnce(&K) -> Opened<K>) {
        if let Some(key) = K::parse(key) {
            let opened = opened(&key);
            self.secrets.insert(key, opened);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a secret that is refused fails the test")]

    use bytes::Bytes;
    use futures_util::FutureExt as _;

    use super::*;
    use crate::clock::Millis;
    use crate::domain::id::Tenant;
    use crate::domain::webhook_secrets::{Scheme, WebhookSecret, WebhookSecrets};
    use crate::nats::bucket::Entry;
    use crate::seal::SealKey;
    use crate::wire;

    fn secrets() -> WebhookSecrets {
        let primary = WebhookSecret::parse("0123456789abcdef").unwrap();
        WebhookSecrets { primary, secondary: None, schemes: [Scheme::Standard].into() }
    }

    fn put(text: Bytes, seal: &Seal) -> Change<KeptEntry> {
        let kept = seal.keep(text, &Tenant::default().place());
        let entry = Entry { value: KeptEntry { set_at: Millis(1), kept }, revision: 1 };
        Change::Put { key: Tenant::default().to_string(), entry, at: Millis(1) }
    }

    #[test]
    fn whoever_asks_waits_until_all_is_known_and_again_after_a_new_start() {
        let (tenant, seal) = (Tenant::default(), Seal::new(SealKey::of_bytes([1; 32]), None));
        let (copied, copy) = watch::channel(Copied::<Tenant>::default());
        let copy = WatchedSecrets(copy);
        let apply = |change| copied.send_modify(|copied| copied.apply(change, &seal));
        apply(Change::Anew);
        apply(put(wire::encode(&secrets()), &seal));
        assert!(copy.of(&tenant).now_or_never().is_none());
        apply(Change::Current);
        assert_eq!(*copy.of(&tenant).now_or_never().unwrap().unwrap().unwrap(), secrets());
        assert_eq!(copy.of(&"other".parse().unwrap()).now_or_never().unwrap(), Ok(None));
        apply(Change::Anew);
        assert!(copy.of(&tenant).now_or_never().is_none());
        apply(Change::Current);
        assert_eq!(copy.of(&tenant).now_or_never().unwrap(), Ok(None));
    }

    #[test]
    fn what_cannot_be_opened_or_read_is_never_taken_for_nothing() {
        let (tenant, other) = (Tenant::default(), Seal::new(SealKey::of_bytes([2; 32]), None));
        let seal = Seal::new(SealKey::of_bytes([1; 32]), None);
        let unreadable = || Change::Unreadable { key: Tenant::default().to_string() };
        for change in [put(wire::encode(&secrets()), &other), put(Bytes::from_static(b"x"), &seal), unreadable()] {
            let mut copied = Copied::<Tenant> { whole: true, ..Copied::default() };
            copied.apply(change, &seal);
            assert!(copied.secrets[&tenant].is_err());
        }
    }
}
