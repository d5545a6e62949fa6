//! Names of things: every id, subject token and key is a type of its own.
//!
//! All of them are valid NATS subject tokens and KV keys by construction: parsing is the only way in from outside.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE32_DNSSEC as BASE32; // lower case, no padding
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::job::Priority;
use super::region::Place;

/// What is wrong with a name that came from outside.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be 1 to {max} characters of a-z, A-Z, 0-9, `-` and `_`")]
pub struct InvalidName {
    what: &'static str,
    max: usize,
}

fn checked(what: &'static str, max: usize, name: &str) -> Result<String, InvalidName> {
    let valid = !name.is_empty()
        && name.len() <= max
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if valid { Ok(name.to_owned()) } else { Err(InvalidName { what, max }) }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(inline, extend("pattern" = "^[A-Za-z0-9_-]+$", "minLength" = 1, "maxLength" = $max))]
        pub struct $type(Box<str>);

        impl $type {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = InvalidName;

            fn from_str(name: &str) -> Result<Self, InvalidName> {
                checked($what, $max, name).map(|name| Self(name.into()))
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidName;

            fn try_from(name: String) -> Result<Self, InvalidName> {
                name.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0.into()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// Whose job it is: jobs, keys and queues of one tenant are apart from those of all others.
    Tenant, "a tenant", 64
);
name!(
    /// A job, derived from its tenant and idempotency key: the same key always names the same job.
    JobId, "a job id", 64
);
name!(
    /// A short random token made with the record: tells a key's earlier life from its present one.
    Incarnation, "an incarnation", 32
);
name!(
    /// A queue: a readable part and a hash of the tenant, destination, account and priority that it stands for.
    QueueName, "a queue", 80
);
name!(
    /// A gate: a readable part and a hash of the destination, or of the account there, that it stands for.
    GateName, "a gate", 80
);

name!(
    /// Where workers run: what they are started with, and what jobs ask for.
    Region, "a region", 64
);

name!(
    /// An API key, by the part of it that is no secret.
    KeyId, "the id of a key", 32
);

impl Default for Tenant {
    fn default() -> Self {
        Self("default".into())
    }
}

impl JobId {
    /// The job that `key` names for `tenant`.
    #[must_use]
    pub fn derive(tenant: &Tenant, key: &str) -> Self {
        let hash = digest(&["job", tenant.as_str(), key]);
        Self(format!("job_{}", BASE32.encode(&hash[..20])).into())
    }

    /// What stands for a job where a submission was refused; no job has such a name. `name` tells it from all others.
    #[must_use]
    pub fn refused(name: &str) -> Self {
        let hash = digest(&["refused", name]);
        Self(format!("refused_{}", BASE32.encode(&hash[..20])).into())
    }

    /// A number that spreads jobs evenly, for choosing the bucket that holds the record.
    #[must_use]
    pub fn spread(&self) -> u64 {
        let hash = Sha256::digest(self.0.as_bytes());
        hash.iter().take(8).fold(0, |n, byte| n << 8 | u64::from(*byte))
    }
}

impl KeyId {
    /// A name from 80 random bits; has no `_`, which separates it from the secret.
    #[must_use]
    pub fn from_random(bits: [u8; 10]) -> Self {
        Self(BASE32.encode(&bits).into())
    }

    /// What stands for a tenant where it is counted what all of it submits; no key has such a name.
    #[must_use]
    pub fn of_tenant(tenant: &Tenant) -> Self {
        let hash = digest(&["tenant", tenant.as_str()]);
        Self(format!("tenant-{}", BASE32.encode(&hash[..15])).into())
    }
}

impl Incarnation {
    /// A token from 64 random bits.
    #[must_use]
    pub fn from_random(bits: u64) -> Self {
        Self(BASE32.encode(&bits.to_be_bytes()).into())
    }

    /// The life of what has only one: a submission that was refused.
    #[must_use]
    pub fn only() -> Self {
        Self("0".into())
    }
}

impl QueueName {
    /// The queue of a tenant's branches at a destination, at an account there if there is one, of normal priority and that any
    /// worker may take.
    #[must_use]
    pub fn of(tenant: &Tenant, destination: &Destination, account: Option<&str>) -> Self {
        Self::placed(tenant, destination, account, &Place::default(), Priority::Normal)
    }

    /// The same of those that are to run in a place, or go before others or after them.
    #[must_use]
    pub fn placed(
        tenant: &Tenant,
        destination: &Destination,
        account: Option<&str>,
        place: &Place,
        priority: Priority,
    ) -> Self {
        let account = [account.map_or("0", |_| "1"), account.unwrap_or_default()];
        let mut parts = vec!["queue", tenant.as_str(), destination.as_str(), account[0], account[1]];
        if !priority.is_normal() {
            parts.extend(["priority", priority.as_str()]);
        }
        // What comes first tells them apart: no policy is called like that.
        if !place.is_anywhere() {
            parts.push(place.policy.as_str());
            parts.extend(place.regions.iter().map(Region::as_str));
        }
        Self(readable(destination.as_str(), &digest(&parts)).into())
    }

    /// A number that spreads queues evenly over the shards when their entries are made.
    #[must_use]
    pub fn spread(&self) -> u64 {
        let hash = Sha256::digest(self.0.as_bytes());
        hash.iter().take(8).fold(0, |n, byte| n << 8 | u64::from(*byte))
    }
}

impl GateName {
    /// The gate of a destination, or of an account there. Gates are shared by tenants.
    #[must_use]
    pub fn of(destination: &Destination, account: Option<&str>) -> Self {
        let hash = digest(&["gate", destination.as_str(), account.map_or("0", |_| "1"), account.unwrap_or_default()]);
        Self(readable(destination.as_str(), &hash).into())
    }

    /// The gate above those, that all accounts of a destination draw from too.
    #[must_use]
    pub fn shared(destination: &Destination) -> Self {
        Self(readable(destination.as_str(), &digest(&["shared gate", destination.as_str()])).into())
    }
}

/// SHA-256 over length-prefixed parts, so that no two lists of parts collide by concatenation.
fn digest(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

/// A valid token that people can read: at most 60 characters of the text, `-`, ten base32 characters of the hash.
fn readable(text: &str, hash: &[u8; 32]) -> String {
    let mut name: String =
        text.chars().take(60).map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
    name.push('-');
    name.push_str(&BASE32.encode(&hash[..7])[..10]);
    name
}

/// Scheme-less `host[:port]` of a branch's URL, in lower case, the port left out where it is the scheme's own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Destination(Box<str>);

impl Destination {
    /// The destination of an absolute http or https URL; `None` where it has no host.
    #[must_use]
    pub fn of(url: &url::Url) -> Option<Self> {
        let host = url.host_str()?;
        Some(Self(match url.port() {
            Some(port) => format!("{host}:{port}").into(),
            None => host.into(),
        }))
    }

    /// The destination as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A contender of a job's race: 0 is the job's own request, 1.. its fallbacks in depth-first order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct BranchId(pub u16);

impl BranchId {
    /// The job's own request.
    pub const OWN: Self = Self(0);

    /// Where the branch stands in the record's list.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for BranchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The last token of a message's subject: the branch whose chain it belongs to, or the signal that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Token {
    /// A message of a branch's chain.
    Branch(BranchId),
    /// The signal that a fallback's timeout has passed: start it.
    Start(BranchId),
    /// The signal that the job's time is up.
    Deadline,
    /// The signal that `on_failure_timeout_ms` has passed.
    Overdue,
    /// The signal that somebody cancelled the job.
    Cancel,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Branch(branch) => write!(f, "{branch}"),
            Self::Start(branch) => write!(f, "start-{branch}"),
            Self::Deadline => f.write_str("deadline"),
            Self::Overdue => f.write_str("overdue"),
            Self::Cancel => f.write_str("cancel"),
        }
    }
}

/// A token that no version of this program writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no token of a job's message")]
pub struct UnknownToken;

impl FromStr for Token {
    type Err = UnknownToken;

    fn from_str(token: &str) -> Result<Self, UnknownToken> {
        let branch = |number: &str| number.parse().map(BranchId).map_err(|_| UnknownToken);
        let read = match token {
            "deadline" => Ok(Self::Deadline),
            "overdue" => Ok(Self::Overdue),
            "cancel" => Ok(Self::Cancel),
            other => match other.strip_prefix("start-") {
                Some(number) => branch(number).map(Self::Start),
                None => branch(other).map(Self::Branch),
            },
        }?;
        // A number can be written in more ways than one: `02`, `+2`. None but one is written.
        if read.to_string() == token { Ok(read) } else { Err(UnknownToken) }
    }
}

impl From<Token> for String {
    fn from(token: Token) -> Self {
        token.to_string()
    }
}

impl TryFrom<String> for Token {
    type Error = UnknownToken;

    fn try_from(token: String) -> Result<Self, UnknownToken> {
        token.parse()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed parse fails the test")]

    use super::*;
    use crate::domain::job::RegionPolicy;

    fn destination(url: &str) -> Destination {
        Destination::of(&url::Url::parse(url).unwrap()).unwrap()
    }

    #[test]
    fn the_same_key_of_the_same_tenant_names_the_same_job_and_no_other() {
        let (a, b): (Tenant, Tenant) = ("a".parse().unwrap(), "b".parse().unwrap());
        assert_eq!(JobId::derive(&a, "k"), JobId::derive(&a, "k"));
        assert_ne!(JobId::derive(&a, "k"), JobId::derive(&b, "k"));
        assert_ne!(JobId::derive(&a, "k"), JobId::derive(&a, "k2"));
        assert_eq!(JobId::derive(&a, "k").as_str().len(), 36);
    }

    #[test]
    fn what_was_refused_has_a_name_that_no_job_has() {
        let refused = JobId::refused("submit-1-2");
        assert_eq!(refused, JobId::refused("submit-1-2"));
        assert_ne!(refused, JobId::refused("submit-1-3"));
        assert_eq!(refused.as_str().parse::<JobId>().unwrap(), refused);
        assert!(!refused.as_str().starts_with("job_"));
        assert_eq!(Incarnation::only().as_str().parse::<Incarnation>().unwrap(), Incarnation::only());
    }

    #[test]
    fn a_destination_has_no_scheme_and_no_port_of_its_scheme() {
        assert_eq!(destination("https://API.Example.com:443/x?y").as_str(), "api.example.com");
        assert_eq!(destination("http://127.0.0.1:8080/").as_str(), "127.0.0.1:8080");
        assert_eq!(destination("http://[::1]:81/").as_str(), "[::1]:81");
    }

    #[test]
    fn names_of_queues_and_gates_are_valid_tokens_and_tell_accounts_apart() {
        let tenant = Tenant::default();
        let long = destination(&format!("https://{}.example.com:81/", "a".repeat(60)));
        let queue = QueueName::of(&tenant, &long, None);
        assert_eq!(queue.as_str().parse::<QueueName>().unwrap(), queue);
        assert_ne!(queue, QueueName::of(&tenant, &long, Some("")));
        assert_ne!(GateName::of(&long, Some("a")), GateName::of(&long, Some("b")));
        assert_eq!(queue.as_str().len(), 71);
        let place = |regions: &[&str], policy| Place {
            regions: regions.iter().map(|region| region.parse().unwrap()).collect(),
            policy,
        };
        let placed = |place| QueueName::placed(&tenant, &long, None, &place, Priority::Normal);
        let strict = placed(place(&["eu", "us"], RegionPolicy::Strict));
        assert_ne!(strict, placed(place(&["us", "eu"], RegionPolicy::Strict)));
        assert_ne!(strict, placed(place(&["eu", "us"], RegionPolicy::Fallback)));
        assert_eq!(queue, placed(place(&[], RegionPolicy::Strict)));
        let of = |place: &Place, priority| QueueName::placed(&tenant, &long, None, place, priority);
        let eu = place(&["eu"], RegionPolicy::Strict);
        let all = [Priority::High, Priority::Normal, Priority::Low]
            .into_iter()
            .flat_map(|priority| [of(&Place::default(), priority), of(&eu, priority)])
            .collect::<std::collections::BTreeSet<_>>();
        assert_eq!((all.len(), all.contains(&queue)), (6, true));
    }

    #[test]
    fn tokens_read_back_as_what_they_were() {
        for token in
            [Token::Branch(BranchId(0)), Token::Start(BranchId(12)), Token::Deadline, Token::Overdue, Token::Cancel]
        {
            assert_eq!(token.to_string().parse::<Token>().unwrap(), token);
        }
        assert!("start-".parse::<Token>().is_err());
        assert!("begin".parse::<Token>().is_err());
    }
}
