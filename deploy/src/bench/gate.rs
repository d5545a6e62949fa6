//! `sluice bench gate`: a backlog behind a limit, for 1, 2 and 4 workers; half-way one is killed and one is added. How much of
//! the limit is used, and whether it is ever exceeded, as the destination sees it.

use serde_json::{Value, json};

use super::document::{Report, measured, rounded, table};
use super::fleet::Target;
use super::load::{Jobs, Pace, submit};
use super::monotonic::micros;
use super::stage::{Plan, Stage};
use super::windows::{SECOND, extremes, within, worst_sliding};
use crate::cli::Failure;
use crate::cli::args::{Consumers, GateArgs, Via};
use crate::show::Show;

/// How long arrivals settle before they count: a backlog has to be there.
const SETTLING: u64 = SECOND;
/// Of the jobs those that are left when the benchmark ends: the backlog never runs dry.
const SPARE: f64 = 1.25;
/// The windows that show how even the arrivals are, in microseconds.
const WINDOW: u64 = 100_000;

/// Runs it to its end.
pub(crate) async fn run(args: GateArgs) -> Result<(), Failure> {
    let show = Show::new(args.json);
    measured(args.json, &show, measure(&args, &show)).await
}

struct Runs {
    args: GateArgs,
    runs: Vec<Run>,
    nats_server: Option<String>,
}

/// What one run says.
#[derive(Debug, PartialEq)]
struct Run {
    workers: u32,
    limit: u32,
    utilisation: f64,
    worst_sliding: usize,
    windows: Option<(usize, usize)>,
    worst_after_kill: usize,
    utilisation_after_kill: f64,
    doubled: u32,
}

async fn measure(args: &GateArgs, show: &Show) -> Result<Runs, Failure> {
    let (mut runs, mut nats_server) = (Vec::new(), None);
    for workers in &args.workers {
        let (run, version) = with(*workers, args, show).await?;
        runs.push(run);
        nats_server = version;
    }
    Ok(Runs { args: args.clone(), runs, nats_server })
}

async fn with(workers: u32, args: &GateArgs, show: &Show) -> Result<(Run, Option<String>), Failure> {
    show.progress(&format!("starting a nats-server and {workers} workers"));
    let plan = Plan { workers: workers as usize, gate: Some(args.limit), ..Plan::one_each(Consumers::File) };
    let mut stage = Stage::start(&plan).await?;
    let (door, jobs) = (stage.door(Via::Nats).await?, Jobs::new(&stage.audience, 1));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a product of two small numbers")]
    let number = (f64::from(args.limit) * f64::from(args.seconds) * SPARE) as u32;
    let half = args.limit * args.seconds / 2;
    let submitting = tokio::spawn(async move { submit(&jobs, &door, 0..number, Pace::Free).await });
    let tell = |what: &str, calls: u32| show.progress(&format!("{workers} workers, {what}: {calls} of {number} calls"));
    stage.audience.until(|count| count.calls >= half, |count| tell("before the kill", count.calls)).await?;
    let kill = micros();
    stage.fleet.kill(Target::Worker(0)).await?;
    stage.add_worker().await?;
    let enough = half * 2;
    stage.audience.until(|count| count.calls >= enough, |count| tell("after it", count.calls)).await?;
    let end = micros();
    submitting.await.map_err(anyhow::Error::from)??;
    let (arrivals, count) = (stage.audience.arrivals().await?, stage.audience.count().await?);
    let version = stage.nats_version();
    drop(stage); // the rest of the backlog is nobody's
    let run = Run { doubled: count.doubled_hooks, ..Run::of(workers, args.limit, &arrivals, kill, end) };
    Ok((run, version))
}

impl Run {
    /// What the arrivals say, with a worker killed at one moment and the end at another. Pure.
    fn of(workers: u32, limit: u32, arrivals: &[u64], kill: u64, end: u64) -> Self {
        let from = arrivals.first().copied().unwrap_or_default() + SETTLING;
        let share = |from: u64, to: u64| {
            let seconds = to.saturating_sub(from).max(1) as f64 / SECOND as f64;
            within(arrivals, from, to).len() as f64 / (f64::from(limit) * seconds)
        };
        Self {
            workers,
            limit,
            utilisation: share(from, kill),
            worst_sliding: worst_sliding(within(arrivals, 0, kill), SECOND),
            windows: extremes(arrivals, from, kill, WINDOW),
            worst_after_kill: worst_sliding(within(arrivals, kill.saturating_sub(SECOND), end), SECOND),
            utilisation_after_kill: share(kill, end),
            doubled: 0,
        }
    }

    fn document(&self) -> Value {
        json!({
            "workers": self.workers, "limit_per_s": self.limit, "utilisation": rounded(self.utilisation, 3),
            "worst_sliding_1s": self.worst_sliding,
            "min_100ms": self.windows.map(|windows| windows.0), "max_100ms": self.windows.map(|windows| windows.1),
            "worst_sliding_after_kill": self.worst_after_kill,
            "utilisation_after_kill": rounded(self.utilisation_after_kill, 3), "doubled": self.doubled,
        })
    }
}

impl Report for Runs {
    fn document(&self) -> Value {
        json!({ "seconds": self.args.seconds, "runs": self.runs.iter().map(Run::document).collect::<Vec<_>>() })
    }

    fn table(&self) -> String {
        let runs: Vec<Value> = self.runs.iter().map(Run::document).collect();
        let fields = [
            ("workers", "workers"),
            ("limit/s", "limit_per_s"),
            ("share used", "utilisation"),
            ("worst second", "worst_sliding_1s"),
            ("min 100 ms", "min_100ms"),
            ("max 100 ms", "max_100ms"),
            ("after a kill:", "worst_sliding_after_kill"),
            ("share used", "utilisation_after_kill"),
        ];
        table(&runs, &fields)
    }

    /// A second of arrivals may hold some more than a second of sends: each is a moment on its way.
    fn wrong(&self) -> Option<String> {
        let doubled: u32 = self.runs.iter().map(|run| run.doubled).sum();
        (doubled > 0).then(|| format!("{doubled} webhooks came twice"))
    }

    fn nats_server(&self) -> Option<&str> {
        self.nats_server.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_stream_at_the_limit_uses_all_of_it_and_a_gap_after_the_kill_shows() {
        let first = 5 * SECOND;
        let arrivals: Vec<u64> = (0..500)
            .map(|n| first + n * 10_000)
            .filter(|at| !(first + 4_000_000..first + 4_500_000).contains(at))
            .collect();
        let run = Run::of(2, 100, &arrivals, first + 4 * SECOND, first + 5 * SECOND);
        assert_eq!((run.worst_sliding, run.windows, run.worst_after_kill), (100, Some((10, 10)), 100));
        assert!((run.utilisation - 1.0).abs() < 1e-9 && (run.utilisation_after_kill - 0.5).abs() < 1e-9, "{run:?}");
        let document = run.document();
        assert_eq!((&document["utilisation"], &document["min_100ms"]), (&json!(1.0), &json!(10)));
    }

    #[test]
    fn a_burst_beyond_the_limit_shows() {
        let arrivals: Vec<u64> = (0..30).map(|n| SECOND + n * 100_000).flat_map(|at| [at, at + 1, at + 2]).collect();
        assert_eq!(Run::of(1, 10, &arrivals, 10 * SECOND, 11 * SECOND).worst_sliding, 30);
    }
}
