//! One branch's message from top to bottom: read it, guard, take a slot, send, judge, conclude, let go.
//!
//! Rules 2 and 5 of the design. What the decisions are is in `sluice_shared::domain::decide`; here they are carried out.

use std::sync::Arc;
use std::time::Duration;

use sluice_shared::domain::demand::Then;
use sluice_shared::effects::{Handled, JobMessage, Unfinished};
use sluice_shared::nats::ack::InHand;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::attempt::{Attempt, Ended};
use crate::gate::Hold;
use crate::handler::Handler;
use crate::message;
use crate::send::Sender;
use crate::settings::Settings;
use crate::settlements::Settlements;

/// What every branch needs on its way. One for the process.
pub(crate) struct Dispatcher {
    pub(crate) handler: Handler,
    pub(crate) sender: Sender,
    pub(crate) settlements: Settlements,
    pub(crate) settings: Settings,
    pub(crate) stop: Stop,
    pub(crate) tasks: TaskTracker,
}

/// The two steps of a stop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop {
    /// Nothing new is begun: what is not on the wire is given back.
    pub(crate) begun: CancellationToken,
    /// What is still on the wire is given back too.
    pub(crate) at_once: CancellationToken,
}

impl Dispatcher {
    /// Takes a message on, in a task of its own. `place` is its place among all that this worker has in hand.
    pub(crate) fn spawn(self: &Arc<Self>, in_hand: InHand, hold: Hold, place: OwnedSemaphorePermit) {
        let this = Arc::clone(self);
        self.tasks.spawn(async move {
            tokio::select! {
                () = this.dispatch(&in_hand, hold) => {}
                () = keep_alive(&in_hand, this.settings.ack_wait) => {}
                // Whoever gets it next reads the record and goes on from there.
                () = this.stop.at_once.cancelled() => in_hand.nak(None).await,
            }
            drop(place);
        });
    }

    async fn dispatch(&self, in_hand: &InHand, hold: Hold) {
        let message = match message::read(self.handler.effects().nats().prefix(), in_hand) {
            Ok(message) => message,
            Err(strange) => return self.handler.let_go_of(in_hand, strange).await,
        };
        let then = self.carry_out(&message, hold).await;
        self.handler.let_go(in_hand, then).await;
    }

    /// Guard, attempt, conclude; says what becomes of the message.
    async fn carry_out(&self, message: &JobMessage, hold: Hold) -> Result<Then, Unfinished> {
        // First watched, then read: an end of the job in between is either told or read.
        let watched = self.settlements.watch(&message.address.job);
        let guarded = self.handler.guard(message).await?;
        let Handled { then: Then::Execute { branch, attempt }, seen: Some(seen), .. } = guarded else {
            self.handler.metrics().dropped();
            return Ok(guarded.then);
        };
        let attempt = Attempt { dispatcher: self, message, branch, attempt };
        match attempt.make(seen, hold, watched).await? {
            Ended::Answered { answer, verdict, seen } => {
                Ok(self.handler.conclude(message, seen, &answer, verdict).await?.then)
            }
            Ended::NotMade(then) => Ok(then),
        }
    }
}

/// Tells the broker that work goes on, every third of the time it would wait.
async fn keep_alive(in_hand: &InHand, ack_wait: Duration) {
    loop {
        tokio::time::sleep(ack_wait / 3).await;
        in_hand.progress().await;
    }
}
