//! A fleet under load, what is done to it, and the verdict: what the suites of faults are made of.

use std::time::Duration;

use rand::RngExt as _;
use sluice::bench::faults::load::Load;
use sluice::bench::faults::rig::Rig;
use sluice::bench::faults::verdict::Verdict;
use sluice::bench::fleet::{Setup, Target};
use tokio::sync::{Mutex, MutexGuard};

use crate::configuration::Configuration;
use crate::program;

/// The most timelines that a failure shows.
const SHOWN: usize = 3;

/// One scenario after the other: the machine is small, and each wants its load.
static TURN: Mutex<()> = Mutex::const_new(());

/// A fleet under load.
pub struct Scenario {
    /// The fleet, and what is done to it.
    pub rig: Rig,
    load: Load,
    seed: u64,
    _turn: MutexGuard<'static, ()>,
}

impl Scenario {
    /// Starts a fleet of two gateways, two workers and a delivery on so many nats-servers, and submits jobs at this rate a
    /// second. `SLUICE_SEED` gives the seed of an earlier run.
    pub async fn start(servers: usize, linked: &[Target], per_second: f64) -> Self {
        let turn = TURN.lock().await;
        let seed = std::env::var("SLUICE_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
        eprintln!("SLUICE_SEED={seed}");
        // Whoever comes first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let configuration = Configuration::default()
            .set("worker.ack_wait", "15s")
            .set("topology.replicas", u8::try_from(servers).unwrap())
            .toml();
        let linked = linked.to_vec();
        let setup =
            Setup { program: program(), servers, gateways: 2, workers: 2, deliveries: 1, linked, configuration };
        let rig = Rig::start(&setup, seed).await.unwrap();
        let load = rig.load(per_second, usize::MAX);
        Self { rig, load, seed, _turn: turn }
    }

    /// Lets the load go on for a random while.
    pub async fn go_on(&mut self) {
        self.rig.wait(400..1500).await;
    }

    /// Lets the load go on for a random while, kills these, and starts them again after another.
    pub async fn kill(&mut self, targets: &[Target]) {
        self.go_on().await;
        let away = Duration::from_millis(self.rig.random.random_range(0..300));
        self.rig.kill(targets, away).await.unwrap();
    }

    /// How many jobs were accepted so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.load.accepted()
    }

    /// Ends the load, waits for everything that was accepted, and holds it against what was seen.
    pub async fn verify(mut self) -> Verdict {
        self.go_on().await;
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
