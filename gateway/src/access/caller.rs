//! Whoever was let in, and what they reach.

use std::sync::Arc;

use sluice_shared::domain::access::{Key, Scope};
use sluice_shared::domain::id::{KeyId, Tenant};
use sluice_shared::keys::Keyring;

use super::Denied;

/// Whoever was let in. Cheap to clone.
#[derive(Clone)]
pub struct Caller(Option<Known>);

/// Whose key it is.
#[derive(Clone)]
struct Known {
    id: KeyId,
    key: Arc<Key>,
    ring: Keyring,
}

impl Caller {
    /// Somebody at an open door: the operator.
    #[must_use]
    pub fn anybody() -> Self {
        Self(None)
    }

    pub(super) fn with_key(id: KeyId, key: Arc<Key>, ring: Keyring) -> Self {
        Self(Some(Known { id, key, ring }))
    }

    /// Their key and its id.
    #[must_use]
    pub fn key(&self) -> Option<(&KeyId, &Arc<Key>)> {
        self.0.as_ref().map(|known| (&known.id, &known.key))
    }

    /// Whether they may do what takes this scope.
    #[must_use]
    pub fn may(&self, scope: Scope) -> bool {
        self.0.as_ref().is_none_or(|known| known.key.allows(scope))
    }

    /// The only tenant that they reach; none where they reach all.
    #[must_use]
    pub fn tenant(&self) -> Option<&Tenant> {
        self.0.as_ref().and_then(|known| known.key.tenant.as_ref())
    }

    /// The tenant whose things they get when they ask for those of `asked`, or do not say; none: those of all.
    ///
    /// # Errors
    /// Where they ask for those of a tenant that they do not reach.
    pub fn reach(&self, asked: Option<Tenant>) -> Result<Option<Tenant>, Denied> {
        match (self.tenant(), asked) {
            (Some(own), Some(asked)) if *own != asked => Err(Denied::OtherTenant),
            (Some(own), _) => Ok(Some(own.clone())),
            (None, asked) => Ok(asked),
        }
    }

    /// Waits until they would not be let in any more: for what goes on for long.
    pub async fn ended(&self) {
        match &self.0 {
            Some(known) => known.ring.ended(&known.id).await,
            None => std::future::pending().await,
        }
    }
}
