//! `sluice bench faults`: a load, and parts of the fleet that are killed at random moments under it. Nothing accepted may
//! be lost, nothing may have two outcomes, and only what was on the wire may be repeated.
//!
//! `rig` does things, `verdict` holds what everybody saw against what may be, `report` shows it. The fault suites of the
//! tests are made of the same parts.

pub mod cast;
pub mod load;
pub mod quiet;
mod report;
pub mod rig;
pub mod verdict;
pub mod wire;

use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use rand::RngExt as _;
use rand::seq::SliceRandom as _;
use tokio::time::sleep_until;

use crate::bench::fleet::{FleetError, Setup, Target};
use crate::cli::args::FaultsArgs;
use crate::cli::{Failure, say, stop};
use crate::show::Show;
use load::{Accepted, Load};
use report::{Kill, Report};
use rig::Rig;
use verdict::{Seen, Verdict};

/// How long what was killed is away, at most.
const AWAY_MS: u64 = 1000;
/// How many timelines are shown of what went wrong.
const SHOWN: usize = 3;

/// Destinations on this machine that hold nothing up, and retries that come soon; all else as it is without a configuration.
const CONFIGURATION: &str = r#"
targets.allow_networks = ["127.0.0.0/8", "::1/128"]
gateway.auth = "open"
gate.rate = 5000.0
gate.burst = 100
gate.concurrency = 256
retry.base = "100ms"
retry.cap = "1s"
delivery.retry = ["500ms", "500ms", "500ms", "500ms", "500ms", "500ms", "500ms", "500ms", "500ms"]
delivery.per_endpoint = 64
"#;

/// Runs it to its end. It is a failure where something was not as promised, or where it was stopped before.
pub(crate) async fn run(args: FaultsArgs) -> Result<(), Failure> {
    let stop = stop::on_signal().context("signals cannot be listened to")?;
    let show = Show::new(args.json);
    let seed = args.seed.unwrap_or_else(rand::random);
    let report = stop::unless_stopped(&stop, Box::pin(measure(&args, seed, &show))).await;
    let (report, timelines) = report.ok_or_else(|| anyhow!("the benchmark was stopped before its end"))??;
    show.progress("");
    if args.json {
        say(&format!("{:#}", report.document()));
    } else {
        say(&report.table());
    }
    if report.verdict.wrong.is_empty() {
        return Ok(());
    }
    let wrong = report.verdict.wrong.len();
    let timelines = timelines.join("\n\n");
    Err(Failure::Failed(anyhow!("{wrong} things are not as promised (--seed {seed}):\n{timelines}")))
}

/// The report, and the timelines of some of what went wrong.
async fn measure(args: &FaultsArgs, seed: u64, show: &Show) -> Result<(Report, Vec<String>), Failure> {
    show.progress("starting the nats-servers and six processes");
    let setup = setup(usize::from(args.servers))?;
    let mut rig = Rig::start(&setup, seed).await.map_err(failure)?;
    let nats_server = rig.fleet.servers().version().map(|version| version.to_string());
    let load = rig.load(f64::from(args.rate), usize::try_from(args.jobs).unwrap_or(usize::MAX));
    let kills = kill_all_along(&mut rig, args, &load, show).await?;
    let accepted = load.done().await?;
    show.progress("all are accepted; waiting for the last webhook");
    let seen = rig.seen(accepted).await.with_context(|| format!("--seed {seed}"))?;
    let verdict = Verdict::of(&seen);
    let mut timelines = Vec::new();
    for wrong in verdict.wrong.iter().take(SHOWN) {
        timelines.push(format!("{}: {}", wrong.why, rig.timeline(&wrong.job, &wrong.key).await));
    }
    let kills = recovered(&kills, &seen.accepted, &rig, &seen);
    rig.fleet.stop().await?;
    Ok((Report { seed, rate: args.rate, setup, nats_server, verdict, kills }, timelines))
}

fn setup(servers: usize) -> anyhow::Result<Setup> {
    let program = std::env::current_exe().context("this program cannot be found")?;
    let configuration = format!("{CONFIGURATION}topology.replicas = {servers}\n");
    Ok(Setup { program, servers, gateways: 2, workers: 2, deliveries: 2, linked: Vec::new(), configuration })
}

fn failure(error: FleetError) -> Failure {
    match error {
        FleetError::Broker(error) => error.into(),
        FleetError::Role(error) => error.into(),
    }
}

/// Kills something in each of as many equal parts of the load's time as there are kills; when each was.
async fn kill_all_along(
    rig: &mut Rig,
    args: &FaultsArgs,
    load: &Load,
    show: &Show,
) -> anyhow::Result<Vec<(Instant, Vec<Target>)>> {
    let (start, mut kills, mut deck) = (tokio::time::Instant::now(), Vec::new(), Vec::new());
    let part = f64::from(args.jobs) / f64::from(args.rate) / f64::from(args.kills.max(1));
    for number in 0..args.kills {
        let at = part * (f64::from(number) + rig.random.random_range(0.2..0.6));
        sleep_until(start + Duration::from_secs_f64(at)).await;
        let targets = next(&mut deck, &mut rig.random, usize::from(args.servers));
        show.progress(&format!(
            "{} of {} jobs accepted, {} told; kill {} of {}: {}",
            load.accepted(),
            args.jobs,
            rig.cast.told_count(),
            number + 1,
            args.kills,
            report::named(&targets),
        ));
        let away = Duration::from_millis(rig.random.random_range(0..AWAY_MS));
        kills.push((rig.kill(&targets, away).await?, targets));
    }
    Ok(kills)
}

/// What is killed next: every kind once, in a random order, before any comes again.
fn next(deck: &mut Vec<Vec<Target>>, random: &mut rand::rngs::StdRng, servers: usize) -> Vec<Target> {
    if deck.is_empty() {
        let one = random.random_range(0..2);
        *deck = vec![
            vec![Target::Gateway(one)],
            vec![Target::Worker(one)],
            vec![Target::Delivery(one)],
            vec![Target::Server(random.random_range(0..servers))],
            vec![Target::Worker(0), Target::Worker(1)],
            vec![Target::Gateway(0), Target::Worker(one), Target::Delivery(0), Target::Delivery(1)],
            [Target::Gateway, Target::Worker, Target::Delivery].iter().flat_map(|role| [role(0), role(1)]).collect(),
        ];
        deck.shuffle(random);
    }
    deck.pop().unwrap_or_default()
}

/// How soon it went on after each kill.
fn recovered(kills: &[(Instant, Vec<Target>)], accepted: &[Accepted], rig: &Rig, seen: &Seen) -> Vec<Kill> {
    let (start, told) = (rig.cast.main.started(), rig.cast.told());
    let kill = |(at, targets): &(Instant, Vec<Target>)| {
        let (first, all) = verdict::recovery(*at, accepted, &told);
        let faults = verdict::of_calls(&seen.faults);
        let faults: Vec<_> = faults.into_iter().filter(|fault| fault.moment == *at).collect();
        let on_wire = seen.calls.iter().filter(|call| call.on_wire(&faults)).count();
        Kill { at: at.duration_since(start), targets: targets.clone(), on_wire, first, all }
    };
    kills.iter().map(kill).collect()
}
