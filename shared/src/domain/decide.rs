//! The decision table: what a message and the record it points to ask for. One pure function for messages, one for answers.
//!
//! Every message is handled the same way, redelivered or not. No decision remembers what an earlier one did: all that is
//! demanded follows from the record, and the expectations of the publishes make repeats harmless. The table and these
//! functions are checked against each other row by row in the tests, the rules themselves by exhaustive search.

use std::time::Duration;

use super::demand::{Decision, Demand, Expect, Oddity, Then, When};
use super::id::{BranchId, Incarnation, Token};
use super::job::{Contender, Trigger};
use super::outcome::{Answer, Outcome, Reason, Status};
use super::record::{Branch, BranchState, Moved, Placed, Record};
use super::reroute::{self, Elsewhere};
use crate::clock::Millis;

/// The least a timer can do.
pub const SHORTEST_TIMER: Duration = Duration::from_millis(250);

/// A message in hand, as far as decisions go.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// Which life of the job's key it belongs to.
    pub incarnation: &'a Incarnation,
    /// Whose chain it belongs to, or which signal it is.
    pub token: Token,
    /// Whether it is work, or something that came due.
    pub kind: Kind,
    /// The attempt it points to.
    pub attempt: u32,
}

/// Whether a message came out of a queue or out of a shard's due consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Out of a queue: to be executed, if it still counts.
    Work,
    /// A timer that fired, or a signal.
    Due,
}

/// What was found under the job's name.
#[derive(Clone, Copy, Debug)]
pub enum Known<'a> {
    /// Nothing, and the message is so old that a settled record would be forgotten by now.
    Forgotten,
    /// Nothing, though it should be there.
    Lost,
    /// A record that only a newer version reads.
    Newer,
    /// Bytes that nobody reads.
    Unreadable,
    /// The record.
    Record(&'a Record),
}

/// How an attempt ended, as far as its branch goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The branch wins, if nobody was first; in a fanout, once all others have succeeded too.
    Success,
    /// The gate is closed; the attempt is not used up.
    Limited {
        /// When the gate is expected to reopen.
        until: Millis,
    },
    /// Another attempt, not before this moment.
    Again {
        /// When.
        at: Millis,
    },
    /// Another branch goes on for it in another region.
    Elsewhere(Box<Elsewhere>),
    /// The branch is over.
    Final,
}

/// Decides about a message.
#[must_use]
pub fn decide(known: Known<'_>, message: Incoming<'_>, now: Millis) -> Decision {
    let record = match known {
        Known::Forgotten => return Decision::only(Then::Ack),
        Known::Lost => return Decision::only(Then::SetAside(Oddity::RecordLost)),
        Known::Newer => return Decision::only(Then::LeaveToNewer),
        Known::Unreadable => return Decision::only(Then::SetAside(Oddity::RecordUnreadable)),
        Known::Record(record) => record,
    };
    if record.incarnation != *message.incarnation {
        return Decision::only(Then::Ack);
    }
    if let Some(outcome) = &record.outcome {
        let mine = outcome.winner == message.token;
        return Decision::ack_after(if mine { after_settlement(record, true) } else { Vec::new() });
    }
    match (message.token, message.kind) {
        (Token::Branch(branch), kind) => of_chain(record, branch, kind, message.attempt, now),
        (Token::Start(branch), Kind::Due) => of_start(record, branch, now),
        (Token::Deadline, Kind::Due) => by_signal(record, message.token, Status::Failed, Reason::Deadline, now),
        (Token::Cancel, Kind::Due) => by_signal(record, message.token, Status::Cancelled, Reason::Cancelled, now),
        (Token::Overdue, Kind::Due) => of_overdue(record),
        (Token::Start(_) | Token::Deadline | Token::Cancel | Token::Overdue, Kind::Work) => {
            Decision::only(Then::SetAside(Oddity::WrongStage))
        }
    }
}

