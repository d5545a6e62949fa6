//! `sluice bench backlog`: very many jobs that wait. What they cost in memory, how soon a worker that comes then sends, and how
//! fast they drain.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::document::{Report, measured, ms, named, rounded, text};
use super::load::{Jobs, Pace, submit};
use super::monotonic::micros;
use super::stage::{Plan, Stage};
use super::throughput::per_second;
use super::usage::Used;
use crate::cli::Failure;
use crate::cli::args::{BacklogArgs, Via};
use crate::show::Show;

/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How often progress is told while jobs are submitted.
const PART: u32 = 20_000;

/// Runs it to its end.
pub(crate) async fn run(args: BacklogArgs) -> Result<(), Failure> {
    let show = Show::new(args.json);
    measured(args.json, &show, measure(&args, &show)).await
}

struct Backlog {
    args: BacklogArgs,
    submitted_per_s: f64,
    /// Before the first job, and with all of them waiting.
    before: Used,
    waiting: Used,
    /// With the worker at work.
    draining: Used,
    /// From the start of the worker to its first call.
    first_send_us: Option<u64>,
    drained: u32,
    drained_per_s: f64,
    doubled: u32,
    nats_server: Option<String>,
}

async fn measure(args: &BacklogArgs, show: &Show) -> Result<Backlog, Failure> {
    show.progress("starting a nats-server, a gateway and a delivery");
    let mut stage = Stage::start(&Plan { workers: 0, ..Plan::one_each(args.consumers) }).await?;
    let (door, jobs) = (stage.door(Via::Nats).await?, Jobs::new(&stage.audience, args.queues));
    let (before, began) = (stage.used(), micros());
    for from in (0..args.jobs).step_by(PART as usize) {
        show.progress(&format!("{from} of {} jobs submitted", args.jobs));
        submit(&jobs, &door, from..args.jobs.min(from + PART), Pace::Free).await?;
    }
    let submitted_per_s = per_second(args.jobs, micros() - began);
    let waiting = stage.used();
    show.progress("starting a worker");
    let started = micros();
    stage.add_worker().await?;
    stage.audience.until(|count| count.calls > 0, |_| {}).await?;
    let (first, until) = (micros(), Duration::from_secs(args.seconds.into()));
    while Duration::from_micros(micros() - first) < until {
        let count = stage.audience.count().await?;
        if count.hooks >= args.jobs {
            break;
        }
        show.progress(&format!("{} of {} jobs drained", count.hooks, args.jobs));
        sleep(LOOK_EVERY).await;
    }
    let (took, count, draining) = (micros() - first, stage.audience.count().await?, stage.used());
    let arrivals = stage.audience.arrivals().await?;
    let nats_server = stage.nats_version();
    drop(stage); // what is left of it is nobody's
    Ok(Backlog {
        args: args.clone(),
        submitted_per_s,
        before,
        waiting,
        draining,
        first_send_us: arrivals.first().map(|at| at.saturating_sub(started)),
        drained: count.hooks,
        drained_per_s: per_second(count.hooks, took),
        doubled: count.doubled_calls + count.doubled_hooks,
        nats_server,
    })
}

impl Report for Backlog {
    fn document(&self) -> Value {
        let kib = self.waiting.nats.rss_kib.saturating_sub(self.before.nats.rss_kib);
        json!({
            "jobs": self.args.jobs, "queues": self.args.queues, "consumers": self.args.consumers.as_str(),
            "submitted_per_s": rounded(self.submitted_per_s, 0),
            "bytes_per_job": { "nats": kib * 1024 / u64::from(self.args.jobs.max(1)) },
            "rss_mb": { "before": self.before.rss_mb(), "waiting": self.waiting.rss_mb(), "draining": self.draining.rss_mb() },
            "first_send_ms": ms(self.first_send_us), "drained": self.drained,
            "drained_per_s": rounded(self.drained_per_s, 0), "doubled": self.doubled,
        })
    }

    fn table(&self) -> String {
        let document = self.document();
        let line = |name: &str, value: &Value| format!("{name:<36}{}", text(value));
        [
            format!("{} jobs wait in {} queues\n", self.args.jobs, self.args.queues),
            line("submitted, jobs/s", &document["submitted_per_s"]),
            line("memory of the nats-server, bytes/job", &document["bytes_per_job"]["nats"]),
            line("a new worker's first call, ms", &document["first_send_ms"]),
            line("drained, jobs/s", &document["drained_per_s"]),
            format!("{:<36}{}", "memory while it drains, MB", named(&document["rss_mb"]["draining"])),
        ]
        .join("\n")
    }

    fn wrong(&self) -> Option<String> {
        if self.first_send_us.is_none() {
            return Some("the worker sent nothing".to_owned());
        }
        (self.doubled > 0).then(|| format!("{} calls or webhooks came twice", self.doubled))
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
    fn the_memory_of_a_job_is_what_the_nats_server_grew_by() {
        let with = |rss_kib| Used { nats: Usage { cpu_us: 0, rss_kib }, ..Used::default() };
        let args = BacklogArgs { jobs: 1000, queues: 10, seconds: 1, consumers: Consumers::Memory, json: true };
        let backlog = Backlog {
            args,
            submitted_per_s: 1.0,
            before: with(100),
            waiting: with(1100),
            draining: with(1200),
            first_send_us: Some(2500),
            drained: 10,
            drained_per_s: 5.0,
            doubled: 0,
            nats_server: None,
        };
        let document = backlog.document();
        assert_eq!((&document["bytes_per_job"]["nats"], &document["first_send_ms"]), (&json!(1024), &json!(2.5)));
        assert!(backlog.wrong().is_none());
        assert!(Backlog { first_send_us: None, ..backlog }.wrong().is_some());
    }
}
