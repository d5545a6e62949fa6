//! What values are allowed: every fault with its key, all at once.

use std::time::Duration;

use super::Config;

/// What is not allowed in this configuration; empty where all is.
pub(super) fn faults(config: &Config) -> Vec<String> {
    let mut faults = Faults(Vec::new());
    topology(config, &mut faults);
    gateway_and_worker(config, &mut faults);
    gates(config, &mut faults);
    let delivery = &config.delivery;
    faults.unless(delivery.per_endpoint >= 1, "delivery.per_endpoint", "must be at least 1");
    faults.unless(delivery.concurrency >= 1, "delivery.concurrency", "must be at least 1");
    faults.unless((0.0..=1.0).contains(&delivery.jitter), "delivery.jitter", "must be from 0 to 1");
    faults.unless(delivery.timeout >= Duration::from_millis(100), "delivery.timeout", "must be at least 100ms");
    faults.unless(config.records.settled_ttl >= Duration::from_secs(60), "records.settled_ttl", "must be at least 1m");
    faults.unless(config.retry.base <= config.retry.cap, "retry.base", "must not be above retry.cap");
    faults.0
}

struct Faults(Vec<String>);

impl Faults {
    fn unless(&mut self, allowed: bool, key: &str, rule: &str) {
        if !allowed {
            self.0.push(format!("{key} {rule}"));
        }
    }
}

fn topology(config: &Config, faults: &mut Faults) {
    let topology = &config.topology;
    let token = !topology.prefix.is_empty()
        && topology.prefix.len() <= 32
        && topology.prefix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    faults.unless(token, "topology.prefix", "must be 1 to 32 characters of a-z, 0-9 and `-`");
    faults.unless((1..=1024).contains(&topology.shards), "topology.shards", "must be from 1 to 1024");
    faults.unless((1..=64).contains(&topology.record_buckets), "topology.record_buckets", "must be from 1 to 64");
    faults.unless(matches!(topology.replicas, 1 | 3 | 5), "topology.replicas", "must be 1, 3 or 5");
    let nats = &config.nats;
    faults.unless(nats.user.is_some() == nats.password.is_some(), "nats.user", "and nats.password go together");
    faults.unless(nats.tls_cert.is_some() == nats.tls_key.is_some(), "nats.tls_cert", "and nats.tls_key go together");
}

fn gateway_and_worker(config: &Config, faults: &mut Faults) {
    let (gateway, worker) = (&config.gateway, &config.worker);
    faults.unless(
        (0.1..=1.0).contains(&gateway.storage_watermark),
        "gateway.storage_watermark",
        "must be from 0.1 to 1",
    );
    faults.unless(gateway.max_batch >= 1, "gateway.max_batch", "must be at least 1");
    faults.unless(gateway.intake >= 1, "gateway.intake", "must be at least 1");
    faults.unless(worker.slots >= 1, "worker.slots", "must be at least 1");
    faults.unless(worker.ack_wait >= Duration::from_secs(15), "worker.ack_wait", "must be at least 15s");
    let kept = worker.response_limit.0;
    faults.unless((1024..=64 << 20).contains(&kept), "worker.response_limit", "must be from 1 KiB to 64 MiB");
    faults.unless(
        worker.attempt_timeout >= Duration::from_millis(10),
        "worker.attempt_timeout",
        "must be at least 10ms",
    );
    faults.unless(
        worker.sweep_interval >= Duration::from_millis(100),
        "worker.sweep_interval",
        "must be at least 100ms",
    );
}

fn gates(config: &Config, faults: &mut Faults) {
    let gate = &config.gate;
    let rate_allowed = |rate: f64| rate.is_finite() && (0.0001..=1_000_000.0).contains(&rate);
    faults.unless(rate_allowed(gate.rate), "gate.rate", "must be from 0.0001 to 1000000 requests a second");
    faults.unless(gate.burst >= 1, "gate.burst", "must be at least 1");
    faults.unless(gate.concurrency >= 1, "gate.concurrency", "must be at least 1");
    let horizon = Duration::from_millis(10)..=Duration::from_secs(5);
    faults.unless(horizon.contains(&gate.horizon), "gate.horizon", "must be from 10ms to 5s");
    for (name, one) in &gate.destinations {
        let key = |field: &str| format!("gate.destinations.\"{name}\".{field}");
        faults.unless(
            one.rate.is_none_or(rate_allowed),
            &key("rate"),
            "must be from 0.0001 to 1000000 requests a second",
        );
        faults.unless(one.burst != Some(0), &key("burst"), "must be at least 1");
        faults.unless(one.concurrency != Some(0), &key("concurrency"), "must be at least 1");
        let host_only = !name.contains('/') && *name == name.to_lowercase();
        faults.unless(host_only, &key(""), "is named by `host` or `host:port`, in lower case, without a scheme");
    }
}
