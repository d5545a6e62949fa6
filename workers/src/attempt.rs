//! One attempt of a branch: the slot waited for, the request made and sent, the answer judged; or what comes in between.

use std::time::Duration;

use bytes::Bytes;
use sluice_shared::clock;
use sluice_shared::domain::classify::{Working, classify, working};
use sluice_shared::domain::decide::Verdict;
use sluice_shared::domain::demand::Then;
use sluice_shared::domain::event::{Event, What};
use sluice_shared::domain::gate::{Circuit, Nanos};
use sluice_shared::domain::id::BranchId;
use sluice_shared::domain::job::Body;
use sluice_shared::domain::outcome::{Answer, Class, Content, ErrorKind};
use sluice_shared::domain::pace::{Closes, Pace};
use sluice_shared::domain::record::{Branch, Record};
use sluice_shared::domain::region::Standpoint;
use sluice_shared::domain::reroute::{self, Elsewhere};
use sluice_shared::domain::retry;
use sluice_shared::effects::{JobMessage, LOSER_BODY, Seen, Unfinished, Untold};
use sluice_shared::nats::ack::InHand;
use sluice_shared::queues::QueueSpec;
use sluice_shared::telemetry::traceparent;
use tokio::time::Instant;

use crate::dispatch::Dispatcher;
use crate::fill::unfilled;
use crate::gate::{Closed, Hold, Slot};
use crate::send::{Marks, Outgoing, Ready, error, unopened, unsendable};
use crate::settlements::Watched;

/// A wait for a slot longer than this makes the record worth reading again before the send.
const WORTH_READING_AGAIN: Duration = Duration::from_millis(250);
/// An answer that comes as soon as this is told in one message with its call: that costs the broker half as much.
const AT_ONCE: Duration = Duration::from_millis(100);
/// How soon a record is looked at again that could not be read beside a call.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// An attempt that is to be made.
pub(crate) struct Attempt<'a> {
    pub(crate) dispatcher: &'a Dispatcher,
    pub(crate) in_hand: &'a InHand,
    pub(crate) message: &'a JobMessage,
    pub(crate) branch: BranchId,
    pub(crate) attempt: u32,
    /// That the call was sent, until it is told.
    pub(crate) untold: &'a Untold,
}

/// How it ended.
pub(crate) enum Ended {
    /// There is an answer to conclude from.
    Answered {
        /// What came back.
        answer: Answer,
        /// What it means for the branch.
        verdict: Verdict,
        /// The record, as it was read last.
        seen: Seen,
    },
    /// Nothing was sent, or what was sent does not matter any more; this becomes of the message.
    NotMade(Then),
    /// Nothing was sent: the destination does not work at the moment.
    HeldOff {
        /// The status of the failure that opened its circuit; none where there was no answer.
        status: Option<u16>,
        /// Until when nothing is sent.
        until: clock::Millis,
        /// The record, as it was read last.
        seen: Seen,
    },
    /// Nothing was sent: this process stood still for so long that somebody else has the message.
    Lost,
}

/// What may come before the send.
enum Turn {
    /// Send now.
    Come(Slot, Seen),
    /// The job is too old.
    TooLate(Seen),
    /// Nothing is sent.
    Over(Then),
    /// Nothing is sent before that time, because the destination does not work.
    HeldOff { circuit: Circuit, until: clock::Millis, seen: Seen },
}

