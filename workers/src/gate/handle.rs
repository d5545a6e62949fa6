//! `Gates`, the gates of a process, and `Gate`, a handle to one of them.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use sluice_shared::clock::{self, Millis};
use sluice_shared::domain::gate::{
    self, GateState, Heard, Limits, Line, Nanos, RAMP, effective, is_another_limit, learn, reset, trip,
};
use sluice_shared::domain::id::{Destination, GateName};
use sluice_shared::gate_settings::GateSettings;
use sluice_shared::nats::Nats;
use sluice_shared::nats::bucket::Bucket;
use sluice_shared::queues::QueueEntry;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::actor;
use super::admit::GateSet;
use super::inbox::Waiter;
use super::known::Shared;
use super::slot::{Closed, Permit};
use super::watch;

/// The gates of this process. Cheap to clone.
#[derive(Clone)]
pub struct Gates {
    context: Arc<Context>,
}

/// What all gates of a process share.
pub(super) struct Context {
    pub(super) bucket: Bucket<GateState>,
    pub(super) settings: GateSettings,
    pub(super) worker: String,
    pub(super) shutdown: CancellationToken,
    gates: Mutex<HashMap<String, Weak<Inner>>>,
}

/// One gate of this process.
pub(super) struct Inner {
    pub(super) context: Arc<Context>,
    pub(super) shared: Shared,
    pub(super) configured: Limits,
    /// Whether limits are learned from answers.
    learns: bool,
    /// Failures in a row that open the circuit, and how many there were.
    circuit_failures: Option<u32>,
    failures: AtomicU32,
    /// Calls that have a lease: in flight, or waiting for the time of their slot.
    held: AtomicU32,
}

/// A gate as it is known at a moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The state in the broker.
    pub state: Arc<GateState>,
    /// The limits that count.
    pub limits: Limits,
    /// Until when it is closed, if it is.
    pub closed_until: Option<Millis>,
}

impl Gates {
    /// Begins to watch the gates. `worker` names this process among all workers. With `shutdown` all
    /// of it ends: nobody gets a slot any more, and leases are not renewed, so it comes when nothing is in flight.
    #[must_use]
    pub fn start(nats: &Nats, settings: GateSettings, worker: String, shutdown: CancellationToken) -> Self {
        let bucket = nats.bucket::<GateState>(&nats.topology().gates_bucket());
        let context = Arc::new(Context { bucket, settings, worker, shutdown, gates: Mutex::default() });
        tokio::spawn(watch::follow(Arc::downgrade(&context), context.bucket.watch(), context.shutdown.clone()));
        Self { context }
    }

    /// The gate of this name; all handles in the process are of the same.
    #[must_use]
    pub fn gate(&self, name: &GateName, destination: &Destination, account: Option<&str>) -> Gate {
        let mut gates = self.context.gates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(inner) = gates.get(name.as_str()).and_then(Weak::upgrade) {
            return Gate { inner };
        }
        // What is not used any more goes when something new comes.
        if gates.len() > 64 && gates.len() == gates.capacity() {
            gates.retain(|_, gate| gate.strong_count() > 0);
        }
        let bucket = self.context.bucket.clone();
        let inner = Arc::new(Inner {
            context: Arc::clone(&self.context),
            shared: Shared::new(name.clone(), bucket, destination.clone(), account.map(str::to_owned)),
            configured: self.context.settings.limits_of(name, destination),
            learns: self.context.settings.learns(destination),
            circuit_failures: self.context.settings.circuit_failures(destination),
            failures: AtomicU32::new(0),
            held: AtomicU32::new(0),
        });
        gates.insert(name.to_string(), Arc::downgrade(&inner));
        tokio::spawn(actor::run(Arc::downgrade(&inner)));
        Gate { inner }
    }

    /// The gates that a queue draws from.
    #[must_use]
    pub fn of_queue(&self, entry: &QueueEntry) -> GateSet {
        let (destination, account) = (&entry.destination, entry.account.as_deref());
        let gate = |name: &GateName| {
            let own = account.filter(|account| GateName::of(destination, Some(account)) == *name);
            self.gate(name, destination, own)
        };
        let line = Line { tenant: entry.tenant.clone(), account: entry.account.clone(), priority: entry.priority };
        GateSet::new(self.context.settings.gates_of(&entry.gates, destination).iter().map(gate).collect(), line)
    }
}

impl Context {
    pub(super) fn get(&self, name: &str) -> Option<Arc<Inner>> {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner).get(name).and_then(Weak::upgrade)
    }

    pub(super) fn all(&self) -> Vec<Arc<Inner>> {
        let gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates.values().filter_map(Weak::upgrade).collect()
    }
}

/// A gate. Cheap to clone.
#[derive(Clone)]
pub struct Gate {
    pub(super) inner: Arc<Inner>,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gate").field(&self.inner.shared.name).finish()
    }
}

