//! One task a gate: gathers who waits, reserves for all of them in one swap, keeps the leases alive while calls are in
//! flight. It sleeps while nothing waits and nothing is in flight.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Weak};
use std::time::Duration;

use sluice_shared::clock;
use sluice_shared::domain::gate::{
    GateState, LEASE, Limits, Line, Nanos, Taken, Turns, effective, in_flight, next_expiry, next_slot, restate, take,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::handle::Inner;
use super::known::{Swapped, jitter};
use super::slot::{Closed, Permit};

/// The pause after the broker refused or could not be reached.
const TROUBLE: Duration = Duration::from_millis(200);
/// The pause after a lost swap, at most.
const CONFLICT: Duration = Duration::from_millis(2);
/// How much of the horizon is reserved ahead by a worker that had the last slots, and by others.
const HAD_THE_LAST: f64 = 0.7;
const OTHERS: Range<f64> = 0.8..0.95;
/// What is reserved beyond those who wait, at rates where a swap for each call would be too slow.
const AHEAD: Duration = Duration::from_millis(2);

/// Somebody who wants a slot.
pub(super) struct Waiter {
    /// Among whom it waits.
    pub(super) line: Arc<Line>,
    pub(super) tell: oneshot::Sender<Result<Permit, Closed>>,
}

/// Serves a gate until nobody holds it any more.
pub(super) async fn run(gate: Weak<Inner>, mut waiting: mpsc::UnboundedReceiver<Waiter>) {
    let Some((mut changes, ended, shutdown)) =
        gate.upgrade().map(|gate| (gate.shared.changes(), Arc::clone(&gate.ended), gate.context.shutdown.clone()))
    else {
        return;
    };
    let mut actor = Actor::default();
    let mut wake: Option<Instant> = None;
    loop {
        let busy = !actor.waiters.is_empty() || actor.stated > 0;
        tokio::select! {
            waiter = waiting.recv() => match waiter {
                Some(waiter) => actor.join(waiter),
                None => return,
            },
            changed = changes.changed(), if busy => if changed.is_err() { return },
            () = ended.notified(), if busy => {}
            () = shutdown.cancelled() => return,
            () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
        }
        while let Ok(waiter) = waiting.try_recv() {
            actor.join(waiter);
        }
        let Some(gate) = gate.upgrade() else { return };
        changes.mark_unchanged();
        wake = actor.step(&gate).await;
    }
}

/// What the task remembers from one step to the next.
#[derive(Default)]
struct Actor {
    waiters: Turns<Waiter>,
    /// Slots that were reserved ahead, each with a lease.
    spare: VecDeque<Nanos>,
    /// What the entry says that this worker has in flight, and since when.
    stated: u32,
    stated_at: Option<Instant>,
    /// How long a swap takes.
    latency: Duration,
    /// Whether the last slots that this worker asked for were its own.
    had_the_last: bool,
}

impl Actor {
    fn join(&mut self, waiter: Waiter) {
        self.waiters.push(&Arc::clone(&waiter.line), waiter);
    }

    /// Does what can be done now; says when to look again though nothing has changed.
    async fn step(&mut self, gate: &Arc<Inner>) -> Option<Instant> {
        self.waiters.retain(|waiter| !waiter.tell.is_closed());
        if !self.waiters.is_empty() && gate.shared.ensure_read().await.is_err() {
            return Some(Instant::now() + jitter(TROUBLE));
        }
        let now = clock::nanos();
        let known = gate.shared.known();
        let limits = effective(gate.configured, &known.state, now);
        if let Some(closed) = Closed::of(&known.state, now) {
            self.spare.clear();
            for waiter in self.waiters.clear() {
                let _ = waiter.tell.send(Err(closed));
            }
        }
        self.serve_from_spare(gate, now);
        let again = match self.waiters.is_empty() {
            true => None,
            false => Some(self.reserve(gate, &known.state, known.revision, limits).await),
        };
        let upkeep = self.keep_leases(gate, limits).await;
        again.into_iter().chain(upkeep).min()
    }

    fn serve_from_spare(&mut self, gate: &Arc<Inner>, now: Nanos) {
        self.spare.retain(|slot| *slot >= now);
        while !self.waiters.is_empty() {
            let Some(slot) = self.spare.pop_front() else { return };
            self.hand_out(gate, slot);
        }
    }

    /// To whose turn it is of those who still wait; kept for later where nobody does.
    fn hand_out(&mut self, gate: &Arc<Inner>, slot: Nanos) {
        let waiter = loop {
            match self.waiters.pop() {
                Some(waiter) if waiter.tell.is_closed() => {}
                Some(waiter) => break waiter,
                None => return self.spare.push_back(slot),
            }
        };
        // One that is refused at this very moment gives its place back by being dropped.
        let _ = waiter.tell.send(Ok(gate.permit(slot)));
    }

    /// One swap for all who wait.
    async fn reserve(&mut self, gate: &Arc<Inner>, state: &GateState, revision: u64, limits: Limits) -> Instant {
        let (context, horizon) = (&gate.context, gate.context.settings.horizon());
        // Slots begin when the swap will be answered: none of them is late then.
        let asked_at = clock::nanos();
        let (now, reach) = (asked_at.after(self.latency.min(horizon / 2)), horizon.mul_f64(self.reach()));
        let held = gate.held().saturating_add(count(self.spare.len()));
        let want = count(self.waiters.len()).saturating_add(self.ahead(limits));
        let Taken { state: next, slots, short } = take(state.clone(), &context.worker, held, want, limits, now, reach);
        if slots.is_empty() {
            return match short {
                // Room is made by a change that the watch tells, or by a death.
                true => match next_expiry(state, &context.worker, now) {
                    Some(expiry) => clock::instant(expiry) + jitter(CONFLICT * 10),
                    None => Instant::now() + LEASE / 3,
                },
                false => {
                    let reached = next_slot(state, limits, now).before(reach.mul_f64(0.9));
                    clock::instant(reached).max(Instant::now() + CONFLICT / 4)
                }
            };
        }
        let asked = Instant::now();
        let swapped = gate.shared.swap(next, revision).await;
        self.took(asked.elapsed());
        match swapped {
            Ok(Swapped::Done) => {
                self.stated = held.saturating_add(count(slots.len()));
                self.stated_at = Some(Instant::now());
                self.had_the_last = true;
                // A call that conforms already need not wait: those after it keep their distance from its slot.
                let first = (next_slot(state, limits, asked_at) <= asked_at).then_some(asked_at);
                let slots = first.into_iter().chain(slots.into_iter().skip(usize::from(first.is_some())));
                for slot in slots {
                    self.hand_out(gate, slot);
                }
                Instant::now()
            }
            // Unknown: the slots may be taken, so nobody uses them.
            Ok(Swapped::Lost | Swapped::Unknown) => {
                self.had_the_last = false;
                Instant::now() + jitter(CONFLICT)
            }
            Err(error) => {
                tracing::warn!(gate = %gate.shared.name, %error, "no slots could be reserved, trying again");
                Instant::now() + jitter(TROUBLE)
            }
        }
    }

    /// How much of the horizon is reserved ahead. Workers of one gate take turns: who had the last slots lets the others go
    /// first, and those draw lots, or whoever's way to the broker is a little shorter would have them all.
    fn reach(&self) -> f64 {
        if self.had_the_last { HAD_THE_LAST } else { rand::random_range(OTHERS) }
    }

    /// Slots beyond those who wait: none below a thousand a second.
    fn ahead(&self, limits: Limits) -> u32 {
        let each = u128::from(limits.interval.nanos());
        let within = u32::try_from(AHEAD.as_nanos() / each).unwrap_or(u32::MAX);
        if within < 2 { 0 } else { within.min(count(self.waiters.len()).saturating_mul(4)) }
    }

    fn took(&mut self, latency: Duration) {
        self.latency = if latency > self.latency { latency } else { (self.latency * 15 + latency) / 16 };
    }

    /// Renews the leases while calls are in flight; gives back promptly where the gate is short of them.
    async fn keep_leases(&mut self, gate: &Arc<Inner>, limits: Limits) -> Option<Instant> {
        let held = gate.held().saturating_add(count(self.spare.len()));
        if self.stated_at.is_none_or(|at| at.elapsed() >= LEASE) && held == 0 {
            self.stated = 0;
        }
        let now = clock::nanos();
        let short = in_flight(&gate.shared.known().state, now) >= limits.concurrency;
        let due = self.stated_at.is_none_or(|at| at.elapsed() >= LEASE / 3) && held > 0;
        if due || (short && self.stated > held) {
            let worker = gate.context.worker.clone();
            if !gate.shared.change(|state, now| Some(restate(state.clone(), &worker, held, now))).await {
                return Some(Instant::now() + jitter(TROUBLE));
            }
            (self.stated, self.stated_at) = (held, Some(Instant::now()));
        }
        // Without calls in flight one last look forgets what the entry says, when it has expired there.
        let next = if held > 0 { LEASE / 3 } else { LEASE };
        self.stated_at.filter(|_| self.stated > 0).map(|at| at + next)
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
