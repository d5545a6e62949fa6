//! The two kinds of secrets: what a tenant's webhooks are signed with, one for a tenant, and values that its jobs name.

use std::hash::Hash;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::domain::id::Tenant;
use crate::domain::named_secret::{Name, SecretValue};
use crate::domain::webhook_secrets::WebhookSecrets;
use crate::seal::Place;
use crate::topology::Topology;

/// What names a secret of one kind.
pub trait SecretKey: Clone + Eq + Hash + Send + Sync + 'static {
    /// What is kept under it.
    type Value: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// Where this kind is kept.
    fn bucket(topology: &Topology) -> String;

    /// As a key of the bucket.
    fn text(&self) -> String;

    /// From a key of the bucket.
    fn parse(text: &str) -> Option<Self>;

    /// What its value is sealed for.
    fn place(&self) -> Place<'_>;
}

/// Whose named secret, and which.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretName {
    /// Whose it is.
    pub tenant: Tenant,
    /// What jobs call it.
    pub name: Name,
}

impl SecretKey for Tenant {
    type Value = WebhookSecrets;

    fn bucket(topology: &Topology) -> String {
        topology.webhook_secrets_bucket()
    }

    fn text(&self) -> String {
        self.to_string()
    }

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn place(&self) -> Place<'_> {
        Place::WebhookSecrets { tenant: self }
    }
}

impl SecretKey for SecretName {
    type Value = SecretValue;

    fn bucket(topology: &Topology) -> String {
        topology.secrets_bucket()
    }

    fn text(&self) -> String {
        format!("{}.{}", self.tenant, self.name)
    }

    fn parse(text: &str) -> Option<Self> {
        let (tenant, name) = text.split_once('.')?;
        Some(Self { tenant: tenant.parse().ok()?, name: Name::parse(name)? })
    }

    fn place(&self) -> Place<'_> {
        Place::Secret { tenant: &self.tenant, name: self.name.as_str() }
    }
}
