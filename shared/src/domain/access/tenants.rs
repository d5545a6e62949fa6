//! How much a tenant may submit, whichever way it comes: with any of its keys, over NATS, by the operator on its behalf.

use std::collections::BTreeMap;

use super::quotas::Quotas;
use crate::domain::id::Tenant;

/// The quotas of all tenants.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TenantQuotas {
    each: Quotas,
    special: BTreeMap<Tenant, Quotas>,
}

impl TenantQuotas {
    /// Those of `each` tenant, and of some in their place.
    #[must_use]
    pub fn new(each: Quotas, special: BTreeMap<Tenant, Quotas>) -> Self {
        Self { each, special }
    }

    /// Those of one tenant.
    #[must_use]
    pub fn of(&self, tenant: &Tenant) -> &Quotas {
        self.special.get(tenant).unwrap_or(&self.each)
    }

    /// Those of a tenant for which nothing else is said.
    #[must_use]
    pub fn of_each(&self) -> &Quotas {
        &self.each
    }

    /// Whether no tenant has any.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.each.is_none() && self.special.values().all(Quotas::is_none)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a name that is none fails the test")]

    use super::*;

    #[test]
    fn those_of_one_tenant_take_the_place_of_those_of_each() {
        let per_day = |jobs| Quotas { jobs_per_day: Some(jobs), ..Quotas::default() };
        let (free, acme, other) = ("free".parse().unwrap(), "acme".parse().unwrap(), "other".parse().unwrap());
        let special = BTreeMap::from([(Tenant::clone(&free), Quotas::default()), (Tenant::clone(&acme), per_day(5))]);
        let quotas = TenantQuotas::new(per_day(1), special);
        assert_eq!([&free, &acme, &other].map(|tenant| quotas.of(tenant).jobs_per_day), [None, Some(5), Some(1)]);
        assert!(!quotas.is_none() && TenantQuotas::default().is_none());
    }
}
