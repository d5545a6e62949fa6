//! A worker: `dispatch`, `handler` and `due` of `sluice_workers`, step for step.

use std::pin::pin;
use std::time::Duration;

use futures_util::{FutureExt, select_biased};
use sluice_shared::domain::decide::{Known, Verdict, conclude, decide};
use sluice_shared::domain::demand::Then;
use sluice_shared::domain::outcome::Answer;
use sluice_shared::domain::result::JobResult;
use sluice_shared::effects::{Handled, JobMessage, Seen, Unfinished};
use sluice_shared::topology::Stage;

use super::attempt::{Attempt, Ended};
use super::broker::{Consumer, Load};
use super::checks::Invariant;
use super::clockwork::TaskId;
use super::hand_out::InHand;
use super::rules::Rule;
use super::world::Node;

/// How soon a message comes back whose handling stopped on the way.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// How soon an answer in hand is concluded again.
const CONCLUDE_AGAIN: Duration = Duration::from_secs(1);

impl Node {
    /// Whether this process takes messages of this kind.
    pub(super) fn pulls(&self, consumer: Consumer) -> bool {
        let delivers = self.process.0 >= 100;
        let its = match consumer {
            Consumer::Queue | Consumer::Due => !delivers,
            Consumer::Results | Consumer::Webhooks => delivers,
        };
        its && !self.stop.begun.get()
    }

    /// Begins to handle a message, in a task of its own.
    pub(super) fn take_on(&self, in_hand: InHand) -> TaskId {
        let this = self.clone();
        match (&in_hand.message.load, in_hand.message.stage) {
            (Load::Pointer(_), Stage::Work) => self.spawn(async move { this.dispatch(in_hand).await }),
            (Load::Pointer(_), _) => self.spawn(async move { this.come_due(in_hand).await }),
            (Load::Result(result, again), _) => {
                let (result, again): (JobResult, _) = ((**result).clone(), *again);
                self.spawn(async move { this.deliver_result(in_hand, result, again).await })
            }
            (Load::Delivery(delivery), _) => {
                let delivery = (**delivery).clone();
                self.spawn(async move { this.deliver_due(in_hand, delivery).await })
            }
        }
    }

    async fn dispatch(&self, in_hand: InHand) {
        let message = in_hand.of_job().unwrap();
        let then = {
            let mut carried = pin!(self.carry_out(&message, &in_hand).fuse());
            let mut cut = pin!(self.stop.when(true, &self.world).fuse());
            select_biased! {
                then = carried => Some(then),
                () = cut => None,
            }
        };
        match then {
            Some(then) => self.let_go(&in_hand, then),
            None => {
                // Whoever gets it next reads the record and goes on from there.
                self.world.checks.borrow_mut().taken_away(in_hand.sequence());
                self.nak(&in_hand, Duration::ZERO);
            }
        }
    }

    async fn come_due(&self, in_hand: InHand) {
        let message = in_hand.of_job().unwrap();
        let guarded = self.guard(&message).await;
        self.let_go(&in_hand, guarded.map(|handled| handled.then));
    }

    async fn carry_out(&self, message: &JobMessage, in_hand: &InHand) -> Result<Then, Unfinished> {
        let watched = self.listen(&message.address.job);
        let guarded = self.guard(message).await?;
        let Handled { then: Then::Execute { branch, attempt }, seen: Some(seen), .. } = guarded else {
            return Ok(guarded.then);
        };
        let attempt = Attempt { node: self, message, branch, attempt };
        match attempt.make(seen, &watched).await? {
            Ended::Answered { answer, verdict, seen } => {
                if !self.world.rules.keep(Rule::AckLast) {
                    self.ack(in_hand);
                }
                let then = self.conclude(message, seen, &answer, verdict.clone()).await?;
                self.world.checks.borrow_mut().concluded(self.world.clockwork.current(), verdict);
                Ok(then)
            }
            Ended::NotMade(then) => Ok(then),
        }
    }

    /// By the table.
    pub(super) async fn guard(&self, message: &JobMessage) -> Result<Handled, Unfinished> {
        if !self.world.rules.keep(Rule::ReadBeforeActing)
            && let Some(blind) = self.unguarded(message).await?
        {
            return Ok(blind);
        }
        self.handle(message, None, |known, now| decide(known, self.incoming(known, message), now)).await
    }

    /// By the answer. It is kept while the broker is silent or has no room.
    async fn conclude(
        &self,
        message: &JobMessage,
        seen: Seen,
        answer: &Answer,
        verdict: Verdict,
    ) -> Result<Then, Unfinished> {
        let mut seen = Some(seen);
        loop {
            let handled = self
                .handle(message, seen.take(), |known, now| match known {
                    Known::Record(record) => conclude(record, message.incoming(), answer, verdict.clone(), now),
                    Known::Forgotten | Known::Lost | Known::Newer | Known::Unreadable => {
                        decide(known, message.incoming(), now)
                    }
                })
                .await;
            match handled {
                Err(unfinished) if !unfinished.is_for_good() && self.world.rules.keep(Rule::KeepTheAnswer) => {
                    self.tell(|| format!("keeps the answer: {unfinished}"));
                    self.sleep(CONCLUDE_AGAIN).await;
                    if let Unfinished::NotHandedOn { seen: settled, .. } = unfinished {
                        seen = Some(*settled);
                    }
                }
                handled => return handled.map(|handled| handled.then),
            }
        }
    }

    /// Lets go of a message as was decided. What stopped on the way comes again.
    fn let_go(&self, in_hand: &InHand, then: Result<Then, Unfinished>) {
        self.world.checks.borrow_mut().let_go(in_hand.sequence(), self.world.clockwork.current());
        match then {
            Ok(Then::Ack) => self.ack(in_hand),
            Ok(Then::GiveBack { until }) => self.nak(in_hand, until.since(self.now())),
            Ok(Then::LeaveToNewer | Then::Execute { .. }) => self.nak(in_hand, TRY_AGAIN),
            Ok(Then::SetAside(oddity)) => {
                self.world.broken(Invariant::NothingOdd, || format!("{}: {oddity}", in_hand.message.name()));
            }
            Err(unfinished) => {
                self.tell(|| format!("leaves #{} for another try: {unfinished}", in_hand.sequence()));
                self.nak(in_hand, TRY_AGAIN);
            }
        }
    }
}
