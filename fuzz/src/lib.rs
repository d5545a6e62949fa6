//! What is done with bytes from outside, one function a target: none may panic, and what is taken can be relied on.
//!
//! libFuzzer drives them (fuzz_targets), and so does a seeded mutator within `cargo test` (tests/tests/fuzz.rs).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here is the finding")]

use std::fmt::{Debug, Display};
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sluice_shared::clock::Millis;
use sluice_shared::config::Config;
use sluice_shared::domain::delivery::{Deliveries, Delivery};
use sluice_shared::domain::fingerprint;
use sluice_shared::domain::gate::{self, GateState, Interval, Nanos};
use sluice_shared::domain::id::{Destination, GateName, Incarnation, JobId, QueueName, Tenant, Token};
use sluice_shared::domain::job::Job;
use sluice_shared::domain::pace::{Closes, Pace};
use sluice_shared::domain::record::Record;
use sluice_shared::domain::result::JobResult;
use sluice_shared::domain::submission::{self, Limits};
use sluice_shared::nats::guarded::Pointer;
use sluice_shared::queues::QueueEntry;
use sluice_shared::telemetry::traceparent::{self, Traceparent};
use sluice_shared::topology::{JobSubject, Settings};
use sluice_shared::wire;

/// The moment at which everything happens.
const NOW: Millis = Millis(1_767_225_600_000);
/// The longest text that is looked at, in bytes.
const LONGEST: usize = 64 * 1024;

/// What a target is called, and what it does with bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 7] = [
    ("submission", submission),
    ("wire", wire),
    ("headers", headers),
    ("names", names),
    ("url", url),
    ("trace", trace),
    ("settings", settings),
];

/// A job as JSON.
pub fn submission(bytes: &[u8]) {
    let tenant = Tenant::default();
    let limits = Limits::new(1 << 20, NOW, "sluice", &tenant);
    let salvage = submission::salvage_webhooks(bytes, &limits);
    match submission::read(bytes, &limits) {
        Ok(job) => {
            assert_eq!(salvage.webhooks, job.webhooks, "a job that is taken has the webhooks that can be read");
            relied_on(&job);
        }
        Err(faults) => assert!(!faults.to_string().is_empty()),
    }
}

/// A job that was taken has branches that can be called, and is the same job when it was written and read.
fn relied_on(job: &Job) {
    for contender in &job.branches {
        let url = url::Url::parse(&contender.request.url).expect("a URL that is taken is one");
        assert!(Destination::of(&url).is_some() && url.username().is_empty() && url.password().is_none());
    }
    for webhook in &job.webhooks {
        assert!(webhook.url.starts_with("nats:") || url::Url::parse(&webhook.url).is_ok(), "{}", webhook.url);
        assert!(!webhook.url.starts_with("nats:$") && !webhook.url.starts_with("nats:_INBOX"), "{}", webhook.url);
    }
    let fingerprint = fingerprint::of(job);
    let again: Job = wire::decode(&wire::encode(job)).expect("a job that is taken can be kept");
    assert_eq!(fingerprint::of(&again), fingerprint, "it is the same job when it is read again");
}

/// What is kept in NATS, by its first byte: a record, a result, a delivery and others.
pub fn wire(bytes: &[u8]) {
    let Some((kind, message)) = bytes.split_first() else { return };
    match kind % 8 {
        0 => kept::<Record>(message),
        1 => kept::<JobResult>(message),
        2 => kept::<Delivery>(message),
        3 => kept::<Deliveries>(message),
        4 => kept::<QueueEntry>(message),
        5 => kept::<GateState>(message),
        6 => kept::<Settings>(message),
        _ => kept::<Pointer>(message),
    }
}

/// What can be read is written in a form that reads as the same.
fn kept<T: Serialize + DeserializeOwned + Debug>(message: &[u8]) {
    let Ok(value) = wire::decode::<T>(message) else { return };
    let written = wire::encode(&value);
    let again: T = wire::decode(&written).expect("what was written can be read");
    assert_eq!(wire::encode(&again), written, "{value:?}");
}

/// The headers of an answer, one a line; the first byte is its status.
pub fn headers(bytes: &[u8]) {
    let Some((status, lines)) = bytes.split_first() else { return };
    let Some(lines) = text(lines) else { return };
    let headers: Vec<(String, String)> = lines
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let status = [200, 429, 503, 403][usize::from(status % 4)];
    let pace = Pace::read(&headers, NOW);
    let closes = pace.closes(status, NOW);
    assert!(status != 429 || closes != Closes::Not, "a 429 closes its gate");
    learn(pace, status, closes);
}

