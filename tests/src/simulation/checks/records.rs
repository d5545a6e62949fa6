//! What a write of a record may change.

use sluice_shared::clock::Millis;
use sluice_shared::domain::id::{BranchId, JobId, Token};
use sluice_shared::domain::job::Trigger;
use sluice_shared::domain::outcome::{Answer, Content, ErrorKind, Reason, Status};
use sluice_shared::domain::record::{Branch, BranchState, Record};
use sluice_shared::domain::reroute;
use sluice_shared::domain::result::JobResult;

use super::{Checks, Invariant, Sight, about};

impl Checks {
    /// A record was written over what was there before.
    pub(in super::super) fn wrote(&mut self, job: &JobId, before: Option<&Record>, record: &Record, now: Millis) {
        match before.filter(|before| before.incarnation == record.incarnation) {
            Some(old) => self.changed(old, record, now),
            None => self.born(job, before, record),
        }
        let outcome = record.outcome.clone();
        self.life(record, job).outcome = outcome;
    }

    fn born(&mut self, job: &JobId, before: Option<&Record>, record: &Record) {
        if before.is_some_and(|before| before.outcome.is_none()) {
            self.broken(Invariant::OneOutcome, || format!("{job} gets a new life while the old one has not ended"));
        }
        if before.is_some() {
            self.met(Sight::Retried);
        }
        let is_follow_up = record.key.ends_with(":on_success") || record.key.ends_with(":on_failure");
        if is_follow_up {
            self.met(Sight::FollowUp);
        }
        if is_follow_up && before.is_none() && self.lives.keys().any(|(known, _)| known == job) {
            self.broken(Invariant::OneFollowUp, || format!("{} is run once more", record.key));
        }
    }

    fn changed(&mut self, old: &Record, new: &Record, now: Millis) {
        if old.outcome.is_some() && old != new {
            return self
                .broken(Invariant::OneOutcome, || format!("{:?} was written over {:?}", new.outcome, old.outcome));
        }
        if (old.overdue && !new.overdue) || old.branches.len() > new.branches.len() {
            self.broken(Invariant::OnlyForward, || "a record forgets what was".into());
        }
        if new.overdue && !old.overdue {
            self.met(Sight::Overdue);
        }
        for ((number, was), is) in old.numbered().zip(&new.branches) {
            let begun_again = was.started_at.is_some() && is.started_at != was.started_at;
            if rank(was) > rank(is) || begun_again {
                self.broken(Invariant::OnlyForward, || format!("branch {number}: {:?} → {:?}", was.state, is.state));
            }
            self.within_the_policy(number, is);
            if matches!(&is.last, Some(Answer { content: Content::Error { kind: ErrorKind::Expired, .. }, .. })) {
                self.met(Sight::Expired);
            }
            if was.state == BranchState::Unstarted && is.state != BranchState::Unstarted {
                self.started(old, new, number, now);
            }
        }
        for (number, branch) in new.numbered().skip(old.branches.len()) {
            self.went_on(old, number, branch);
        }
        self.ended(old, new, now);
    }

    /// A branch is added only to go on for one that was live.
    fn went_on(&mut self, old: &Record, number: BranchId, branch: &Branch) {
        self.met(Sight::Moved);
        self.within_the_policy(number, branch);
        let from = branch.placed.moved.and_then(|moved| old.branch(moved.from));
        if !from.is_some_and(Branch::is_live) {
            self.broken(Invariant::OnlyForward, || format!("branch {number} is there for nobody"));
        }
    }

    fn within_the_policy(&mut self, number: BranchId, branch: &Branch) {
        let most = branch.contender.retry.max_retries.unwrap_or(3) + 1;
        let (retries, reroutes) = branch.placed.moved.map_or((0, 0), |moved| (moved.retries, moved.reroutes));
        let too_often = reroutes > reroute::most(&branch.contender.retry);
        if too_often || matches!(branch.state, BranchState::Live { attempt, .. } if attempt + retries > most) {
            self.broken(Invariant::WithinThePolicy, || format!("branch {number}: {:?} of {most}", branch.state));
        }
    }

