//! Whether a delivery counts: enough of the webhooks that have a vote took the outcome.
//!
//! Pure. Invariant: `reached` and `missed` exclude each other, whatever comes first.

use schemars::JsonSchema;
use serde::Serialize;

use super::delivery::WebhookState;
use super::job::Webhook;

/// How far the delivery of an outcome is from its quorum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Quorum")]
pub struct Standing {
    /// Where it stands.
    pub status: QuorumStatus,
    /// How many of the webhooks that have a vote must take the outcome.
    pub needed: u16,
    /// How many have.
    pub delivered: u16,
}

/// Where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QuorumStatus {
    /// Enough took it.
    Reached,
    /// Enough may still take it.
    Open,
    /// So many were given up that the others are not enough. One that is posted again may change that.
    Missed,
}

impl Standing {
    /// The standing of a job's webhooks. A state that is not there is that of a webhook which was not tried.
    ///
    /// A quorum above the number of votes asks for all of them: a job without webhooks may say one.
    #[must_use]
    pub fn of(needed: u16, webhooks: &[Webhook], states: &[WebhookState]) -> Self {
        let states = states.iter().chain(std::iter::repeat(&WebhookState::Untried));
        let votes = webhooks.iter().zip(states).filter(|(webhook, _)| webhook.has_quorum_vote);
        let (mut all, mut delivered, mut may_come) = (0, 0, 0);
        for (_, state) in votes {
            all += 1;
            match state {
                WebhookState::Delivered { .. } => delivered += 1,
                WebhookState::Untried | WebhookState::Waiting { .. } => may_come += 1,
                WebhookState::Dead { .. } => {}
            }
        }
        let needed = needed.min(all);
        let status = match () {
            () if delivered >= needed => QuorumStatus::Reached,
            () if delivered + may_come >= needed => QuorumStatus::Open,
            () => QuorumStatus::Missed,
        };
        Self { status, needed, delivered }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Millis;

    fn state(letter: char) -> WebhookState {
        match letter {
            'd' => WebhookState::Delivered { at: Millis(1), attempt: 1 },
            'w' => WebhookState::Waiting { attempt: 2, next_at: Millis(2), last_error: None },
            'x' => WebhookState::Dead { reason: String::new(), at: Millis(3), attempt: 9 },
            _ => WebhookState::Untried,
        }
    }

    /// Upper case: has a vote.
    fn standing(needed: u16, webhooks: &str) -> (QuorumStatus, u16, u16) {
        let states: Vec<_> = webhooks.chars().map(|letter| state(letter.to_ascii_lowercase())).collect();
        let webhooks = webhooks.chars().map(|letter| Webhook {
            url: String::new(),
            regions: Vec::new(),
            has_quorum_vote: letter.is_ascii_uppercase(),
        });
        let Standing { status, needed, delivered } = Standing::of(needed, &webhooks.collect::<Vec<_>>(), &states);
        (status, needed, delivered)
    }

    #[test]
    fn a_quorum_is_reached_open_or_missed_by_the_votes_alone() {
        use QuorumStatus::{Missed, Open, Reached};
        let table = [
            (2, "DDW", Reached, 2, 2),
            (2, "DWU", Open, 2, 1),
            (2, "DXU", Open, 2, 1),
            (2, "DXX", Missed, 2, 1),
            (2, "XXX", Missed, 2, 0),
            (1, "dW", Open, 1, 0),
            (1, "dX", Missed, 1, 0),
            (1, "xD", Reached, 1, 1),
            (0, "XX", Reached, 0, 0),
            (1, "", Reached, 0, 0),
            (3, "DD", Reached, 2, 2),
        ];
        for (asked, webhooks, status, needed, delivered) in table {
            assert_eq!(standing(asked, webhooks), (status, needed, delivered), "{asked} of {webhooks}");
        }
    }

    #[test]
    fn before_anything_was_tried_a_quorum_is_open() {
        let webhook = Webhook { url: String::new(), regions: Vec::new(), has_quorum_vote: true };
        assert_eq!(Standing::of(1, &[webhook], &[]).status, QuorumStatus::Open);
    }
}
