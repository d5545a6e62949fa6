//! What is read, and what is refused with which path and code.

#![allow(clippy::unwrap_used, reason = "tests: a job that does not read, or reads when it must not, fails the test")]

mod described;
mod refused;
mod taken;
mod whatever_comes;

use super::{Faults, Limits, STRICT, read};
use crate::clock::Millis;
use crate::domain::id::Tenant;
use crate::domain::job::Job;

/// The limits of the tests: 1000 bytes of bodies, 100 of metadata, 4 headers of 200 bytes, at the time 1,000,000.
fn limits(tenant: &Tenant) -> Limits<'_> {
    Limits {
        max_body: 1000,
        max_metadata: 100,
        max_headers: 4,
        max_header_bytes: 200,
        now: Millis(1_000_000),
        prefix: "sluice",
        tenant,
        targets: &STRICT,
    }
}

fn reading(json: &str) -> Result<Job, Faults> {
    read(json.as_bytes(), &limits(&Tenant::default()))
}

fn taken(json: &str) -> Job {
    reading(json).unwrap()
}

/// The faults as `path code`, sorted.
fn faults(json: &str) -> Vec<String> {
    let faults = reading(json).unwrap_err();
    let mut listed: Vec<String> =
        faults.as_slice().iter().map(|fault| format!("{} {}", fault.path, fault.code.as_str())).collect();
    listed.sort();
    listed
}

/// A job with these fields beside its URL.
fn with(fields: &str) -> String {
    format!(r#"{{"url": "https://a.example/", {fields}}}"#)
}
