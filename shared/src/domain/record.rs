//! The record: the one durable truth about a job.
//!
//! It only goes forward: a branch `unstarted → live → dead` or `done`, its attempt number up, the outcome once. Every message is
//! made from what stands here, never from what a handler remembers having done.

use serde::{Deserialize, Serialize};

use super::id::{BranchId, Incarnation, QueueName, Tenant};
use super::job::{Contender, ExecutionMode, Job, JsonText, Placement, Trigger, Webhook};
use super::outcome::{Answer, Outcome};
use super::region::Place;
use crate::clock::Millis;

/// All that is known about a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Whose job it is.
    pub tenant: Tenant,
    /// The idempotency key that names the job for its tenant.
    pub key: String,
    /// Which life of the key this is.
    pub incarnation: Incarnation,
    /// What a second submission with the same key is compared by.
    pub fingerprint: Fingerprint,
    /// When the job was accepted.
    pub accepted_at: Millis,
    /// From when its time counts: the later of acceptance and `retry_at`.
    pub starts_at: Millis,
    /// The contenders; the first is always there.
    pub branches: Vec<Branch>,
    /// When the job fails if it has not ended.
    pub deadline_at: Option<Millis>,
    /// When `on_failure` is submitted although the job has not ended.
    pub overdue_at: Option<Millis>,
    /// Whether that has happened.
    pub overdue: bool,
    /// What the caller wants to get back with the outcome.
    pub metadata: Option<JsonText>,
    /// Where the outcome goes.
    pub webhooks: Vec<Webhook>,
    /// How many of the voting webhooks must be delivered.
    pub webhook_quorum: u16,
    /// The job to submit on success.
    pub on_success: Option<Box<Job>>,
    /// The job to submit on failure.
    pub on_failure: Option<Box<Job>>,
    /// Where and how the job may run.
    pub placement: Placement,
    /// The trace the submission belonged to, as a W3C `traceparent`.
    pub traceparent: Option<String>,
    /// How the job ended, once it has.
    pub outcome: Option<Outcome>,
}

/// A contender of the race and how far it has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Branch {
    /// What was submitted.
    pub contender: Contender,
    /// The queue it waits in.
    pub queue: QueueName,
    /// The shard that holds the queue; stored, never recomputed.
    pub shard: u16,
    /// How far it has come.
    pub state: BranchState,
    /// When it became live.
    pub started_at: Option<Millis>,
    /// HTTP exchanges that brought an answer, those that found the gate closed included.
    pub answers: u32,
    /// What the last of them brought.
    pub last: Option<Answer>,
    /// Where it is to run, and whose call it makes.
    #[serde(default, skip_serializing_if = "Placed::is_default")]
    pub placed: Placed,
}

/// Where a branch is to run, and whose call it makes where it is one of several regions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// Where.
    pub place: Place,
    /// The branch whose request it makes too, and whose stored body it sends.
    pub request_of: Option<BranchId>,
    /// What it goes on with, where it took over from a branch in another region.
    pub moved: Option<Moved>,
}

/// A branch that goes on in another region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// The branch that it took over from.
    pub from: BranchId,
    /// How often it has moved by now.
    pub reroutes: u32,
    /// Retries that were used up before.
    pub retries: u32,
}

impl Placed {
    /// Whether it is as of a job that says nothing of regions.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How far a branch has come. It only goes forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BranchState {
    /// Its trigger has not come.
    Unstarted,
    /// It contends.
    Live {
        /// The attempt that is now to be made, from 1.
        attempt: u32,
        /// Not before this moment.
        due_at: Millis,
    },
    /// It has no attempt left, or another branch goes on for it in another region.
    Dead,
    /// It has succeeded, and the job is a fanout, which goes on until all have.
    Done,
}

/// What a second submission with the same key is compared by: a version and a SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// How the hash was made.
    pub version: u8,
    /// The hash.
    pub hash: [u8; 32],
}

impl Record {
    /// The branch, if the record has it.
    #[must_use]
    pub fn branch(&self, branch: BranchId) -> Option<&Branch> {
        self.branches.get(branch.index())
    }

    /// Every branch with its number.
    pub fn numbered(&self) -> impl Iterator<Item = (BranchId, &Branch)> {
        (0..).map(BranchId).zip(&self.branches)
    }

    /// The fallbacks of a branch, with their numbers.
    pub fn fallbacks(&self, parent: BranchId) -> impl Iterator<Item = (BranchId, &Branch)> {
        self.numbered().filter(move |(_, branch)| branch.contender.parent == Some(parent))
    }

    /// The branches that start with the job: its own request, in each region where it is made.
    pub fn roots(&self) -> impl Iterator<Item = (BranchId, &Branch)> {
        self.numbered().filter(|(_, branch)| branch.contender.parent.is_none())
    }

    /// Whether all regions are to succeed.
    #[must_use]
    pub fn is_fanout(&self) -> bool {
        self.placement.execution_mode == ExecutionMode::Fanout
    }

    /// The branch that this one began as, before it moved from region to region; itself where it has not.
    #[must_use]
    pub fn began_as(&self, branch: BranchId) -> BranchId {
        let mut at = branch;
        // A branch stands behind the one that it took over from.
        while let Some(moved) = self.branch(at).and_then(|one| one.placed.moved).filter(|moved| moved.from < at) {
            at = moved.from;
        }
        at
    }

    /// Under which branch the body of this one's request is stored.
    #[must_use]
    pub fn body_of(&self, branch: BranchId) -> BranchId {
        self.branch(branch).and_then(|one| one.placed.request_of).unwrap_or(branch)
    }

    /// Whether another branch goes on for this one in another region.
    #[must_use]
    pub fn has_moved(&self, branch: BranchId) -> bool {
        self.branches.iter().any(|one| one.placed.moved.is_some_and(|moved| moved.from == branch))
    }

    /// Whether any branch still contends.
    #[must_use]
    pub fn any_live(&self) -> bool {
        self.branches.iter().any(Branch::is_live)
    }

    /// When the last timer comes due that the job may have left in the broker.
    #[must_use]
    pub fn last_timer(&self) -> Millis {
        let of_branch = |branch: &Branch| match branch.state {
            BranchState::Live { due_at, .. } => Some(due_at),
            BranchState::Unstarted | BranchState::Dead | BranchState::Done => None,
        };
        let of_trigger = |branch: &Branch| match &branch.contender.trigger {
            Some(Trigger::OnTimeout { after }) => {
                let parent = branch.contender.parent.and_then(|parent| self.branch(parent))?;
                parent.started_at.map(|at| at.after(*after))
            }
            Some(Trigger::OnError { .. }) | None => None,
        };
        let branches = self.branches.iter().flat_map(|branch| [of_branch(branch), of_trigger(branch)]);
        branches.chain([self.deadline_at, self.overdue_at]).flatten().max().unwrap_or(self.starts_at)
    }

    /// Whether the branch is live at exactly this attempt and the job has not ended.
    #[must_use]
    pub fn is_at(&self, branch: BranchId, attempt: u32) -> bool {
        self.outcome.is_none()
            && matches!(self.branch(branch).map(|b| b.state), Some(BranchState::Live { attempt: now, .. }) if now == attempt)
    }
}

impl Branch {
    /// Whether it contends.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self.state, BranchState::Live { .. })
    }
}
