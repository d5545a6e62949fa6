//! `[quotas]`: how much tenants may submit.
//!
//! Only its shape: what the quotas mean is in `domain::access`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::check::Faults;
use crate::domain::access::{self, TenantQuotas};
use crate::domain::id::Tenant;

/// How much each tenant may submit; what is absent has no limit.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quotas {
    /// As those of a key.
    pub jobs_per_second: Option<u32>,
    /// As those of a key.
    pub jobs_per_day: Option<u64>,
    /// As those of a key; follow-ups count too.
    pub open_jobs: Option<u32>,
    /// As those of a key.
    pub body_bytes: Option<u64>,
    /// What single tenants have in the place of these.
    #[serde(default)]
    pub tenants: BTreeMap<Tenant, access::Quotas>,
}

impl From<&Quotas> for TenantQuotas {
    fn from(section: &Quotas) -> Self {
        let Quotas { jobs_per_second, jobs_per_day, open_jobs, body_bytes, .. } = *section;
        let each = access::Quotas { jobs_per_second, jobs_per_day, open_jobs, body_bytes };
        Self::new(each, section.tenants.clone())
    }
}

pub(super) fn check(section: &Quotas, faults: &mut Faults) {
    let quotas = TenantQuotas::from(section);
    let all = std::iter::once((String::new(), quotas.of_each()));
    let single = section.tenants.iter().map(|(tenant, quotas)| (format!("tenants.{tenant}."), quotas));
    for (of, quotas) in all.chain(single) {
        for (name, value) in quotas.each().filter(|(_, value)| !(1..=access::Quotas::MOST).contains(value)) {
            faults.add(format!("quotas.{of}{name} must be a whole number from 1 to 1000000000, not {value}"));
        }
    }
}