impl Gate {
    /// What the gate is now, as far as this process knows.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.inner.snapshot()
    }

    /// Closes the gate for all workers, until a time or without one for longer each time. Says when it opens.
    pub async fn close(&self, until: Option<Millis>) -> Millis {
        let context = &self.inner.context;
        let max = context.settings.max_close();
        let wanted = until.map(Nanos::from);
        let written = self.inner.shared.change(|state, now| gate::close(state, wanted, now, max).0).await;
        if !written {
            tracing::warn!(gate = %self.inner.shared.name, "a gate could not be closed for the other workers");
        }
        let now = clock::nanos();
        let known = self.inner.shared.known().state.closed(now);
        // Unwritten, this job waits all the same.
        known.unwrap_or(now.after(if written { Duration::ZERO } else { RAMP })).to_millis()
    }

    /// Whether anything is learned from its destination's answers.
    #[must_use]
    pub fn learns(&self) -> bool {
        self.inner.learns
    }

    /// Changes the limits for all workers by what an answer said; most answers say nothing new and cost no write.
    pub async fn learn(&self, heard: &Heard) {
        if heard.is_silent() || !self.inner.learns {
            return;
        }
        let (gate, configured) = (&self.inner.shared, self.inner.configured);
        let before = gate.known().state;
        // Of those who hear it at once, one writes it and tells: the last look of all others finds it known.
        let learned = AtomicBool::new(false);
        let change = |state: &GateState, now| {
            let changed = learn(state, configured, heard, now);
            learned.store(changed.is_some(), Ordering::Relaxed);
            changed
        };
        if !gate.change(change).await {
            tracing::warn!(gate = %gate.name, "a learned limit could not be written");
            return;
        }
        if learned.into_inner() {
            self.tell(&before);
        }
    }

    /// A call that was sent at `sent_at` failed, with this status or without an answer: so many in a row open the circuit, and
    /// one is enough where it is half open. Whether it was this that opened it.
    pub async fn failed(&self, status: Option<u16>, sent_at: Nanos) -> bool {
        let Some(most) = self.inner.circuit_failures else { return false };
        let (gate, pause) = (&self.inner.shared, self.inner.context.settings.circuit_pause());
        let in_a_row = self.inner.failures.fetch_add(1, Ordering::AcqRel).saturating_add(1);
        if in_a_row < most && gate.known().state.circuit.is_none() {
            return false;
        }
        let opened = AtomicBool::new(false);
        let change = |state: &GateState, now| {
            let tripped = trip(state, status, sent_at, pause, now);
            opened.store(tripped.is_some(), Ordering::Relaxed);
            tripped
        };
        if !gate.change(change).await {
            tracing::warn!(gate = %gate.name, "a circuit could not be opened for the other workers");
            return false;
        }
        self.inner.failures.store(0, Ordering::Release);
        let opened = opened.into_inner();
        if opened {
            let until = gate.known().state.circuit.map(|circuit| circuit.until.to_millis());
            tracing::warn!(gate = %gate.name, failures = in_a_row, status, ?until, "a circuit opened: its destination does not work");
        }
        opened
    }

    /// A call that was sent at `sent_at` worked: failures in a row are counted anew, and a circuit that is half open closes.
    pub async fn worked(&self, sent_at: Nanos) {
        self.inner.failures.store(0, Ordering::Release);
        let gate = &self.inner.shared;
        if gate.known().state.circuit.is_none() {
            return;
        }
        if gate.change(|state, now| reset(state, sent_at, now)).await {
            if gate.known().state.circuit.is_none() {
                tracing::info!(gate = %gate.name, "a circuit closed: its destination works again");
            }
        } else {
            tracing::warn!(gate = %gate.name, "a circuit could not be closed for the other workers");
        }
    }

    /// Tells people of another limit. Of names that destinations give their limits nothing is said: they may be keys.
    fn tell(&self, before: &GateState) {
        let (state, now) = (self.inner.shared.known().state, clock::nanos());
        let limits = effective(self.inner.configured, &state, now);
        let seconds = limits.interval.duration().as_secs_f64();
        let mut sources: Vec<&str> = state.learned.iter().map(|learned| learned.source.as_str()).collect();
        sources.extend(state.announced.iter().filter(|one| now < one.expires_at).map(|one| one.source.as_str()));
        sources.extend(state.backoff.filter(|backoff| now < backoff.expires_at).map(|_| "429"));
        let (gate, sources) = (&self.inner.shared.name, sources.join(", "));
        if is_another_limit(before, &state) {
            tracing::info!(%gate, seconds_between_calls = seconds, concurrency = limits.concurrency, %sources, "a gate learned a limit");
        } else {
            tracing::debug!(%gate, seconds_between_calls = seconds, %sources, "a gate learned what is left of a limit");
        }
    }

    /// A slot reserved for the caller, and a lease; the time of the slot has not come yet.
    pub(super) async fn reserve(&self, line: &Arc<Line>) -> Result<Permit, Closed> {
        let (tell, told) = oneshot::channel();
        self.inner.shared.inbox.join(Waiter { line: Arc::clone(line), tell });
        match told.await {
            Ok(answer) => answer,
            // The shutdown: nothing is sent any more.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Inner {
    pub(super) fn snapshot(&self) -> Snapshot {
        let now = clock::nanos();
        let state = self.shared.known().state;
        let limits = effective(self.configured, &state, now);
        let closed_until = state.closed(now).map(Nanos::to_millis);
        Snapshot { state, limits, closed_until }
    }

    pub(super) fn held(&self) -> u32 {
        self.held.load(Ordering::Acquire)
    }

    /// A permit for a slot that was written.
    pub(super) fn permit(self: &Arc<Self>, slot: Nanos) -> Permit {
        self.held.fetch_add(1, Ordering::AcqRel);
        Permit { at: clock::instant(slot), gate: Arc::clone(self) }
    }

    pub(super) fn over(&self) {
        self.held.fetch_sub(1, Ordering::AcqRel);
        self.shared.inbox.tell();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.inbox.close();
    }
}
