//! What was accepted held against what destinations, the receiver of webhooks and the gateway saw. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::load::Accepted;
use super::wire::{Exchange, Fault, by_key, unasked};
use crate::bench::fleet::Target;

/// Everything that was seen.
pub struct Seen {
    /// The jobs that were taken.
    pub accepted: Vec<Accepted>,
    /// Each of them as `GET /v1/jobs/{id}` shows it at the end, by its id.
    pub jobs: HashMap<String, Value>,
    /// All calls, by their `Idempotency-Key`.
    pub calls: Vec<Exchange>,
    /// All webhooks.
    pub posts: Vec<Posted>,
    /// All that was killed or stopped.
    pub faults: Vec<Fault>,
}

/// A webhook as it was posted.
#[derive(Clone, Debug)]
pub struct Posted {
    /// The post, by its `webhook-id`.
    pub exchange: Exchange,
    /// What was posted.
    pub payload: Value,
}

/// What is wrong with a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Its id.
    pub job: String,
    /// Its key.
    pub key: String,
    /// What is wrong.
    pub why: String,
}

/// The verdict.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Jobs that were taken.
    pub accepted: usize,
    /// Those of them that ended.
    pub outcomes: usize,
    /// Those of them whose webhook was taken.
    pub webhooks: usize,
    /// Those that have not ended, or whose webhook was not taken.
    pub lost: usize,
    /// Those of which two outcomes were seen.
    pub double_outcomes: usize,
    /// Webhooks that were posted again although no answer asked for it.
    pub double_webhooks: usize,
    /// Posts on the wire when a delivery service or the broker was killed.
    pub posts_on_wire_at_kill: usize,
    /// Calls that were made again although no answer asked for it.
    pub repeated_calls: usize,
    /// Calls on the wire when a worker or the broker was killed.
    pub on_wire_at_kill: usize,
    /// What may not be.
    pub wrong: Vec<Wrong>,
}

impl Verdict {
    /// Holds everything against each other.
    #[must_use]
    pub fn of(seen: &Seen) -> Self {
        let of_calls = of_calls(&seen.faults);
        let of_posts = faults_of(&seen.faults, |target| matches!(target, Target::Delivery(_)));
        let mut this = Self {
            accepted: seen.accepted.len(),
            on_wire_at_kill: seen.calls.iter().filter(|call| call.on_wire(&of_calls)).count(),
            posts_on_wire_at_kill: seen.posts.iter().filter(|post| post.exchange.on_wire(&of_posts)).count(),
            ..Self::default()
        };
        let calls = by_key(seen.calls.clone());
        let mut posts: HashMap<&str, Vec<&Posted>> = HashMap::new();
        for post in &seen.posts {
            posts.entry(post.payload["idempotent_key"].as_str().unwrap_or_default()).or_default().push(post);
        }
        for accepted in &seen.accepted {
            let mut wrong = Vec::new();
            let job = seen.jobs.get(&accepted.job).unwrap_or(&Value::Null);
            let posts = posts.get(accepted.key.as_str()).map_or(&[][..], Vec::as_slice);
            wrong.extend(this.ending(accepted, job, posts));
            wrong.extend(this.webhooks(posts, &of_posts));
            wrong.extend(this.calls(accepted, job, &calls, &of_calls));
            let named = |why| Wrong { job: accepted.job.clone(), key: accepted.key.clone(), why };
            this.wrong.extend(wrong.into_iter().map(named));
        }
        this
    }

    /// One outcome, and its webhook taken.
    fn ending(&mut self, accepted: &Accepted, job: &Value, posts: &[&Posted]) -> Vec<String> {
        let mut wrong = Vec::new();
        let status = job["status"].as_str().unwrap_or_default();
        let ended = matches!(status, "success" | "failed");
        let told = posts.iter().any(|post| post.exchange.status == Some(200));
        self.outcomes += usize::from(ended);
        self.webhooks += usize::from(told);
        self.lost += usize::from(!ended || !told);
        if !ended {
            wrong.push(format!("has not ended: {status}"));
        }
        if !told {
            wrong.push("its webhook was not taken".to_owned());
        }
        let differs = |payload: &Value| {
            payload["job_id"] != *accepted.job
                || payload["status"] != status
                || payload["response"] != job["outcome"]["response"]
        };
        if posts.iter().any(|post| differs(&post.payload)) {
            self.double_outcomes += 1;
            wrong.push("has two outcomes".to_owned());
        }
        wrong
    }

