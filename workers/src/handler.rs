//! What every message of a job goes through, work or due: guard, carry out, let go; and what becomes of one that cannot be
//! read.

use std::time::Duration;

use sluice_shared::clock::{self, Millis};
use sluice_shared::domain::decide::{Kind, Known, Verdict, conclude, decide, held_off};
use sluice_shared::domain::demand::{Decision, Then};
use sluice_shared::domain::id::Token;
use sluice_shared::domain::outcome::{Answer, Content, ErrorKind};
use sluice_shared::domain::record::{BranchState, Record};
use sluice_shared::effects::{Effects, Handled, JobMessage, Seen, Unfinished, Untold};
use sluice_shared::fault_points;
use sluice_shared::nats::ack::InHand;
use sluice_shared::telemetry::Metrics;

use crate::message::{LEAVE_TO_NEWER, Strange, TRY_AGAIN};

/// Handles messages, and counts what came of it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Handler {
    effects: Effects,
    metrics: Metrics,
}

impl Handler {
    pub(crate) fn new(effects: Effects, metrics: Metrics) -> Self {
        Self { effects, metrics }
    }

    pub(crate) fn effects(&self) -> &Effects {
        &self.effects
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// By the table.
    pub(crate) async fn guard(&self, message: &JobMessage) -> Result<Handled, Unfinished> {
        let decided = |known: Known<'_>, now| {
            if let (Known::Record(record), Kind::Due) = (known, message.kind) {
                fault_points::point("due", &record.key);
            }
            decide(known, message.incoming(), now)
        };
        self.counted(self.effects.handle(message, None, decided).await)
    }

