//! `[targets]`: what may be called, by everybody and by single tenants.
//!
//! Only its shape: what the lists mean is in `domain::targets`.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::domain::id::Tenant;
use crate::domain::targets::{self, HostPattern, Network, Policy};

/// This machine's own addresses.
const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1/128"];

/// What may be called.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Targets {
    /// As in `Policy`.
    pub allow_networks: Vec<Network>,
    /// As in `Policy`.
    pub deny_networks: Vec<Network>,
    /// As in `Policy`.
    pub allow_hosts: Vec<HostPattern>,
    /// As in `Policy`.
    pub deny_hosts: Vec<HostPattern>,
    /// As in `Policy`.
    pub only_hosts: Vec<HostPattern>,
    /// As in `Policy`.
    pub deny_ports: Vec<u16>,
    /// As in `Policy`.
    pub only_ports: Vec<u16>,
    /// What is added to these lists for single tenants.
    #[serde(default)]
    pub tenants: BTreeMap<Tenant, Policy>,
}

impl Targets {
    /// The same, where this machine's own addresses may be called too, unless they are denied.
    #[must_use]
    pub fn with_loopback(mut self) -> Self {
        self.allow_networks.extend(LOOPBACK.iter().filter_map(|network| Network::try_from((*network).to_owned()).ok()));
        self
    }
}

impl From<&Targets> for targets::Targets {
    fn from(section: &Targets) -> Self {
        let Targets { allow_networks, deny_networks, allow_hosts, deny_hosts, only_hosts, .. } = section.clone();
        let (deny_ports, only_ports) = (section.deny_ports.clone(), section.only_ports.clone());
        let all = Policy { allow_networks, deny_networks, allow_hosts, deny_hosts, only_hosts, deny_ports, only_ports };
        Self::new(all, &section.tenants)
    }
}
