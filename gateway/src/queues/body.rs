//! A queue as those see it who ask: the JSON shape of `GET /v1/queues/{queue}` and of the items of `GET /v1/queues`. Pure.

use schemars::JsonSchema;
use serde::Serialize;
use sluice_shared::clock::Millis;
use sluice_shared::domain::gate::{self, GateState, Limits, Nanos, Source, effective, in_flight, sources};
use sluice_shared::domain::id::{GateName, QueueName, Region};
use sluice_shared::domain::job::Priority;
use sluice_shared::queues::QueueEntry;

/// A page of queues.
#[derive(Debug, Serialize, JsonSchema)]
pub struct QueueList {
    /// The queues, by name.
    pub queues: Vec<QueueBody>,
    /// Where the next page begins; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// A queue.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Queue")]
pub struct QueueBody {
    /// Its name.
    pub queue: String,
    /// Whose jobs wait in it.
    pub tenant: String,
    /// Where they go: `host[:port]`.
    pub destination: String,
    /// The account there, where it has a queue of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Whether it goes before others or after them.
    pub priority: Priority,
    /// The regions whose workers pull it, the preferred first; absent where all do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<Region>,
    /// Whether others pull it where none of these has a worker, as the job says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region_policy: Option<&'static str>,
    /// Whether its jobs are sent.
    pub state: QueueState,
    /// Since when it is paused, milliseconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_since: Option<Millis>,
    /// How much is in it; absent where the broker did not say in time.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub depth: Option<Depth>,
    /// The gates that a call takes a permit from; those that could not be read in time are left out.
    pub gates: Vec<GateBody>,
}

/// Whether a queue's jobs are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QueueState {
    /// As fast as its gates allow.
    Active,
    /// Not before it is resumed.
    Paused,
    /// Nothing came for it for a day, and it is being removed; a job that comes keeps it.
    Closing,
}

/// How much is in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Depth {
    /// Messages that no worker was given yet, those of jobs that have ended without them included.
    pub depth: u64,
    /// Messages that workers have in hand, or gave back because of a closed gate.
    pub in_flight: u64,
    /// For how long the oldest of all these has waited, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_age_ms: Option<u64>,
}

/// A gate.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Gate")]
pub struct GateBody {
    /// Its name.
    pub gate: String,
    /// That it is the one which all accounts of the destination share; absent where it is not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub shared: bool,
    /// Calls a second.
    pub rate: Limit<f64>,
    /// Calls that may go at once after a pause.
    pub burst: Limit<u32>,
    /// Calls in flight, over all workers.
    pub concurrency: Limit<u32>,
    /// Calls that are in flight, of all queues of this gate; absent for a tenant, who does not see others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<u32>,
    /// Whether calls are let through.
    pub open: bool,
    /// Until when it is closed, milliseconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_until: Option<Millis>,
    /// The circuit of the destination, where that does not work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub circuit: Option<CircuitBody>,
    /// What was learned from the destination's answers, as long as it counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub learned: Vec<LearnedBody>,
    /// What an operator set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<OperatorBody>,
}

/// A circuit that is not closed.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Circuit")]
pub struct CircuitBody {
    /// Whether nothing is sent, or one call at a time to find out whether the destination works.
    pub state: CircuitState,
    /// Since when, milliseconds since the epoch.
    pub opened_at: Millis,
    /// When it is half open, milliseconds since the epoch.
    pub until: Millis,
    /// The status of the failure that opened it; absent where there was no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

/// The state of a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CircuitState {
    /// Nothing is sent.
    Open,
    /// One call at a time.
    HalfOpen,
}

/// A limit that counts now.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct Limit<T> {
    /// How much.
    pub value: T,
    /// Who says so.
    pub source: Source,
}

/// What a destination announced, or what was found out because it refused calls.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "LearnedLimit")]
pub struct LearnedBody {
    /// Calls a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Of a limit, or of what is left of one: so many calls,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<u64>,
    /// in so many milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_ms: Option<u64>,
    /// Whether these calls are what is left of the limit.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub left: bool,
    /// Which of several limits it is, where that was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Calls in flight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// The header that said so; `429` where it was found out by refusals.
    pub source: String,
    /// When, milliseconds since the epoch.
    pub at: Millis,
    /// Until when it counts; for good where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Millis>,
}

/// What an operator set.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "OperatorLimits")]
pub struct OperatorBody {
    /// Calls a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Calls at once after a pause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// Calls in flight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// When the last of them was set, milliseconds since the epoch.
    pub at: Millis,
}

