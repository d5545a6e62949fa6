//! Webhook secrets in their bucket: one entry a tenant, the last who writes wins.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Millis;
use crate::domain::id::Tenant;
use crate::domain::webhook_secrets::WebhookSecrets;
use crate::effects::Effects;
use crate::nats::Nats;
use crate::nats::bucket::{Bucket, BucketError, Change, Entry, Written};
use crate::seal::{Kept, NotOpened, Place, Seal};
use crate::wire::{self, Unreadable};

/// How often a write that was lost or not answered is tried again.
const TRIES: u32 = 10;

/// What is kept of a tenant's webhook secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretsEntry {
    /// When they were set.
    pub set_at: Millis,
    /// The secrets and their schemes.
    pub kept: Kept,
}

/// The bucket, and the keys to it. Cheap to clone.
#[derive(Clone)]
pub struct SecretsStore {
    bucket: Bucket<SecretsEntry>,
    seal: Seal,
}

/// Why secrets cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum NotKept {
    /// The broker does not answer, or will not take them.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// They cannot be opened here.
    #[error("what is kept cannot be opened: {0}")]
    NotOpened(#[from] NotOpened),
    /// What was opened is nothing that this program wrote.
    #[error("what is kept cannot be read: {0}")]
    Unreadable(#[from] Unreadable),
    /// They may be written or not: repeat it.
    #[error("the broker did not answer in time")]
    Unknown,
}

impl SecretsEntry {
    /// The secrets that are kept here.
    ///
    /// # Errors
    /// Where they cannot be opened.
    pub fn open(&self, tenant: &Tenant, seal: &Seal) -> Result<WebhookSecrets, NotKept> {
        let text = seal.read(&self.kept, &Place::WebhookSecrets { tenant })?;
        Ok(wire::decode(&text)?)
    }

    fn of(tenant: &Tenant, secrets: &WebhookSecrets, seal: &Seal, set_at: Millis) -> Self {
        Self { set_at, kept: seal.keep(wire::encode(secrets), &Place::WebhookSecrets { tenant }) }
    }
}

impl SecretsStore {
    /// Reads and writes through this connection.
    #[must_use]
    pub fn new(nats: &Nats, seal: &Seal) -> Self {
        Self { bucket: nats.bucket(&nats.topology().webhook_secrets_bucket()), seal: seal.clone() }
    }

    /// The same through these effects.
    #[must_use]
    pub fn of(effects: &Effects) -> Self {
        Self::new(effects.nats(), effects.sealing().seal())
    }

    pub(super) fn bucket(&self) -> &Bucket<SecretsEntry> {
        &self.bucket
    }

    pub(super) fn seal(&self) -> &Seal {
        &self.seal
    }

    /// The secrets of a tenant, if it has any, and when they were set.
    ///
    /// # Errors
    /// Where the broker does not answer, or they cannot be opened.
    pub async fn get(&self, tenant: &Tenant) -> Result<Option<(WebhookSecrets, Millis)>, NotKept> {
        let Some(there) = self.bucket.get(tenant.as_str()).await? else { return Ok(None) };
        Ok(Some((there.value.open(tenant, &self.seal)?, there.value.set_at)))
    }

    /// Sets the secrets of a tenant in place of those it had. Repeating it is harmless.
    ///
    /// # Errors
    /// Where they may not be written.
    pub async fn set(&self, tenant: &Tenant, secrets: &WebhookSecrets, now: Millis) -> Result<(), NotKept> {
        let entry = SecretsEntry::of(tenant, secrets, &self.seal, now);
        for again in 0..TRIES {
            let written = match self.revision(tenant).await? {
                0 => self.bucket.create(tenant.as_str(), &entry).await?,
                revision => self.bucket.swap(tenant.as_str(), &entry, revision).await?,
            };
            match written {
                Written::At(_) => return Ok(()),
                // Somebody else was first, or nobody knows: written twice it is the same as once.
                Written::Changed | Written::Unknown => pause(again).await,
            }
        }
        Err(NotKept::Unknown)
    }

    /// Forgets the secrets of a tenant. Repeating it is harmless.
    ///
    /// # Errors
    /// Where they may not be forgotten.
    pub async fn remove(&self, tenant: &Tenant) -> Result<(), NotKept> {
        for again in 0..TRIES {
            let revision = self.revision(tenant).await?;
            if revision == 0 {
                return Ok(());
            }
            match self.bucket.remove(tenant.as_str(), revision).await? {
                Written::At(_) => return Ok(()),
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

    async fn seal_one_anew(&self, key: &str, entry: &Entry<SecretsEntry>) {
        let Ok(tenant) = key.parse::<Tenant>() else { return };
        let again = match entry.value.open(&tenant, &self.seal) {
            Ok(secrets) => SecretsEntry::of(&tenant, &secrets, &self.seal, entry.value.set_at),
            Err(error) => return tracing::warn!(%tenant, %error, "webhook secrets cannot be sealed anew"),
        };
        match self.bucket.swap(key, &again, entry.revision).await {
            Ok(written) => tracing::info!(%tenant, ?written, "webhook secrets are sealed with another key"),
            Err(error) => tracing::warn!(%tenant, %error, "webhook secrets are not sealed anew"),
        }
    }

    /// The revision of the entry, whatever it is; 0 where there is none.
    async fn revision(&self, tenant: &Tenant) -> Result<u64, BucketError> {
        Ok(self.bucket.revision(tenant.as_str()).await?.unwrap_or_default())
    }
}

async fn pause(again: u32) {
    tokio::time::sleep(Duration::from_millis(20 << again.min(5))).await;
}
