//! How many messages a queue may have in hand: as many as its gates will let through soon, never more.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use sluice_shared::clock;
use sluice_shared::domain::gate::Line;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use super::handle::Gate;
use super::slot::{Closed, Slot, latest_use};
use crate::pause::Pause;

/// How soon it is looked again whether the limits have been raised, where too much is in hand.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// So many more than may be in flight, so that when a call ends each queue of its gate has somebody who waits for a turn.
const NEXT: u32 = 1;

/// The gates that a queue draws from: a permit is taken from each. Clones count together.
///
/// Each set counts for itself: an idle queue's open pull keeps nothing from another queue of the same gate.
#[derive(Clone, Debug)]
pub struct GateSet {
    gates: Arc<[Gate]>,
    /// Among whom it waits at them.
    line: Arc<Line>,
    counts: Arc<Counts>,
    /// Whether the queue that draws from them is paused, where it can be.
    pause: Option<Pause>,
}

#[derive(Debug, Default)]
struct Counts {
    held: AtomicU32,
    /// Of these, without a slot so far.
    waiting: AtomicU32,
    changed: Notify,
}

/// The right to have one message in hand. Dropping it gives it back.
pub struct Hold {
    set: GateSet,
    waits: AtomicBool,
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold").field("gates", &self.set.gates).finish_non_exhaustive()
    }
}

impl From<Gate> for GateSet {
    fn from(gate: Gate) -> Self {
        Self::new(vec![gate], Line::default())
    }
}

impl GateSet {
    /// A set of gates, and the line in which it waits for its turn at each.
    #[must_use]
    pub fn new(gates: Vec<Gate>, line: Line) -> Self {
        Self { gates: gates.into(), line: line.into(), counts: Arc::default(), pause: None }
    }

    /// The same for a queue that can be paused.
    pub(crate) fn paused_by(self, pause: Pause) -> Self {
        Self { pause: Some(pause), ..self }
    }

    /// Waits until the gates are open and at least one more message may be in hand; then gives as many as may, up to
    /// `max`.
    pub async fn admit(&self, max: usize) -> Vec<Hold> {
        loop {
            for gate in self.gates.iter() {
                // What cannot be read now is read before a slot is taken.
                let _ = gate.inner.shared.ensure_read().await;
            }
            let changed = self.counts.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(wait) = self.closed_for() {
                sleep(wait).await;
                continue;
            }
            let taken = self.take(u32::try_from(max.max(1)).unwrap_or(u32::MAX));
            if taken > 0 {
                let hold = || Hold { set: self.clone(), waits: AtomicBool::new(true) };
                return std::iter::repeat_with(hold).take(usize::try_from(taken).unwrap_or(1)).collect();
            }
            // Whether the limits were changed is seen by looking again.
            tokio::select! {
                () = changed => {}
                () = sleep(LOOK_AGAIN) => {}
            }
        }
    }

    /// For how long nothing is to be had in hand. While a circuit is open messages are looked at all the same: their fallbacks
    /// start, and they are given back.
    fn closed_for(&self) -> Option<Duration> {
        let now = clock::nanos();
        let states = || self.gates.iter().map(|gate| gate.inner.shared.known().state);
        if states().any(|state| state.tripped(now).is_some()) {
            return None;
        }
        states().filter_map(|state| state.closed(now)).map(|until| until.since(now)).max()
    }

    fn take(&self, max: u32) -> u32 {
        let room = |(held, waiting): (u32, u32)| {
            let each = self.gates.iter().map(|gate| {
                let limits = gate.snapshot().limits;
                let soon = gate.inner.context.settings.horizon().as_nanos() / u128::from(limits.interval.nanos()) + 1;
                let soon = u32::try_from(soon).unwrap_or(u32::MAX).max(limits.burst);
                limits.concurrency.saturating_add(NEXT).saturating_sub(held).min(soon.saturating_sub(waiting))
            });
            each.min().unwrap_or(u32::MAX).min(max)
        };
        let counts = &self.counts;
        let taken = room((counts.held.load(Ordering::Acquire), counts.waiting.load(Ordering::Acquire)));
        counts.held.fetch_add(taken, Ordering::AcqRel);
        counts.waiting.fetch_add(taken, Ordering::AcqRel);
        taken
    }

    fn latest_use(&self) -> Duration {
        self.gates.iter().map(|gate| latest_use(gate.snapshot().limits)).min().unwrap_or_default()
    }
}

impl Hold {
    /// The gate that this destination's answers close and teach: the first of the set.
    ///
    /// # Panics
    /// Never: a queue draws from one gate at least.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.set.gates[0]
    }

    /// Resolves when the queue is paused: nothing of it is sent then.
    pub(crate) async fn paused(&self) {
        match &self.set.pause {
            Some(pause) => pause.on().await,
            None => std::future::pending().await,
        }
    }

    /// Waits for a slot of every gate and for its time: send when this returns. A slot that was missed because the
    /// process stalled is given up and another one reserved.
    ///
    /// # Errors
    /// [`Closed`] where a gate is closed, or was when the time had come.
    pub async fn slot(&self) -> Result<Slot, Closed> {
        loop {
            // One after another: who cannot go yet by its own gate takes nothing of what it shares with others.
            let mut permits = Vec::with_capacity(self.set.gates.len());
            for gate in self.set.gates.iter() {
                permits.push(gate.reserve(&self.set.line).await?);
            }
            let at = permits.iter().map(|permit| permit.at).max().unwrap_or_else(Instant::now);
            // A timer rounds up to a millisecond, also where its time has come.
            if at > Instant::now() {
                sleep_until(at).await;
            }
            for gate in self.set.gates.iter() {
                let now = clock::nanos();
                if let Some(closed) = Closed::of(&gate.inner.shared.known().state, now) {
                    return Err(closed);
                }
            }
            if at.elapsed() <= self.set.latest_use() {
                self.waits_no_more();
                return Ok(Slot { at, permits });
            }
        }
    }

    fn waits_no_more(&self) {
        if self.waits.swap(false, Ordering::AcqRel) {
            self.set.counts.waiting.fetch_sub(1, Ordering::AcqRel);
            self.set.counts.changed.notify_waiters();
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.waits_no_more();
        self.set.counts.held.fetch_sub(1, Ordering::AcqRel);
        self.set.counts.changed.notify_waiters();
    }
}
