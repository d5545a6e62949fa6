//! What can be done with a tenant's webhook secrets: set, look at them masked, forget them.
//!
//! Knows nothing of HTTP. Invariant: what leaves here is masked.

mod read;

use schemars::JsonSchema;
use serde::Serialize;
use sluice_shared::clock::{self, Millis};
use sluice_shared::domain::id::Tenant;
use sluice_shared::domain::webhook_secrets::{Scheme, WebhookSecret, WebhookSecrets};
use sluice_shared::effects::Effects;
use sluice_shared::nats::bucket::BucketError;
use sluice_shared::nats::publish::PublishError;
use sluice_shared::nats::read::ReadError;
use sluice_shared::secrets::{NotKept, SecretsStore};

pub(crate) use read::schema;
pub use read::{NoSecrets, read};

/// The secrets as they are shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "WebhookSecrets")]
pub struct SecretsBody {
    /// The first, masked: `abcd****wxyz`.
    pub primary_secret: String,
    /// The second, masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secondary_secret: Option<String>,
    /// Whether there is a second.
    pub has_secondary: bool,
    /// How posts are signed.
    pub schemes: Vec<Scheme>,
    /// When they were set, milliseconds since the epoch.
    pub set_at: Millis,
}

/// Why nothing was done with webhook secrets.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// There are none.
    #[error("there are no webhook secrets: webhooks are posted unsigned")]
    NotFound,
    /// The broker does not answer: what was asked for may be done or not, and can be repeated without harm.
    #[error("the broker did not answer in time: repeat the request, which is harmless")]
    Unavailable,
    /// The broker's storage is full: nothing was done.
    #[error("the broker has no room: try again later")]
    NoRoom,
    /// They were sealed with a key that is not here.
    #[error("what is kept cannot be opened with the keys of this gateway: set it again")]
    NotOpened,
    /// What is kept cannot be read by this program, or the broker will not take it.
    #[error("what is kept cannot be read or written by this version")]
    Refused,
}

/// The operations. Cheap to clone.
#[derive(Clone)]
pub struct Secrets {
    store: SecretsStore<Tenant>,
}

impl Secrets {
    /// The operations through these effects.
    #[must_use]
    pub fn new(effects: &Effects) -> Self {
        Self { store: SecretsStore::of(effects) }
    }

    /// Those of a tenant, masked.
    ///
    /// # Errors
    /// Where there are none, or they cannot be read.
    pub async fn get(&self, tenant: &Tenant) -> Result<SecretsBody, SecretsError> {
        let (secrets, set_at) = self.store.get(tenant).await?.ok_or(SecretsError::NotFound)?;
        Ok(SecretsBody::of(&secrets, set_at))
    }

    /// Sets them in place of those that there were, for all deliveries at once. Repeating it is harmless.
    ///
    /// # Errors
    /// Where they may not be set.
    pub async fn set(&self, tenant: &Tenant, secrets: &WebhookSecrets) -> Result<SecretsBody, SecretsError> {
        let now = clock::now();
        self.store.set(tenant, secrets, now).await?;
        tracing::info!(%tenant, rotates = secrets.secondary.is_some(), "webhook secrets were set");
        Ok(SecretsBody::of(secrets, now))
    }

    /// Forgets them: webhooks are posted unsigned from now on. Repeating it is harmless.
    ///
    /// # Errors
    /// Where they may not be forgotten.
    pub async fn forget(&self, tenant: &Tenant) -> Result<(), SecretsError> {
        self.store.remove(tenant).await?;
        tracing::info!(%tenant, "webhook secrets were forgotten");
        Ok(())
    }
}

impl SecretsBody {
    fn of(secrets: &WebhookSecrets, set_at: Millis) -> Self {
        let secondary_secret = secrets.secondary.as_ref().map(WebhookSecret::masked);
        Self {
            primary_secret: secrets.primary.masked(),
            has_secondary: secondary_secret.is_some(),
            secondary_secret,
            schemes: secrets.schemes.iter().copied().collect(),
            set_at,
        }
    }
}

impl From<NotKept> for SecretsError {
    fn from(error: NotKept) -> Self {
        match error {
            NotKept::Unknown | NotKept::Bucket(BucketError::Read(ReadError::NoAnswer)) => Self::Unavailable,
            NotKept::Bucket(BucketError::Refused(PublishError::NoRoom(_))) => Self::NoRoom,
            NotKept::NotOpened(why) => {
                tracing::warn!(%why, "secrets cannot be opened");
                Self::NotOpened
            }
            NotKept::Bucket(_) | NotKept::Unreadable(_) => {
                tracing::warn!(%error, "secrets could not be read or written");
                Self::Refused
            }
        }
    }
}
