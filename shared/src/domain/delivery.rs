//! What becomes of a webhook: its state, what a try does to it, and what it demands of the message in hand.
//!
//! The state decides, as the record does for a job: it only goes forward (`untried → waiting for a later try → dead`, and
//! `delivered` from anywhere, for good), a message in hand is a pointer to a try. Applying the same try twice is the same
//! as once, and nothing delivered is ever posted again by whoever has read the state. Not here: posting, storing, time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::event::What;
use super::id::{Incarnation, JobId};
use super::result::JobResult;
use crate::clock::Millis;

/// The soonest a timer can fire after it is stored.
pub const SOONEST: Duration = Duration::from_millis(250);
/// The longest that an endpoint's Retry-After is heeded.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// What is known of a job's webhooks, under `<job>.<incarnation>`: what a try made of them is written before its message is
/// let go of. No entry means that none was tried, or was about to be remembered when its process died.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deliveries {
    /// Each webhook, in the order of the job.
    pub webhooks: Vec<WebhookState>,
    /// How many had to be delivered, and how many were.
    pub quorum: Quorum,
}

/// How many of the webhooks with a vote must be delivered for the delivery to count, and how many are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quorum {
    /// What the job asked for.
    pub needed: u16,
    /// Delivered webhooks that have a vote.
    pub reached: u16,
}

/// How far one webhook is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum WebhookState {
    /// Nothing is remembered: its first try is to be made or under way.
    #[default]
    Untried,
    /// It took the outcome.
    Delivered {
        /// When.
        at: Millis,
        /// At which try, from 1.
        attempt: u32,
    },
    /// It is tried again later.
    Waiting {
        /// The try that is to be made, from 1.
        attempt: u32,
        /// When.
        next_at: Millis,
        /// Why the last try failed; names no header, body or URL. Absent where there was none yet.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        last_error: Option<String>,
    },
    /// It was given up and is a dead letter.
    Dead {
        /// Why; names no header, body or URL.
        reason: String,
        /// When.
        at: Millis,
        /// At which try.
        attempt: u32,
    },
}

/// One webhook that waits for its next try: what a message of the deliveries carries, so that it needs nothing else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// The outcome, without the follow-up: that was submitted before.
    pub result: JobResult,
    /// Which of its webhooks.
    pub webhook: u16,
    /// Which try, from 1.
    pub attempt: u32,
    /// How often this try was put off because its endpoint was busy.
    #[serde(default)]
    pub postponed: u32,
}

/// A try of a webhook, made or put off.
#[derive(Clone, Debug, PartialEq)]
pub struct Try {
    /// Which try, from 1.
    pub attempt: u32,
    /// When it ended.
    pub at: Millis,
    /// What came of it.
    pub came: Came,
    /// A random share from 0 to 1, drawn once for the try: by how much of the jitter the pause is lengthened.
    pub share: f64,
}

/// What came of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Came {
    /// The endpoint took it.
    Delivered,
    /// It did not: worth another try.
    Failed {
        /// Why; names no header, body or URL.
        error: String,
        /// How long the endpoint wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// It never will.
    Refused {
        /// Why; names no header, body or URL.
        reason: String,
    },
    /// Nothing was sent, because too many posts to the endpoint are in flight. No try is used up.
    Postponed {
        /// How long.
        by: Duration,
    },
}

/// When what failed is tried again.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// The pause after each failure in turn; after the last one a webhook is given up.
    pub pauses: Vec<Duration>,
    /// Each pause is lengthened by a random share of itself up to this.
    pub jitter: f64,
}

/// Where the message in hand stands in the chain of a webhook's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InHand {
    /// The result itself, before any timer.
    Result,
    /// A timer that has fired, for this try.
    Due {
        /// Which try, from 1.
        attempt: u32,
    },
}

/// What a webhook demands of the message in hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Post it: this try.
    Post {
        /// Which try, from 1.
        attempt: u32,
    },
    /// Publish its timer.
    Timer {
        /// For which try.
        attempt: u32,
        /// When.
        at: Millis,
    },
    /// Keep it as a dead letter.
    DeadLetter {
        /// Why.
        reason: String,
        /// At which try it was given up.
        attempt: u32,
    },
    /// Nothing more: let go.
    Nothing,
}

