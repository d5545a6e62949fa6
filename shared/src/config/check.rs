//! What values are allowed: every fault with its key and what is allowed instead.
//!
//! Sees values that could be read; keys and kinds are refused before. Invariant: no value of a credential is quoted.

use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::{Delivery, DestinationGate, Gate, Gateway, Log, Nats, Records, Retry, Secrets, Targets, Topology, Worker};
use crate::domain::id::Tenant;
use crate::domain::named_secret::{NAME_RULE, Name, SecretValue};
use crate::seal::SealKey;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Values of `gate.rate` that are allowed.
const RATE: &str = "must be from 0.0001 to 1000000 requests a second";

/// What is not allowed in a configuration, gathered.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<String>);

impl Faults {
    pub(super) fn add(&mut self, fault: String) {
        self.0.push(fault);
    }

    pub(super) fn all(self) -> Vec<String> {
        self.0
    }

    fn unless(&mut self, allowed: bool, key: &str, rule: &str) {
        if !allowed {
            self.add(format!("{key} {rule}"));
        }
    }
}

pub(super) fn nats(nats: &Nats, faults: &mut Faults) {
    faults.unless(!nats.url.trim().is_empty(), "nats.url", "must not be empty: write nats://host:4222");
    faults.unless(nats.user.is_some() == nats.password.is_some(), "nats.user", "and nats.password go together");
    let ways = [
        nats.credentials_file.is_some(),
        nats.nkey_seed_file.is_some(),
        nats.user.is_some() || nats.password.is_some(),
        nats.token.is_some(),
    ];
    let one = ways.into_iter().filter(|given| *given).count() <= 1;
    faults.unless(one, "nats", "takes one of credentials_file, nkey_seed_file, user with password, token");
    faults.unless(nats.tls_cert.is_some() == nats.tls_key.is_some(), "nats.tls_cert", "and nats.tls_key go together");
}

pub(super) fn topology(topology: &Topology, faults: &mut Faults) {
    let token = (1..=32).contains(&topology.prefix.len())
        && topology.prefix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    faults.unless(token, "topology.prefix", "must be 1 to 32 characters of a-z, 0-9 and `-`");
    faults.unless((1..=1024).contains(&topology.shards), "topology.shards", "must be from 1 to 1024");
    faults.unless((1..=64).contains(&topology.record_buckets), "topology.record_buckets", "must be from 1 to 64");
    faults.unless((1..=64).contains(&topology.lanes), "topology.lanes", "must be from 1 to 64");
    faults.unless(matches!(topology.replicas, 1 | 3 | 5), "topology.replicas", "must be 1, 3 or 5");
}

pub(super) fn gateway(gateway: &Gateway, faults: &mut Faults) {
    let share = (0.1..=1.0).contains(&gateway.storage_watermark);
    faults.unless(share, "gateway.storage_watermark", "must be from 0.1 to 1");
    let limit = gateway.storage_limit.is_none_or(|limit| limit.0 >= 1 << 20);
    faults.unless(limit, "gateway.storage_limit", "must be at least 1 MiB");
    faults.unless((1..=100_000).contains(&gateway.max_batch), "gateway.max_batch", "must be from 1 to 100000");
    faults.unless(gateway.intake >= 1, "gateway.intake", "must be at least 1");
    let wait = Duration::from_secs(1)..=Duration::from_secs(3600);
    faults.unless(wait.contains(&gateway.max_wait), "gateway.max_wait", "must be from 1s to 1h");
}

pub(super) fn worker(worker: &Worker, faults: &mut Faults) {
    let ack_wait = Duration::from_secs(15)..=Duration::from_secs(3600);
    faults.unless(worker.slots >= 1, "worker.slots", "must be at least 1");
    faults.unless(ack_wait.contains(&worker.ack_wait), "worker.ack_wait", "must be from 15s to 1h");
    let kept = (1024..=64 << 20).contains(&worker.response_limit.0);
    faults.unless(kept, "worker.response_limit", "must be from 1 KiB to 64 MiB");
    let attempt = Duration::from_millis(10)..=DAY;
    faults.unless(attempt.contains(&worker.attempt_timeout), "worker.attempt_timeout", "must be from 10ms to 1d");
    faults.unless(worker.max_age >= Duration::from_secs(1), "worker.max_age", "must be at least 1s");
    let interval = worker.sweep_interval >= Duration::from_millis(100);
    faults.unless(interval, "worker.sweep_interval", "must be at least 100ms");
    let alive = Duration::from_secs(1)..=Duration::from_secs(3600);
    faults.unless(alive.contains(&worker.region_timeout), "worker.region_timeout", "must be from 1s to 1h");
}

pub(super) fn retry(retry: &Retry, faults: &mut Faults) {
    faults.unless(!retry.base.is_zero(), "retry.base", "must be above 0s");
    faults.unless(retry.base <= retry.cap, "retry.base", "must not be above retry.cap");
}

