//! A key as it is kept.

use serde::{Deserialize, Serialize};

use super::quotas::Quotas;
use super::scope::{Scope, Scopes};
use super::secret::SecretHash;
use crate::clock::Millis;
use crate::domain::id::{KeyId, Tenant};

/// What a key allows, in its bucket under its id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Key {
    /// Whose key it is; absent for the operator's, which reach all tenants.
    pub tenant: Option<Tenant>,
    /// What may be done with it.
    pub scopes: Scopes,
    /// What its owner calls it.
    pub label: String,
    /// When it was made.
    pub created_at: Millis,
    /// The key that it was made with; none by the command line.
    pub created_by: Option<KeyId>,
    /// From when on it is not taken any more.
    pub expires_at: Option<Millis>,
    /// How much may be submitted with it.
    pub quotas: Quotas,
    /// What counts besides: the quotas of the keys that it was made with, the first of them first.
    pub ceilings: Vec<Ceiling>,
    /// What is kept of its secret.
    pub hash: SecretHash,
}

/// Quotas that all keys made with one key share with it: making more keys does not make more room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ceiling {
    /// The key whose quotas these are.
    pub key: KeyId,
    /// How much.
    pub quotas: Quotas,
}

impl Key {
    /// Whether its time is over.
    #[must_use]
    pub fn has_expired(&self, now: Millis) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// Whether it has this scope.
    #[must_use]
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Whether it reaches all tenants.
    #[must_use]
    pub fn is_operators(&self) -> bool {
        self.tenant.is_none()
    }

    /// What limits it: its own quotas, under its own id, and those of the keys that it was made with.
    pub fn limits<'a>(&'a self, id: &'a KeyId) -> impl Iterator<Item = (&'a KeyId, &'a Quotas)> {
        let ceilings = self.ceilings.iter().map(|ceiling| (&ceiling.key, &ceiling.quotas));
        ceilings.chain(std::iter::once((id, &self.quotas))).filter(|(_, quotas)| !quotas.is_none())
    }

    /// What limits the keys that are made with it.
    #[must_use]
    pub fn ceilings_for_others(&self, id: &KeyId) -> Vec<Ceiling> {
        self.limits(id).map(|(key, quotas)| Ceiling { key: key.clone(), quotas: *quotas }).collect()
    }

    /// The most that the JSON of one job may have, in bytes.
    #[must_use]
    pub fn body_bytes(&self) -> Option<u64> {
        let ceilings = self.ceilings.iter().filter_map(|ceiling| ceiling.quotas.body_bytes);
        ceilings.chain(self.quotas.body_bytes).min()
    }
}
