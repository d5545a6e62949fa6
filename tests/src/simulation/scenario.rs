//! What a run is about: a job of some shape, how its destinations and endpoints answer, and what its clients do.

use std::time::Duration;

use bytes::Bytes;
use sluice_shared::domain::id::BranchId;
use sluice_shared::domain::job::{
    Body, Contender, ExecutionMode, Job, Placement, Priority, RegionPolicy, Request, RetryPolicy, Trigger, Webhook,
};

use super::chance::Chance;
use super::outside::{Answers, Outside};
use super::world::BEGIN;

/// The parents of the branches, and whether each waits for an error (else for time): every shape up to three deep.
const TREES: [&[(u16, bool)]; 8] = [
    &[],
    &[],
    &[(0, true)],
    &[(0, false)],
    &[(0, true), (1, false)],
    &[(0, false), (1, true)],
    &[(0, true), (0, false)],
    &[(0, true), (1, false), (0, false)],
];

/// Regions that workers are in.
pub(super) const REGIONS: [&str; 3] = ["eu", "us", "ap"];

/// What clients do.
pub(super) struct Scenario {
    pub(super) job: Job,
    /// When each client submits, in milliseconds.
    pub(super) submitters: Vec<u64>,
    /// When a client cancels.
    pub(super) cancel: Option<u64>,
    /// How often the job is retried when it has failed.
    pub(super) retries: u64,
    /// How old a job may be when its turn comes.
    pub(super) max_age: Duration,
    pub(super) workers: u32,
    pub(super) deliveries: u32,
    /// When the workers start, in milliseconds.
    pub(super) workers_from: u64,
}

impl Scenario {
    pub(super) fn draw(chance: &Chance, outside: &mut Outside) -> Self {
        let tree = chance.one_of(&TREES);
        let mut job = job(chance, outside, "main", tree);
        if chance.percent(20) {
            job.on_failure = Some(Box::new(plain(chance, outside, "on-failure")));
            job.on_failure_timeout = chance.percent(60).then(|| Duration::from_secs(chance.between(1, 30)));
        }
        if chance.percent(15) {
            job.on_success = Some(Box::new(plain(chance, outside, "on-success")));
        }
        if chance.percent(30) {
            job.placement = placement(chance, job.branches.len() > 1);
        }
        // A deadline ends whatever is stuck: most runs have none.
        job.retry_at = chance.percent(10).then(|| BEGIN.after(Duration::from_millis(chance.between(1, 20_000))));
        job.deadline = chance.percent(20).then(|| Duration::from_secs(chance.one_of(&[1, 5, 30, 120])));
        let submitters = (0..chance.one_of(&[1, 1, 1, 2, 3])).map(|_| chance.between(0, 20));
        Self {
            job,
            submitters: submitters.collect(),
            cancel: chance
                .percent(20)
                .then(|| chance.one_of(&[10, 100, 2_000, 40_000]))
                .map(|most| chance.between(5, most)),
            retries: if chance.percent(25) { 1 } else { 0 },
            max_age: Duration::from_secs(chance.one_of(&[20, 604_800, 604_800, 604_800])),
            workers: chance.one_of(&[1, 2, 2, 3]),
            deliveries: chance.one_of(&[1, 2]),
            workers_from: if chance.percent(15) { chance.between(1_000, 200_000) } else { 0 },
        }
    }

    /// For people.
    pub(super) fn picture(&self) -> String {
        let branches = self.job.branches.iter().map(|branch| {
            let parent = branch.parent.map_or("own".to_owned(), |parent| format!("of {parent} {:?}", branch.trigger));
            format!("{parent}, {} retries", branch.retry.max_retries.unwrap_or(0))
        });
        let branches: Vec<String> = branches.collect();
        let Self { submitters, cancel, retries, .. } = self;
        let (deadline, overdue) = (self.job.deadline, self.job.on_failure_timeout);
        format!(
            "{branches:?}, {:?}, deadline {deadline:?}, on_failure {} after {overdue:?}, on_success {}, submitted at {submitters:?}, cancelled at {cancel:?}, {retries} retries",
            self.job.placement,
            self.job.on_failure.is_some(),
            self.job.on_success.is_some(),
        )
    }
}

/// Some of the regions, and how often the job's own request is made.
fn placement(chance: &Chance, has_fallbacks: bool) -> Placement {
    let modes = [ExecutionMode::Once, ExecutionMode::Race, ExecutionMode::Fanout];
    let modes = if has_fallbacks { &modes[..2] } else { &modes[..] };
    let most = chance.one_of(&[1, 2, 3]);
    Placement {
        regions: REGIONS[..most].iter().map(|region| region.parse().unwrap()).collect(),
        region_policy: chance.one_of(&[RegionPolicy::Fallback, RegionPolicy::Strict]),
        execution_mode: chance.one_of(modes),
    }
}

fn job(chance: &Chance, outside: &mut Outside, name: &str, tree: &[(u16, bool)]) -> Job {
    let mut branches = vec![contender(chance, outside, format!("http://{name}-0.example/"), None, None)];
    for (number, (parent, by_error)) in tree.iter().enumerate() {
        let trigger = if *by_error {
            Trigger::OnError { codes: chance.one_of(&[&[][..], &[429], &[503, 429]]).to_vec() }
        } else {
            Trigger::OnTimeout { after: Duration::from_millis(chance.between(1, 5_000)) }
        };
        let url = format!("http://{name}-{}.example/", number + 1);
        branches.push(contender(chance, outside, url, Some(BranchId(*parent)), Some(trigger)));
    }
    let webhooks = (0..chance.one_of(&[1, 1, 1, 2, 0]))
        .map(|number| webhook(chance, outside, format!("http://{name}-hook-{number}.example/")));
    let webhooks: Vec<Webhook> = webhooks.collect();
    Job {
        branches,
        idempotent_key: None,
        metadata: None,
        webhook_quorum: u16::from(!webhooks.is_empty()),
        webhooks,
        on_success: None,
        on_failure: None,
        on_failure_timeout: None,
        deadline: None,
        retry_at: None,
        placement: Placement::default(),
    }
}

/// A job without fallbacks, for what follows.
fn plain(chance: &Chance, outside: &mut Outside, name: &str) -> Job {
    job(chance, outside, name, &[])
}

fn contender(
    chance: &Chance,
    outside: &mut Outside,
    url: String,
    parent: Option<BranchId>,
    trigger: Option<Trigger>,
) -> Contender {
    outside.scripts.insert(url.clone(), (0..chance.between(1, 5)).map(|_| Answers::draw(chance)).collect());
    let retry = RetryPolicy {
        max_retries: Some(u32::try_from(chance.between(0, 3)).unwrap()),
        reroute_codes: chance.percent(20).then(|| vec![503, 400]),
        ..RetryPolicy::default()
    };
    let timeout = Some(Duration::from_secs(chance.one_of(&[2, 10, 45])));
    let request = Request {
        method: "POST".into(),
        url,
        headers: Vec::new(),
        body: Body::Inline(Bytes::from_static(b"?")),
        sealed: None,
    };
    Contender { request, parent, trigger, retry, timeout, account: None, priority: Priority::Normal }
}

fn webhook(chance: &Chance, outside: &mut Outside, url: String) -> Webhook {
    let script = (0..chance.one_of(&[0, 0, 1, 2, 5])).map(|_| Answers::draw(chance)).collect();
    outside.scripts.insert(url.clone(), script);
    Webhook { url, regions: Vec::new(), has_quorum_vote: true }
}