    /// One webhook under one id, posted again only where asked for or where it was on the wire.
    fn webhooks(&mut self, posts: &[&Posted], faults: &[&Fault]) -> Option<String> {
        let exchanges: Vec<Exchange> = posts.iter().map(|post| post.exchange.clone()).collect();
        let attempts: HashSet<_> = posts.iter().map(|post| post.payload["delivery"]["attempt"].as_u64()).collect();
        let doubled = unasked(&exchanges).max(posts.len() - attempts.len());
        let excused = exchanges.iter().filter(|post| post.on_wire(faults)).count();
        let ids: HashSet<&str> = exchanges.iter().map(|post| post.key.as_str()).collect();
        self.double_webhooks += doubled;
        (ids.len() > 1 || doubled > excused)
            .then(|| format!("{} webhooks under {} ids, {excused} on the wire at a fault", posts.len(), ids.len()))
    }

    /// Each attempt called once, or as often as it was on the wire at a fault, or its message in two hands.
    fn calls(
        &mut self,
        accepted: &Accepted,
        job: &Value,
        calls: &BTreeMap<String, Vec<Exchange>>,
        faults: &[&Fault],
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        for branch in job["branches"].as_array().into_iter().flatten() {
            let number = branch["branch"].as_u64().unwrap_or_default();
            let key = if number == 0 { accepted.key.clone() } else { format!("{}:{number}", accepted.key) };
            let calls = calls.get(&key).map_or(&[][..], Vec::as_slice);
            let repeated = repeated(branch, calls);
            let excused = |call: &&Exchange| call.on_wire(faults) || call.may_be_repeated(faults);
            let excused = calls.iter().filter(excused).count();
            self.repeated_calls += repeated;
            if repeated > excused {
                let (calls, answers) = (calls.len(), &branch["attempts"]);
                wrong.push(format!(
                    "branch {number}: {calls} calls, {answers} answers, {excused} on the wire at a fault"
                ));
            }
        }
        wrong
    }
}

/// How many calls of a branch were made again: more than the answers that it counts, or after one that asked for no more.
/// A branch that lost the race may have had one more on the wire.
fn repeated(branch: &Value, calls: &[Exchange]) -> usize {
    let answers = branch["attempts"].as_u64().and_then(|answers| usize::try_from(answers).ok()).unwrap_or_default();
    let lost = usize::from(branch["status"] == "cancelled");
    calls.len().saturating_sub(answers + lost).max(unasked(calls))
}

/// What excuses a call that is made again: the faults of workers and of the broker.
#[must_use]
pub fn of_calls(faults: &[Fault]) -> Vec<&Fault> {
    faults_of(faults, |target| matches!(target, Target::Worker(_)))
}

/// What excuses a repetition: the faults of these processes, and all of the broker.
fn faults_of(faults: &[Fault], wanted: impl Fn(Target) -> bool) -> Vec<&Fault> {
    faults.iter().filter(|fault| matches!(fault.target, Target::Server(_)) || wanted(fault.target)).collect()
}