    /// A fallback starts because an attempt of its parent failed as it asks for, because its parent died, or because its
    /// time has come.
    fn started(&mut self, old: &Record, new: &Record, number: BranchId, now: Millis) {
        let fallback = &new.branches[number.index()].contender;
        let parent = fallback.parent.unwrap_or_default();
        let (was, is) = (&old.branches[parent.index()], &new.branches[parent.index()]);
        let died = was.is_live() && is.state == BranchState::Dead;
        let status = is.last.as_ref().and_then(Answer::status);
        let come = match &fallback.trigger {
            Some(Trigger::OnError { codes }) => {
                let failed = is.answers > was.answers && is.last.is_some();
                failed && (codes.is_empty() || status.is_some_and(|status| codes.contains(&status)))
            }
            Some(Trigger::OnTimeout { after }) => {
                was.started_at.is_some_and(|started| about(now) >= started.after(*after)) && was.is_live()
            }
            None => false,
        };
        self.met(match &fallback.trigger {
            _ if died => Sight::StartedByDeath,
            Some(Trigger::OnError { .. }) | None => Sight::StartedByAnswer,
            Some(Trigger::OnTimeout { .. }) => Sight::StartedByTime,
        });
        if !(died || come) || old.outcome.is_some() || new.outcome.is_some() {
            self.broken(Invariant::TriggerHasCome, || format!("branch {number} starts by itself"));
        }
    }

    fn ended(&mut self, old: &Record, new: &Record, now: Millis) {
        let Some(outcome) = new.outcome.as_ref().filter(|_| old.outcome.is_none()) else { return };
        self.met(match (outcome.status, &outcome.reason) {
            (Status::Success, _) if new.is_fanout() => Sight::FanoutSucceeded,
            (Status::Success, _) => Sight::Success,
            (Status::Cancelled, _) => Sight::Cancelled,
            (Status::Failed, Some(Reason::Deadline)) => Sight::Deadline,
            (Status::Failed, _) if new.any_live() => Sight::FanoutFailed,
            (Status::Failed, _) => Sight::Exhausted,
        });
        let by_deadline = outcome.winner == Token::Deadline
            && outcome.reason == Some(Reason::Deadline)
            && old.deadline_at.is_some_and(|at| about(now) >= at);
        let some_live = new.any_live() && !new.is_fanout();
        if outcome.status == Status::Failed && !by_deadline && (some_live || !old.any_live()) {
            self.broken(Invariant::FailsWhenAllAreDead, || {
                format!("{outcome:?} with {:?}", super::streams::states(new))
            });
        }
        let all_have = |record: &Record| {
            record.numbered().all(|(number, one)| one.state == BranchState::Done || record.has_moved(number))
        };
        if outcome.status == Status::Success && new.is_fanout() && !all_have(new) {
            self.broken(Invariant::SucceedsWhenAllHave, || format!("{:?}", super::streams::states(new)));
        }
        if outcome.status == Status::Success
            && !matches!(outcome.winner, Token::Branch(one) if old.branches[one.index()].is_live())
        {
            self.broken(Invariant::OneOutcome, || format!("{} wins, which does not contend", outcome.winner));
        }
    }

    /// A result was stored.
    pub(in super::super) fn result(&mut self, result: &JobResult) {
        let calm = self.calm;
        let life = self.lives.entry((result.job.clone(), result.incarnation.clone())).or_default();
        life.results += 1;
        let (results, same) = (life.results, life.outcome.as_ref() == Some(&result.outcome));
        if results > 1 {
            self.met(Sight::ResultTwice);
        }
        if !same {
            self.broken(Invariant::ResultIsTheOutcome, || format!("a result says {:?}", result.outcome));
        }
        if calm && results > 1 {
            self.broken(Invariant::OneResult, || format!("result {results} of one life, and nothing went wrong"));
        }
    }
}

fn rank(branch: &Branch) -> u32 {
    match branch.state {
        BranchState::Unstarted => 0,
        BranchState::Live { attempt, .. } => attempt,
        BranchState::Dead | BranchState::Done => u32::MAX,
    }
}