impl QueueState {
    /// That of an entry.
    #[must_use]
    pub fn of(entry: &QueueEntry) -> Self {
        match (entry.paused_since, entry.closing_since) {
            (Some(_), _) => Self::Paused,
            (None, Some(_)) => Self::Closing,
            (None, None) => Self::Active,
        }
    }
}

impl QueueBody {
    pub(super) fn new(name: &QueueName, entry: &QueueEntry, depth: Option<Depth>, gates: Vec<GateBody>) -> Self {
        Self {
            queue: name.to_string(),
            tenant: entry.tenant.to_string(),
            destination: entry.destination.to_string(),
            account: entry.account.clone(),
            priority: entry.priority,
            regions: entry.place.regions.clone(),
            region_policy: (!entry.place.is_anywhere()).then_some(entry.place.policy.as_str()),
            state: QueueState::of(entry),
            paused_since: entry.paused_since,
            depth,
            gates,
        }
    }
}

impl GateBody {
    pub(super) fn new(name: &GateName, configured: Limits, state: &GateState, now: Nanos) -> Self {
        let (limits, sources) = (effective(configured, state, now), sources(configured, state, now));
        let closed = state.closed(now);
        Self {
            gate: name.to_string(),
            shared: *name == GateName::shared(&state.destination),
            rate: Limit { value: limits.interval.per_second(), source: sources.rate },
            burst: Limit { value: limits.burst, source: sources.burst },
            concurrency: Limit { value: limits.concurrency, source: sources.concurrency },
            in_flight: Some(in_flight(state, now)),
            open: closed.is_none(),
            closed_until: closed.map(Nanos::to_millis),
            circuit: state.circuit.map(|circuit| CircuitBody::of(circuit, now)),
            learned: learned(state, now),
            operator: state.operator.as_ref().map(OperatorBody::from),
        }
    }
}

impl CircuitBody {
    fn of(circuit: gate::Circuit, now: Nanos) -> Self {
        Self {
            state: if circuit.until > now { CircuitState::Open } else { CircuitState::HalfOpen },
            opened_at: circuit.opened_at.to_millis(),
            until: circuit.until.to_millis(),
            status: circuit.status,
        }
    }
}

impl GateBody {
    /// The same without what it shows of other tenants.
    pub(super) fn without_others(self) -> Self {
        Self { in_flight: None, ..self }
    }
}

/// All that counts now.
fn learned(state: &GateState, now: Nanos) -> Vec<LearnedBody> {
    let counts = |end: Option<Nanos>| end.is_none_or(|end| now < end);
    let outright = state.learned.iter().filter(|one| counts(one.expires_at)).map(LearnedBody::from);
    let announced = state.announced.iter().filter(|one| counts(Some(one.expires_at))).map(LearnedBody::from);
    let found_out = state.backoff.iter().filter(|one| counts(Some(one.expires_at)));
    let found_out = found_out.map(|one| LearnedBody {
        rate: Some(one.interval_at(now).per_second()),
        ..LearnedBody::said("429", one.at, Some(one.expires_at))
    });
    outright.chain(announced).chain(found_out).collect()
}

impl LearnedBody {
    fn said(source: &str, at: Nanos, until: Option<Nanos>) -> Self {
        Self {
            rate: None,
            calls: None,
            window_ms: None,
            left: false,
            name: None,
            concurrency: None,
            source: source.to_owned(),
            at: at.to_millis(),
            until: until.map(Nanos::to_millis),
        }
    }
}

impl From<&gate::Learned> for LearnedBody {
    fn from(learned: &gate::Learned) -> Self {
        Self {
            rate: learned.interval.map(gate::Interval::per_second),
            concurrency: learned.concurrency,
            ..Self::said(&learned.source, learned.learned_at, learned.expires_at)
        }
    }
}

impl From<&gate::Announced> for LearnedBody {
    fn from(announced: &gate::Announced) -> Self {
        Self {
            rate: Some(announced.interval().per_second()),
            calls: Some(announced.calls),
            window_ms: Some(announced.window / 1_000_000),
            left: announced.left,
            name: announced.name.clone(),
            ..Self::said(&announced.source, announced.learned_at, Some(announced.expires_at))
        }
    }
}

impl From<&gate::Operator> for OperatorBody {
    fn from(own: &gate::Operator) -> Self {
        Self {
            rate: own.interval.map(gate::Interval::per_second),
            burst: own.burst,
            concurrency: own.concurrency,
            at: own.set_at.to_millis(),
        }
    }
}
