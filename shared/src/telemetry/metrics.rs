//! The counts of a process, and their text for Prometheus.
//!
//! Knows no role: each counts what it does, the others stay at zero. Invariant: labels come from closed lists.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry, Unit};

use super::labels::{Denial, Healed, Label, Operation, Submitted, Via, Webhook};
use crate::domain::outcome::{Class, Status};
use crate::nats::dead::DeadKind;

/// Upper bounds of buckets for what the broker does, in seconds.
const BROKER_SECONDS: [f64; 10] = [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0];
/// Upper bounds of buckets for calls over the network, in seconds.
const CALL_SECONDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0];
/// Upper bounds of buckets for waits and for whole jobs, in seconds: up to a day.
const JOB_SECONDS: [f64; 14] =
    [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1_800.0, 14_400.0, 86_400.0];

/// The label values of one count: `(label, value)` pairs.
type One = [(&'static str, &'static str); 1];
type Two = [(&'static str, &'static str); 2];
type Timed = Family<One, Histogram, fn() -> Histogram>;

/// The counts of a process. Cheap to clone: all clones count together.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    registry: Registry,
    submitted: Family<Two, Counter>,
    denied: Family<One, Counter>,
    attempts: Family<One, Counter>,
    attempt_seconds: Timed,
    in_flight: Gauge,
    settled: Family<One, Counter>,
    job_seconds: Timed,
    dropped: Counter,
    gate_wait_seconds: Histogram,
    gates_closed: Counter,
    circuits_opened: Counter,
    set_aside: Family<One, Counter>,
    webhooks: Family<One, Counter>,
    webhook_seconds: Timed,
    healed: Family<One, Counter>,
    nats_seconds: Timed,
    nats_repeats: Family<One, Counter>,
    clients_waiting: Gauge,
}