impl InHand {
    /// What the state demands of this message before anything is done.
    #[must_use]
    pub fn demand(self, state: &WebhookState) -> Demand {
        match (state, self) {
            (WebhookState::Untried, Self::Result) => Demand::Post { attempt: 1 },
            (WebhookState::Untried, Self::Due { attempt }) => Demand::Post { attempt },
            // A result whose webhook waits has been handled: only the timer may be missing.
            (WebhookState::Waiting { attempt, .. }, Self::Due { attempt: at }) if *attempt <= at => {
                Demand::Post { attempt: at }
            }
            (WebhookState::Waiting { .. } | WebhookState::Delivered { .. } | WebhookState::Dead { .. }, _) => {
                state.demand()
            }
        }
    }
}

impl WebhookState {
    /// What the state demands after a try: all but a post.
    #[must_use]
    pub fn demand(&self) -> Demand {
        match self {
            Self::Untried | Self::Delivered { .. } => Demand::Nothing,
            Self::Waiting { attempt, next_at, .. } => Demand::Timer { attempt: *attempt, at: *next_at },
            Self::Dead { reason, attempt, .. } => Demand::DeadLetter { reason: reason.clone(), attempt: *attempt },
        }
    }

    /// The state after a try. A try that somebody else has overtaken changes nothing, except that a delivery counts
    /// whenever it happened.
    #[must_use]
    pub fn after(&self, one: &Try, schedule: &Schedule) -> Self {
        match (self, &one.came) {
            (Self::Delivered { .. }, _) => self.clone(),
            (_, Came::Delivered) => Self::Delivered { at: one.at, attempt: one.attempt },
            (Self::Dead { .. }, _) => self.clone(),
            (Self::Waiting { attempt, .. }, _) if *attempt > one.attempt => self.clone(),
            (Self::Untried | Self::Waiting { .. }, Came::Refused { reason }) => one.dead(reason.clone()),
            (Self::Untried | Self::Waiting { .. }, Came::Failed { error, retry_after }) => {
                one.failed(error, *retry_after, schedule)
            }
            (Self::Untried | Self::Waiting { .. }, Came::Postponed { by }) => Self::Waiting {
                attempt: one.attempt,
                next_at: one.at.after((*by).max(SOONEST)),
                last_error: self.last_error(),
            },
        }
    }

    /// The state of one that is to be posted again from its first try, because somebody wants it; as it is where a try is
    /// to come anyway. Whether an untried one is: the result may be on its way (`to_come`), or nobody knows of it any more.
    /// The one step back there is.
    #[must_use]
    pub fn posted_anew(&self, to_come: bool, now: Millis) -> Self {
        let last_error = match self {
            Self::Waiting { .. } => return self.clone(),
            Self::Untried if to_come => return self.clone(),
            Self::Untried | Self::Delivered { .. } => None,
            Self::Dead { reason, .. } => Some(reason.clone()),
        };
        Self::Waiting { attempt: 1, next_at: now.after(SOONEST), last_error }
    }

    fn last_error(&self) -> Option<String> {
        match self {
            Self::Waiting { last_error, .. } => last_error.clone(),
            Self::Untried | Self::Delivered { .. } | Self::Dead { .. } => None,
        }
    }
}

impl Try {
    fn dead(&self, reason: String) -> WebhookState {
        WebhookState::Dead { reason, at: self.at, attempt: self.attempt }
    }

