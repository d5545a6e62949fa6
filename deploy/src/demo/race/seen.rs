//! What was seen of the race: by the providers, by the webhook receiver, and by the client that follows the job's
//! events. All times but those of events count from the submission, by one clock.

use std::time::{Duration, Instant};

use sluice_shared::clock::Millis;
use sluice_shared::domain::event::{Event, What};
use sluice_shared::domain::id::BranchId;
use sluice_shared::domain::outcome::Status;

use crate::scripted::{Call, Post};

/// How long after the winner's answer a loser may still be on its way: it was sent before anybody knew.
pub(crate) const UNDER_WAY: Duration = Duration::from_millis(250);

/// All of it, as far as the race has come.
#[derive(Clone, Debug, Default)]
pub(crate) struct RaceSeen {
    /// When the client had its receipt.
    pub(crate) receipt: Duration,
    /// What each provider saw, in the order of the branches.
    pub(crate) providers: [Vec<Exchange>; 3],
    /// What the job's events said.
    pub(crate) events: Vec<Event>,
    /// What the webhook receiver saw.
    pub(crate) webhooks: Vec<Webhook>,
    /// Until when everybody was watched, once that is over.
    pub(crate) watched: Option<Duration>,
}

/// A call as its provider saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Exchange {
    /// When it arrived.
    pub(crate) sent: Duration,
    /// When it was answered, and with which status.
    pub(crate) answer: Option<(Duration, u16)>,
    /// When the caller was found gone, before the whole answer was out.
    pub(crate) closed: Option<Duration>,
}

/// A webhook as its receiver saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Webhook {
    /// When it arrived.
    pub(crate) at: Duration,
    /// How the job ended, it says.
    pub(crate) status: String,
    /// Which branch won, it says.
    pub(crate) winner: Option<usize>,
    /// Which status the winner's provider answered with, it says.
    pub(crate) response: Option<u64>,
    /// What the receiver answered.
    pub(crate) answered: Option<u16>,
}

impl RaceSeen {
    /// How the job ended, as its events say.
    pub(crate) fn settled(&self) -> Option<Status> {
        self.ended().map(|(status, _)| status)
    }

    /// Which branch won, as the events say.
    pub(crate) fn winner(&self) -> Option<usize> {
        self.ended().and_then(|(_, winner)| winner).map(BranchId::index)
    }

    fn ended(&self) -> Option<(Status, Option<BranchId>)> {
        self.events.iter().find_map(|event| {
            if let What::Settled { status, winner } = &event.what { Some((*status, *winner)) } else { None }
        })
    }

    /// When the winner's answer was given.
    pub(crate) fn won_at(&self) -> Option<Duration> {
        let winner = self.providers.get(self.winner()?)?;
        winner.iter().filter_map(Exchange::success).next_back()
    }

    /// When a fallback started, as the events say.
    pub(crate) fn started(&self, wanted: usize) -> Option<Millis> {
        let started = |event: &&Event| matches!(event.what, What::Started { branch } if branch.index() == wanted);
        self.events.iter().find(started).map(|event| event.at)
    }
}

impl Exchange {
    /// From what a provider recorded.
    pub(crate) fn of(call: &Call, zero: Instant) -> Self {
        let since = |at: Instant| at.saturating_duration_since(zero);
        Self {
            sent: since(call.at),
            answer: call.answered_at.map(since).zip(call.status),
            closed: call.dropped_at.map(since),
        }
    }

    /// When it was answered with success.
    pub(crate) fn success(&self) -> Option<Duration> {
        self.answer.filter(|(_, status)| (200..300).contains(status)).map(|(at, _)| at)
    }
}

impl Webhook {
    /// From what the receiver recorded.
    pub(crate) fn of(post: &Post, zero: Instant) -> Self {
        let index = |value: &serde_json::Value| value.as_u64().and_then(|branch| usize::try_from(branch).ok());
        Self {
            at: post.call.at.saturating_duration_since(zero),
            status: post.payload["status"].as_str().unwrap_or_default().to_owned(),
            winner: index(&post.payload["winner"]),
            response: post.payload["response"]["status_code"].as_u64(),
            answered: post.call.status,
        }
    }
}
