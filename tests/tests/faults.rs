//! Everything is killed, stopped and restarted at random moments under load: nothing is lost, nothing has two outcomes, and
//! only what was on the wire is repeated. `SLUICE_SEED` gives the seed of an earlier run. `sluice bench faults` does the
//! same for longer.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

use std::time::Duration;

use rand::RngExt as _;
use sluice::bench::faults::load::Load;
use sluice::bench::faults::rig::Rig;
use sluice::bench::faults::verdict::Verdict;
use sluice::bench::fleet::{Setup, Target};
use sluice_tests::configuration::Configuration;
use sluice_tests::program;
use tokio::sync::{Mutex, MutexGuard};

/// Jobs a second: enough that there is always something in every state, and little enough for a small machine.
const RATE: f64 = 25.0;
/// Longer than `ack_wait`, so that what a stopped process holds goes to another.
const PAST_ACK_WAIT: Duration = Duration::from_secs(18);
/// The most timelines that a failure shows.
const SHOWN: usize = 3;

/// One scenario after the other: the machine is small, and each wants its load.
static TURN: Mutex<()> = Mutex::const_new(());

#[tokio::test]
async fn roles_killed_alone_and_together_lose_and_double_nothing() {
    let mut scenario = Scenario::start().await;
    let roles = [Target::Gateway(0), Target::Gateway(1), Target::Worker(0), Target::Worker(1), Target::Delivery(0)];
    for target in roles {
        scenario.kill(&[target]).await;
    }
    scenario.kill(&roles[1..]).await;
    scenario.kill(&roles).await;
    scenario.verify().await;
}

#[tokio::test]
async fn a_nats_server_killed_and_restarted_on_its_store_loses_and_doubles_nothing() {
    let mut scenario = Scenario::start().await;
    scenario.kill(&[Target::Broker]).await;
    scenario.kill(&[Target::Broker, Target::Worker(0)]).await;
    scenario.kill(&[Target::Broker, Target::Gateway(0), Target::Delivery(0)]).await;
    scenario.verify().await;
}

#[tokio::test]
async fn a_worker_and_a_delivery_stopped_past_their_ack_wait_and_continued_lose_and_double_nothing() {
    let mut scenario = Scenario::start().await;
    let worker = Target::Worker(scenario.rig.random.random_range(0..2));
    for target in [worker, Target::Delivery(0)] {
        scenario.rig.wait(400..1500).await;
        scenario.rig.pause(target, PAST_ACK_WAIT).await.unwrap();
    }
    scenario.verify().await;
}

#[tokio::test]
async fn a_rolling_restart_in_the_middle_of_slow_calls_loses_doubles_and_repeats_nothing() {
    let mut scenario = Scenario::start().await;
    let roles = [Target::Gateway(0), Target::Gateway(1), Target::Worker(0), Target::Worker(1), Target::Delivery(0)];
    for target in roles {
        scenario.rig.wait(400..1500).await;
        scenario.rig.restart(target).await.unwrap();
    }
    let verdict = scenario.verify().await;
    assert_eq!((verdict.repeated_calls, verdict.double_webhooks), (0, 0));
}

/// A fleet under load.
struct Scenario {
    rig: Rig,
    load: Load,
    seed: u64,
    _turn: MutexGuard<'static, ()>,
}

impl Scenario {
    async fn start() -> Self {
        let turn = TURN.lock().await;
        let seed = std::env::var("SLUICE_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
        eprintln!("SLUICE_SEED={seed}");
        // Whoever comes first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let configuration = Configuration::default().set("worker.ack_wait", "15s").toml();
        let setup = Setup { program: program(), gateways: 2, workers: 2, deliveries: 1, configuration };
        let rig = Rig::start(&setup, seed).await.unwrap();
        let load = rig.load(RATE, usize::MAX);
        Self { rig, load, seed, _turn: turn }
    }

    /// Lets the load go on for a random while, kills these, and starts them again after another.
    async fn kill(&mut self, targets: &[Target]) {
        self.rig.wait(400..1500).await;
        let away = Duration::from_millis(self.rig.random.random_range(0..300));
        self.rig.kill(targets, away).await.unwrap();
    }

    /// Ends the load, waits for everything that was accepted, and holds it against what was seen.
    async fn verify(mut self) -> Verdict {
        self.rig.wait(400..1500).await;
        let accepted = self.load.end().await.unwrap();
        let verdict = Verdict::of(&self.rig.seen(accepted).await.unwrap());
        for wrong in verdict.wrong.iter().take(SHOWN) {
            eprintln!("{}: {}", wrong.why, self.rig.timeline(&wrong.job, &wrong.key).await);
        }
        assert!(verdict.wrong.is_empty(), "SLUICE_SEED={}: {verdict:#?}", self.seed);
        self.rig.fleet.stop().await.unwrap();
        eprintln!(
            "{} jobs, {} calls repeated of {} on the wire at a fault",
            verdict.accepted, verdict.repeated_calls, verdict.on_wire_at_kill
        );
        verdict
    }
}
