//! The contenders of a job: its own request and its fallbacks, laid out depth-first.
//!
//! Invariant: a parent stands before its fallbacks, and `fallback_job` before `fallbacks`.

use super::fault::{Code, Path};
use super::fields::{Fields, Reading, Value};
use super::{policy, request};
use crate::domain::id::BranchId;
use crate::domain::job::{Contender, Priority, Trigger};

/// Contenders of one job at most.
pub(super) const MOST_BRANCHES: usize = 32;
/// Fallbacks of fallbacks at most.
const DEEPEST: usize = 8;

/// Fields of a job that none of its fallbacks may have.
pub const JOB_ONLY: [&str; 12] = [
    "deadline_ms",
    "execution_mode",
    "idempotent_key",
    "metadata",
    "on_failure",
    "on_failure_timeout_ms",
    "on_success",
    "region_policy",
    "regions",
    "retry_at",
    "webhook_quorum",
    "webhooks",
];

/// The contenders of the job with these fields; the first is its own request.
///
/// What has no priority of its own has that of what it belongs to: a fallback its parent's, the job itself `inherited`.
pub(super) fn read(job: &mut Fields<'_>, inherited: Priority, rd: &mut Reading<'_>) -> Vec<Contender> {
    let mut race = Race { branches: Vec::new(), is_full: false };
    race.enter(job, None, inherited, rd);
    race.branches
}

struct Race {
    branches: Vec<Contender>,
    is_full: bool,
}

impl Race {
    /// Adds a contender, then its fallbacks. `starts` is its parent, how deep it is, and its trigger.
    fn enter(
        &mut self,
        fields: &mut Fields<'_>,
        starts: Option<(BranchId, usize, Trigger)>,
        inherited: Priority,
        rd: &mut Reading<'_>,
    ) {
        let Ok(number) = u16::try_from(self.branches.len()) else { return };
        let (parent, depth, trigger) = match starts {
            Some((parent, depth, trigger)) => (Some(parent), depth, Some(trigger)),
            None => (None, 0, None),
        };
        let priority = policy::priority(fields, rd).unwrap_or(inherited);
        self.branches.push(Contender {
            request: request::read(fields, rd),
            parent,
            trigger,
            retry: policy::retry(fields, rd),
            timeout: policy::duration(fields.take("timeout_ms"), 1, rd),
            account: fields.take("account").and_then(|value| value.name(1..=256, rd)),
            priority,
        });
        let one = fields.take("fallback_job");
        let more = fields.take("fallbacks").map(|value| value.list(MOST_BRANCHES, rd)).unwrap_or_default();
        for fallback in one.into_iter().chain(more) {
            self.fall_back(&fallback, (BranchId(number), depth + 1), priority, rd);
        }
    }

    fn fall_back(
        &mut self,
        fallback: &Value<'_>,
        (parent, depth): (BranchId, usize),
        inherited: Priority,
        rd: &mut Reading<'_>,
    ) {
        if self.has_no_room(&fallback.path, depth, rd) {
            return;
        }
        let Some(mut fields) = fallback.object(rd) else { return };
        let trigger = policy::trigger(&mut fields, rd);
        self.enter(&mut fields, Some((parent, depth, trigger)), inherited, rd);
        for name in JOB_ONLY {
            let message = "belongs to the job, not to a fallback; move it to the job or take it out";
            fields.refuse(name, Code::JobOnly, message, rd);
        }
        fields.finish(rd);
    }

    fn has_no_room(&mut self, path: &Path, depth: usize, rd: &mut Reading<'_>) -> bool {
        if depth > DEEPEST {
            rd.fault(path, Code::TooDeep, format!("must be at most {DEEPEST} fallbacks deep"));
            return true;
        }
        if self.branches.len() < MOST_BRANCHES {
            return false;
        }
        // Once is enough: all that follow have the same fault.
        if !self.is_full {
            let most = MOST_BRANCHES - 1;
            rd.fault(
                path,
                Code::TooMany,
                format!("must be one of at most {most} fallbacks of a job, all depths together"),
            );
        }
        self.is_full = true;
        true
    }
}
