//! One attempt: `attempt` of `sluice_workers`, step for step. The gate is a wait, or closed; gates are simulated by
//! themselves.

use std::pin::pin;
use std::time::Duration;

use futures_util::{FutureExt, select_biased};
use sluice_shared::clock::Millis;
use sluice_shared::config::StatusRange;
use sluice_shared::domain::classify::classify;
use sluice_shared::domain::decide::Verdict;
use sluice_shared::domain::demand::Then;
use sluice_shared::domain::id::{BranchId, Region};
use sluice_shared::domain::outcome::{Answer, Class, Content, ErrorKind};
use sluice_shared::domain::record::Record;
use sluice_shared::domain::region::Standpoint;
use sluice_shared::domain::reroute::{self, Elsewhere};
use sluice_shared::domain::retry::{self, RetryDefaults};
use sluice_shared::effects::{JobMessage, Seen, Unfinished};
use sluice_shared::queues::QueueSpec;

use super::outside::{Answers, Place};
use super::rules::Rule;
use super::world::{Ear, Node};

/// A wait for a slot longer than this makes the record worth reading again before the send.
const WORTH_READING_AGAIN: Duration = Duration::from_millis(250);
/// How soon a record is looked at again that could not be read beside a call.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
const RETRIED: [StatusRange; 1] = [StatusRange { first: 500, last: 599 }];
const RETRY: RetryDefaults =
    RetryDefaults { max_retries: 3, base: Duration::from_secs(1), cap: Duration::from_secs(60) };

/// An attempt that is to be made.
pub(super) struct Attempt<'a> {
    pub(super) node: &'a Node,
    pub(super) message: &'a JobMessage,
    pub(super) branch: BranchId,
    pub(super) attempt: u32,
}

/// How it ended.
pub(super) enum Ended {
    Answered { answer: Answer, verdict: Verdict, seen: Seen },
    NotMade(Then),
}

enum Turn {
    Come(Seen),
    TooLate(Seen),
    Over(Then),
}

