//! Reads a job from its JSON, and says everything that is wrong with it at once.
//!
//! Owns the JSON shape that HTTP and NATS share: names, aliases, ranges, and what may stand where. Does not own what a
//! job does, nor the key and the time it is given when it enters.
//! Invariant: what comes out is a job that the rest of the program need not check again; what does not is answered with
//! the path, the code and the remedy of each fault, and never with a header's value, a body or a URL.

mod entries;
mod fault;
mod fields;
mod headers;
mod hint;
mod job;
mod policy;
mod race;
mod regions;
mod request;
mod schema;
mod url;
mod webhooks;

#[cfg(test)]
mod tests;

use serde_json::value::RawValue;

pub use self::entries::Entries;
pub use self::fault::{Code, Fault, Faults};
use self::fields::{Reading, Value};
use super::id::Tenant;
use super::job::{Job, JsonText, Webhook};
use super::targets::{Policy, Targets};
use crate::clock::Millis;

/// Fields of a job that none of its fallbacks may have.
pub use self::race::JOB_ONLY;
pub use self::schema::schemas;

/// What a submission may be, where that depends on the server, the caller or the time.
#[derive(Clone, Copy, Debug)]
pub struct Limits<'a> {
    /// Bytes of all request bodies of a submission together: the job's own, its fallbacks', its follow-ups'.
    pub max_body: u64,
    /// Bytes of the metadata, as written.
    pub max_metadata: u64,
    /// Headers of one request.
    pub max_headers: usize,
    /// Bytes of the names and values of one request's headers.
    pub max_header_bytes: u64,
    /// The time that `retry_at` is held against.
    pub now: Millis,
    /// What all our own subjects begin with.
    pub prefix: &'a str,
    /// Who submits.
    pub tenant: &'a Tenant,
    /// What that tenant may have called.
    pub targets: &'a Policy,
}

/// Headers of one request, where nothing else is said.
const MOST_HEADERS: usize = 100;
/// Left free in a message for what goes with a body.
const ENVELOPE: u64 = 64 * 1024;
static STRICT: Policy = Policy::STRICT;

impl<'a> Limits<'a> {
    /// The limits that follow from the broker's largest message, in bytes. Only the public internet may be called.
    #[must_use]
    pub fn new(max_payload: u64, now: Millis, prefix: &'a str, tenant: &'a Tenant) -> Self {
        Self {
            max_body: max_payload.saturating_sub(ENVELOPE),
            max_metadata: ENVELOPE,
            max_headers: MOST_HEADERS,
            max_header_bytes: 32 * 1024,
            now,
            prefix,
            tenant,
            targets: &STRICT,
        }
    }

    /// The same, where these targets may be called.
    #[must_use]
    pub fn calling(self, targets: &'a Targets) -> Self {
        Self { targets: targets.of(self.tenant), ..self }
    }
}

/// Reads a job.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read(json: &[u8], limits: &Limits<'_>) -> Result<Job, Faults> {
    let mut reading = Reading::new(limits);
    let job = match parse(json) {
        Ok(raw) => job::read(Value::root(raw), &mut reading),
        Err(fault) => {
            reading.add(fault);
            None
        }
    };
    reading.conclude(job)
}

/// What of a refused submission can still be used to tell its sender.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Salvage {
    /// The webhooks that are valid by themselves.
    pub webhooks: Vec<Webhook>,
    /// The metadata, if it is valid.
    pub metadata: Option<JsonText>,
    /// The idempotency key, if it is valid.
    pub key: Option<String>,
}

/// Reads what of a refused submission can still be used to tell its sender. Nothing of it where it is no JSON object.
#[must_use]
pub fn salvage_webhooks(json: &[u8], limits: &Limits<'_>) -> Salvage {
    let mut reading = Reading::new(limits);
    let Some(mut fields) = parse(json).ok().and_then(|raw| Value::root(raw).object(&mut reading)) else {
        return Salvage::default();
    };
    Salvage {
        webhooks: webhooks::valid(&mut fields, limits),
        metadata: job::metadata(&mut fields, &mut reading),
        key: job::idempotent_key(&mut fields, &mut reading),
    }
}

/// The text as one JSON value, or where it stops being one.
fn parse(json: &[u8]) -> Result<&RawValue, Fault> {
    let text = std::str::from_utf8(json).map_err(|error| fault::not_utf8(json, error.valid_up_to()))?;
    serde_json::from_str(text).map_err(|error| fault::not_json(&error))
}
