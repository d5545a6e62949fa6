//! A system under load, the faults done to it, and the verdict with the timeline of every job that something is wrong with.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;
use sluice::scripted::Call;
use sluice_tests::DEADLINE;
use sluice_tests::client::Client;
use sluice_tests::configuration::Configuration;
use sluice_tests::process::Process;
use sluice_tests::system::{Setup, System};
use tokio::sync::{Mutex as Turn, MutexGuard};
use tokio::time::{sleep, timeout};

use crate::check::{Exchange, Fault, repeated_without_reason};
use crate::load::{Cast, Gateways, Load};

/// One scenario after the other: the machine is small, and each wants its load.
static TURN: Turn<()> = Turn::const_new(());
/// The most timelines that a failure shows.
const SHOWN: usize = 3;
/// How long a failure waits for one more event of a job that has not ended.
const EVENTS_WITHIN: Duration = Duration::from_secs(2);

/// What a fault is done to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target {
    Gateway(usize),
    Worker(usize),
    Delivery,
}

pub(crate) struct Rig {
    system: System,
    cast: Arc<Cast>,
    gateways: Gateways,
    faults: Vec<(Target, Fault)>,
    pub(crate) random: StdRng,
    seed: u64,
    _turn: MutexGuard<'static, ()>,
}

impl Rig {
    pub(crate) async fn start() -> Self {
        let turn = TURN.lock().await;
        let seed = std::env::var("SLUICE_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
        eprintln!("SLUICE_SEED={seed}");
        let configuration = Configuration::default().set("worker.ack_wait", "15s");
        let system = System::start(Setup { gateways: 2, workers: 2, deliveries: 1, configuration }).await;
        let clients = system.gateways.iter().map(|gateway| Client::new(gateway.http())).collect();
        Self {
            system,
            cast: Arc::new(Cast::start().await),
            gateways: Arc::new(Mutex::new(clients)),
            faults: Vec::new(),
            random: StdRng::seed_from_u64(seed),
            seed,
            _turn: turn,
        }
    }

    pub(crate) fn load(&self) -> Load {
        Load::start(Arc::clone(&self.cast), Arc::clone(&self.gateways))
    }

    /// Lets the load go on for a random while.
    pub(crate) async fn pause(&mut self) {
        sleep(Duration::from_millis(self.random.random_range(400..1500))).await;
    }

    /// Kills them one right after the other, and starts them again after a while.
    pub(crate) async fn kill(&mut self, targets: &[Target]) {
        for &target in targets {
            let from = Instant::now();
            self.process(target).kill().await;
            let fault = Fault { what: format!("{target:?} killed"), from, until: Instant::now() };
            self.faults.push((target, fault));
        }
        sleep(Duration::from_millis(self.random.random_range(0..300))).await;
        for &target in targets {
            self.start_again(target).await;
        }
    }

    /// Tells it to stop, which it has to do in good order, and starts it again. No fault: it excuses nothing.
    pub(crate) async fn restart(&mut self, target: Target) {
        let ended = self.process(target).stop().await;
        assert_eq!(ended.code(), Some(0), "{target:?}: {ended}");
        self.start_again(target).await;
    }

    pub(crate) async fn stop_and_continue(&mut self, worker: usize, pause: Duration) {
        let from = Instant::now();
        self.system.workers[worker].pause();
        sleep(pause).await;
        self.system.workers[worker].resume();
        let fault = Fault { what: format!("worker {worker} stopped"), from, until: Instant::now() };
        self.faults.push((Target::Worker(worker), fault));
    }

    async fn start_again(&mut self, target: Target) {
        self.process(target).restart().await;
        if let Target::Gateway(number) = target {
            self.gateways.lock().unwrap()[number] = Client::new(self.system.gateways[number].http());
        }
    }

    fn process(&mut self, target: Target) -> &mut Process {
        match target {
            Target::Gateway(number) => &mut self.system.gateways[number],
            Target::Worker(number) => &mut self.system.workers[number],
            Target::Delivery => &mut self.system.deliveries[0],
        }
    }

    /// Ends the load, waits for everything that was accepted, and holds it against what was seen.
    pub(crate) async fn verify(self, load: Load) {
        let accepted = load.end().await;
        let seed = self.seed;
        if self.all_told(&accepted).await {
            self.system.broker.nothing_left().await;
        }
        let wrong = self.wrong(&accepted).await;
        for (job, why) in wrong.iter().take(SHOWN) {
            eprintln!("{why}: {}", self.timeline(job, &accepted).await);
        }
        let summary: Vec<&(String, String)> = wrong.iter().collect();
        assert!(wrong.is_empty(), "SLUICE_SEED={seed}: {summary:#?}");
        eprintln!("{} jobs, {} faults", accepted.len(), self.faults.len());
    }

    /// Waits until each has had its webhook; whether all had at the deadline.
    async fn all_told(&self, accepted: &[String]) -> bool {
        let told = |calls: &[Call]| {
            let told: HashSet<&str> = calls.iter().filter_map(|call| call.json()?.get("job_id")?.as_str()).collect();
            accepted.iter().all(|job| told.contains(job.as_str()))
        };
        self.cast.hooks.destination().wait_for(told, DEADLINE).await.is_ok()
    }

    async fn wrong(&self, accepted: &[String]) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        let client = self.system.client();
        for job in accepted {
            let state = client.get(job).await;
            let status = state["status"].as_str().unwrap_or_default();
            if !matches!(status, "success" | "failed") {
                wrong.push((job.clone(), format!("has not ended: {status}")));
            }
            let posts = self.cast.hooks.posts(job);
            let differs =
                |payload: &Value| payload["status"] != status || payload["response"] != state["outcome"]["response"];
            if posts.iter().any(|post| differs(&post.payload)) {
                wrong.push((job.clone(), "has two outcomes".into()));
            }
            let ids: HashSet<_> = posts.iter().map(|post| post.call.header("webhook-id")).collect();
            let posted = posts.iter().map(|post| Exchange::of(&post.call, "webhook-id")).collect();
            let unexcused = repeated_without_reason(posted, &self.faults_of(|target| !is_worker(target)));
            if ids.len() != 1 || !unexcused.is_empty() {
                wrong.push((job.clone(), format!("{} webhooks under {} ids", posts.len(), ids.len())));
            }
        }
        let calls = self.cast.calls().iter().map(|call| Exchange::of(call, "idempotency-key")).collect();
        let faults = self.faults_of(is_worker);
        for key in repeated_without_reason(calls, &faults) {
            let number: Option<usize> = key.trim_start_matches("key-").split(':').next().and_then(|n| n.parse().ok());
            let job = number.and_then(|number| accepted.get(number)).cloned();
            wrong.push((job.unwrap_or_default(), format!("calls of {key} were repeated without a reason")));
        }
        wrong
    }

