//! What webhook endpoints see.

use sluice_shared::domain::delivery::{Came, WebhookState};
use sluice_shared::domain::result::JobResult;

use super::super::clockwork::TaskId;
use super::{Checks, Invariant, Sight};

/// A webhook that took its outcome.
pub(super) struct Post {
    id: String,
    /// The message in hand.
    sequence: u64,
    /// The message was let go of for good.
    let_go: bool,
}

impl Checks {
    /// A webhook is posted: for a result, which may be a copy, or because its time has come.
    pub(in super::super) fn posts(&mut self, task: TaskId, result: &JobResult, webhook: usize, copy: Option<u64>) {
        let id = result.event_id(webhook);
        let done = |post: &&Post| post.id == id && post.let_go && copy.is_some_and(|copy| copy != post.sequence);
        // Whoever stood still for so long that the message was taken from it cannot know.
        let knows = !self.disowned.contains(&task);
        if let Some(before) = self.posts.iter().find(done).filter(|_| knows).map(|post| post.sequence) {
            self.broken(Invariant::DeliveredOnce, || {
                format!("{id} is posted for {copy:?}, though it was delivered for #{before}, which was let go of")
            });
        }
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
    pub(in super::super) fn posted(&mut self, result: &JobResult, webhook: usize, came: &Came, sequence: u64) {
        if *came != Came::Delivered {
            return;
        }
        let id = result.event_id(webhook);
        if self.calm && self.posts.iter().any(|post| post.id == id) {
            self.broken(Invariant::DeliveredOnce, || format!("{id} is delivered twice, and nothing went wrong"));
        }
        self.posts.push(Post { id, sequence, let_go: false });
        self.webhook_ended(result, webhook);
    }

    /// The broker had no room to remember what was delivered: a copy of the result is posted again.
    pub(in super::super) fn not_remembered(&mut self, result: &JobResult) {
        let ids: Vec<String> = (0..result.webhooks.len()).map(|webhook| result.event_id(webhook)).collect();
        self.posts.retain(|post| !ids.contains(&post.id));
    }

    /// A message was let go of for good, and with it all that was posted for it.
    pub(super) fn posts_are_done(&mut self, sequence: u64) {
        for post in self.posts.iter_mut().filter(|post| post.sequence == sequence) {
            post.let_go = true;
        }
    }

    /// A webhook was delivered or given up.
    pub(in super::super) fn webhook_ended(&mut self, result: &JobResult, webhook: usize) {
        let life = self.lives.entry((result.job.clone(), result.incarnation.clone())).or_default();
        life.webhooks.insert(webhook);
    }
}
