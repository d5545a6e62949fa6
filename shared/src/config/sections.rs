//! The sections of the configuration, key by key.
//!
//! Only their shape: which values are allowed is for `check`. Invariant: what holds a secret has a redacting `Debug`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::units::{Bytes, StatusRange};
use crate::domain::id::Region;

/// The broker. Passwords and tokens are not shown by `Debug`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nats {
    /// One URL, or several separated by commas.
    pub url: String,
    /// A `.creds` file.
    pub credentials_file: Option<PathBuf>,
    /// A file that holds an nkey seed.
    pub nkey_seed_file: Option<PathBuf>,
    /// A user.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<String>,
    /// A token.
    pub token: Option<String>,
    /// Certificate authorities to trust.
    pub tls_ca: Option<PathBuf>,
    /// This client's certificate.
    pub tls_cert: Option<PathBuf>,
    /// This client's key.
    pub tls_key: Option<PathBuf>,
    /// Refuse a connection without TLS.
    pub tls_required: bool,
    /// Begin with TLS, before the broker has said anything.
    pub tls_first: bool,
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nats(url and credentials not shown)")
    }
}

/// What a deployment chooses once.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// The first token of every subject.
    pub prefix: String,
    /// How many streams the queues are spread over.
    pub shards: u16,
    /// How many buckets the records are spread over.
    pub record_buckets: u16,
    /// How many lanes the work that tenants share is spread over.
    pub lanes: u16,
    /// Copies of every stream and bucket.
    pub replicas: u8,
    /// Where the consumers of queues keep their state.
    pub consumer_storage: ConsumerStorage,
}

/// Where the consumers of queues keep their state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum ConsumerStorage {
    /// On disk.
    File,
    /// In memory only.
    Memory,
}

impl TryFrom<String> for ConsumerStorage {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        match written.as_str() {
            "file" => Ok(Self::File),
            "memory" => Ok(Self::Memory),
            _ => Err(format!("`{written}` is not allowed: write \"file\" or \"memory\"")),
        }
    }
}

/// The gateway.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    /// Where HTTP is served.
    pub listen: SocketAddr,
    /// Who is let in over HTTP.
    pub auth: Auth,
    /// The longest that a request for a job may wait for its end.
    #[serde(with = "humantime_serde")]
    pub max_wait: Duration,
    /// Jobs in one batch.
    pub max_batch: usize,
    /// Submissions are refused above this share of the broker's storage.
    pub storage_watermark: f64,
    /// What the broker may store, where its account has no limit that says so.
    pub storage_limit: Option<Bytes>,
    /// Durable submissions taken in at a time.
    pub intake: usize,
    /// How long requests in flight may take to end at a stop.
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
}

/// Who is let in over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Auth {
    /// Whoever has an API key.
    Keys,
    /// Everybody: on loopback only.
    Open,
}

impl Auth {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Open => "open",
        }
    }
}

impl TryFrom<String> for Auth {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        match written.as_str() {
            "keys" => Ok(Self::Keys),
            "open" => Ok(Self::Open),
            _ => Err(format!("`{written}` is not allowed: write \"keys\" or \"open\"")),
        }
    }
}

/// The worker.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Worker {
    /// Messages in hand, at most.
    pub slots: usize,
    /// One attempt, where the job does not say.
    #[serde(with = "humantime_serde")]
    pub attempt_timeout: Duration,
    /// How long a message may be in hand without a sign of life.
    #[serde(with = "humantime_serde")]
    pub ack_wait: Duration,
    /// What is kept of a winning answer's body.
    pub response_limit: Bytes,
    /// A job older than this when its turn comes fails as expired.
    #[serde(with = "humantime_serde")]
    pub max_age: Duration,
    /// How long calls in flight may take to end at a stop.
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
    /// How often the sweep looks for what was left behind.
    #[serde(with = "humantime_serde")]
    pub sweep_interval: Duration,
    /// Where metrics and health are served.
    pub metrics: SocketAddr,
    /// The region that it runs in, if any.
    pub region: Option<Region>,
    /// How long a region counts as alive after the last sign of its workers.
    #[serde(with = "humantime_serde")]
    pub region_timeout: Duration,
}

/// When and how often attempts are repeated, where the job does not say.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Attempts after the first.
    pub max_retries: u32,
    /// The pause before the first retry is random up to this; it doubles with each.
    #[serde(with = "humantime_serde")]
    pub base: Duration,
    /// The longest pause.
    #[serde(with = "humantime_serde")]
    pub cap: Duration,
    /// Statuses worth another attempt.
    pub codes: Vec<StatusRange>,
}

