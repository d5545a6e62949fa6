//! One task a gate: gathers who waits, reserves for all of them in one swap, keeps the leases alive while calls are in
//! flight. It sleeps while nothing waits and nothing is in flight.
//!
//! A slot is nobody's until shortly before its time: whoever comes after it was reserved, and goes first, has it.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use sluice_shared::clock;
use sluice_shared::domain::gate::{FairQueue, Limits, Move, Nanos, Offer, Sight, Turn, effective, restate};
use tokio::time::{Instant, sleep_until};

use super::handle::Inner;
use super::inbox::Waiter;
use super::known::{Known, Swapped, jitter};
use super::slot::{Closed, latest_use};

/// The pause after the broker refused or could not be reached.
const TROUBLE: Duration = Duration::from_millis(200);

/// How long before its time a slot is given to whoever's turn it is: enough for both to be woken in between.
const LEAD: Duration = Duration::from_millis(5);

/// Serves a gate until nobody holds it any more.
pub(super) async fn run(gate: Weak<Inner>) {
    let Some((inbox, shutdown)) =
        gate.upgrade().map(|gate| (Arc::clone(&gate.shared.inbox), gate.context.shutdown.clone()))
    else {
        return;
    };
    let mut actor = Actor::default();
    let mut wake: Option<Instant> = None;
    loop {
        let busy = !actor.waiters.is_empty() || actor.turn.is_stated();
        tokio::select! {
            () = inbox.came() => {}
            () = inbox.news(), if busy => {}
            () = shutdown.cancelled() => return,
            () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
        }
        let Some(gate) = gate.upgrade() else { return };
        for waiter in inbox.take() {
            actor.join(waiter);
        }
        wake = actor.step(&gate).await;
    }
}

/// What the task remembers from one step to the next.
#[derive(Default)]
struct Actor {
    waiters: FairQueue<Waiter>,
    /// Slots that are nobody's yet, in order, each with a lease.
    slots: VecDeque<Nanos>,
    turn: Turn,
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
            self.slots.clear();
            self.turn.gives_up();
            for waiter in self.waiters.clear() {
                let _ = waiter.tell.send(Err(closed));
            }
        }
        self.serve(gate, limits, now);
        let again = match self.without_slot() {
            0 => None,
            _ => Some(self.reserve(gate, &known, limits).await),
        };
        self.serve(gate, limits, clock::nanos());
        let upkeep = self.keep_leases(gate, limits).await;
        again.into_iter().chain(self.next_slot()).chain(upkeep).min()
    }

    /// How many of those who wait need a slot that is not reserved yet.
    fn without_slot(&self) -> u32 {
        count(self.waiters.len().saturating_sub(self.slots.len()))
    }

    /// When the next slot is to be given to somebody who waits.
    fn next_slot(&self) -> Option<Instant> {
        self.slots.front().filter(|_| !self.waiters.is_empty()).map(|slot| clock::instant(slot.before(LEAD)))
    }

    /// Gives those who wait what may be used now.
    fn serve(&mut self, gate: &Arc<Inner>, limits: Limits, now: Nanos) {
        self.slots.retain(|slot| now.since(*slot) <= latest_use(limits));
        while !self.waiters.is_empty() {
            let due = self.slots.front().is_some_and(|slot| *slot <= now.after(LEAD));
            let slot = if due { self.slots.pop_front() } else { self.turn.uses_kept(limits, now).then_some(now) };
            let Some(slot) = slot else { return };
            self.hand_out(gate, slot);
        }
    }

    /// To whose turn it is of those who still wait; kept for later where nobody does.
    fn hand_out(&mut self, gate: &Arc<Inner>, slot: Nanos) {
        let waiter = loop {
            match self.waiters.pop() {
                Some(waiter) if waiter.tell.is_closed() => {}
                Some(waiter) => break waiter,
                None => return self.slots.push_front(slot),
            }
        };
        // One that is refused at this very moment gives its place back by being dropped.
        let _ = waiter.tell.send(Ok(gate.permit(slot)));
    }

    fn held(&self, gate: &Inner) -> u32 {
        gate.held().saturating_add(count(self.slots.len()))
    }

    /// One swap for all who wait; says when to look again.
    async fn reserve(&mut self, gate: &Arc<Inner>, known: &Known, limits: Limits) -> Instant {
        let (held, waiting) = (self.held(gate), self.without_slot());
        let (context, now) = (&gate.context, clock::nanos());
        let (worker, horizon) = (context.worker.as_str(), context.settings.horizon());
        let sight = Sight { worker, state: &known.state, limits, horizon, held, waiting, now };
        match self.turn.reserve(sight, rand::random()) {
            Move::Look(at) => clock::instant(at),
            Move::Swap(offer) => self.offer(gate, *offer, known.revision).await,
        }
    }

    async fn offer(&mut self, gate: &Arc<Inner>, offer: Offer, revision: u64) -> Instant {
        let asked = Instant::now();
        // A gate's task is small, for there are many.
        let swapped = Box::pin(gate.shared.swap(offer.state.clone(), revision)).await;
        self.turn.took(asked.elapsed());
        match swapped {
            Ok(Swapped::Done) => {
                self.slots.extend(self.turn.won(&offer, clock::nanos()));
                Instant::now()
            }
            Ok(Swapped::Lost | Swapped::Unknown) => clock::instant(self.turn.lost(clock::nanos(), rand::random())),
            Err(error) => {
                tracing::warn!(gate = %gate.shared.name, %error, "no slots could be reserved, trying again");
                Instant::now() + jitter(TROUBLE)
            }
        }
    }

    /// Renews the leases while calls are in flight; gives back promptly where the gate is short of them.
    async fn keep_leases(&mut self, gate: &Arc<Inner>, limits: Limits) -> Option<Instant> {
        let (held, waiting, known, now) = (self.held(gate), self.without_slot(), gate.shared.known(), clock::nanos());
        let (worker, horizon) = (gate.context.worker.as_str(), gate.context.settings.horizon());
        let sight = Sight { worker, state: &known.state, limits, horizon, held, waiting, now };
        if self.turn.must_restate(sight) {
            let restated = gate.shared.change(|state, now| Some(restate(state.clone(), worker, held, now)));
            if !Box::pin(restated).await {
                return Some(Instant::now() + jitter(TROUBLE));
            }
            self.turn.restated(held, clock::nanos());
        }
        self.turn.next_upkeep(held).map(clock::instant)
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
