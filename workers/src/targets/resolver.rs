//! Resolves a name for a call, once, and hands on only the addresses that may be called.

use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use sluice_shared::domain::targets::{Policy, Refused};

use super::{log, names};

/// A resolver that keeps to a policy.
pub(super) struct Checked {
    policy: Arc<Policy>,
}

impl Checked {
    pub(super) fn by(policy: Arc<Policy>) -> Self {
        Self { policy }
    }
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = Arc::clone(&self.policy);
        Box::pin(async move {
            let found = names::look_up(name.as_str()).await?;
            let admitted = admitted(&policy, name.as_str(), found);
            let admitted = admitted.inspect_err(|refused| log(name.as_str(), *refused))?;
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}

/// Those of the addresses that may be called; the refusal of the last where none may. A name without any address is not
/// refused: it leads nowhere.
fn admitted(policy: &Policy, host: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Refused> {
    let mut refused = None;
    let mut admitted = found;
    admitted.retain(|address| match policy.admit(host, address.ip()) {
        Ok(()) => true,
        Err(why) => {
            refused = Some(why);
            false
        }
    });
    match refused {
        Some(refused) if admitted.is_empty() => Err(refused),
        Some(_) | None => Ok(admitted),
    }
}
