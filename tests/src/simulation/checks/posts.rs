//! What webhook endpoints see.

use sluice_shared::domain::delivery::{Came, WebhookState};
use sluice_shared::domain::result::JobResult;

use super::super::clockwork::TaskId;
use super::{Checks, Invariant, Sight};

/// A webhook that took its outcome.
pub(super) struct Post {
    id: String,
}

impl Checks {
    /// A webhook is posted.
    pub(in super::super) fn posts(&mut self, task: TaskId, result: &JobResult, webhook: usize) {
        let id = result.event_id(webhook);
        if self.posts.iter().any(|post| post.id == id) {
            self.met(Sight::PostedAgain);
        }
        let known = self.recalled.get(&task);
        if known.is_some_and(|state| matches!(state.of(webhook), WebhookState::Delivered { .. })) {
            self.broken(Invariant::NoPostAfterDelivery, || {
                format!("{id} is posted, though it is known to be delivered")
            });
        }
    }

    /// This came of it.
    pub(in super::super) fn posted(&mut self, result: &JobResult, webhook: usize, came: &Came) {
        if *came != Came::Delivered {
            return;
        }
        let id = result.event_id(webhook);
        if self.calm && self.posts.iter().any(|post| post.id == id) {
            self.broken(Invariant::DeliveredOnce, || format!("{id} is delivered twice, and nothing went wrong"));
        }
        self.posts.push(Post { id });
        self.webhook_ended(result, webhook);
    }

    /// A webhook was delivered or given up.
    pub(in super::super) fn webhook_ended(&mut self, result: &JobResult, webhook: usize) {
        let life = self.lives.entry((result.job.clone(), result.incarnation.clone())).or_default();
        life.webhooks.insert(webhook);
    }
}