impl Attempt<'_> {
    pub(super) async fn make(&self, seen: Seen, watched: &Ear) -> Result<Ended, Unfinished> {
        let seen = match self.turn(seen, watched).await? {
            Turn::Come(seen) => seen,
            Turn::TooLate(seen) => {
                let content = Content::Error { kind: ErrorKind::Expired, message: "too old".into() };
                return Ok(self.judge(content, None, seen));
            }
            Turn::Over(then) => return Ok(Ended::NotMade(then)),
        };
        self.node.may_die().await;
        let (content, closes) = {
            let (mut call, mut over) = (pin!(self.send(&seen).fuse()), pin!(self.over(watched, true).fuse()));
            select_biased! {
                answered = call => answered,
                over = over => return Ok(Ended::NotMade(over?)), // the request is dropped on the wire
            }
        };
        self.node.may_die().await;
        Ok(self.judge(content, closes, seen))
    }

    async fn turn(&self, mut seen: Seen, watched: &Ear) -> Result<Turn, Unfinished> {
        let (node, asked) = (self.node, self.node.world.now());
        let too_old_in = seen.record.starts_at.after(node.world.max_age).since(node.now());
        let mut stop = pin!(node.stop.when(false, &node.world).fuse());
        let (mut late, mut slot) = (pin!(node.sleep(too_old_in).fuse()), pin!(self.slot().fuse()));
        let slot = loop {
            let (mut told, mut over) = (pin!(self.told(watched).fuse()), pin!(self.over_at_once(watched).fuse()));
            select_biased! {
                () = stop => return Ok(Turn::Over(Then::GiveBack { until: node.now() })),
                over = over => return Ok(Turn::Over(over?)),
                () = told => match self.look_again().await? {
                    Ok(fresh) => seen = fresh,
                    Err(then) => return Ok(Turn::Over(then)),
                },
                () = late => return Ok(Turn::TooLate(seen)),
                slot = slot => break slot,
            }
        };
        match slot {
            Err(until) => Ok(Turn::Over(Then::GiveBack { until })),
            Ok(()) if node.world.now().since(asked) <= WORTH_READING_AGAIN => Ok(Turn::Come(seen)),
            Ok(()) => Ok(match self.look_again().await? {
                Ok(seen) => Turn::Come(seen),
                Err(then) => Turn::Over(then),
            }),
        }
    }

    async fn told(&self, watched: &Ear) {
        if !self.node.world.rules.keep(Rule::FinishTheLook) {
            std::future::pending::<()>().await;
        }
        watched.told(&self.node.world).await;
    }

    /// A look that is dropped when the slot comes, and with it what was told.
    async fn over_at_once(&self, watched: &Ear) -> Result<Then, Unfinished> {
        if self.node.world.rules.keep(Rule::FinishTheLook) {
            std::future::pending::<()>().await;
        }
        self.over(watched, false).await
    }

    /// A slot at the gate, after some time; or until when it is closed.
    async fn slot(&self) -> Result<(), Millis> {
        let world = &self.node.world;
        let wait = world.chance.one_of(&[0, 0, 0, 0, 100, 240, 260, 900, 4_000]);
        world.sleep(world.chance.between(0, wait)).await;
        let closed = world.now() < world.faults.until && world.chance.once_in(12);
        if closed {
            Err(self.node.now().after(Duration::from_millis(world.chance.between(300, 8_000))))
        } else {
            Ok(())
        }
    }

    /// Resolves when the attempt does not matter any more.
    async fn over(&self, watched: &Ear, on_the_wire: bool) -> Result<Then, Unfinished> {
        loop {
            watched.told(&self.node.world).await;
            loop {
                match self.look_again().await {
                    Ok(Ok(_)) => break,
                    Ok(Err(then)) => return Ok(then),
                    Err(_) if on_the_wire && self.node.world.rules.keep(Rule::KeepTheCall) => {
                        self.node.sleep(LOOK_AGAIN).await;
                    }
                    Err(unfinished) => return Err(unfinished),
                }
            }
        }
    }

    async fn look_again(&self) -> Result<Result<Seen, Then>, Unfinished> {
        let guarded = self.node.guard(self.message).await?;
        Ok(match (guarded.then, guarded.seen) {
            (Then::Execute { .. }, Some(seen)) => Ok(seen),
            (then, _) => Err(then),
        })
    }

    /// The call itself, and until when the answer closes the gate.
    async fn send(&self, seen: &Seen) -> (Content, Option<Duration>) {
        let (node, record) = (self.node, &seen.record);
        let place = Place {
            job: self.message.address.job.clone(),
            incarnation: self.message.address.incarnation.clone(),
            branch: self.branch,
            attempt: self.attempt,
        };
        let contender = &record.branches[self.branch.index()].contender;
        let answer = node.world.outside.borrow_mut().answer(&contender.request.url);
        let call = node.call(&place, record);
        let timeout = contender.timeout.unwrap_or(Duration::from_secs(120));
        node.sleep(answer.takes().min(timeout)).await;
        let content = if answer.takes() < timeout { answer.content() } else { Answers::timeout() };
        call.answered(&content);
        (content, answer.closes())
    }

    fn judge(&self, content: Content, closes: Option<Duration>, seen: Seen) -> Ended {
        let now = self.node.now();
        let closed_until = closes.map(|time| now.after(time));
        let policy = &seen.record.branches[self.branch.index()].contender.retry;
        let share = self.node.world.chance.share();
        let verdict = match classify(&content, policy, &RETRIED) {
            Class::Success => Verdict::Success,
            Class::Limited => Verdict::Limited { until: closed_until.unwrap_or(now) },
            class @ (Class::Retryable | Class::Final) => match self.elsewhere(&seen.record, &content) {
                Some(elsewhere) => Verdict::Elsewhere(Box::new(elsewhere)),
                None if class == Class::Retryable => {
                    let before = reroute::retries_before(&seen.record.branches[self.branch.index()]);
                    retry::again(self.attempt + before, policy, &RETRY, closed_until, now, share)
                }
                None => Verdict::Final,
            },
        };
        let region = Some(self.region());
        Ended::Answered { answer: Answer { attempt: self.attempt, at: now, content, region }, verdict, seen }
    }

    /// Workers are spread over the regions; which of them takes what is not simulated.
    fn region(&self) -> Region {
        let regions = super::scenario::REGIONS;
        regions[self.node.process.0 as usize % regions.len()].parse().unwrap()
    }

    fn elsewhere(&self, record: &Record, content: &Content) -> Option<Elsewhere> {
        let Content::Response(response) = content else { return None };
        let live = super::scenario::REGIONS.iter().map(|region| region.parse().unwrap()).collect();
        let standpoint = Standpoint { own: Some(&self.region()), live: &live };
        let place = reroute::next(record, self.branch, response.status, standpoint)?;
        let branch = &record.branches[self.branch.index()];
        let spec = QueueSpec { place, ..QueueSpec::of_branch(record, branch)? };
        Some(Elsewhere { queue: spec.name(), shard: branch.shard, place: spec.place })
    }
}