/// Decides about the answer to an attempt. It changes the record only while the branch is live at that attempt; else the
/// answer is dropped and the message's row of the table decides.
#[must_use]
pub fn conclude(record: &Record, message: Incoming<'_>, answer: &Answer, verdict: Verdict, now: Millis) -> Decision {
    let Token::Branch(branch) = message.token else {
        return Decision::only(Then::SetAside(Oddity::WrongStage));
    };
    if record.incarnation != *message.incarnation || !record.is_at(branch, message.attempt) {
        return decide(Known::Record(record), message, now);
    }
    let mut next = Box::new(record.clone());
    let own = &mut next.branches[branch.index()];
    own.answers = own.answers.saturating_add(1);
    own.last = (verdict != Verdict::Success || record.is_fanout()).then(|| answer.clone());
    match verdict {
        Verdict::Success if record.is_fanout() => done(next, branch, now),
        Verdict::Success => succeeded(next, branch, answer.clone(), now),
        Verdict::Limited { until } => {
            start_triggered(&mut next, branch, answer.status(), now);
            let demands = ensure_fallbacks(&next, branch, now);
            Decision { swap: Some(next), demands, then: Then::GiveBack { until } }
        }
        Verdict::Again { at } => {
            let (attempt, due_at) = (message.attempt + 1, at.max(now.after(SHORTEST_TIMER)));
            next.branches[branch.index()].state = BranchState::Live { attempt, due_at };
            start_triggered(&mut next, branch, answer.status(), now);
            let mut demands = ensure_fallbacks(&next, branch, now);
            demands.push(chain(branch, When::Later(due_at), attempt, Expect::InHand));
            Decision { swap: Some(next), demands, then: Then::Ack }
        }
        Verdict::Elsewhere(to) => moved(next, branch, *to, message.attempt, answer, now),
        Verdict::Final => died(next, branch, answer, now),
    }
}

/// Decides about an attempt that is not made because the circuit of its destination is open: the message comes again when it
/// is half open, the attempt is not used up, and what an attempt that failed with this status would start, starts.
#[must_use]
pub fn held_off(record: &Record, message: Incoming<'_>, status: Option<u16>, until: Millis, now: Millis) -> Decision {
    let branch = match message.token {
        Token::Branch(branch) if record.incarnation == *message.incarnation => branch,
        Token::Branch(_) | Token::Start(_) | Token::Deadline | Token::Cancel | Token::Overdue => {
            return decide(Known::Record(record), message, now);
        }
    };
    if !record.is_at(branch, message.attempt) {
        return decide(Known::Record(record), message, now);
    }
    let mut next = Box::new(record.clone());
    start_triggered(&mut next, branch, status, now);
    let then = Then::GiveBack { until };
    if *next == *record {
        return Decision::only(then);
    }
    let demands = ensure_fallbacks(&next, branch, now);
    Decision { swap: Some(next), demands, then }
}

/// Decides about a message that cannot be handled, however often it is tried: its job ends as failed, whatever else contends,
/// for a job that ends is better than one that hangs. Where it has ended, the message's row of the table decides.
#[must_use]
pub fn poisoned(record: &Record, message: Incoming<'_>, why: &str, now: Millis) -> Decision {
    if record.incarnation != *message.incarnation || record.outcome.is_some() {
        return decide(Known::Record(record), message, now);
    }
    by_signal(record, message.token, Status::Failed, Reason::Poisoned(why.to_owned()), now)
}

/// What a submission's record demands: signals first, then the first message of the job's own request in each region where
/// it is made; that of the first region comes last and is the commit point. Nothing for what has happened already.
#[must_use]
pub fn enter(record: &Record, now: Millis) -> Vec<Demand> {
    if record.outcome.is_some() {
        return Vec::new();
    }
    let mut demands = signals(record, now);
    for (branch, _) in record.roots().filter(|(branch, _)| *branch != BranchId::OWN) {
        ensure(record, branch, now, &mut demands);
    }
    ensure(record, BranchId::OWN, now, &mut demands);
    demands
}

/// The timers of the signals that have not fired.
#[must_use]
pub fn signals(record: &Record, now: Millis) -> Vec<Demand> {
    let timer = |token: Token, at: Millis| Demand::Message {
        token,
        when: When::Later(at.max(now.after(SHORTEST_TIMER))),
        attempt: 0,
        expect: Expect::Nothing,
    };
    let overdue_at = record.overdue_at.filter(|_| !record.overdue);
    let fixed =
        [record.deadline_at.map(|at| timer(Token::Deadline, at)), overdue_at.map(|at| timer(Token::Overdue, at))];
    fixed.into_iter().flatten().collect()
}

/// What a live branch at its first attempt needs: the start timers of its fallbacks by timeout, then its first message.
/// Nothing at a later attempt: its chain is there.
pub fn ensure(record: &Record, branch: BranchId, now: Millis, demands: &mut Vec<Demand>) {
    let Some(own) = record.branch(branch) else { return };
    let BranchState::Live { attempt: 1, due_at } = own.state else { return };
    let started = own.started_at.unwrap_or(record.starts_at);
    for (fallback, one) in record.fallbacks(branch) {
        if let (BranchState::Unstarted, Some(Trigger::OnTimeout { after })) = (one.state, &one.contender.trigger) {
            let at = started.after(*after).max(now.after(SHORTEST_TIMER));
            let token = Token::Start(fallback);
            demands.push(Demand::Message { token, when: When::Later(at), attempt: 0, expect: Expect::Nothing });
        }
    }
    let when = if due_at > now { When::Later(due_at.max(now.after(SHORTEST_TIMER))) } else { When::Work };
    demands.push(chain(branch, when, 1, Expect::Nothing));
}