/// How fast destinations are called.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// Requests a second of a destination without a section of its own.
    pub rate: f64,
    /// How many may go at once after a pause.
    pub burst: u32,
    /// Calls in flight, over all workers.
    pub concurrency: u32,
    /// How far ahead a worker reserves slots.
    #[serde(with = "humantime_serde")]
    pub horizon: Duration,
    /// The longest that one answer of a destination closes its gate.
    #[serde(with = "humantime_serde")]
    pub max_close: Duration,
    /// Whether limits are learned from destinations' answers.
    pub learn: bool,
    /// Failures in a row that open the circuit of a destination; 0: none does.
    pub circuit_failures: u32,
    /// How long an open circuit stays open at first.
    #[serde(with = "humantime_serde")]
    pub circuit_pause: Duration,
    /// Whether well-known APIs have the limits that they document, where they have no section of their own.
    pub presets: bool,
    /// Destinations with limits of their own, by `host` or `host:port`.
    #[serde(default)]
    pub destinations: BTreeMap<String, DestinationGate>,
}

/// The limits of one destination; what is absent is as documented for a well-known API, else as for all others.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DestinationGate {
    /// Requests a second.
    pub rate: Option<f64>,
    /// How many may go at once after a pause.
    pub burst: Option<u32>,
    /// Calls in flight, over all workers.
    pub concurrency: Option<u32>,
    /// Whether limits that the destination announces can only lower these; they can where nothing is said.
    pub ceiling: Option<bool>,
    /// Whether limits are learned from its answers.
    pub learn: Option<bool>,
    /// Failures in a row that open its circuit; 0: none does.
    pub circuit_failures: Option<u32>,
    /// Requests a second of all its accounts together.
    pub shared_rate: Option<f64>,
    /// How many of all accounts may go at once after a pause.
    pub shared_burst: Option<u32>,
    /// Calls in flight of all accounts together, over all workers.
    pub shared_concurrency: Option<u32>,
    /// The header whose value tells its accounts apart where a job does not name one, in lower case.
    pub account_from: Option<String>,
}

/// How long records are kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Records {
    /// How long the record of a job that has ended is kept.
    #[serde(with = "humantime_serde")]
    pub settled_ttl: Duration,
}

/// The delivery service.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    /// One post of a webhook.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Posts in flight to one endpoint, for each process.
    pub per_endpoint: usize,
    /// Results, and webhooks that are tried again, in hand at most.
    pub concurrency: usize,
    /// When a webhook that failed is tried again, after each failure in turn.
    pub retry: Vec<Pause>,
    /// Each pause is lengthened by a random share of itself up to this.
    pub jitter: f64,
    /// How long dead letters are kept.
    #[serde(with = "humantime_serde")]
    pub dead_letter_age: Duration,
    /// How long posts in flight may take to end at a stop.
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
    /// Where metrics and health are served.
    pub metrics: SocketAddr,
}

/// How callers' secrets are kept. Keys are not shown by `Debug`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secrets {
    /// The key that seals and opens.
    pub key: Option<String>,
    /// A file that holds it.
    pub key_file: Option<PathBuf>,
    /// A second key that opens.
    pub previous_key: Option<String>,
    /// A file that holds it.
    pub previous_key_file: Option<PathBuf>,
    /// Names of headers of jobs that are sealed, in lower case.
    pub seal_headers: Vec<String>,
    /// Secrets that jobs of a tenant may name, by tenant and name.
    #[serde(default, rename = "static")]
    pub fixed: BTreeMap<String, BTreeMap<String, String>>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("seal_headers", &self.seal_headers).finish_non_exhaustive()
    }
}

/// A duration in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Pause(#[serde(with = "humantime_serde")] pub Duration);

/// Logs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// How lines look.
    pub format: LogFormat,
    /// Which lines there are, as in `RUST_LOG`.
    pub filter: String,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum LogFormat {
    /// For people on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Human,
    /// For programs.
    Json,
}

impl TryFrom<String> for LogFormat {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        match written.as_str() {
            "auto" => Ok(Self::Auto),
            "human" => Ok(Self::Human),
            "json" => Ok(Self::Json),
            _ => Err(format!("`{written}` is not allowed: write \"auto\", \"human\" or \"json\"")),
        }
    }
}
