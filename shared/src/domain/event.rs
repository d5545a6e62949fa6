//! What happened to a job, for timelines and live views. Losing an event loses no job: the record is the truth.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::decide::SHORTEST_TIMER;
use super::id::{BranchId, Token};
use super::outcome::{Answer, Content, ErrorKind, Outcome, Status};
use super::record::{BranchState, Record};
use crate::clock::Millis;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// When, milliseconds since the epoch.
    pub at: Millis,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// The job is stored and will be run. Told from the record alone: no message says so.
    Accepted,
    /// A fallback contends from now on.
    Started {
        /// Which branch.
        branch: BranchId,
    },
    /// A request is on the wire.
    Sent {
        /// Which branch.
        branch: BranchId,
        /// Which attempt.
        attempt: u32,
        /// Where to.
        destination: String,
    },
    /// An attempt has ended without settling the job.
    Answered {
        /// Which branch.
        branch: BranchId,
        /// Which attempt.
        attempt: u32,
        /// The status code, if there was a response.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        status_code: Option<u16>,
        /// Why there was none.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        error: Option<ErrorKind>,
        /// When it is tried again, if it is.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        again_at: Option<Millis>,
    },
    /// `on_failure` was submitted because the job has not ended in time.
    Overdue,
    /// The job has ended.
    Settled {
        /// How.
        status: Status,
        /// The branch that won, where one did.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        winner: Option<BranchId>,
    },
    /// A webhook took the outcome. Told from what delivery remembers alone: no message says so.
    Delivered {
        /// Which of the job's webhooks.
        webhook: usize,
        /// At which try.
        attempt: u32,
    },
    /// A webhook did not take the outcome.
    Undelivered {
        /// Which of the job's webhooks.
        webhook: usize,
        /// At which try.
        attempt: u32,
        /// When it is tried again; never, where absent.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        again_at: Option<Millis>,
    },
}

/// What an event is about: a token of its subject, so that the newest about one branch or webhook is found by one read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// `job`: the job as a whole.
    Job,
    /// `branch-<n>`: one branch.
    Branch(BranchId),
    /// `webhook-<n>`: one webhook.
    Webhook(usize),
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Job => f.write_str("job"),
            Self::Branch(branch) => write!(f, "branch-{branch}"),
            Self::Webhook(webhook) => write!(f, "webhook-{webhook}"),
        }
    }
}

impl What {
    /// What it is about.
    #[must_use]
    pub fn about(&self) -> About {
        match self {
            Self::Accepted | Self::Overdue | Self::Settled { .. } => About::Job,
            Self::Started { branch } | Self::Sent { branch, .. } | Self::Answered { branch, .. } => {
                About::Branch(*branch)
            }
            Self::Delivered { webhook, .. } | Self::Undelivered { webhook, .. } => About::Webhook(*webhook),
        }
    }

    /// The last token of the event's subject.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Started { .. } => "started",
            Self::Sent { .. } => "sent",
            Self::Answered { .. } => "answered",
            Self::Overdue => "overdue",
            Self::Settled { .. } => "settled",
            Self::Delivered { .. } => "delivered",
            Self::Undelivered { .. } => "undelivered",
        }
    }
}

/// Events as one message tells them, oldest first: a JSON array.
///
/// # Errors
/// Never for events of this program: all of them are plain data.
pub fn write(events: &[Event]) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(events)
}

/// What a message tells; nothing where it is none of this program.
#[must_use]
pub fn read(message: &[u8]) -> Vec<Event> {
    serde_json::from_slice(message).unwrap_or_default()
}

/// Which of these events go into one message, under the subject of the last of them: those about one thing, for the newest
/// message about a branch says where that is; all of them where the job has ended, for nobody asks where its branches are then.
#[must_use]
pub fn messages(events: &[Event]) -> Vec<&[Event]> {
    if events.last().is_some_and(|last| matches!(last.what, What::Settled { .. })) {
        return vec![events];
    }
    events.chunk_by(|one, next| one.what.about() == next.what.about()).collect()
}

