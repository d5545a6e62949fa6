//! One branch's message from top to bottom: read it, guard, take a slot, send, judge, conclude, let go.
//!
//! Rules 2 and 5 of the design. What the decisions are is in `sluice_shared::domain::decide`; here they are carried out.

use std::sync::Arc;
use std::time::Duration;

use sluice_shared::domain::decide::Verdict;
use sluice_shared::domain::demand::Then;
use sluice_shared::domain::outcome::Answer;
use sluice_shared::effects::{Handled, JobMessage, Seen, Unfinished, Untold};
use sluice_shared::fault_points;
use sluice_shared::nats::ack::InHand;
use sluice_shared::places::Place;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::attempt::{Attempt, Ended};
use crate::fill::Secrets;
use crate::gate::Hold;
use crate::handler::Handler;
use crate::message;
use crate::send::Sender;
use crate::settings::Settings;
use crate::settlements::Settlements;

/// How soon an answer is concluded again that the broker did not take.
const CONCLUDE_AGAIN: Duration = Duration::from_secs(1);

/// What every branch needs on its way. One for the process.
pub(crate) struct Dispatcher {
    pub(crate) handler: Handler,
    pub(crate) sender: Sender,
    pub(crate) secrets: Secrets,
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
    pub(crate) fn spawn(self: &Arc<Self>, in_hand: Box<InHand>, hold: Hold, place: Place) {
        let this = Arc::clone(self);
        self.tasks.spawn(async move {
            tokio::select! {
                () = this.handler.unless_poisoned(&in_hand, Box::pin(this.dispatch(&in_hand, hold))) => {}
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
        match self.carry_out(in_hand, &message, hold).await {
            Err(unfinished) if unfinished.is_for_good() => self.handler.poisoned(in_hand, &unfinished).await,
            Ok(None) => tracing::info!(subject = in_hand.subject(), "a message is left to whoever has it by now"),
            Ok(Some(then)) => self.handler.let_go(in_hand, Ok(then)).await,
            Err(unfinished) => self.handler.let_go(in_hand, Err(unfinished)).await,
        }
    }

    /// Guard, attempt, conclude; says what becomes of the message: nothing, where somebody else has it.
    async fn carry_out(&self, in_hand: &InHand, message: &JobMessage, hold: Hold) -> Result<Option<Then>, Unfinished> {
        // First watched, then read: an end of the job in between is either told or read.
        let watched = self.settlements.watch(&message.address.job);
        let guarded = self.handler.guard(message).await?;
        let Handled { then: Then::Execute { branch, attempt }, seen: Some(seen), .. } = guarded else {
            self.handler.metrics().dropped();
            return Ok(Some(guarded.then));
        };
        fault_points::point("work", &seen.record.key);
        self.handler.could_end(in_hand, &seen.record)?;
        let untold = Untold::default();
        let attempt = Attempt { dispatcher: self, in_hand, message, branch, attempt, untold: &untold };
        match attempt.make(seen, hold, watched).await? {
            Ended::Answered { answer, verdict, seen } => {
                fault_points::point("answer", &seen.record.key);
                self.conclude(message, seen, &answer, verdict, &untold).await.map(Some)
            }
            Ended::NotMade(then) => Ok(Some(then)),
            Ended::HeldOff { status, until, seen } => {
                self.handler.hold_off(message, seen, status, until).await.map(Some)
            }
            Ended::Lost => Ok(None),
        }
    }

    /// The answer is kept while the broker is silent, has no room, or refuses it for a reason that may be its own: if the
    /// message came again, so would the call.
    async fn conclude(
        &self,
        message: &JobMessage,
        seen: Seen,
        answer: &Answer,
        verdict: Verdict,
        untold: &Untold,
    ) -> Result<Then, Unfinished> {
        let tenant = seen.record.tenant.clone();
        let mut seen = Some(seen);
        loop {
            match self.handler.conclude(message, seen.take(), answer, verdict.clone(), untold).await {
                Err(unfinished) if !unfinished.is_for_good() => {
                    tracing::warn!(job = %message.address.job, %unfinished, "an answer is kept until the broker takes it");
                    tokio::time::sleep(CONCLUDE_AGAIN).await;
                    if let Unfinished::NotHandedOn { seen: settled, .. } = unfinished {
                        seen = Some(*settled);
                    }
                }
                concluded => {
                    // Of a call whose answer changed nothing.
                    self.handler.effects().tell_untold(&tenant, &message.address, untold).await;
                    return concluded.map(|handled| handled.then);
                }
            }
        }
    }
}

/// Tells the broker that work goes on, every third of the time it would wait.
async fn keep_alive(in_hand: &InHand, ack_wait: Duration) {
    loop {
        tokio::time::sleep(ack_wait / 3).await;
        in_hand.keep(ack_wait).await;
    }
}