impl Attempt<'_> {
    /// Makes it. The record is the one that the guard has read.
    pub(crate) async fn make(&self, seen: Seen, hold: Hold, mut watched: Watched) -> Result<Ended, Unfinished> {
        let (slot, seen) = match self.turn(seen, &hold, &mut watched).await? {
            Turn::Come(slot, seen) => (slot, seen),
            Turn::TooLate(seen) => {
                let text = "the job was older than the maximum age when its turn came";
                return Ok(self.judge(error(ErrorKind::Expired, text.to_owned()), clock::nanos(), seen, &hold).await);
            }
            Turn::Over(then) => return Ok(Ended::NotMade(then)),
            Turn::HeldOff { circuit, until, seen } => {
                return Ok(Ended::HeldOff { status: circuit.status, until, seen });
            }
        };
        let Some(branch) = seen.record.branch(self.branch) else { return Ok(Ended::NotMade(Then::Ack)) };
        let ready = self.ready(&seen.record, branch).await?;
        let sent_at = clock::nanos();
        let content = match ready {
            Err(not_sent) => not_sent,
            Ok(_) if !self.in_hand.is_kept(self.dispatcher.settings.ack_wait) => return Ok(Ended::Lost),
            Ok(ready) => tokio::select! {
                content = self.send(&seen.record, branch, ready) => content,
                // The request is dropped on the wire.
                over = self.over(&mut watched) => {
                    self.tell_sent(&seen.record).await;
                    return Ok(Ended::NotMade(over));
                }
            },
        };
        drop(slot);
        Ok(self.judge(content, sent_at, seen, &hold).await)
    }

    /// Waits for the slot; says what came first. What is told meanwhile is looked into to its end, whatever comes: a call
    /// that went out before would not be dropped, for nobody tells it again.
    async fn turn(&self, mut seen: Seen, hold: &Hold, watched: &mut Watched) -> Result<Turn, Unfinished> {
        let asked = Instant::now();
        let too_old_at = seen.record.starts_at.after(self.dispatcher.settings.max_age);
        let too_old_in = too_old_at.since(clock::now());
        let too_old = async {
            // A timer takes its time even for none, and the slot could come first.
            if !too_old_in.is_zero() {
                tokio::time::sleep(too_old_in).await;
            }
        };
        let slot = hold.slot();
        tokio::pin!(too_old, slot);
        let slot = loop {
            tokio::select! {
                biased;
                // Whoever else runs takes it.
                () = self.dispatcher.stop.begun.cancelled() => return Ok(Turn::Over(Then::GiveBack { until: clock::now() })),
                // Nobody takes it before the queue is resumed.
                () = hold.paused() => return Ok(Turn::Over(Then::GiveBack { until: clock::now() })),
                () = watched.told() => match self.look_again().await? {
                    Ok(fresh) => seen = fresh,
                    Err(then) => return Ok(Turn::Over(then)),
                },
                () = &mut too_old => return Ok(Turn::TooLate(seen)),
                slot = &mut slot => break slot,
            }
        };
        self.dispatcher.handler.metrics().waited_at_gate(asked.elapsed());
        match slot {
            Err(Closed { until, circuit: Some(circuit) }) => Ok(Turn::HeldOff { circuit, until, seen }),
            Err(Closed { until, circuit: None }) => Ok(Turn::Over(Then::GiveBack { until })),
            Ok(slot) if asked.elapsed() <= WORTH_READING_AGAIN => Ok(Turn::Come(slot, seen)),
            Ok(slot) => Ok(match self.look_again().await? {
                Ok(seen) => Turn::Come(slot, seen),
                Err(then) => Turn::Over(then),
            }),
        }
    }

    /// Resolves when the call on the wire does not matter any more, with what becomes of the message. A broker that is
    /// silent does not say so: the call goes on, for to give it up would be to make it again.
    async fn over(&self, watched: &mut Watched) -> Then {
        loop {
            watched.told().await;
            let looked = loop {
                match self.look_again().await {
                    Ok(looked) => break looked,
                    Err(unfinished) => tracing::debug!(%unfinished, "a call goes on unlooked at"),
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            };
            if let Err(then) = looked {
                return then;
            }
        }
    }

    /// The record, if it still wants this attempt; what becomes of the message, else.
    async fn look_again(&self) -> Result<Result<Seen, Then>, Unfinished> {
        let guarded = self.dispatcher.handler.guard(self.message).await?;
        Ok(match (guarded.then, guarded.seen) {
            (Then::Execute { .. }, Some(seen)) => Ok(seen),
            (then, _) => Err(then),
        })
    }

    /// What is sent, or the answer that says why it cannot be.
    async fn ready(&self, record: &Record, branch: &Branch) -> Result<Result<Ready, Content>, Unfinished> {
        let request = &branch.contender.request;
        let body = match &request.body {
            Body::Empty => Bytes::new(),
            Body::Inline(bytes) => bytes.clone(),
            Body::Stored { .. } => {
                let records = self.dispatcher.handler.effects().records();
                match records.body(&self.message.address.job, &record.incarnation, record.body_of(self.branch)).await? {
                    Some(body) => body,
                    None => return Ok(Err(unsendable("the request's body is not stored any more"))),
                }
            }
        };
        let traceparent = record.traceparent.as_deref().and_then(traceparent::child);
        // A call that goes on in another region is the same call to its destination.
        let marks = Marks { key: &record.key, branch: record.began_as(self.branch), traceparent };
        let headers = match self.dispatcher.handler.effects().sealing().headers(&record.tenant, request) {
            Ok(headers) => headers,
            Err(error) => return Ok(Err(unopened(&error))),
        };
        Ok(match self.dispatcher.secrets.fill(&record.tenant, headers, body).await {
            Ok((headers, body)) => Outgoing::new(request, &headers, body, marks)
                .and_then(|outgoing| self.dispatcher.sender.ready(&record.tenant, outgoing)),
            Err(error) => Err(unfilled(error)?),
        })
    }

    async fn send(&self, record: &Record, branch: &Branch, ready: Ready) -> Content {
        let (handler, settings) = (&self.dispatcher.handler, &self.dispatcher.settings);
        let what = What::Sent { branch: self.branch, attempt: self.attempt, destination: ready.destination() };
        self.untold.keep(Event { at: clock::now(), what });
        let in_flight = handler.metrics().attempt_started();
        let began = Instant::now();
        let timeout = branch.contender.timeout.unwrap_or(settings.attempt_timeout);
        let limit = handler.effects().caps().kept_of_success(record);
        let call = ready.send(timeout, limit);
        tokio::pin!(call);
        let content = tokio::select! {
            biased;
            content = &mut call => content,
            () = tokio::time::sleep(AT_ONCE) => {
                self.tell_sent(record).await;
                call.await
            }
        };
        drop(in_flight);
        let class = classify(&content, &branch.contender.retry, &settings.retry_codes);
        handler.metrics().attempted(class, began.elapsed());
        content
    }

    /// Tells that the call is on the wire, or was, unless that is told already.
    async fn tell_sent(&self, record: &Record) {
        self.dispatcher.handler.effects().tell_untold(&record.tenant, &self.message.address, self.untold).await;
    }

    /// What the answer to a call that was sent at `sent_at` means: for the gate, which learns and closes by it, and for the
    /// branch.
    async fn judge(&self, content: Content, sent_at: Nanos, seen: Seen, hold: &Hold) -> Ended {
        let now = clock::now();
        self.count(hold, &content, sent_at).await;
        let closed_until = match &content {
            Content::Response(response) => {
                let pace = Pace::read(&response.headers, now);
                self.note_accounts(&seen.record, hold, &pace, now).await;
                self.teach(hold, response.status, pace, sent_at, now).await
            }
            Content::Error { .. } => None,
        };
        let settings = &self.dispatcher.settings;
        let policy = seen.record.branch(self.branch).map(|branch| branch.contender.retry.clone()).unwrap_or_default();
        let verdict = match classify(&content, &policy, &settings.retry_codes) {
            Class::Success => Verdict::Success,
            Class::Limited => Verdict::Limited { until: closed_until.unwrap_or(now) },
            class @ (Class::Retryable | Class::Final) => match self.elsewhere(&seen.record, &content).await {
                Some(elsewhere) => Verdict::Elsewhere(Box::new(elsewhere)),
                None if class == Class::Retryable => {
                    let attempt = self.attempt + seen.record.branch(self.branch).map_or(0, reroute::retries_before);
                    retry::again(attempt, &policy, &settings.retry, closed_until, now, rand::random())
                }
                None => Verdict::Final,
            },
        };
        let answer = Answer { attempt: self.attempt, at: now, content, region: settings.region.clone() };
        let answer = if verdict == Verdict::Success { answer } else { answer.cut_to(LOSER_BODY) };
        Ended::Answered { answer, verdict, seen }
    }

    /// Where the answer moves the branch to. Its queue there is made first, for that says which shard holds it; where the broker
    /// does not take that now, the branch stays, and is tried again like any other.
    async fn elsewhere(&self, record: &Record, content: &Content) -> Option<Elsewhere> {
        let Content::Response(response) = content else { return None };
        let queues = self.dispatcher.handler.effects().queues();
        let (own, live) = (self.dispatcher.settings.region.as_ref(), queues.regions().live());
        let place = reroute::next(record, self.branch, response.status, Standpoint { own, live: &live })?;
        let spec = QueueSpec { place, shard: None, ..QueueSpec::of_branch(record, record.branch(self.branch)?)? };
        match queues.keep(&spec, clock::now()).await {
            Ok(shard) => Some(Elsewhere { queue: spec.name(), shard, place: spec.place }),
            Err(error) => {
                tracing::warn!(%error, "a branch stays in its region, for its queue in another could not be made");
                None
            }
        }
    }

    /// Tells the gate whether the destination works. A call that took too long says nothing about that: its job may have
    /// little time.
    async fn count(&self, hold: &Hold, content: &Content, sent_at: Nanos) {
        let opened = match working(content) {
            None => false,
            Some(Working::Yes) => {
                hold.gate().worked(sent_at).await;
                false
            }
            Some(Working::No(status)) => hold.gate().failed(status, sent_at).await,
        };
        if opened {
            self.dispatcher.handler.metrics().circuit_opened();
        }
    }

    /// Writes down whether the destination's limits are by account, where it says: jobs that come from now on have one each.
    async fn note_accounts(&self, record: &Record, hold: &Hold, pace: &Pace, now: clock::Millis) {
        let Some(by_account) = pace.by_account.filter(|_| hold.gate().learns()) else { return };
        let destination = record.branch(self.branch).and_then(|branch| QueueSpec::of_branch(record, branch));
        let Some(QueueSpec { destination, .. }) = destination else { return };
        let spec = QueueSpec::plain(&record.tenant, destination);
        let queues = self.dispatcher.handler.effects().queues();
        if let Err(error) = queues.told_by_account(&spec, by_account, now).await {
            tracing::warn!(%error, "that a destination has limits by account could not be written down");
        }
    }

    /// Lets the gate learn from an answer; says until when it is closed, where the answer closes it.
    async fn teach(
        &self,
        hold: &Hold,
        status: u16,
        pace: Pace,
        sent_at: Nanos,
        now: clock::Millis,
    ) -> Option<clock::Millis> {
        let closes = pace.closes(status, now);
        hold.gate().learn(&pace.heard(status, sent_at)).await;
        let until = match closes {
            Closes::Not => return None,
            Closes::ForNow => None,
            Closes::Until(until) => Some(until),
        };
        self.dispatcher.handler.metrics().gate_closed();
        Some(hold.gate().close(until).await)
    }
}