/// What a swap made happen: told from the record before and after, so that no handler has to remember.
#[must_use]
pub fn between(old: &Record, new: &Record, now: Millis) -> Vec<Event> {
    let mut events = Vec::new();
    for ((branch, was), is) in old.numbered().zip(&new.branches) {
        if is.answers > was.answers
            && let Some(answer) = &is.last
        {
            events.push(answered(branch, answer, &is.state, now));
        }
        if was.state == BranchState::Unstarted && is.is_live() {
            events.push(What::Started { branch });
        }
    }
    let further = new.numbered().skip(old.branches.len());
    events.extend(further.map(|(branch, _)| What::Started { branch }));
    if new.overdue && !old.overdue {
        events.push(What::Overdue);
    }
    if old.outcome.is_none()
        && let Some(outcome) = &new.outcome
    {
        events.push(settled(outcome));
    }
    events.into_iter().map(|what| Event { at: now, what }).collect()
}

/// What a record by itself says has happened, oldest first, for those who have lost the events: of each branch only the
/// last answer.
#[must_use]
pub fn so_far(record: &Record) -> Vec<Event> {
    let mut events = vec![Event { at: record.accepted_at, what: What::Accepted }];
    for (branch, one) in record.numbered() {
        let started = one.started_at.filter(|_| branch != BranchId::OWN);
        events.extend(started.map(|at| Event { at, what: What::Started { branch } }));
        let last = one.last.as_ref();
        events.extend(last.map(|last| Event { at: last.at, what: answered(branch, last, &one.state, last.at) }));
    }
    let overdue = record.overdue_at.filter(|_| record.overdue);
    events.extend(overdue.map(|at| Event { at, what: What::Overdue }));
    events.extend(record.outcome.as_ref().map(|outcome| Event { at: outcome.at, what: settled(outcome) }));
    events.sort_by_key(|event| event.at);
    events
}

fn settled(outcome: &Outcome) -> What {
    let winner = match (outcome.status, outcome.winner) {
        (Status::Success, Token::Branch(branch)) => Some(branch),
        (Status::Success | Status::Failed | Status::Cancelled, _) => None,
    };
    What::Settled { status: outcome.status, winner }
}

fn answered(branch: BranchId, answer: &Answer, state: &BranchState, now: Millis) -> What {
    let error = match &answer.content {
        Content::Response(_) => None,
        Content::Error { kind, .. } => Some(*kind),
    };
    let again_at = match state {
        BranchState::Live { attempt, due_at } if *attempt > answer.attempt => {
            Some((*due_at).max(now.after(SHORTEST_TIMER)))
        }
        BranchState::Live { .. } | BranchState::Unstarted | BranchState::Dead | BranchState::Done => None,
    };
    What::Answered { branch, attempt: answer.attempt, status_code: answer.status(), error, again_at }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(what: What) -> Event {
        Event { at: Millis(7), what }
    }

    fn sent(branch: u16) -> Event {
        event(What::Sent { branch: BranchId(branch), attempt: 1, destination: "a.example".into() })
    }

    fn answered(branch: u16) -> Event {
        let (status_code, error, again_at) = (Some(503), None, None);
        event(What::Answered { branch: BranchId(branch), attempt: 1, status_code, error, again_at })
    }

    #[test]
    fn what_one_message_tells_reads_back_and_what_is_no_message_tells_nothing() {
        let events = [sent(0), event(What::Settled { status: Status::Success, winner: Some(BranchId::OWN) })];
        assert_eq!(read(&write(&events).unwrap_or_default()), events);
        assert!(read(b"{}").is_empty() && read(b"?").is_empty());
    }

    #[test]
    fn branches_are_told_of_apart_until_the_job_has_ended() {
        let started = || event(What::Started { branch: BranchId(1) });
        let settled = || event(What::Settled { status: Status::Failed, winner: None });
        let going_on = [sent(0), answered(0), started()];
        assert_eq!(messages(&going_on), [&[sent(0), answered(0)][..], &[started()][..]]);
        let ended = [sent(0), answered(0), settled()];
        assert_eq!(messages(&ended), [&ended[..]]);
        assert!(messages(&[]).is_empty());
    }
}