/// From a kill to the first webhook that was taken after it, and to the last of the jobs that were open then.
#[must_use]
pub fn recovery(kill: Instant, accepted: &[Accepted], told: &HashMap<String, Instant>) -> (Option<Duration>, Duration) {
    let first = told.values().filter(|at| **at >= kill).min().map(|at| at.duration_since(kill));
    let open = accepted.iter().filter(|job| job.at <= kill).filter_map(|job| told.get(&job.key));
    let last = open.filter(|at| **at > kill).max().map(|at| at.duration_since(kill));
    (first, last.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::wire::{End, Kind};
    use super::*;

    fn exchange(key: &str, start: Instant, from: u64, to: u64, status: u16) -> Exchange {
        let at = |ms| start + Duration::from_millis(ms);
        Exchange { key: key.into(), at: at(from), end: End::Answered(at(to)), status: Some(status) }
    }

    /// One job that was called, answered, and told of once.
    fn good(start: Instant) -> Seen {
        let response = json!({"status_code": 200, "body": "answer 1"});
        let branches = json!([{"branch": 0, "status": "won", "attempts": 1}]);
        let job = json!({"status": "success", "outcome": {"response": response}, "branches": branches});
        let payload = json!({
            "job_id": "job_1", "idempotent_key": "key-0", "status": "success", "response": response,
            "delivery": {"attempt": 1}
        });
        Seen {
            accepted: vec![Accepted { key: "key-0".into(), job: "job_1".into(), at: start }],
            jobs: HashMap::from([("job_1".into(), job)]),
            calls: vec![exchange("key-0", start, 0, 10, 200)],
            posts: vec![Posted { exchange: exchange("job_1.0", start, 20, 21, 200), payload }],
            faults: Vec::new(),
        }
    }

    fn wrong(seen: &Seen) -> Vec<String> {
        Verdict::of(seen).wrong.into_iter().map(|wrong| wrong.why).collect()
    }

    #[test]
    fn one_call_one_outcome_and_one_webhook_are_right() {
        let verdict = Verdict::of(&good(Instant::now()));
        assert!(verdict.wrong.is_empty(), "{verdict:#?}");
        assert_eq!((verdict.accepted, verdict.outcomes, verdict.webhooks, verdict.lost), (1, 1, 1, 0));
    }

    #[test]
    fn what_has_not_ended_or_was_not_told_is_lost() {
        let mut seen = good(Instant::now());
        seen.posts.clear();
        assert_eq!((Verdict::of(&seen).lost, wrong(&seen).len()), (1, 1));
        let mut seen = good(Instant::now());
        seen.jobs.clear();
        assert!(Verdict::of(&seen).lost == 1 && wrong(&seen)[0].starts_with("has not ended"));
    }

    #[test]
    fn a_webhook_with_another_answer_is_a_second_outcome() {
        let mut seen = good(Instant::now());
        seen.posts[0].payload["response"]["body"] = json!("answer 2");
        assert_eq!((Verdict::of(&seen).double_outcomes, wrong(&seen)), (1, vec!["has two outcomes".to_owned()]));
    }

    #[test]
    fn a_call_more_than_its_answers_is_wrong_unless_it_was_on_the_wire_at_a_workers_fault() {
        let start = Instant::now();
        let mut seen = good(start);
        seen.calls.push(exchange("key-0", start, 3000, 3010, 200));
        assert_eq!((Verdict::of(&seen).repeated_calls, wrong(&seen).len()), (1, 1));
        let fault = |target| Fault { target, kind: Kind::Killed, moment: start, from: start, until: start };
        seen.faults = vec![fault(Target::Delivery(0))];
        assert_eq!(wrong(&seen).len(), 1);
        seen.faults = vec![fault(Target::Worker(0))];
        assert!(wrong(&seen).is_empty());
        assert_eq!((Verdict::of(&seen).repeated_calls, Verdict::of(&seen).on_wire_at_kill), (1, 1));
        // An attempt that was called twice although its first answer was bad.
        seen.faults.clear();
        seen.calls[0].status = Some(500);
        assert_eq!(wrong(&seen).len(), 1);
    }

    #[test]
    fn a_webhook_is_posted_again_only_after_a_bad_answer_or_a_deliverys_fault_and_under_its_id() {
        let start = Instant::now();
        let mut seen = good(start);
        let mut again = seen.posts[0].clone();
        again.exchange.at += Duration::from_secs(3);
        seen.posts.push(again);
        assert_eq!((Verdict::of(&seen).double_webhooks, wrong(&seen).len()), (1, 1));
        let target = Target::Delivery(0);
        seen.faults = vec![Fault { target, kind: Kind::Killed, moment: start, from: start, until: start }];
        assert!(wrong(&seen).is_empty());
        seen.posts[1].exchange.key = "job_1.1".into();
        assert_eq!(wrong(&seen).len(), 1);
    }

    #[test]
    fn recovery_is_told_from_the_kill_to_the_first_webhook_and_to_the_last_job_that_was_open() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let job = |key: &str, ms| Accepted { key: key.into(), job: key.into(), at: at(ms) };
        let accepted = [job("before", 0), job("open", 5), job("late", 20)];
        let told = [("before", 8), ("open", 310), ("late", 40)].map(|(key, ms)| (key.to_owned(), at(ms)));
        let ms = Duration::from_millis;
        assert_eq!(recovery(at(10), &accepted, &told.into()), (Some(ms(30)), ms(300)));
    }
}
