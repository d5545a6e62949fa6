//! `sluice bench queues`: the same load over few queues and over many.

use serde_json::{Value, json};

use super::document::{Report, lost_or_doubled, measured, rounded, table};
use super::load::{Jobs, Pace, finish};
use super::monotonic::micros;
use super::stage::{Plan, Stage};
use super::throughput::per_second;
use super::usage::Used;
use crate::cli::Failure;
use crate::cli::args::{QueuesArgs, Via};
use crate::show::Show;

/// Jobs that are open at most while queues are made.
const WARMING: u32 = 500;

/// Runs it to its end.
pub(crate) async fn run(args: QueuesArgs) -> Result<(), Failure> {
    let show = Show::new(args.json);
    measured(args.json, &show, measure(&args, &show)).await
}

struct Points {
    args: QueuesArgs,
    points: Vec<Point>,
    nats_server: Option<String>,
}

struct Point {
    queues: u32,
    jobs: u32,
    jobs_per_s: f64,
    used: Used,
    lost: u32,
    doubled: u32,
}

async fn measure(args: &QueuesArgs, show: &Show) -> Result<Points, Failure> {
    let (mut points, mut nats_server) = (Vec::new(), None);
    for queues in &args.queues {
        let (point, version) = at(*queues, args, show).await?;
        points.push(point);
        nats_server = version;
    }
    Ok(Points { args: args.clone(), points, nats_server })
}

async fn at(queues: u32, args: &QueuesArgs, show: &Show) -> Result<(Point, Option<String>), Failure> {
    show.progress("starting a nats-server and the roles");
    let mut stage =
        Stage::start(&Plan { shards: Some(shards(&args.queues)), ..Plan::one_each(args.consumers) }).await?;
    let (door, jobs) = (stage.door(Via::Nats).await?, Jobs::new(&stage.audience, queues));
    let (warm, number) = (queues.max(200), args.rate * args.seconds);
    let tell = |what: &str, hooks: u32| show.progress(&format!("{queues} queues, {what}: {hooks} jobs"));
    // Every queue becomes active.
    let warming = Pace::Open(WARMING);
    finish(&jobs, &door, &stage.audience, 0..warm, warming, |count| tell("made", count.hooks)).await?;
    let (before, began) = (stage.used(), micros());
    let (all, pace) = (warm + number, Pace::Rate(f64::from(args.rate)));
    let count = finish(&jobs, &door, &stage.audience, warm..all, pace, |count| tell("measured", count.hooks)).await?;
    let used = stage.used() - before;
    let version = stage.nats_version();
    drop(stage); // ten thousand consumers take a nats-server long to close
    let point = Point {
        queues,
        jobs: number,
        jobs_per_s: per_second(number, count.last_hook_us.saturating_sub(began)),
        used,
        lost: all - count.hooks.min(all),
        doubled: count.doubled_calls + count.doubled_hooks,
    };
    Ok((point, version))
}

impl Point {
    fn document(&self) -> Value {
        json!({
            "queues": self.queues, "jobs_per_s": rounded(self.jobs_per_s, 0),
            "cpu_us_per_job": self.used.cpu_us_per_job(self.jobs), "rss_mb": self.used.rss_mb(),
            "lost": self.lost, "doubled": self.doubled,
        })
    }
}

/// One shard for every 50 of the most queues, as is advised, and as many as there are by default at least.
fn shards(queues: &[u32]) -> u16 {
    let most = queues.iter().max().copied().unwrap_or_default();
    u16::try_from(most / 50).unwrap_or(u16::MAX).max(16)
}

impl Report for Points {
    fn document(&self) -> Value {
        json!({
            "rate_per_s": self.args.rate, "seconds": self.args.seconds, "consumers": self.args.consumers.as_str(),
            "points": self.points.iter().map(Point::document).collect::<Vec<_>>(),
        })
    }

    fn table(&self) -> String {
        let flat = |point: &Point| {
            let mut flat = point.document();
            for role in ["nats", "gateway", "worker", "delivery"] {
                flat[role] = json!(format!("{} us {} MB", flat["cpu_us_per_job"][role], flat["rss_mb"][role]));
            }
            flat
        };
        let points: Vec<Value> = self.points.iter().map(flat).collect();
        let head = format!(
            "{} jobs a second for {} s, consumers in {}; processor time for each job, and memory\n\n",
            self.args.rate,
            self.args.seconds,
            self.args.consumers.as_str()
        );
        let fields = [
            ("queues", "queues"),
            ("jobs/s", "jobs_per_s"),
            ("nats", "nats"),
            ("gateway", "gateway"),
            ("worker", "worker"),
            ("delivery", "delivery"),
        ];
        head + &table(&points, &fields)
    }

    fn wrong(&self) -> Option<String> {
        let sum = |of: fn(&Point) -> u32| self.points.iter().map(of).sum::<u32>();
        lost_or_doubled(sum(|point| point.lost), sum(|point| point.doubled))
    }

    fn nats_server(&self) -> Option<&str> {
        self.nats_server.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::super::usage::Usage;
    use super::*;
    use crate::cli::args::Consumers;

    #[test]
    fn the_document_has_a_point_for_each_number_of_queues() {
        let worker = Usage { cpu_us: 10_000, rss_kib: 4096 };
        let point = Point {
            queues: 10,
            jobs: 100,
            jobs_per_s: 99.6,
            used: Used { worker, ..Used::default() },
            lost: 0,
            doubled: 0,
        };
        let args = QueuesArgs { queues: vec![10], rate: 100, seconds: 1, consumers: Consumers::Memory, json: true };
        let points = Points { args, points: vec![point], nats_server: None };
        let document = points.document();
        let point = &document["points"][0];
        assert_eq!((&point["queues"], &point["jobs_per_s"]), (&json!(10), &json!(100.0)));
        assert_eq!((&point["cpu_us_per_job"]["worker"], &point["rss_mb"]["worker"]), (&json!(100), &json!(4)));
        assert!(points.wrong().is_none() && points.table().contains("100 us 4 MB"));
    }
}
