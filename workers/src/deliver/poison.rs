//! Deliveries whose handling panics: tried a few times, then the webhooks that they are about are given up.
//!
//! Invariant: what is given up is a dead letter with all that is needed to post it, and the consumer goes on.

use std::time::Duration;

use sluice_shared::clock;
use sluice_shared::domain::delivery::{Came, Demand, Try};
use sluice_shared::domain::result::JobResult;
use sluice_shared::nats::ack::InHand;
use sluice_shared::panics::{Panicked, caught};
use sluice_shared::wire;

use super::hand::{Hand, Kind, Made};
use super::handle::{Handler, LetGo, Undone};
use super::memory::Known;

/// How often a message is handed out whose handling panics, before it is given up.
const TRIES: u64 = 3;
/// How soon it comes again before that.
const SOON: Duration = Duration::from_secs(1);

impl Handler {
    /// The handling of a message has panicked.
    pub(super) async fn panicked(&self, kind: Kind, message: &InHand, panicked: &Panicked) -> LetGo {
        let (tries, why) = (message.delivered(), panicked.to_string());
        tracing::error!(subject = message.subject(), tries, why, "a delivery broke down");
        if tries < TRIES {
            return LetGo::HandBack(SOON);
        }
        match caught(self.give_all_up(kind, message, &why)).await {
            Ok(Ok(())) => LetGo::AckForSure,
            Ok(Err(error)) => {
                tracing::warn!(%error, "a delivery that is given up is left to come again");
                LetGo::Leave
            }
            Err(again) => self.bury(message, &format!("{why}; nor could its webhooks be given up: {again}")).await,
        }
    }

    async fn give_all_up(&self, kind: Kind, message: &InHand, why: &str) -> Result<(), Undone> {
        let hand = match kind {
            Kind::Result => {
                let result: JobResult = wire::decode(message.payload())?;
                Box::pin(self.effects.submit_result_follow_up(&result)).await?;
                Hand::of_result(result)
            }
            Kind::Due => Hand::of_due(message.payload(), message.sequence())?,
        };
        let known = self.memory.read(&hand.result).await?;
        let made: Vec<Made> = hand
            .about
            .iter()
            .filter_map(|&webhook| match hand.stands.demand(known.state.of(webhook)) {
                Demand::Post { attempt } => Some(given_up(webhook, attempt, why)),
                Demand::Timer { .. } | Demand::DeadLetter { .. } | Demand::Nothing => None,
            })
            .collect();
        let Known { state, .. } = self.memory.remember(&hand.result, known, &made).await?;
        self.tell(&hand, &made, &state).await;
        for &webhook in &hand.about {
            self.meet(&hand, webhook, state.of(webhook).demand(), &made).await?;
        }
        Ok(())
    }
}

fn given_up(webhook: usize, attempt: u32, why: &str) -> Made {
    let came = Came::Refused { reason: why.to_owned() };
    Made { webhook, one: Try { attempt, at: clock::now(), came, share: 0.0 }, took: Duration::ZERO }
}