    /// By the answer to the attempt that the message points to: one swap, allowed only while the branch is live at that
    /// attempt; else the answer is dropped and the table decides. Reads the record unless `seen` is fresh. What is `untold` is
    /// told with what the swap makes happen.
    pub(crate) async fn conclude(
        &self,
        message: &JobMessage,
        seen: Option<Seen>,
        answer: &Answer,
        verdict: Verdict,
        untold: &Untold,
    ) -> Result<Handled, Unfinished> {
        let decided = |known: Known<'_>, now| match known {
            Known::Record(record) => conclude(record, message.incoming(), answer, verdict.clone(), now),
            Known::Forgotten | Known::Lost | Known::Newer | Known::Unreadable => decide(known, message.incoming(), now),
        };
        self.counted(self.effects.handle_telling(message, seen, untold, decided).await)
    }

    /// By the open circuit of the destination: what a failure would start, starts, and the message comes again.
    pub(crate) async fn hold_off(
        &self,
        message: &JobMessage,
        seen: Seen,
        status: Option<u16>,
        until: Millis,
    ) -> Result<Then, Unfinished> {
        let decided = |known: Known<'_>, now| match known {
            Known::Record(record) => held_off(record, message.incoming(), status, until, now),
            Known::Forgotten | Known::Lost | Known::Newer | Known::Unreadable => decide(known, message.incoming(), now),
        };
        Ok(self.counted(self.effects.handle(message, Some(seen), decided).await)?.then)
    }

    pub(crate) fn counted(&self, handled: Result<Handled, Unfinished>) -> Result<Handled, Unfinished> {
        if let Ok(Handled { settled: Some(status), seen: Some(seen), .. }) = &handled {
            self.metrics.settled(*status, clock::now().since(seen.record.accepted_at));
        }
        handled
    }

    /// Lets go of a message as was decided. What stopped on the way comes again.
    pub(crate) async fn let_go(&self, in_hand: &InHand, then: Result<Then, Unfinished>) {
        match then {
            Ok(Then::Ack) => in_hand.ack().await,
            Ok(Then::GiveBack { until }) => in_hand.nak(Some(until.since(clock::now()))).await,
            Ok(Then::LeaveToNewer) => in_hand.nak(Some(LEAVE_TO_NEWER)).await,
            Ok(Then::SetAside(oddity)) => self.set_aside(in_hand, &oddity.to_string()).await,
            // Only work is executed, and then something else was decided.
            Ok(Then::Execute { .. }) => in_hand.nak(Some(TRY_AGAIN)).await,
            Err(unfinished) => {
                tracing::warn!(subject = in_hand.subject(), %unfinished, "a message is left for another try");
                in_hand.nak(Some(again_after(in_hand.delivered(), &unfinished))).await;
            }
        }
    }

    /// Lets go of a message that cannot be read. A branch whose message nobody can read dies of it: better a job that fails
    /// than one that hangs.
    pub(crate) async fn let_go_of(&self, in_hand: &InHand, strange: Strange) {
        let (message, why) = match strange {
            Strange::Newer(_) => return in_hand.nak(Some(LEAVE_TO_NEWER)).await,
            Strange::Subject(_) | Strange::Unfired => return self.set_aside(in_hand, &strange.to_string()).await,
            Strange::Payload { message, why } => (message, why),
        };
        let text = format!("the branch's message cannot be read: {why}");
        match self.die(&message, ErrorKind::Unreadable, text).await {
            Ok(()) => self.set_aside(in_hand, &why).await,
            unfinished @ Err(_) => self.let_go(in_hand, unfinished.map(|()| Then::Ack)).await,
        }
    }

    /// Ends the branch at whatever attempt the record has it: the one that the message pointed to is not known. Where it does
    /// not contend any more, and for a signal, the table says what is still to be done: that needs no attempt.
    pub(crate) async fn die(&self, message: &JobMessage, kind: ErrorKind, text: String) -> Result<(), Unfinished> {
        let message_of = |attempt| JobMessage { attempt, ..message.clone() };
        let content = Content::Error { kind, message: text };
        let decided = |known: Known<'_>, now| match known {
            Known::Record(record) => match live_at(record, message.address.token) {
                Some(attempt) => {
                    fault_points::point("die", &record.key);
                    let answer = Answer { attempt, at: now, content: content.clone(), region: None };
                    conclude(record, message_of(attempt).incoming(), &answer, Verdict::Final, now)
                }
                None => Decision { then: Then::Ack, ..decide(known, message.incoming(), now) },
            },
            Known::Forgotten | Known::Lost | Known::Newer | Known::Unreadable => Decision::only(Then::Ack),
        };
        self.counted(self.effects.handle(message, None, decided).await).map(|_| ())
    }

    /// Keeps a message as a dead letter, then acks it. Where that fails it is not acked and comes again.
    async fn set_aside(&self, in_hand: &InHand, reason: &str) {
        if self.keep_letter(in_hand, reason).await {
            in_hand.ack().await;
        }
    }

    /// Says whether it is kept.
    pub(crate) async fn keep_letter(&self, in_hand: &InHand, reason: &str) -> bool {
        tracing::error!(subject = in_hand.subject(), reason, "a message is set aside");
        let kept = self.effects.set_message_aside(in_hand, reason).await;
        if let Err(error) = &kept {
            tracing::warn!(%error, "a dead letter was not stored; the message comes again");
        }
        kept.is_ok()
    }
}

/// What the broker may take later is tried again soon; what it refuses less and less often, for that takes somebody who
/// changes the broker.
fn again_after(tries: u64, unfinished: &Unfinished) -> Duration {
    if unfinished.may_pass() {
        return TRY_AGAIN;
    }
    let doublings = u32::try_from(tries.saturating_sub(1)).unwrap_or(u32::MAX).min(6);
    TRY_AGAIN * (1 << doublings)
}

/// The attempt at which the token's branch contends, if it does.
fn live_at(record: &Record, token: Token) -> Option<u32> {
    let Token::Branch(branch) = token else { return None };
    match record.branch(branch).filter(|_| record.outcome.is_none())?.state {
        BranchState::Live { attempt, .. } => Some(attempt),
        BranchState::Unstarted | BranchState::Dead | BranchState::Done => None,
    }
}
