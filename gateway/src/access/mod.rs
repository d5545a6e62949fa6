//! Who is let in over HTTP, and what they reach: by API keys, or everybody on loopback. How much may be submitted, also over NATS.
//!
//! Knows nothing of HTTP but the `Authorization` header. Invariant: whoever has passed is a [`Caller`], and a caller reaches
//! what is its tenant's, or everything where it is the operator; nothing is shown or changed without asking it.

mod budget;
mod caller;
mod denied;
mod local;
mod meters;
mod open_jobs;

use std::sync::Arc;

use http::{HeaderMap, header};
use sluice_shared::domain::access::{ApiKey, Quotas, Scope, TenantQuotas};
use sluice_shared::domain::id::{KeyId, Tenant};
use sluice_shared::keys::{Keyring, Keys};
use sluice_shared::nats::Nats;
use tokio_util::sync::CancellationToken;

pub use budget::{Budget, OverQuota, Spent};
pub use caller::Caller;
pub use denied::Denied;
use meters::Meters;
use open_jobs::OpenJobs;

/// What a request takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// The scope that the key must have.
    pub scope: Scope,
    /// Whether it must be the operator's, because what it changes is shared by tenants.
    pub operator: bool,
}

impl Need {
    /// The scope, and that the key is the operator's.
    #[must_use]
    pub fn operators(scope: Scope) -> Self {
        Self { scope, operator: true }
    }
}

impl From<Scope> for Need {
    fn from(scope: Scope) -> Self {
        Self { scope, operator: false }
    }
}

/// The door. Cheap to clone.
#[derive(Clone, Default)]
pub struct Access {
    /// Where it is locked.
    locked: Option<Locked>,
    counts: Option<Counts>,
    quotas: Arc<TenantQuotas>,
}

/// What it takes to know keys.
#[derive(Clone)]
struct Locked {
    ring: Keyring,
    keys: Keys,
}

/// What it takes to count.
#[derive(Clone)]
struct Counts {
    meters: Meters,
    open_jobs: OpenJobs,
}

impl Counts {
    fn start(nats: &Nats, stop: &CancellationToken) -> Self {
        Self { meters: Meters::new(nats), open_jobs: OpenJobs::watch(nats, stop.clone()) }
    }
}

impl Access {
    /// Everybody is let in, as the operator. For loopback only.
    #[must_use]
    pub fn open() -> Self {
        Self::default()
    }

    /// Whoever has a key is let in. Does not wait until the keys are known; until then nobody is. What they have open is kept
    /// count of until told to stop.
    #[must_use]
    pub fn by_keys(nats: &Nats, stop: &CancellationToken) -> Self {
        let locked = Some(Locked { ring: Keyring::watch(nats), keys: Keys::new(nats) });
        Self { locked, counts: Some(Counts::start(nats, stop)), quotas: Arc::default() }
    }

    /// The same, where tenants may submit only so much, whichever way it comes.
    #[must_use]
    pub fn within(self, quotas: &TenantQuotas, nats: &Nats, stop: &CancellationToken) -> Self {
        let counts = self.counts.or_else(|| (!quotas.is_none()).then(|| Counts::start(nats, stop)));
        Self { counts, quotas: Arc::new(quotas.clone()), ..self }
    }

    /// Whether it is known who is to be let in.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.locked.as_ref().is_none_or(|locked| locked.ring.is_loaded())
    }

    /// The keys, where there are any.
    #[must_use]
    pub fn keyring(&self) -> Option<&Keyring> {
        self.locked.as_ref().map(|locked| &locked.ring)
    }

    /// Where keys are made and revoked, where they mean something.
    #[must_use]
    pub fn keys(&self) -> Option<&Keys> {
        self.locked.as_ref().map(|locked| &locked.keys)
    }

    /// Lets a request in by its headers, if it may do what it wants to. `authority` is what it calls this gateway beside them.
    ///
    /// # Errors
    /// Where it has no key that is taken, or one that does not allow it; at an open door, where it comes from a page of the web.
    pub fn admit(&self, authority: Option<&str>, headers: &HeaderMap, need: Need) -> Result<Caller, Denied> {
        let Some(Locked { ring, .. }) = &self.locked else {
            return if local::is_local(authority, headers) { Ok(Caller::anybody()) } else { Err(Denied::NotLocal) };
        };
        let presented = presented(headers)?;
        let key = ring.check(&presented)?;
        if !key.allows(need.scope) {
            return Err(Denied::NoScope(need.scope));
        }
        if need.operator && !key.is_operators() {
            return Err(Denied::OperatorsOnly);
        }
        Ok(Caller::with_key(presented.id, key, ring.clone()))
    }

    /// What a caller may submit for a tenant, where that is limited.
    #[must_use]
    pub fn budget(&self, caller: &Caller, tenant: &Tenant) -> Option<Budget> {
        let of_key = caller.key().into_iter().flat_map(|(id, key)| key.limits(id));
        self.budget_within(tenant, of_key.map(|(id, quotas)| (id.clone(), *quotas)))
    }

    /// What may be submitted for a tenant by whoever has no key, where that is limited.
    #[must_use]
    pub fn budget_of(&self, tenant: &Tenant) -> Option<Budget> {
        self.budget_within(tenant, std::iter::empty())
    }

    fn budget_within(&self, tenant: &Tenant, of_key: impl Iterator<Item = (KeyId, Quotas)>) -> Option<Budget> {
        let counts = self.counts.as_ref()?;
        let of_tenant = Some(*self.quotas.of(tenant)).filter(|quotas| !quotas.is_none());
        let limits = of_tenant.map(|quotas| (KeyId::of_tenant(tenant), quotas)).into_iter().chain(of_key);
        Budget::within(limits.collect(), &counts.meters, &counts.open_jobs)
    }
}

/// The key that a request comes with.
fn presented(headers: &HeaderMap) -> Result<ApiKey, Denied> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (given.next(), given.next()) else { return Err(Denied::NoKey) };
    let (scheme, key) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(Denied::NoKey)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Denied::NoKey);
    }
    ApiKey::parse(key.trim()).ok_or(Denied::NotAKey)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a key that is refused fails the test")]

    use super::*;
    use sluice_shared::domain::access::Secret;

    fn with(values: &[&str]) -> Result<ApiKey, Denied> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, value.parse().unwrap());
        }
        presented(&headers)
    }

    #[test]
    fn a_key_comes_as_a_bearer_token_once() {
        let key = ApiKey { id: KeyId::from_random([1; 10]), secret: Secret::from_random([2; 32]) };
        for scheme in ["Bearer ", "bearer ", "BEARER  "] {
            assert_eq!(with(&[&format!("{scheme}{}", key.reveal())]).unwrap().id, key.id);
        }
        let bearer = format!("Bearer {}", key.reveal());
        for values in [vec![], vec!["Bearer"], vec!["Basic dTpw"], vec![&*key.reveal()], vec![&*bearer, &*bearer]] {
            assert!(matches!(with(&values), Err(Denied::NoKey)), "{values:?}");
        }
        assert!(matches!(with(&["Bearer something"]), Err(Denied::NotAKey)));
    }
}