pub(super) fn gate(gate: &Gate, faults: &mut Faults) {
    faults.unless(rate(gate.rate), "gate.rate", RATE);
    faults.unless(gate.burst >= 1, "gate.burst", "must be at least 1");
    faults.unless(gate.concurrency >= 1, "gate.concurrency", "must be at least 1");
    let horizon = Duration::from_millis(10)..=Duration::from_secs(5);
    faults.unless(horizon.contains(&gate.horizon), "gate.horizon", "must be from 10ms to 5s");
    let close = Duration::from_secs(1)..=7 * DAY;
    faults.unless(close.contains(&gate.max_close), "gate.max_close", "must be from 1s to 7d");
    let pause = Duration::from_millis(100)..=Duration::from_secs(3600);
    faults.unless(pause.contains(&gate.circuit_pause), "gate.circuit_pause", "must be from 100ms to 1h");
    for (name, one) in &gate.destinations {
        let key = format!("gate.destinations.\"{name}\"");
        let host = !name.is_empty() && !name.contains(['/', '@', ' ']) && *name == name.to_lowercase();
        faults.unless(host, &key, "must be named by `host` or `host:port`, in lower case, without a scheme");
        faults.unless(one.rate.is_none_or(rate), &format!("{key}.rate"), RATE);
        faults.unless(one.burst != Some(0), &format!("{key}.burst"), "must be at least 1");
        faults.unless(one.concurrency != Some(0), &format!("{key}.concurrency"), "must be at least 1");
        accounts(one, &key, faults);
    }
}

/// What a destination's accounts share, and what tells them apart.
fn accounts(one: &DestinationGate, key: &str, faults: &mut Faults) {
    faults.unless(one.shared_rate.is_none_or(rate), &format!("{key}.shared_rate"), RATE);
    for (name, limit) in [("shared_burst", one.shared_burst), ("shared_concurrency", one.shared_concurrency)] {
        faults.unless(limit != Some(0), &format!("{key}.{name}"), "must be at least 1");
        let rule = "is about all accounts together, as shared_rate is: set that too";
        faults.unless(limit.is_none() || one.shared_rate.is_some(), &format!("{key}.{name}"), rule);
    }
    let name = |header: &String| {
        let token = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        !header.is_empty() && header.bytes().all(token)
    };
    let rule = "must be the name of a header, in lower case";
    faults.unless(one.account_from.as_ref().is_none_or(name), &format!("{key}.account_from"), rule);
}

fn rate(rate: f64) -> bool {
    (0.000_1..=1_000_000.0).contains(&rate)
}

pub(super) fn targets(targets: &Targets, faults: &mut Faults) {
    let rule = "must be ports from 1 to 65535";
    faults.unless(!targets.deny_ports.contains(&0), "targets.deny_ports", rule);
    faults.unless(!targets.only_ports.contains(&0), "targets.only_ports", rule);
    for (tenant, more) in &targets.tenants {
        let key = format!("targets.tenants.{tenant}");
        faults.unless(!more.deny_ports.contains(&0), &format!("{key}.deny_ports"), rule);
        faults.unless(!more.only_ports.contains(&0), &format!("{key}.only_ports"), rule);
    }
}

pub(super) fn records(records: &Records, faults: &mut Faults) {
    let kept = records.settled_ttl >= Duration::from_secs(60);
    faults.unless(kept, "records.settled_ttl", "must be at least 1m");
}

pub(super) fn delivery(delivery: &Delivery, faults: &mut Faults) {
    faults.unless(delivery.per_endpoint >= 1, "delivery.per_endpoint", "must be at least 1");
    faults.unless(delivery.concurrency >= 1, "delivery.concurrency", "must be at least 1");
    faults.unless((0.0..=1.0).contains(&delivery.jitter), "delivery.jitter", "must be from 0 to 1");
    let timeout = Duration::from_millis(100)..=Duration::from_secs(3600);
    faults.unless(timeout.contains(&delivery.timeout), "delivery.timeout", "must be from 100ms to 1h");
    let age = delivery.dead_letter_age >= Duration::from_secs(1);
    faults.unless(age, "delivery.dead_letter_age", "must be at least 1s");
}

pub(super) fn secrets(secrets: &Secrets, faults: &mut Faults) {
    let keys = [
        ("secrets.key", &secrets.key, &secrets.key_file),
        ("secrets.previous_key", &secrets.previous_key, &secrets.previous_key_file),
    ];
    for (name, key, file) in keys {
        faults.unless(key.is_none() || file.is_none(), name, &format!("and {name}_file are the same thing: give one"));
        if let Some(Err(why)) = key.as_deref().map(SealKey::parse) {
            faults.add(format!("{name} {why}"));
        }
    }
    let [has_key, has_previous] = keys.map(|(_, key, file)| key.is_some() || file.is_some());
    faults.unless(has_key || !has_previous, "secrets.previous_key", "needs secrets.key beside it");
    let name = |name: &String| http::HeaderName::from_lowercase(name.as_bytes()).is_ok();
    let names = secrets.seal_headers.iter().all(name);
    faults.unless(names, "secrets.seal_headers", "must be names of headers, in lower case");
    for (tenant, values) in &secrets.fixed {
        faults.unless(
            tenant.parse::<Tenant>().is_ok(),
            &format!("secrets.static.{tenant}"),
            "must be named by a tenant",
        );
        for (name, value) in values {
            let key = format!("secrets.static.{tenant}.{name}");
            faults.unless(Name::parse(name).is_some(), &key, &format!("is no name: {NAME_RULE}"));
            if let Err(why) = SecretValue::parse(value) {
                faults.add(format!("{key} {why}"));
            }
        }
    }
}

pub(super) fn log(log: &Log, faults: &mut Faults) {
    let readable = EnvFilter::try_new(&log.filter).is_ok();
    faults.unless(readable, "log.filter", "must be a level such as `info`, or `info,sluice_workers=debug`");
}
