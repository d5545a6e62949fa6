//! Why somebody is not let in, and the problem that says so. Says nothing about keys to those who do not have one.

use http::StatusCode;
use sluice_shared::domain::access::Scope;
use sluice_shared::keys::NotTaken;
use sluice_shared::telemetry::Denial;

use crate::problem::Problem;

/// Seconds after which it is worth asking again.
const AGAIN_SOON: u32 = 1;

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// They have no key.
    #[error("an API key is needed: send it as `authorization: Bearer sluice_…`")]
    NoKey,
    /// What they have is none.
    #[error("this is no API key; one looks like `sluice_…_…`")]
    NotAKey,
    /// Their key is not taken.
    #[error("{0}")]
    NotTaken(#[from] NotTaken),
    /// Their key does not allow it.
    #[error("this key does not have the scope `{0}`: use one that has it")]
    NoScope(Scope),
    /// Their key is a tenant's.
    #[error("this changes what tenants share: it takes a key of the operator")]
    OperatorsOnly,
    /// They came to an open door by another name than that of this machine, or from a page of the web.
    #[error(
        "this gateway lets in everybody on this machine, and no page of the web: call it by 127.0.0.1 or localhost, or \
         let it ask for API keys (gateway.auth)"
    )]
    NotLocal,
    /// Their key is of another tenant.
    #[error("this key reaches its own tenant only")]
    OtherTenant,
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        let problem = |status, code| Self::new(status, code, denied.to_string());
        match denied {
            Denied::NoKey => problem(StatusCode::UNAUTHORIZED, "no_api_key"),
            Denied::NotAKey | Denied::NotTaken(NotTaken::Unknown) => {
                problem(StatusCode::UNAUTHORIZED, "unknown_api_key")
            }
            Denied::NotTaken(NotTaken::Expired) => problem(StatusCode::UNAUTHORIZED, "expired_api_key"),
            Denied::NotTaken(NotTaken::NotLoaded) => {
                let problem = problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable");
                Self { retry_after: Some(AGAIN_SOON), ..problem }
            }
            Denied::NoScope(_) => problem(StatusCode::FORBIDDEN, "missing_scope"),
            Denied::OperatorsOnly => problem(StatusCode::FORBIDDEN, "operators_only"),
            Denied::NotLocal => problem(StatusCode::FORBIDDEN, "not_local"),
            Denied::OtherTenant => problem(StatusCode::FORBIDDEN, "other_tenant"),
        }
    }
}

impl Denied {
    /// As it is counted.
    #[must_use]
    pub fn counted(&self) -> Denial {
        match self {
            Self::NoKey => Denial::NoKey,
            Self::NotAKey | Self::NotTaken(NotTaken::Unknown) => Denial::UnknownKey,
            Self::NotTaken(NotTaken::Expired) => Denial::ExpiredKey,
            Self::NotTaken(NotTaken::NotLoaded) => Denial::NotLoaded,
            Self::NoScope(_) | Self::OperatorsOnly | Self::OtherTenant => Denial::NotAllowed,
            Self::NotLocal => Denial::NotLocal,
        }
    }

    /// The value of `WWW-Authenticate` (RFC 6750, section 3), where it has one.
    #[must_use]
    pub fn challenge(&self) -> Option<String> {
        match self {
            Self::NoKey => Some("Bearer realm=\"sluice\"".to_owned()),
            Self::NotAKey | Self::NotTaken(NotTaken::Unknown | NotTaken::Expired) => {
                Some("Bearer realm=\"sluice\", error=\"invalid_token\"".to_owned())
            }
            Self::NoScope(scope) => {
                Some(format!("Bearer realm=\"sluice\", error=\"insufficient_scope\", scope=\"{scope}\""))
            }
            Self::NotTaken(NotTaken::NotLoaded) | Self::OperatorsOnly | Self::NotLocal | Self::OtherTenant => None,
        }
    }
}
