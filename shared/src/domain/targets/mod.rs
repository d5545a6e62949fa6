//! Which targets may be called, by whom: jobs, fallbacks, follow-ups and webhooks are held against the same policy.
//!
//! What a URL says itself is judged when a job is submitted (`Policy::check`), and again before each call; the addresses
//! of a name when it is resolved for a call (`Policy::admit`). Does not resolve names and calls nobody.
//! Invariant: what a caller is told is the same for every refusal, so that nothing of the network shows.

mod address;
mod host;
mod network;
mod policy;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use address::{Kind, decisive};
pub use host::HostPattern;
pub use network::Network;
pub use policy::Policy;

use super::id::Tenant;

/// A target that may not be called. Says the same to everybody; why, is for whoever runs this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("may not be called from here: use a public http or https URL, or ask whoever runs this to allow it")]
pub struct Refused(pub(super) Why);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Scheme,
    UserInfo,
    Port,
    Host,
    Network,
    Address(Kind),
}

impl Refused {
    /// Why, for whoever runs this and nobody else.
    #[must_use]
    pub fn why(self) -> &'static str {
        match self.0 {
            Why::Scheme => "its scheme",
            Why::UserInfo => "its user name or password",
            Why::Port => "its port",
            Why::Host => "its host",
            Why::Network => "a denied network",
            Why::Address(kind) => kind.as_str(),
        }
    }
}

/// What may be called by each tenant.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    all: Arc<Policy>,
    tenants: BTreeMap<Tenant, Arc<Policy>>,
}

impl Targets {
    /// One policy for all, and what is added to it for some tenants.
    #[must_use]
    pub fn new(all: Policy, more: &BTreeMap<Tenant, Policy>) -> Self {
        let tenants = more.iter().map(|(tenant, more)| (tenant.clone(), Arc::new(all.and(more)))).collect();
        Self { all: Arc::new(all), tenants }
    }

    /// The policy of a tenant.
    #[must_use]
    pub fn of(&self, tenant: &Tenant) -> &Policy {
        self.tenants.get(tenant).unwrap_or(&self.all)
    }

    /// The policy of tenants without one of their own.
    #[must_use]
    pub fn all(&self) -> &Arc<Policy> {
        &self.all
    }

    /// Tenants with a policy of their own, and that.
    pub fn tenants(&self) -> impl Iterator<Item = (&Tenant, &Arc<Policy>)> {
        self.tenants.iter()
    }
}
