//! What can be done with the secrets that a tenant's jobs name: set, list by name, forget.
//!
//! Knows nothing of HTTP. Invariant: no value leaves here, and none is kept unsealed.

mod read;

use schemars::JsonSchema;
use serde::Serialize;
use sluice_shared::clock::{self, Millis};
use sluice_shared::domain::id::Tenant;
use sluice_shared::domain::named_secret::{Name, SecretValue};
use sluice_shared::effects::Effects;
use sluice_shared::secrets::{NotKept, SecretName, SecretsStore};

use crate::webhook_secrets::SecretsError;

pub(crate) use read::schema;
pub use read::{NoValue, read};

/// Secrets of one tenant at most: every worker has all of them in memory.
pub const MOST: usize = 1_000;

/// A secret as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Secret")]
pub struct SecretBody {
    /// What jobs call it: `{{secret:name}}`.
    pub name: String,
    /// When it was set, milliseconds since the epoch.
    pub set_at: Millis,
}

/// All secrets of a tenant, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Secrets")]
pub struct SecretList {
    /// The secrets.
    pub secrets: Vec<SecretBody>,
}

/// Why nothing was done with a secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// There is no key to seal it with.
    #[error("no secrets are kept without a key to seal them with: whoever runs this sets secrets.key")]
    NoKey,
    /// There are as many as there may be.
    #[error("a tenant has at most {MOST} secrets: delete one first")]
    TooMany,
    /// As with all secrets.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
}

impl From<NotKept> for SecretError {
    fn from(error: NotKept) -> Self {
        Self::Secrets(error.into())
    }
}

/// The operations. Cheap to clone.
#[derive(Clone)]
pub struct Secrets {
    store: SecretsStore<SecretName>,
}

impl Secrets {
    /// The operations through these effects.
    #[must_use]
    pub fn new(effects: &Effects) -> Self {
        Self { store: SecretsStore::of(effects) }
    }

    /// Those of a tenant, without their values.
    ///
    /// # Errors
    /// Where the broker does not answer.
    pub async fn list(&self, tenant: &Tenant) -> Result<SecretList, SecretError> {
        let mut found = self.store.list(|key| key.tenant == *tenant).await?;
        found.sort_unstable();
        let body = |(key, set_at): (SecretName, Millis)| SecretBody { name: key.name.to_string(), set_at };
        Ok(SecretList { secrets: found.into_iter().map(body).collect() })
    }

    /// Sets one in place of what it was, for all workers at once. Repeating it is harmless.
    ///
    /// # Errors
    /// Where it may not be set.
    pub async fn set(&self, tenant: &Tenant, name: Name, value: &SecretValue) -> Result<SecretBody, SecretError> {
        if self.store.seal().key().is_none() {
            return Err(SecretError::NoKey);
        }
        let (key, set_at) = (SecretName { tenant: tenant.clone(), name }, clock::now());
        // Two that are set at once may both be the last that there is room for, which does no harm.
        let there = self.store.list(|known| known.tenant == *tenant).await?;
        if there.len() >= MOST && !there.iter().any(|(known, _)| *known == key) {
            return Err(SecretError::TooMany);
        }
        self.store.set(&key, value, set_at).await?;
        tracing::info!(%tenant, name = %key.name, "a secret was set");
        Ok(SecretBody { name: key.name.to_string(), set_at })
    }

    /// Forgets one; says whether it was there. Repeating it is harmless.
    ///
    /// # Errors
    /// Where it may not be forgotten.
    pub async fn forget(&self, tenant: &Tenant, name: Name) -> Result<bool, SecretError> {
        let key = SecretName { tenant: tenant.clone(), name };
        let was_there = self.store.remove(&key).await?;
        tracing::info!(%tenant, name = %key.name, was_there, "a secret was forgotten");
        Ok(was_there)
    }
}
