//! What is in hand: a message as what it is about, and what became of its webhooks.

use std::time::Duration;

use sluice_shared::domain::delivery::{self, Came, Delivery, Try, WebhookState};
use sluice_shared::domain::result::JobResult;
use sluice_shared::telemetry::Webhook;
use sluice_shared::topology::Laned;
use sluice_shared::wire::{self, Unreadable};

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A result: about all webhooks of its job.
    Result,
    /// A webhook whose time has come.
    Due,
}

/// Some or all webhooks of a result, and where the message about them stands in their chains.
#[derive(Debug)]
pub(super) struct Hand {
    /// Without its follow-up, which is submitted before.
    pub(super) result: JobResult,
    pub(super) about: Vec<usize>,
    pub(super) stands: delivery::InHand,
    /// The newest message of a webhook's chain that is known: the one in hand, or 0 where the result begins the chain.
    pub(super) newest: u64,
    /// How many seats one of its posts takes.
    pub(super) weight: usize,
    /// How often this try was put off before.
    postponed: u32,
}

/// A try of a webhook, and how long it was on the wire.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) webhook: usize,
    pub(super) one: Try,
    pub(super) took: Duration,
}

impl Kind {
    /// Where messages of this kind come from.
    pub(super) fn laned(self) -> Laned {
        match self {
            Self::Result => Laned::Results,
            Self::Due => Laned::Deliveries,
        }
    }
}

impl Hand {
    /// A result: it begins the chains of its webhooks.
    pub(super) fn of_result(result: JobResult) -> Self {
        let result = JobResult { follow_up: None, ..result };
        let about = (0..result.webhooks.len()).collect();
        Self { result, about, stands: delivery::InHand::Result, newest: 0, weight: 1, postponed: 0 }
    }

    /// What came due, as it is in the stream at this sequence.
    ///
    /// # Errors
    /// Where it cannot be read, or is about no webhook of its job.
    pub(super) fn of_due(payload: &[u8], sequence: u64) -> Result<Self, Unreadable> {
        let Delivery { result, webhook, attempt, postponed } = wire::decode(payload)?;
        let webhook = usize::from(webhook);
        if webhook >= result.webhooks.len() {
            return Err(Unreadable::Malformed("it is about a webhook that its job does not have".into()));
        }
        let stands = delivery::InHand::Due { attempt };
        Ok(Self { result, about: vec![webhook], stands, newest: sequence, weight: 1, postponed })
    }

    /// The same whose posts take so many seats.
    pub(super) fn weighing(self, weight: usize) -> Self {
        Self { weight, ..self }
    }

    /// What its message was.
    pub(super) fn kind(&self) -> Kind {
        match self.stands {
            delivery::InHand::Result => Kind::Result,
            delivery::InHand::Due { .. } => Kind::Due,
        }
    }

    /// How often the try in hand was put off before.
    pub(super) fn postponed(&self) -> u32 {
        self.postponed
    }

    /// What is published about a webhook: its next try, or what it was when it was given up.
    pub(super) fn delivery(&self, webhook: usize, attempt: u32, postponed: u32) -> Delivery {
        let webhook = u16::try_from(webhook).unwrap_or(u16::MAX);
        Delivery { result: self.result.clone(), webhook, attempt, postponed }
    }

    /// How often the next try of a webhook was put off, once these were made: a try that was made begins anew.
    pub(super) fn postponed_after(&self, webhook: usize, made: &[Made]) -> u32 {
        let put_off = |made: &Made| made.webhook == webhook && matches!(made.one.came, Came::Postponed { .. });
        if made.iter().any(put_off) { self.postponed.saturating_add(1) } else { 0 }
    }
}

impl Made {
    /// What it counts as, with the state after it.
    pub(super) fn counts_as(&self, after: &WebhookState) -> Option<Webhook> {
        match (&self.one.came, after) {
            (Came::Postponed { .. }, _) => None,
            (Came::Delivered, _) => Some(Webhook::Delivered),
            (Came::Failed { .. } | Came::Refused { .. }, WebhookState::Dead { .. }) => Some(Webhook::Dead),
            (
                Came::Failed { .. } | Came::Refused { .. },
                WebhookState::Untried | WebhookState::Waiting { .. } | WebhookState::Delivered { .. },
            ) => Some(Webhook::Retry),
        }
    }
}