/// A gate that hears it goes on: slower, as it may be, but at all, and its next slot is a moment that can be written down.
fn learn(pace: Pace, status: u16, closes: Closes) {
    let (now, max_close) = (Nanos(NOW.0 * 1_000_000), Duration::from_secs(3600));
    let destination = Destination::of(&url::Url::parse("https://a.example/").unwrap()).unwrap();
    let configured =
        gate::Limits { interval: Interval::of_rate(2.0).unwrap(), burst: 1, concurrency: 64, ceiling: false };
    let fresh = GateState::new(destination, None);
    let state = gate::learn(&fresh, configured, &pace.heard(status, now), now).unwrap_or(fresh);
    let until = match closes {
        Closes::Until(until) => Some(Nanos(until.0.saturating_mul(1_000_000))),
        Closes::Not | Closes::ForNow => None,
    };
    let (closed, opens) = gate::close(&state, until, now, max_close);
    assert!(opens.since(now) <= max_close + Duration::from_secs(1), "closed for {:?}", opens.since(now));
    let state = closed.unwrap_or(state);
    let limits = gate::effective(configured, &state, now);
    assert!(limits.burst >= 1 && limits.concurrency >= 1, "{limits:?}");
    let _ = gate::next_slot(&state, limits, now);
    let again: GateState = wire::decode(&wire::encode(&state)).expect("a gate can be kept");
    assert_eq!(again, state);
}

/// Ids, names and subjects.
pub fn names(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    same::<JobId>(text);
    same::<Incarnation>(text);
    same::<QueueName>(text);
    same::<GateName>(text);
    same::<Tenant>(text);
    same::<Token>(text);
    if let Ok((stage, address)) = JobSubject::parse("sluice", text) {
        assert_eq!(JobSubject::parse("sluice", &address.at("sluice", stage)).unwrap(), (stage, address));
    }
    let job = JobId::derive(&Tenant::default(), text);
    assert_eq!(job.as_str().parse::<JobId>().as_ref(), Ok(&job), "an id that is made is one");
}

/// A name is one token of a subject, and stays what it is.
fn same<T: FromStr + Display>(text: &str) {
    let Ok(name) = text.parse::<T>() else { return };
    assert_eq!(name.to_string(), text);
    assert!(!text.is_empty() && !text.contains(['.', '*', '>', ' ', '\r', '\n', '\0']), "{text:?}");
}

/// A URL of a job, as it is submitted.
pub fn url(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let quoted = serde_json::Value::from(text);
    submission(format!(r#"{{"url": {quoted}, "webhooks": [{{"url": {quoted}}}]}}"#).as_bytes());
    submission(format!(r#"{{"url": "https://a.example/", "webhooks": [{{"url": {quoted}}}]}}"#).as_bytes());
    if let Some(destination) = url::Url::parse(text).ok().and_then(|url| Destination::of(&url)) {
        let (queue, tenant) = (destination.clone(), Tenant::default());
        let queue = QueueName::of(&tenant, &queue, Some(text));
        assert_eq!(queue.as_str().parse::<QueueName>().as_ref(), Ok(&queue), "{destination:?}");
        let gate = GateName::of(&destination, None);
        assert_eq!(gate.as_str().parse::<GateName>().as_ref(), Ok(&gate), "{destination:?}");
    }
}

/// A `traceparent`.
pub fn trace(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let Some(parent) = Traceparent::parse(text) else { return };
    let written = parent.to_string();
    assert_eq!(Traceparent::parse(&written).map(|again| again.to_string()), Some(written));
    assert!(traceparent::child(text).is_some());
}

/// A value of a setting: times, sizes, statuses.
pub fn settings(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let quoted = serde_json::Value::from(text);
    for key in ["gateway.max_wait", "gateway.storage_limit", "log.filter", "topology.prefix"] {
        let _ = Config::from_toml(&format!("{key} = {quoted}"));
    }
    let _ = Config::from_toml(&format!("retry.codes = [{quoted}]"));
    let _ = Config::from_toml(&format!("delivery.retry = [{quoted}]"));
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| text.len() <= LONGEST)
}