    fn faults_of(&self, wanted: impl Fn(Target) -> bool) -> Vec<Fault> {
        self.faults.iter().filter(|(target, _)| wanted(*target)).map(|(_, fault)| fault.clone()).collect()
    }

    /// A job's calls and posts and the faults in their order, then its events.
    async fn timeline(&self, job: &str, accepted: &[String]) -> String {
        let start = self.cast.main.started();
        let number = accepted.iter().position(|accepted| accepted == job).unwrap_or_default();
        let key = format!("key-{number}");
        let of_job = |seen: &str| seen == key || seen.starts_with(&format!("{key}:"));
        let calls = self.cast.calls();
        let calls = calls.iter().filter(|call| call.header("idempotency-key").is_some_and(of_job));
        let mut lines: Vec<(Instant, String)> = calls.map(|call| (call.at, format!("call {call:?}"))).collect();
        lines.extend(self.cast.hooks.posts(job).iter().map(|post| (post.call.at, format!("post {post:?}"))));
        lines.extend(self.faults.iter().map(|(_, fault)| (fault.from, fault.what.clone())));
        lines.sort_by_key(|(at, _)| *at);
        let ms = |at: &Instant| at.saturating_duration_since(start).as_millis();
        let lines: Vec<String> = lines.iter().map(|(at, line)| format!("{:>7} ms {line}", ms(at))).collect();
        let (mut stream, mut events) = (self.system.client().events(job, None).await, Vec::new());
        while let Ok(Some(event)) = timeout(EVENTS_WITHIN, stream.next()).await {
            events.push(event);
        }
        format!("{key}, job {job}\n{}\n{events:#?}", lines.join("\n"))
    }
}

fn is_worker(target: Target) -> bool {
    matches!(target, Target::Worker(_))
}