/// A call that is on the wire, or a client that waits: counted as such until this is dropped.
#[derive(Debug)]
#[must_use = "it counts as ended when this is dropped"]
pub struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// All counts, at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("sluice");
        let to = &mut registry;
        let counts = Counts {
            submitted: submissions(to),
            denied: by::<Denial>(to, "requests_denied", "Requests over HTTP that were not let in"),
            attempts: by::<Class>(to, "attempts", "Calls that destinations answered or failed to answer"),
            attempt_seconds: timed::<Class>(to, "attempt_duration", "From send to the end of the answer", || {
                Histogram::new(CALL_SECONDS)
            }),
            in_flight: add(to, "attempts_in_flight", "Calls on the wire", Gauge::default()),
            settled: by::<Status>(to, "jobs_settled", "Jobs that this process settled"),
            job_seconds: timed::<Status>(to, "job_duration", "From acceptance to settlement", || {
                Histogram::new(JOB_SECONDS)
            }),
            dropped: add(to, "messages_dropped", "Messages whose work was done already", Counter::default()),
            gate_wait_seconds: add_seconds(
                to,
                "gate_wait",
                "What a call waited for its slot",
                Histogram::new(JOB_SECONDS),
            ),
            gates_closed: add(to, "gates_closed", "Times that an answer closed a gate", Counter::default()),
            circuits_opened: add(
                to,
                "circuits_opened",
                "Times that failures in a row opened a circuit",
                Counter::default(),
            ),
            set_aside: by::<DeadKind>(to, "messages_set_aside", "What became a dead letter"),
            webhooks: by::<Webhook>(to, "webhooks", "Posts of webhooks"),
            webhook_seconds: timed::<Webhook>(to, "webhook_duration", "One post of a webhook", || {
                Histogram::new(CALL_SECONDS)
            }),
            healed: by::<Healed>(to, "sweep_healed", "What the sweep put right"),
            nats_seconds: timed::<Operation>(
                to,
                "nats_request_duration",
                "Requests to the broker, repeats included",
                || Histogram::new(BROKER_SECONDS),
            ),
            nats_repeats: by::<Operation>(to, "nats_request_repeats", "Requests to the broker sent again"),
            clients_waiting: add(
                to,
                "clients_waiting",
                "Clients that wait for a job: long polls and event streams",
                Gauge::default(),
            ),
            registry,
        };
        Self(Arc::new(counts))
    }

    /// Counts a submission.
    pub fn submitted(&self, via: Via, outcome: Submitted) {
        self.0.submitted.get_or_create(&pair(via, outcome)).inc();
    }

    /// Counts a request over HTTP that was not let in.
    pub fn denied(&self, why: Denial) {
        self.0.denied.get_or_create(&label(why)).inc();
    }

    /// Counts a call as being on the wire until what is returned is dropped.
    pub fn attempt_started(&self) -> InFlight {
        self.0.in_flight.inc();
        InFlight(self.0.in_flight.clone())
    }

    /// Counts a client as waiting for a job until what is returned is dropped.
    pub fn client_waits(&self) -> InFlight {
        self.0.clients_waiting.inc();
        InFlight(self.0.clients_waiting.clone())
    }

    /// Counts a call that ended, and how long it took.
    pub fn attempted(&self, answer: Class, took: Duration) {
        self.0.attempts.get_or_create(&label(answer)).inc();
        self.0.attempt_seconds.get_or_create(&label(answer)).observe(took.as_secs_f64());
    }

    /// Counts a job that this process settled, and how long it took since it was accepted.
    pub fn settled(&self, status: Status, since_accepted: Duration) {
        self.0.settled.get_or_create(&label(status)).inc();
        self.0.job_seconds.get_or_create(&label(status)).observe(since_accepted.as_secs_f64());
    }

    /// Counts a message that was dropped because its work was done already.
    pub fn dropped(&self) {
        self.0.dropped.inc();
    }

    /// Counts what a call waited for its slot at the gate.
    pub fn waited_at_gate(&self, waited: Duration) {
        self.0.gate_wait_seconds.observe(waited.as_secs_f64());
    }

    /// Counts an answer that closed a gate.
    pub fn gate_closed(&self) {
        self.0.gates_closed.inc();
    }

    /// Counts a circuit that opened.
    pub fn circuit_opened(&self) {
        self.0.circuits_opened.inc();
    }

    /// Counts what became a dead letter.
    pub fn set_aside(&self, kind: DeadKind) {
        self.0.set_aside.get_or_create(&label(kind)).inc();
    }

    /// Counts one post of a webhook, and how long it took.
    pub fn webhook(&self, result: Webhook, took: Duration) {
        self.0.webhooks.get_or_create(&label(result)).inc();
        self.0.webhook_seconds.get_or_create(&label(result)).observe(took.as_secs_f64());
    }

    /// Counts what the sweep put right.
    pub fn healed(&self, what: Healed) {
        self.0.healed.get_or_create(&label(what)).inc();
    }

    /// Counts a request to the broker: how long it took with its repeats, and how many of those there were.
    pub fn nats_request(&self, operation: Operation, took: Duration, repeats: u32) {
        self.0.nats_seconds.get_or_create(&label(operation)).observe(took.as_secs_f64());
        self.0.nats_repeats.get_or_create(&label(operation)).inc_by(u64::from(repeats));
    }

    /// All counts as OpenMetrics text, which Prometheus reads.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail; half a text would be refused by its reader for the missing end mark.
        if let Err(error) = encode(&mut text, &self.0.registry) {
            tracing::error!(%error, "the counts could not be written");
        }
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn label<L: Label>(value: L) -> One {
    [(L::NAME, value.value())]
}

fn pair<A: Label, B: Label>(first: A, second: B) -> Two {
    [(A::NAME, first.value()), (B::NAME, second.value())]
}

fn add<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

fn add_seconds<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register_with_unit(name, help, Unit::Seconds, metric.clone());
    metric
}

/// A count for each value of a label. All are there from the start, so that a first event is seen as an increase.
fn by<L: Label>(registry: &mut Registry, name: &str, help: &str) -> Family<One, Counter> {
    let family = Family::<One, Counter>::default();
    for value in L::ALL {
        drop(family.get_or_create(&label(*value)));
    }
    add(registry, name, help, family)
}

fn timed<L: Label>(registry: &mut Registry, name: &str, help: &str, buckets: fn() -> Histogram) -> Timed {
    let family = Timed::new_with_constructor(buckets);
    for value in L::ALL {
        drop(family.get_or_create(&label(*value)));
    }
    add_seconds(registry, name, help, family)
}

fn submissions(registry: &mut Registry) -> Family<Two, Counter> {
    let family = Family::<Two, Counter>::default();
    for via in Via::ALL {
        for outcome in Submitted::ALL {
            drop(family.get_or_create(&pair(*via, *outcome)));
        }
    }
    add(registry, "jobs_submitted", "Submissions by how they came and what became of them", family)
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
