//! A durable submission in hand: kept alive while it is worked on, let go of in one of three ways.

use std::future::Future;
use std::time::Duration;

use sluice_shared::nats::ack::InHand;
use tokio::time::{MissedTickBehavior, interval};

/// How often a message that is worked on shows a sign of life: well within `ack_wait`, which is 15 s or more.
const ALIVE: Duration = Duration::from_secs(5);
/// The pause before a submission that could not be stored is tried again; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A message of the intake.
pub(super) struct Held(pub(super) InHand);

impl Held {
    /// Works on it, with a sign of life from time to time.
    pub(super) async fn while_alive<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        let mut signs = interval(ALIVE);
        signs.set_missed_tick_behavior(MissedTickBehavior::Delay);
        signs.reset();
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = signs.tick() => self.0.progress().await,
            }
        }
    }

    /// It is done with.
    pub(super) async fn done(&self) {
        if !self.0.ack_confirmed().await {
            tracing::debug!(sequence = self.0.sequence(), "an ack was not confirmed; the submission comes again");
        }
    }

    /// It is to be tried again, later each time; says when.
    pub(super) async fn again(&self) -> Duration {
        let pause = pause(self.0.delivered());
        self.0.nak(Some(pause)).await;
        pause
    }

    /// Somebody else may have it at once.
    pub(super) async fn to_somebody_else(&self) {
        self.0.nak(None).await;
    }
}

/// How long to wait after this many tries.
fn pause(tries: u64) -> Duration {
    let doublings = u32::try_from(tries.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
    (FIRST_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let pauses = [1, 2, 3, 8, 9, 1_000_000].map(|tries| pause(tries).as_millis());
        assert_eq!(pauses, [250, 500, 1_000, 30_000, 30_000, 30_000]);
    }
}
