//! Hosts, as they are written in a configuration: `api.example.com`, or `*.example.com` for every name below it.
//!
//! Invariant: patterns and hosts are compared in one form, that of a parsed URL: lower case, punycode, no dot at the end.

use core::fmt;
use std::borrow::Cow;

use serde::Deserialize;
use url::Host;

/// One host, or all below a name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HostPattern {
    name: String,
    below: bool,
}

impl HostPattern {
    /// Whether it means this host, which is as `plain` gives it.
    pub(super) fn matches(&self, host: &str) -> bool {
        if self.below {
            host.strip_suffix(self.name.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
        } else {
            host == self.name
        }
    }
}

impl TryFrom<String> for HostPattern {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        let (name, below) = match written.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (written.as_str(), false),
        };
        let host = Host::parse(name.trim_end_matches('.')).ok().filter(|_| !name.contains('*'));
        match host {
            Some(Host::Domain(name)) if !name.is_empty() => Ok(Self { name, below }),
            Some(host @ (Host::Ipv4(_) | Host::Ipv6(_))) if !below => Ok(Self { name: host.to_string(), below }),
            Some(_) | None => Err(format!(
                "`{written}` is no host: write `api.example.com`, or `*.example.com` for every name below it, without a \
                 scheme or a port"
            )),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.below { "*." } else { "" }, self.name)
    }
}

/// The host without the dot that may end a name, in lower case.
pub(super) fn plain(host: &str) -> Cow<'_, str> {
    let host = host.trim_end_matches('.');
    if host.bytes().any(|b| b.is_ascii_uppercase()) { host.to_ascii_lowercase().into() } else { host.into() }
}

/// Whether the name means this machine wherever it is resolved (RFC 6761).
pub(super) fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost")
}
