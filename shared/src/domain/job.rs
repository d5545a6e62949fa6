//! What a client submits, once it is known to be valid: requests, policies, webhooks, follow-ups.
//!
//! These are the words that the record and the rules are written in. How they are read from JSON is in `submission`.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::id::{BranchId, Region};
use crate::clock::Millis;
use crate::seal::Sealed;

/// A validated job: what `POST /v1/jobs` takes, with its fallbacks laid out as branches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The contenders, depth-first; the first is the job's own request and always there.
    pub branches: Vec<Contender>,
    /// The caller's idempotency key; absent: the receiver of the submission makes one.
    pub idempotent_key: Option<String>,
    /// What the caller wants to get back with the outcome.
    pub metadata: Option<JsonText>,
    /// Where the outcome goes.
    pub webhooks: Vec<Webhook>,
    /// How many of the voting webhooks must be delivered for the delivery to count.
    pub webhook_quorum: u16,
    /// The job to submit when this one succeeds.
    pub on_success: Option<Box<Job>>,
    /// The job to submit when this one fails, or is overdue.
    pub on_failure: Option<Box<Job>>,
    /// When `on_failure` is submitted although the job has not ended yet, counted from its start.
    #[serde(with = "millis")]
    pub on_failure_timeout: Option<Duration>,
    /// When the job fails if it has not ended, counted from its start.
    #[serde(with = "millis")]
    pub deadline: Option<Duration>,
    /// Not before this moment.
    pub retry_at: Option<Millis>,
    /// Where and how the job runs.
    pub placement: Placement,
}

/// One contender of a race as submitted: its request, what starts it, how it is retried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contender {
    /// What is sent.
    pub request: Request,
    /// The branch that this one is a fallback of; none for the job's own request.
    pub parent: Option<BranchId>,
    /// What starts it; none for the job's own request.
    pub trigger: Option<Trigger>,
    /// When and how often it is tried again.
    pub retry: RetryPolicy,
    /// How long one attempt may take; absent: the worker's default.
    #[serde(with = "millis")]
    pub timeout: Option<Duration>,
    /// An account at the destination with a queue of its own.
    pub account: Option<String>,
    /// How far to the front it goes among its tenant's for the same destination and account.
    #[serde(default, skip_serializing_if = "Priority::is_normal")]
    pub priority: Priority,
}

/// An HTTP request. Its headers and body are the caller's secrets: they are never shown by `Debug`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The method, in upper case.
    pub method: String,
    /// The absolute URL, http or https.
    pub url: String,
    /// Headers in the order given; names in lower case. Not those that are sealed.
    pub headers: Vec<(String, String)>,
    /// What is sent with it.
    pub body: Body,
    /// Its sensitive headers, where they are sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<Sealed>,
}

impl Request {
    /// Leaves out headers and body: what is not needed any more is not kept, for they are the caller's secrets.
    pub fn forget_contents(&mut self) {
        (self.headers, self.sealed, self.body) = (Vec::new(), None, Body::Empty);
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (headers, sealed) = (self.headers.len(), if self.sealed.is_some() { ", others sealed" } else { "" });
        write!(f, "Request({}, {headers} headers{sealed}, {} bytes)", self.method, self.body.len())
    }
}

/// A request's body.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub enum Body {
    /// None at all.
    Empty,
    /// Held in the record.
    Inline(Bytes),
    /// Held in the `bodies` bucket, because it is larger than what a record should carry.
    Stored {
        /// Its size in bytes.
        len: u64,
    },
}

impl Body {
    /// Its size in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Stored { len } => *len,
        }
    }

    /// Whether there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.len())
    }
}

/// What starts a fallback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trigger {
    /// An attempt of its parent failed with one of these statuses; with any failure where the list is empty.
    OnError {
        /// The statuses that start it.
        codes: Vec<u16>,
    },
    /// Its parent has not settled the job within this time of its own start.
    OnTimeout {
        /// Counted from the start of the parent.
        #[serde(with = "millis_always")]
        after: Duration,
    },
}

/// When and how often a branch is tried again. Absent fields take the worker's defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Attempts after the first.
    pub max_retries: Option<u32>,
    /// Statuses worth another attempt.
    pub retry_codes: Option<Vec<u16>>,
    /// How often a branch may move to another region.
    pub max_reroutes: Option<u32>,
    /// Statuses that move a branch to another region instead of another attempt at the same; none where absent.
    pub reroute_codes: Option<Vec<u16>>,
}

/// Where an outcome goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// An http or https URL, or `nats:<subject>`.
    pub url: String,
    /// Where it is wished to be posted from: kept as it came, and of no effect.
    pub regions: Vec<String>,
    /// Whether it counts towards the quorum.
    pub has_quorum_vote: bool,
}

/// Which of a tenant's jobs for a destination go before others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Before all others.
    High,
    /// Where nothing is said.
    #[default]
    Normal,
    /// After all others, but not never.
    Low,
}

impl Priority {
    /// As the wire says it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }

    /// Whether nothing is said of it.
    #[must_use]
    pub fn is_normal(&self) -> bool {
        *self == Self::Normal
    }
}

/// Where and how a job runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// Regions to run in, the preferred first; anywhere where there is none.
    pub regions: Vec<Region>,
    /// Whether other regions may be used when none of these has a worker.
    pub region_policy: RegionPolicy,
    /// Whether its own request is made once, or once in each region.
    pub execution_mode: ExecutionMode,
}

/// Whether a job may leave its regions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegionPolicy {
    /// Other regions may be used.
    #[default]
    Fallback,
    /// Only the named ones.
    Strict,
}

impl RegionPolicy {
    /// As the wire says it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fallback => "fallback",
            Self::Strict => "strict",
        }
    }
}

/// How often a job's own request is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecutionMode {
    /// Once, in the first of its regions that has a worker.
    #[default]
    Once,
    /// Once in each of its regions; the first success wins.
    Race,
    /// Once in each of its regions; the job succeeds when all have.
    Fanout,
}

impl ExecutionMode {
    /// As the wire says it; what is done once is not said.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::Race => "race",
            Self::Fanout => "fanout",
        }
    }
}

/// A JSON value kept as the text it came in: handed on, never looked into.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JsonText(pub Box<str>);

impl fmt::Debug for JsonText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JsonText({} bytes)", self.0.len())
    }
}

/// Durations as whole milliseconds.
mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[allow(clippy::ref_option, reason = "the form that serde's `with` asks for")]
    pub(super) fn serialize<S: Serializer>(time: &Option<Duration>, s: S) -> Result<S::Ok, S::Error> {
        time.map(|t| u64::try_from(t.as_millis()).unwrap_or(u64::MAX)).serialize(s)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(d)?.map(Duration::from_millis))
    }
}

/// The same where the duration is always there.
mod millis_always {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Duration, s: S) -> Result<S::Ok, S::Error> {
        u64::try_from(time.as_millis()).unwrap_or(u64::MAX).serialize(s)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        Ok(Duration::from_millis(u64::deserialize(d)?))
    }
}