fn of_chain(record: &Record, branch: BranchId, kind: Kind, attempt: u32, now: Millis) -> Decision {
    let Some(own) = record.branch(branch) else {
        return Decision::only(Then::SetAside(Oddity::NoSuchBranch));
    };
    let (current, due_at) = match own.state {
        BranchState::Dead | BranchState::Done => {
            return Decision::ack_after(ensure_fallbacks(record, branch, now));
        }
        BranchState::Unstarted => return Decision::only(Then::SetAside(Oddity::AheadOfRecord)),
        BranchState::Live { attempt, due_at } => (attempt, due_at),
    };
    if current < attempt {
        return Decision::only(Then::SetAside(Oddity::AheadOfRecord));
    }
    if current > attempt {
        let mut demands = ensure_fallbacks(record, branch, now);
        let at = due_at.max(now.after(SHORTEST_TIMER));
        demands.push(chain(branch, When::Later(at), current, Expect::InHand));
        return Decision::ack_after(demands);
    }
    match kind {
        Kind::Due => Decision::ack_after(vec![chain(branch, When::Work, attempt, Expect::InHand)]),
        Kind::Work => Decision {
            swap: None,
            demands: ensure_fallbacks(record, branch, now),
            then: Then::Execute { branch, attempt },
        },
    }
}

fn of_start(record: &Record, branch: BranchId, now: Millis) -> Decision {
    let Some(own) = record.branch(branch) else {
        return Decision::only(Then::SetAside(Oddity::NoSuchBranch));
    };
    let mut demands = Vec::new();
    match own.state {
        BranchState::Dead | BranchState::Done => Decision::only(Then::Ack),
        BranchState::Live { .. } => {
            ensure(record, branch, now, &mut demands);
            Decision::ack_after(demands)
        }
        BranchState::Unstarted => {
            let mut next = Box::new(record.clone());
            start(&mut next.branches[branch.index()], now);
            ensure(&next, branch, now, &mut demands);
            Decision { swap: Some(next), demands, then: Then::Ack }
        }
    }
}

fn of_overdue(record: &Record) -> Decision {
    let swap = (!record.overdue).then(|| Box::new(Record { overdue: true, ..record.clone() }));
    let demands = if record.on_failure.is_some() { vec![Demand::SubmitOnFailure] } else { Vec::new() };
    Decision { swap, demands, then: Then::Ack }
}

fn by_signal(record: &Record, token: Token, status: Status, reason: Reason, now: Millis) -> Decision {
    let mut next = Box::new(record.clone());
    next.outcome = Some(Outcome { status, reason: Some(reason), winner: token, at: now, answer: None });
    let demands = after_settlement(&next, false);
    Decision { swap: Some(next), demands, then: Then::Ack }
}

fn succeeded(next: Box<Record>, branch: BranchId, answer: Answer, now: Millis) -> Decision {
    settle_success(next, branch, Some(answer), now)
}

/// A fanout succeeds with the last of its branches. One that moved on is not waited for, but who goes on for it is.
fn done(mut next: Box<Record>, branch: BranchId, now: Millis) -> Decision {
    next.branches[branch.index()].state = BranchState::Done;
    let waits = |(number, one): (BranchId, &Branch)| one.state != BranchState::Done && !next.has_moved(number);
    if next.numbered().any(waits) {
        return Decision { swap: Some(next), demands: Vec::new(), then: Then::Ack };
    }
    settle_success(next, branch, None, now)
}

fn settle_success(mut next: Box<Record>, branch: BranchId, answer: Option<Answer>, now: Millis) -> Decision {
    for one in &mut next.branches {
        one.contender.request.forget_contents();
    }
    let winner = Token::Branch(branch);
    next.outcome = Some(Outcome { status: Status::Success, reason: None, winner, at: now, answer });
    let demands = after_settlement(&next, false);
    Decision { swap: Some(next), demands, then: Then::Ack }
}

