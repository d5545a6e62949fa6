//! What a write of a record may change.

use sluice_shared::clock::Millis;
use sluice_shared::domain::id::{BranchId, JobId, Token};
use sluice_shared::domain::job::Trigger;
use sluice_shared::domain::outcome::{Answer, Content, ErrorKind, Reason, Status};
use sluice_shared::domain::record::{Branch, BranchState, Record};
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
        if (old.overdue && !new.overdue) || old.branches.len() != new.branches.len() {
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
        self.ended(old, new, now);
    }

    fn within_the_policy(&mut self, number: BranchId, branch: &Branch) {
        let most = branch.contender.retry.max_retries.unwrap_or(3) + 1;
        if matches!(branch.state, BranchState::Live { attempt, .. } if attempt > most) {
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
            (Status::Success, _) => Sight::Success,
            (Status::Cancelled, _) => Sight::Cancelled,
            (Status::Failed, Some(Reason::Deadline)) => Sight::Deadline,
            (Status::Failed, _) => Sight::Exhausted,
        });
        let by_deadline = outcome.winner == Token::Deadline
            && outcome.reason == Some(Reason::Deadline)
            && old.deadline_at.is_some_and(|at| about(now) >= at);
        if outcome.status == Status::Failed && !by_deadline && (new.any_live() || !old.any_live()) {
            self.broken(Invariant::FailsWhenAllAreDead, || {
                format!("{outcome:?} with {:?}", super::streams::states(new))
            });
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
        BranchState::Dead => u32::MAX,
    }
}