    fn failed(&self, error: &str, retry_after: Option<Duration>, schedule: &Schedule) -> WebhookState {
        let tries_failed = usize::try_from(self.attempt).unwrap_or(usize::MAX);
        let Some(pause) = schedule.pauses.get(tries_failed.saturating_sub(1)) else {
            return self.dead(format!("given up after {} tries: {error}", self.attempt));
        };
        let lengthened = pause.mul_f64(1.0 + schedule.jitter.clamp(0.0, 1.0) * self.share.clamp(0.0, 1.0));
        let wanted = retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER);
        WebhookState::Waiting {
            attempt: self.attempt + 1,
            next_at: self.at.after(lengthened.max(wanted).max(SOONEST)),
            last_error: Some(error.to_owned()),
        }
    }

    /// What is told about it; nothing for one that was put off, nor for one that was taken: that is remembered, and told from there.
    #[must_use]
    pub fn event(&self, webhook: usize, after: &WebhookState) -> Option<What> {
        match &self.came {
            Came::Failed { .. } | Came::Refused { .. } => {
                let again_at = match after {
                    WebhookState::Waiting { next_at, .. } => Some(*next_at),
                    WebhookState::Untried | WebhookState::Delivered { .. } | WebhookState::Dead { .. } => None,
                };
                Some(What::Undelivered { webhook, attempt: self.attempt, again_at })
            }
            Came::Delivered | Came::Postponed { .. } => None,
        }
    }
}

impl Deliveries {
    /// Where they stand in their bucket.
    #[must_use]
    pub fn key(job: &JobId, incarnation: &Incarnation) -> String {
        format!("{job}.{incarnation}")
    }

    /// Before anything was tried.
    #[must_use]
    pub fn untried(result: &JobResult) -> Self {
        Self {
            webhooks: vec![WebhookState::Untried; result.webhooks.len()],
            quorum: Quorum { needed: result.webhook_quorum, reached: 0 },
        }
    }

    /// How far a webhook is.
    #[must_use]
    pub fn of(&self, webhook: usize) -> &WebhookState {
        self.webhooks.get(webhook).unwrap_or(&WebhookState::Untried)
    }

    /// The state after these tries, the quorum counted anew.
    #[must_use]
    pub fn after<'a>(
        &self,
        tries: impl IntoIterator<Item = (usize, &'a Try)>,
        result: &JobResult,
        schedule: &Schedule,
    ) -> Self {
        let mut next = self.clone();
        next.webhooks.resize(result.webhooks.len(), WebhookState::Untried);
        for (webhook, one) in tries {
            if let Some(state) = next.webhooks.get_mut(webhook) {
                *state = state.after(one, schedule);
            }
        }
        next.counted(result)
    }

    fn counted(mut self, result: &JobResult) -> Self {
        let voted = result
            .webhooks
            .iter()
            .zip(&self.webhooks)
            .filter(|(webhook, state)| webhook.has_quorum_vote && matches!(state, WebhookState::Delivered { .. }));
        self.quorum.reached = u16::try_from(voted.count()).unwrap_or(u16::MAX);
        self
    }

    /// The state when one webhook is to be posted again, the quorum counted anew. `to_come`: its result is not handled yet.
    #[must_use]
    pub fn posted_anew(&self, webhook: usize, result: &JobResult, to_come: bool, now: Millis) -> Self {
        let mut next = self.clone();
        next.webhooks.resize(result.webhooks.len(), WebhookState::Untried);
        if let Some(state) = next.webhooks.get_mut(webhook) {
            *state = state.posted_anew(to_come, now);
        }
        next.counted(result)
    }

    /// Whether every webhook has taken the outcome.
    #[must_use]
    pub fn is_delivered(&self) -> bool {
        self.webhooks.iter().all(|state| matches!(state, WebhookState::Delivered { .. }))
    }

    /// How long an entry written now must be kept: past the latest next try, which writes it again.
    #[must_use]
    pub fn kept_for(&self, now: Millis, settled_ttl: Duration) -> Duration {
        let next = |state: &WebhookState| match state {
            WebhookState::Waiting { next_at, .. } => next_at.since(now),
            WebhookState::Untried | WebhookState::Delivered { .. } | WebhookState::Dead { .. } => Duration::ZERO,
        };
        self.webhooks.iter().map(next).max().unwrap_or_default() + settled_ttl
    }
}

#[cfg(test)]
#[path = "delivery_tests.rs"]
mod tests;
