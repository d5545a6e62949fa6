//! Whether a queue is paused, as its entry says: told to its pull and to every message of it that waits for a slot.
//!
//! Invariant: nothing of a paused queue is pulled, and nothing of it that is not on the wire yet is sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Tells whether a queue is paused.
#[derive(Debug)]
pub(crate) struct PauseTeller(Pause);

/// Whether a queue is paused. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Pause(Arc<Told>);

#[derive(Debug)]
struct Told {
    paused: AtomicBool,
    changed: Notify,
}

/// A teller and what hears it.
pub(crate) fn pause(paused: bool) -> (PauseTeller, Pause) {
    let pause = Pause(Arc::new(Told { paused: AtomicBool::new(paused), changed: Notify::new() }));
    (PauseTeller(pause.clone()), pause)
}

impl PauseTeller {
    /// The queue is paused now, or is not.
    pub(crate) fn tell(&self, paused: bool) {
        let Pause(told) = &self.0;
        if told.paused.swap(paused, Ordering::AcqRel) != paused {
            told.changed.notify_waiters();
        }
    }
}

impl Pause {
    /// Resolves when it is paused; never where the queue is not pulled any more.
    pub(crate) async fn on(&self) {
        self.is(true).await;
    }

    /// Resolves when it is not paused; never where the queue is not pulled any more.
    pub(crate) async fn off(&self) {
        self.is(false).await;
    }

    async fn is(&self, paused: bool) {
        loop {
            // Those who begin to wait here are told of what changes from here on.
            let changed = self.0.changed.notified();
            if self.0.paused.load(Ordering::Acquire) == paused {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn whoever_waits_hears_of_a_pause_and_of_its_end() {
        let (teller, pause) = pause(false);
        assert!(pause.off().now_or_never().is_some() && pause.on().now_or_never().is_none());
        teller.tell(true);
        assert!(pause.on().now_or_never().is_some() && pause.off().now_or_never().is_none());
        teller.tell(false);
        assert!(pause.off().now_or_never().is_some());
    }

    #[test]
    fn a_queue_that_is_not_pulled_any_more_is_neither_paused_nor_resumed() {
        let (teller, pause) = pause(false);
        drop(teller);
        assert!(pause.on().now_or_never().is_none());
    }
}
