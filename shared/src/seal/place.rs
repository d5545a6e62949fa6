//! The place that something is sealed for, as it is authenticated.
//!
//! Pure. Invariant: no two places have the same bytes.

use crate::domain::id::Tenant;

/// Where something sealed belongs: it opens there alone.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// The headers of a request. Its URL is part of the place, so that whoever changes a record in the broker cannot have
    /// them sent to somebody else. Its job is not: a follow-up is sealed with its parent, before it has a name.
    Headers {
        /// Whose request it is.
        tenant: &'a Tenant,
        /// How it is sent.
        method: &'a str,
        /// Where to.
        url: &'a str,
    },
    /// The webhook secrets of a tenant.
    WebhookSecrets {
        /// Whose they are.
        tenant: &'a Tenant,
    },
    /// A secret that jobs name.
    Secret {
        /// Whose it is.
        tenant: &'a Tenant,
        /// Which.
        name: &'a str,
    },
    /// A submission that was refused.
    Refused {
        /// What names it.
        name: &'a str,
    },
}

impl Place<'_> {
    /// Each part with its length, behind what kind of place it is.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let (kind, parts): (&str, &[&str]) = match self {
            Self::Headers { tenant, method, url } => ("headers", &[tenant.as_str(), method, url]),
            Self::WebhookSecrets { tenant } => ("webhook secrets", &[tenant.as_str()]),
            Self::Secret { tenant, name } => ("secret", &[tenant.as_str(), name]),
            Self::Refused { name } => ("refused", &[name]),
        };
        let mut bytes = Vec::new();
        for part in std::iter::once(&kind).chain(parts) {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_run_together_are_told_apart() {
        let tenant = Tenant::default();
        let place = |method, url| Place::Headers { tenant: &tenant, method, url }.bytes();
        assert_ne!(place("GET", "http://a"), place("GETh", "ttp://a"));
        assert_ne!(place("GET", "http://a"), place("GET", "http://b"));
    }
}
