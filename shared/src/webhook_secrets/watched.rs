//! A watched copy of all webhook secrets.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;

use super::store::{SecretsEntry, SecretsStore};
use crate::domain::id::Tenant;
use crate::domain::webhook_secrets::WebhookSecrets;
use crate::nats::Nats;
use crate::nats::bucket::Change;
use crate::seal::Seal;

/// A copy that follows the bucket. Cheap to clone.
#[derive(Clone)]
pub struct WatchedSecrets(watch::Receiver<Copied>);

/// Why nobody can say what signs. Trying again is worth it: an operator can help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotKnown {
    /// There are secrets which cannot be opened or read here.
    #[error("its webhook secrets cannot be used: {0}")]
    Closed(Arc<str>),
    /// Nobody follows the bucket any more.
    #[error("nobody follows the webhook secrets any more")]
    NotFollowed,
}

type Secrets = Result<Arc<WebhookSecrets>, Arc<str>>;

#[derive(Default)]
struct Copied {
    /// Whether nothing is missing from it.
    whole: bool,
    secrets: HashMap<Tenant, Secrets>,
}

impl WatchedSecrets {
    /// Follows the bucket until nobody has the copy any more.
    #[must_use]
    pub fn start(nats: &Nats, seal: &Seal) -> Self {
        let (copied, copy) = watch::channel(Copied::default());
        tokio::spawn(follow(nats.clone(), SecretsStore::new(nats, seal), copied));
        Self(copy)
    }

    /// What a tenant's webhooks are signed with, if it asked for it. Waits until the copy is whole.
    ///
    /// # Errors
    /// Where there is something that cannot be used.
    pub async fn of(&self, tenant: &Tenant) -> Result<Option<Arc<WebhookSecrets>>, NotKnown> {
        let mut copy = self.0.clone();
        let whole = copy.wait_for(|copied| copied.whole).await.map_err(|_| NotKnown::NotFollowed)?;
        whole.secrets.get(tenant).cloned().transpose().map_err(NotKnown::Closed)
    }
}

async fn follow(nats: Nats, store: SecretsStore, copied: watch::Sender<Copied>) {
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

impl Copied {
    fn apply(&mut self, change: Change<SecretsEntry>, seal: &Seal) {
        match change {
            Change::Anew => *self = Self::default(),
            Change::Put { key, entry, .. } => {
                self.put(&key, |tenant| match entry.value.open(tenant, seal) {
                    Ok(secrets) => Ok(Arc::new(secrets)),
                    Err(error) => {
                        tracing::error!(%tenant, %error, "webhooks of a tenant cannot be signed and wait");
                        Err(error.to_string().into())
                    }
                });
            }
            Change::Unreadable { key } => self.put(&key, |_| Err("this version cannot read them".into())),
            Change::Removed { key } => {
                if let Ok(tenant) = key.parse::<Tenant>() {
                    self.secrets.remove(&tenant);
                }
            }
            Change::Current => self.whole = true,
        }
    }

    fn put(&mut self, key: &str, secrets: impl FnOnce(&Tenant) -> Secrets) {
        if let Ok(tenant) = key.parse::<Tenant>() {
            let secrets = secrets(&tenant);
            self.secrets.insert(tenant, secrets);
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
    use crate::domain::webhook_secrets::{Scheme, WebhookSecret};
    use crate::nats::bucket::Entry;
    use crate::seal::{Place, SealKey};
    use crate::wire;

    fn secrets() -> WebhookSecrets {
        let primary = WebhookSecret::parse("0123456789abcdef").unwrap();
        WebhookSecrets { primary, secondary: None, schemes: [Scheme::Standard].into() }
    }

    fn put(text: Bytes, seal: &Seal) -> Change<SecretsEntry> {
        let kept = seal.keep(text, &Place::WebhookSecrets { tenant: &Tenant::default() });
        let entry = Entry { value: SecretsEntry { set_at: Millis(1), kept }, revision: 1 };
        Change::Put { key: Tenant::default().to_string(), entry, at: Millis(1) }
    }

    #[test]
    fn whoever_asks_waits_until_all_is_known_and_again_after_a_new_start() {
        let (tenant, seal) = (Tenant::default(), Seal::new(SealKey::of_bytes([1; 32]), None));
        let (copied, copy) = watch::channel(Copied::default());
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
            let mut copied = Copied { whole: true, ..Copied::default() };
            copied.apply(change, &seal);
            assert!(copied.secrets[&tenant].is_err());
        }
    }
}
