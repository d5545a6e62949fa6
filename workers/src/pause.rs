//! Whether a queue is paused, as its entry says: told to its pull and to every message of it that waits for a slot.
//!
//! Invariant: nothing of a paused queue is pulled, and nothing of it that is not on the wire yet is sent.

use tokio::sync::watch;

/// Tells whether a queue is paused.
#[derive(Debug)]
pub(crate) struct PauseTeller(watch::Sender<bool>);

/// Whether a queue is paused. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Pause(watch::Receiver<bool>);

/// A teller and what hears it.
pub(crate) fn pause(paused: bool) -> (PauseTeller, Pause) {
    let (tell, told) = watch::channel(paused);
    (PauseTeller(tell), Pause(told))
}

impl PauseTeller {
    /// The queue is paused now, or is not.
    pub(crate) fn tell(&self, paused: bool) {
        self.0.send_if_modified(|known| std::mem::replace(known, paused) != paused);
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
        if self.0.clone().wait_for(|now| *now == paused).await.is_err() {
            std::future::pending().await
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
