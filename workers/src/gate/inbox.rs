//! What the task of a gate is told: who waits for a slot, and that something has changed. A fraction of the size of channels,
//! for there may be ten thousand gates.

use std::sync::{Arc, Mutex, PoisonError};

use sluice_shared::domain::gate::Line;
use tokio::sync::{Notify, oneshot};

use super::slot::{Closed, Permit};

/// Somebody who wants a slot.
pub(super) struct Waiter {
    /// Among whom it waits.
    pub(super) line: Arc<Line>,
    pub(super) tell: oneshot::Sender<Result<Permit, Closed>>,
}

/// Where waiters and news are left for the task.
#[derive(Default)]
pub(super) struct Inbox {
    waiters: Mutex<Vec<Waiter>>,
    came: Notify,
    news: Notify,
}

impl Inbox {
    /// Leaves a waiter for the task.
    pub(super) fn join(&self, waiter: Waiter) {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner).push(waiter);
        self.came.notify_one();
    }

    /// Takes out all that have come.
    pub(super) fn take(&self) -> Vec<Waiter> {
        std::mem::take(&mut *self.waiters.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells that the gate's state has changed, or that a call is over.
    pub(super) fn tell(&self) {
        self.news.notify_one();
    }

    /// Wakes the task, which finds that the gate is not used any more.
    pub(super) fn close(&self) {
        self.came.notify_one();
    }

    /// Resolves when a waiter has come since it last did, or the gate is not used any more.
    pub(super) async fn came(&self) {
        self.came.notified().await;
    }

    /// Resolves when there was news since it last did.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }
}
