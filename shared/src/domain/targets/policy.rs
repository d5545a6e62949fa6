//! What may be called by one tenant: lists of networks, hosts and ports, and what follows from them.
//!
//! Deny wins over allow. Invariant: without a word, only addresses of the public internet may be called.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Deserialize;
use url::{Host, Url};

use super::address::{Kind, decisive};
use super::host::{HostPattern, is_this_machine, plain};
use super::network::Network;
use super::{Refused, Why};

/// What may be called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Addresses that may be called though they are not on the public internet.
    pub allow_networks: Vec<Network>,
    /// Addresses that may not be called.
    pub deny_networks: Vec<Network>,
    /// Hosts that may be called whatever their addresses are, but for those of `deny_networks` and of clouds' metadata.
    pub allow_hosts: Vec<HostPattern>,
    /// Hosts that may not be called.
    pub deny_hosts: Vec<HostPattern>,
    /// Where there are any: no other hosts may be called.
    pub only_hosts: Vec<HostPattern>,
    /// Ports that may not be called.
    pub deny_ports: Vec<u16>,
    /// Where there are any: no other ports may be called.
    pub only_ports: Vec<u16>,
}

impl Policy {
    /// Only the public internet.
    pub const STRICT: Self = Self {
        allow_networks: Vec::new(),
        deny_networks: Vec::new(),
        allow_hosts: Vec::new(),
        deny_hosts: Vec::new(),
        only_hosts: Vec::new(),
        deny_ports: Vec::new(),
        only_ports: Vec::new(),
    };

    /// This policy with the lists of another added to its own.
    #[must_use]
    pub fn and(&self, more: &Self) -> Self {
        fn both<T: Clone>(one: &[T], more: &[T]) -> Vec<T> {
            [one, more].concat()
        }
        Self {
            allow_networks: both(&self.allow_networks, &more.allow_networks),
            deny_networks: both(&self.deny_networks, &more.deny_networks),
            allow_hosts: both(&self.allow_hosts, &more.allow_hosts),
            deny_hosts: both(&self.deny_hosts, &more.deny_hosts),
            only_hosts: both(&self.only_hosts, &more.only_hosts),
            deny_ports: both(&self.deny_ports, &more.deny_ports),
            only_ports: both(&self.only_ports, &more.only_ports),
        }
    }

    /// Whether a URL may be called, as far as it says so itself: scheme, port, host, and the address where that is its
    /// host. The addresses of a name are for `admit`, when it is resolved.
    ///
    /// # Errors
    /// Where it may not.
    pub fn check(&self, url: &Url) -> Result<(), Refused> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refused(Why::Scheme));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused(Why::UserInfo));
        }
        let port = url.port_or_known_default().ok_or(Refused(Why::Port))?;
        if self.deny_ports.contains(&port) || !self.only_ports.is_empty() && !self.only_ports.contains(&port) {
            return Err(Refused(Why::Port));
        }
        let (Some(host), Some(text)) = (url.host(), url.host_str()) else { return Err(Refused(Why::Host)) };
        let text = plain(text);
        self.check_host(&text)?;
        match host {
            Host::Ipv4(address) => self.admit(&text, address.into()),
            Host::Ipv6(address) => self.admit(&text, address.into()),
            // Known without being resolved.
            Host::Domain(_) if is_this_machine(&text) => {
                let here = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
                let admitted = here.iter().any(|address| self.admit(&text, *address).is_ok());
                if admitted { Ok(()) } else { Err(Refused(Why::Address(Kind::Loopback))) }
            }
            Host::Domain(_) => Ok(()),
        }
    }

    fn check_host(&self, host: &str) -> Result<(), Refused> {
        let is_in = |patterns: &[HostPattern]| patterns.iter().any(|pattern| pattern.matches(host));
        let refused =
            host.is_empty() || is_in(&self.deny_hosts) || !self.only_hosts.is_empty() && !is_in(&self.only_hosts);
        if refused { Err(Refused(Why::Host)) } else { Ok(()) }
    }

    /// Whether a host may be called at this address. One that carries another is judged by what it carries.
    ///
    /// # Errors
    /// Where it may not.
    pub fn admit(&self, host: &str, address: IpAddr) -> Result<(), Refused> {
        let is_in = |networks: &[Network], one: IpAddr| networks.iter().any(|network| network.contains(one));
        let all = decisive(address);
        if is_in(&self.deny_networks, address) || all.iter().any(|one| is_in(&self.deny_networks, *one)) {
            return Err(Refused(Why::Network));
        }
        let host = plain(host);
        let trusted = self.allow_hosts.iter().any(|pattern| pattern.matches(&host));
        for one in all {
            let kind = Kind::of(one);
            let admitted =
                kind == Kind::Public || trusted && kind != Kind::Metadata || is_in(&self.allow_networks, one);
            if !admitted {
                return Err(Refused(Why::Address(kind)));
            }
        }
        Ok(())
    }
}
