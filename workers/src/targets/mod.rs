//! Clients that call only what may be called: the one way from a URL to a connection.
//!
//! A URL is checked before each call, and the addresses of its name when the name is resolved: the address that was checked
//! is the one that is connected to. A client keeps connections open, so tenants who may call other targets have clients of
//! their own: no call goes over a connection that another policy has allowed. Redirects are not followed, and proxies of the
//! environment not used: both would be calls that nobody checked.
//! Invariant: no client leaves here but for a URL that was checked.

pub mod names;
mod resolver;

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

use reqwest::redirect::Policy as Redirects;
use reqwest::{Client, ClientBuilder};
use sluice_shared::domain::id::Tenant;
use sluice_shared::domain::targets::{Policy, Refused, Targets};
use url::Url;

use resolver::Checked;

/// The clients of this process.
pub(crate) struct Clients {
    targets: Targets,
    all: Client,
    tenants: BTreeMap<Tenant, Client>,
}

impl Clients {
    /// Clients for these targets, made with what `set` sets.
    pub(crate) fn new(targets: Targets, set: impl Fn(ClientBuilder) -> ClientBuilder) -> reqwest::Result<Self> {
        let client = |policy: &Arc<Policy>| {
            let resolver = Checked::by(Arc::clone(policy));
            set(Client::builder()).redirect(Redirects::none()).no_proxy().dns_resolver(resolver).build()
        };
        let all = client(targets.all())?;
        let tenants = targets.tenants().map(|(tenant, policy)| Ok((tenant.clone(), client(policy)?)));
        let tenants = tenants.collect::<reqwest::Result<_>>()?;
        Ok(Self { targets, all, tenants })
    }

    /// The client for a call of this tenant to this URL.
    pub(crate) fn client(&self, tenant: &Tenant, url: &Url) -> Result<&Client, Refused> {
        let checked = self.targets.of(tenant).check(url);
        checked.inspect_err(|refused| log(url.host_str().unwrap_or_default(), *refused))?;
        Ok(self.tenants.get(tenant).unwrap_or(&self.all))
    }
}

/// Whether a call failed because its target may not be called.
pub(crate) fn refused(failure: &reqwest::Error) -> Option<Refused> {
    let mut cause = failure.source();
    while let Some(one) = cause {
        if let Some(refused) = one.downcast_ref() {
            return Some(*refused);
        }
        cause = one.source();
    }
    None
}

/// Why, is for whoever runs this. Whoever submitted the job is told the same of every refusal.
fn log(host: &str, refused: Refused) {
    tracing::info!(host, why = refused.why(), "a target is refused");
}

#[cfg(test)]
mod tests;
