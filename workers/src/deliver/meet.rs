//! What the state of a webhook asks for, published: timers and dead letters; and what is told about tries.

use sluice_shared::clock::{self, Millis};
use sluice_shared::domain::delivery::{Deliveries, Delivery, Demand, SOONEST};
use sluice_shared::domain::result::JobResult;
use sluice_shared::nats::ack::InHand;
use sluice_shared::nats::dead::{DeadKind, DeadLetter};
use sluice_shared::nats::guarded::{Moved, NotMoved};
use sluice_shared::nats::publish::PublishError;
use sluice_shared::wire;

use super::hand::{Hand, Made};
use super::handle::{Handler, LetGo};

impl Handler {
    /// Publishes what the state of a webhook asks for, whoever made it so. What is there already is refused by the
    /// broker, which is as good as done.
    pub(super) async fn meet(
        &self,
        hand: &Hand,
        webhook: usize,
        demand: Demand,
        made: &[Made],
    ) -> Result<(), NotMoved> {
        match demand {
            Demand::Nothing | Demand::Post { .. } => Ok(()),
            Demand::Timer { attempt, at } => {
                let next = hand.delivery(webhook, attempt, hand.postponed_after(webhook, made));
                self.try_later(hand, next, at.max(clock::now().after(SOONEST))).await
            }
            Demand::DeadLetter { reason, attempt } => self.give_up(hand, webhook, attempt, &reason).await,
        }
    }

    /// Publishes a timer, with less of the answers where the broker does not take all; it is given up where it takes none.
    async fn try_later(&self, hand: &Hand, mut next: Delivery, at: Millis) -> Result<(), NotMoved> {
        loop {
            match self.effects.nats().deliver_later(&next, at, hand.newest).await {
                Err(NotMoved(error @ PublishError::TooLarge { .. })) => match next.result.smaller() {
                    Some(less) => next.result = less,
                    None => {
                        let reason = format!("its next try cannot be stored: {error}");
                        return self.give_up(hand, usize::from(next.webhook), next.attempt, &reason).await;
                    }
                },
                moved => return moved.map(|_| ()),
            }
        }
    }

    async fn give_up(&self, hand: &Hand, webhook: usize, attempt: u32, reason: &str) -> Result<(), NotMoved> {
        let letter = DeadLetter {
            kind: DeadKind::Webhook,
            tenant: hand.result.tenant.as_str(),
            name: hand.result.event_id(webhook),
            reason,
            payload: wire::encode(&hand.delivery(webhook, attempt, 0)),
        };
        if self.effects.set_aside(letter).await? == Moved::Stored {
            tracing::warn!(job = %hand.result.job, webhook, reason, "a webhook was given up");
        }
        Ok(())
    }

    /// Counts the posts and tells what came of them. Whoever dies before this has told nobody, which loses nothing.
    pub(super) async fn tell(&self, hand: &Hand, made: &[Made], state: &Deliveries) {
        for one in made {
            let after = state.of(one.webhook);
            if let Some(counted) = one.counts_as(after) {
                self.metrics.webhook(counted, one.took);
            }
            if let Some(what) = one.one.event(one.webhook, after) {
                let JobResult { tenant, job, incarnation, .. } = &hand.result;
                self.effects.tell(tenant, job, incarnation, one.one.at, what).await;
            }
        }
    }

    /// Keeps a message that nobody can read where an operator finds it, as it is.
    pub(super) async fn bury(&self, message: &InHand, why: &str) -> LetGo {
        tracing::error!(subject = message.subject(), why, "a message is set aside");
        match self.effects.set_message_aside(message, why).await {
            Ok(_) => LetGo::AckForSure,
            Err(error) => {
                tracing::warn!(%error, "a dead letter was not stored; the message comes again");
                LetGo::Leave
            }
        }
    }
}