fn died(mut next: Box<Record>, branch: BranchId, answer: &Answer, now: Millis) -> Decision {
    next.branches[branch.index()].state = BranchState::Dead;
    for fallback in unstarted_fallbacks(&next, branch) {
        start(&mut next.branches[fallback.index()], now);
    }
    if next.any_live() && !next.is_fanout() {
        let demands = ensure_fallbacks(&next, branch, now);
        return Decision { swap: Some(next), demands, then: Then::Ack };
    }
    next.outcome = Some(Outcome {
        status: Status::Failed,
        reason: Some(Reason::Exhausted),
        winner: Token::Branch(branch),
        at: now,
        answer: Some(answer.clone()),
    });
    let demands = after_settlement(&next, false);
    Decision { swap: Some(next), demands, then: Then::Ack }
}

/// A branch moves to another region: its chain cannot, for it lives in a queue, so it dies and a new branch goes on for it,
/// with its request, its fallbacks that have not started, and what it has used up of its retries. Like any fallback of a
/// dead branch the new one is ensured by whoever has the message in hand.
fn moved(
    mut next: Box<Record>,
    branch: BranchId,
    to: Elsewhere,
    attempt: u32,
    answer: &Answer,
    now: Millis,
) -> Decision {
    // The record's own limit; no job that is accepted can come near it.
    let Ok(number) = u16::try_from(next.branches.len()).map(BranchId) else { return died(next, branch, answer, now) };
    start_triggered(&mut next, branch, answer.status(), now);
    next.branches[branch.index()].state = BranchState::Dead;
    let fresh = successor(&next, branch, to, attempt, now);
    for fallback in unstarted_fallbacks(&next, branch) {
        next.branches[fallback.index()].contender.parent = Some(number);
    }
    next.branches.push(fresh);
    let demands = ensure_fallbacks(&next, branch, now);
    Decision { swap: Some(next), demands, then: Then::Ack }
}

/// It counts as begun when its predecessor was, for that is what the time of its fallbacks is counted from.
fn successor(record: &Record, branch: BranchId, to: Elsewhere, attempt: u32, now: Millis) -> Branch {
    let old = &record.branches[branch.index()];
    let moved = Moved {
        from: branch,
        reroutes: old.placed.moved.map_or(0, |moved| moved.reroutes) + 1,
        retries: reroute::retries_before(old) + attempt.saturating_sub(1),
    };
    Branch {
        contender: Contender { parent: Some(branch), trigger: None, ..old.contender.clone() },
        queue: to.queue,
        shard: to.shard,
        state: BranchState::Live { attempt: 1, due_at: now },
        started_at: old.started_at,
        answers: 0,
        last: None,
        placed: Placed { place: to.place, request_of: Some(record.body_of(branch)), moved: Some(moved) },
    }
}

/// What a settled record demands of its winner, who settles it now or finds it settled again.
fn after_settlement(record: &Record, again: bool) -> Vec<Demand> {
    let Some(outcome) = &record.outcome else { return Vec::new() };
    let follow_up = match outcome.status {
        Status::Success => record.on_success.is_some(),
        Status::Failed => record.on_failure.is_some(),
        Status::Cancelled => false,
    };
    let by_signal = !matches!(outcome.winner, Token::Branch(_));
    let result = (!record.webhooks.is_empty() || follow_up).then_some(Demand::Result { again });
    let announce = (record.branches.len() > 1 || by_signal).then_some(Demand::Announce);
    result.into_iter().chain(announce).collect()
}

fn start_triggered(record: &mut Record, parent: BranchId, status: Option<u16>, now: Millis) {
    for fallback in unstarted_fallbacks(record, parent) {
        let own = &mut record.branches[fallback.index()];
        let triggered = match &own.contender.trigger {
            Some(Trigger::OnError { codes }) => {
                codes.is_empty() || status.is_some_and(|status| codes.contains(&status))
            }
            Some(Trigger::OnTimeout { .. }) | None => false,
        };
        if triggered {
            start(own, now);
        }
    }
}

fn unstarted_fallbacks(record: &Record, parent: BranchId) -> Vec<BranchId> {
    let unstarted = record.fallbacks(parent).filter(|(_, branch)| branch.state == BranchState::Unstarted);
    unstarted.map(|(number, _)| number).collect()
}

fn start(branch: &mut Branch, now: Millis) {
    branch.state = BranchState::Live { attempt: 1, due_at: now };
    branch.started_at = Some(now);
}

fn ensure_fallbacks(record: &Record, parent: BranchId, now: Millis) -> Vec<Demand> {
    let mut demands = Vec::new();
    for (fallback, _) in record.fallbacks(parent) {
        ensure(record, fallback, now, &mut demands);
    }
    demands
}

fn chain(branch: BranchId, when: When, attempt: u32, expect: Expect) -> Demand {
    Demand::Message { token: Token::Branch(branch), when, attempt, expect }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "decide_region_tests.rs"]
mod region_tests;
