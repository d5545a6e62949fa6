//! The values that labels take: closed lists, so that no count can grow with the jobs.

use crate::domain::outcome::{Class, Status};
use crate::nats::dead::DeadKind;

/// How a job was submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// Over HTTP.
    Http,
    /// Over NATS: the durable intake or the service.
    Nats,
    /// By another job that ended, or did not end in time.
    FollowUp,
}

/// What became of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// A new job.
    Accepted,
    /// The job was there already.
    Duplicate,
    /// Its key names another request.
    Conflict,
    /// It is not a job that can be run.
    Refused,
    /// A quota of the key that it came with is used up.
    OverQuota,
    /// The broker was not there, or is too full.
    Unavailable,
}

/// Why a request was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// It had no key.
    NoKey,
    /// Its key is none, is not known or was revoked.
    UnknownKey,
    /// Its key has expired.
    ExpiredKey,
    /// Its key does not allow it.
    NotAllowed,
    /// It came to an open gateway from a page of the web.
    NotLocal,
    /// The gateway did not know the keys yet.
    NotLoaded,
}

/// What became of one post of a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Webhook {
    /// It was taken.
    Delivered,
    /// It was not, and is tried again.
    Retry,
    /// It was given up.
    Dead,
}

/// What the sweep put right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Healed {
    /// A live branch that had no message.
    Chain,
    /// A timer that was overdue.
    Timer,
    /// A signal that was missing.
    Signal,
    /// A queue with work that had no entry.
    Queue,
    /// A request body without a record.
    Body,
    /// A message that was acked and not removed.
    Acked,
}

/// A kind of request to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A message is stored.
    Publish,
    /// A record or entry is read.
    Read,
    /// A record or entry is created or changed.
    Swap,
    /// A message is acknowledged, and that confirmed.
    Ack,
}

/// A closed list of label values.
pub(super) trait Label: Copy + 'static {
    /// What the label is called.
    const NAME: &'static str;
    /// Every value there is.
    const ALL: &'static [Self];
    /// As Prometheus reads it.
    fn value(self) -> &'static str;
}

impl Label for Via {
    const NAME: &'static str = "via";
    const ALL: &'static [Self] = &[Self::Http, Self::Nats, Self::FollowUp];
    fn value(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Nats => "nats",
            Self::FollowUp => "follow_up",
        }
    }
}

impl Label for Submitted {
    const NAME: &'static str = "outcome";
    const ALL: &'static [Self] =
        &[Self::Accepted, Self::Duplicate, Self::Conflict, Self::Refused, Self::OverQuota, Self::Unavailable];
    fn value(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Conflict => "conflict",
            Self::Refused => "refused",
            Self::OverQuota => "over_quota",
            Self::Unavailable => "unavailable",
        }
    }
}

impl Label for Denial {
    const NAME: &'static str = "reason";
    const ALL: &'static [Self] =
        &[Self::NoKey, Self::UnknownKey, Self::ExpiredKey, Self::NotAllowed, Self::NotLocal, Self::NotLoaded];
    fn value(self) -> &'static str {
        match self {
            Self::NoKey => "no_key",
            Self::UnknownKey => "unknown_key",
            Self::ExpiredKey => "expired_key",
            Self::NotAllowed => "not_allowed",
            Self::NotLocal => "not_local",
            Self::NotLoaded => "not_loaded",
        }
    }
}

impl Label for Class {
    const NAME: &'static str = "answer";
    const ALL: &'static [Self] = &[Self::Success, Self::Limited, Self::Retryable, Self::Final];
    fn value(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Limited => "limited",
            Self::Retryable => "retryable",
            Self::Final => "final",
        }
    }
}

impl Label for Status {
    const NAME: &'static str = "status";
    const ALL: &'static [Self] = &[Self::Success, Self::Failed, Self::Cancelled];
    fn value(self) -> &'static str {
        self.as_str()
    }
}

impl Label for Webhook {
    const NAME: &'static str = "result";
    const ALL: &'static [Self] = &[Self::Delivered, Self::Retry, Self::Dead];
    fn value(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retry => "retry",
            Self::Dead => "dead",
        }
    }
}

impl Label for Healed {
    const NAME: &'static str = "what";
    const ALL: &'static [Self] = &[Self::Chain, Self::Timer, Self::Signal, Self::Queue, Self::Body];
    fn value(self) -> &'static str {
        match self {
            Self::Chain => "chain",
            Self::Timer => "timer",
            Self::Signal => "signal",
            Self::Queue => "queue",
            Self::Body => "body",
            Self::Acked => "acked",
        }
    }
}

impl Label for DeadKind {
    const NAME: &'static str = "kind";
    const ALL: &'static [Self] = &[Self::Webhook, Self::Submission, Self::Message, Self::Result];
    fn value(self) -> &'static str {
        self.as_str()
    }
}

impl Label for Operation {
    const NAME: &'static str = "operation";
    const ALL: &'static [Self] = &[Self::Publish, Self::Read, Self::Swap, Self::Ack];
    fn value(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Read => "read",
            Self::Swap => "swap",
            Self::Ack => "ack",
        }
    }
}
