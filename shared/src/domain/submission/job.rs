//! A job as a whole: its race, what belongs to it alone, and the jobs that follow it.

use super::fault::Code;
use super::fields::{Fields, Reading, Value};
use super::policy::{self, LONGEST_MS};
use super::{race, regions, webhooks};
use crate::clock::Millis;
use crate::domain::job::{ExecutionMode, Job, JsonText, Placement, Priority, RegionPolicy};

/// Follow-ups of follow-ups at most.
const DEEPEST: usize = 5;
/// The least time that a timer can take, in milliseconds.
pub(super) const SHORTEST_MS: u64 = 250;

/// The job that was submitted, and all jobs in it.
pub(super) fn read(submission: Value<'_>, rd: &mut Reading<'_>) -> Option<Job> {
    let job = job(&submission, 0, Priority::Normal, rd);
    let most = rd.limits.max_body;
    if rd.body_bytes > most {
        let message =
            format!("the bodies of a job, its fallbacks and its follow-ups must have at most {most} bytes together");
        rd.fault(&submission.path, Code::TooLarge, message);
    }
    job
}

fn job(value: &Value<'_>, depth: usize, inherited: Priority, rd: &mut Reading<'_>) -> Option<Job> {
    let mut fields = value.object(rd)?;
    let is_follow_up = depth > 0;
    fields.refuse("trigger", Code::Misplaced, "belongs to a fallback; a job starts at once, or at `retry_at`", rd);
    if is_follow_up {
        let message = "is derived from the key of the job before it; take it out";
        fields.refuse("idempotent_key", Code::Misplaced, message, rd);
    }
    let branches = race::read(&mut fields, inherited, rd);
    let priority = branches.first().map_or(inherited, |own| own.priority);
    let has_fallbacks = branches.len() > 1;
    let (webhooks, webhook_quorum) = webhooks::read(&mut fields, rd);
    let on_success = fields.take("on_success");
    let on_failure = fields.take("on_failure");
    let on_failure_timeout = fields.take("on_failure_timeout_ms");
    if let (Some(timeout), None) = (&on_failure_timeout, &on_failure) {
        let message = "says when `on_failure` is submitted; give `on_failure` too, or take this out";
        rd.fault(&timeout.path, Code::Misplaced, message);
    }
    let job = Job {
        branches,
        idempotent_key: if is_follow_up { None } else { idempotent_key(&mut fields, rd) },
        metadata: metadata(&mut fields, rd),
        webhooks,
        webhook_quorum,
        on_success: follow_up(on_success, depth, priority, rd),
        on_failure: follow_up(on_failure, depth, priority, rd),
        on_failure_timeout: policy::duration(on_failure_timeout, 1, rd),
        deadline: policy::duration(fields.take("deadline_ms"), SHORTEST_MS, rd),
        retry_at: retry_at(&mut fields, rd),
        placement: placement(&mut fields, has_fallbacks, rd),
    };
    fields.finish(rd);
    Some(job)
}

/// The key that names the job.
pub(super) fn idempotent_key(fields: &mut Fields<'_>, rd: &mut Reading<'_>) -> Option<String> {
    fields.take("idempotent_key")?.name(1..=512, rd)
}

/// The metadata as it was written. It is known to be readable by whoever gets it back.
pub(super) fn metadata(fields: &mut Fields<'_>, rd: &mut Reading<'_>) -> Option<JsonText> {
    let value = fields.take("metadata")?;
    value.entries(rd)?;
    let most = rd.limits.max_metadata;
    if value.raw().len() as u64 > most {
        rd.fault(&value.path, Code::TooLarge, format!("must have at most {most} bytes; keep the rest and send its id"));
    } else if serde_json::from_str::<serde_json::Value>(value.raw()).is_err() {
        let message = "must be nested at most 120 deep and have numbers and strings that every reader of JSON takes";
        rd.fault(&value.path, Code::InvalidValue, message);
    } else {
        return Some(JsonText(value.raw().into()));
    }
    None
}

/// One without a priority of its own has that of the job before it.
fn follow_up(value: Option<Value<'_>>, depth: usize, inherited: Priority, rd: &mut Reading<'_>) -> Option<Box<Job>> {
    let value = value?;
    if depth == DEEPEST {
        rd.fault(&value.path, Code::TooDeep, format!("must be at most {DEEPEST} follow-ups deep"));
        return None;
    }
    job(&value, depth + 1, inherited, rd).map(Box::new)
}

fn retry_at(fields: &mut Fields<'_>, rd: &mut Reading<'_>) -> Option<Millis> {
    let value = fields.take("retry_at")?;
    let latest = rd.limits.now.0.saturating_add(LONGEST_MS);
    let at = value.number(0..=u64::MAX, rd)?;
    if at > latest {
        let message = "must be milliseconds since 1970, at most 30 days ahead";
        rd.fault(&value.path, Code::OutOfRange, message);
    }
    Some(Millis(at))
}

/// Where and how the job runs. Everywhere once is what fallbacks are for, so a fanout has none.
fn placement(fields: &mut Fields<'_>, has_fallbacks: bool, rd: &mut Reading<'_>) -> Placement {
    let regions = regions::of_job(fields, rd);
    let (policy, mode) = (fields.take("region_policy"), fields.take("execution_mode"));
    let path_of = |value: &Option<Value<'_>>| value.as_ref().map(|value| value.path.clone());
    let (of_policy, of_mode) = (path_of(&policy), path_of(&mode));
    let region_policy =
        policy::one_of(policy, [RegionPolicy::Fallback, RegionPolicy::Strict], RegionPolicy::as_str, rd);
    if let (Some(path), Some(RegionPolicy::Strict), true) = (of_policy, region_policy, regions.is_empty()) {
        rd.fault(&path, Code::Misplaced, "`strict` is about `regions`; give some, or take it out");
    }
    let modes = [ExecutionMode::Race, ExecutionMode::Fanout];
    let execution_mode = policy::one_of(mode, modes, ExecutionMode::as_str, rd);
    if let (Some(path), Some(ExecutionMode::Fanout), true) = (of_mode, execution_mode, has_fallbacks) {
        rd.fault(&path, Code::Misplaced, "`fanout` has no fallbacks, for all of it must succeed; take one of them out");
    }
    Placement {
        regions,
        region_policy: region_policy.unwrap_or_default(),
        execution_mode: execution_mode.unwrap_or_default(),
    }
}
