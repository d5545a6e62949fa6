//! `sluice bench throughput`: jobs all the way, submitted over NATS and over HTTP, beside the floor of the same run.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::document::{Report, measured, named, rounded, table};
use super::floor::{Floor, Measured};
use super::load::{Jobs, Pace, finish};
use super::monotonic::micros;
use super::sink::Count;
use super::stage::{Plan, Stage};
use super::usage::Used;
use crate::cli::Failure;
use crate::cli::args::{ThroughputArgs, Via};
use crate::show::Show;

/// How long something may still come twice when all has come once.
const SETTLING: std::time::Duration = std::time::Duration::from_millis(500);

/// Runs it to its end.
pub(crate) async fn run(args: ThroughputArgs) -> Result<(), Failure> {
    let show = Show::new(args.json);
    measured(args.json, &show, measure(&args, &show)).await
}

struct Runs {
    args: ThroughputArgs,
    runs: Vec<Run>,
    floors: Vec<Measured>,
    rules: Measured,
    nats_server: Option<String>,
}

struct Run {
    via: Via,
    jobs: u32,
    jobs_per_s: f64,
    floor_jobs_per_s: f64,
    lost: u32,
    doubled: u32,
    used: Used,
    stored: BTreeMap<&'static str, u64>,
}

/// Floor and product in turns, so that what else the machine does meets both.
async fn measure(args: &ThroughputArgs, show: &Show) -> Result<Runs, Failure> {
    let floor =
        Floor { queues: args.queues, jobs: args.jobs, open: args.open, consumers: args.consumers, rules: false };
    let (mut runs, mut floors) = (Vec::new(), Vec::new());
    let mut nats_server = None;
    show.progress("the floor");
    floors.push(floor.measure().await?);
    for via in (0..args.rounds).flat_map(|_| [Via::Nats, Via::Http]) {
        let (mut run, version) = product(args, via, show).await?;
        show.progress("the floor");
        floors.push(floor.measure().await?);
        let around = &floors[floors.len() - 2..];
        run.floor_jobs_per_s = (around[0].jobs_per_s + around[1].jobs_per_s) / 2.0;
        runs.push(run);
        nats_server = version;
    }
    show.progress("what the rules ask of the broker");
    let rules = Floor { rules: true, ..floor }.measure().await?;
    Ok(Runs { args: args.clone(), runs, floors, rules, nats_server })
}

async fn product(args: &ThroughputArgs, via: Via, show: &Show) -> Result<(Run, Option<String>), Failure> {
    show.progress("starting a nats-server and the roles");
    let mut stage = Stage::start(&Plan::one_each(args.consumers)).await?;
    let (door, jobs) = (stage.door(via).await?, Jobs::new(&stage.audience, args.queues));
    let (warm, all) = (args.queues.max(200), args.queues.max(200) + args.jobs);
    // Queues, their consumers and all connections are made.
    finish(&jobs, &door, &stage.audience, 0..warm, Pace::Open(args.open), |_| {}).await?;
    let (before, stored, began) = (stage.used(), stage.stored().await?, micros());
    let tell = |count: &Count| show.progress(&format!("{} of {all} jobs over {}", count.hooks, via.as_str()));
    let done = finish(&jobs, &door, &stage.audience, warm..all, Pace::Open(args.open), tell).await?;
    let (used, took) = (stage.used() - before, done.last_hook_us.saturating_sub(began));
    let stored = difference(&stage.stored().await?, &stored);
    tokio::time::sleep(SETTLING).await;
    let count = stage.audience.count().await?;
    let version = stage.nats_version();
    stage.stop().await?;
    let run = Run {
        via,
        jobs: args.jobs,
        jobs_per_s: per_second(args.jobs, took),
        floor_jobs_per_s: 0.0,
        lost: all - count.calls.min(count.hooks).min(all),
        doubled: count.doubled_calls + count.doubled_hooks,
        used,
        stored,
    };
    Ok((run, version))
}

/// So many in so many microseconds.
pub(super) fn per_second(jobs: u32, micros: u64) -> f64 {
    let seconds = micros.max(1) as f64 / 1e6;
    f64::from(jobs) / seconds
}

fn difference(now: &BTreeMap<&'static str, u64>, before: &BTreeMap<&'static str, u64>) -> BTreeMap<&'static str, u64> {
    now.iter().map(|(kind, stored)| (*kind, stored.saturating_sub(before.get(kind).copied().unwrap_or(0)))).collect()
}

impl Run {
    fn document(&self, rules: &Measured) -> Value {
        let per_job = |stored: u64| rounded(stored as f64 / f64::from(self.jobs.max(1)), 2);
        let stored: BTreeMap<&str, f64> = self
            .stored
            .iter()
            .map(|(kind, stored)| (*kind, per_job(*stored)))
            .filter(|(_, each)| *each > 0.0)
            .collect();
        json!({
            "via": self.via.as_str(), "jobs_per_s": rounded(self.jobs_per_s, 0),
            "floor_jobs_per_s": rounded(self.floor_jobs_per_s, 0),
            "ratio": rounded(self.jobs_per_s / self.floor_jobs_per_s.max(1.0), 3),
            "of_rules": rounded(self.jobs_per_s / rules.jobs_per_s.max(1.0), 3),
            "lost": self.lost, "doubled": self.doubled,
            "cpu_us_per_job": self.used.cpu_us_per_job(self.jobs), "stored_per_job": stored,
        })
    }
}

impl Report for Runs {
    fn document(&self) -> Value {
        let floor = |floor: &Measured| {
            json!({
                "jobs_per_s": rounded(floor.jobs_per_s, 0),
                "cpu_us_per_job": { "nats": floor.nats_us_per_job, "all_else": floor.own_us_per_job },
            })
        };
        json!({
            "jobs": self.args.jobs, "queues": self.args.queues, "open": self.args.open,
            "consumers": self.args.consumers.as_str(),
            "runs": self.runs.iter().map(|run| run.document(&self.rules)).collect::<Vec<_>>(),
            "floor": self.floors.iter().map(floor).collect::<Vec<_>>(), "rules": floor(&self.rules),
        })
    }

    fn table(&self) -> String {
        let ThroughputArgs { jobs, queues, open, consumers, .. } = self.args;
        let document = self.document();
        let runs = document["runs"].as_array().map(Vec::as_slice).unwrap_or_default();
        let floors = document["floor"].as_array().map(Vec::as_slice).unwrap_or_default();
        let lines = [
            format!("{jobs} jobs of 1 KiB over {queues} queues, {open} open, consumers on {}\n", consumers.as_str()),
            table(
                runs,
                &[
                    ("via", "via"),
                    ("jobs/s", "jobs_per_s"),
                    ("floor", "floor_jobs_per_s"),
                    ("ratio", "ratio"),
                    ("of rules", "of_rules"),
                    ("lost", "lost"),
                    ("doubled", "doubled"),
                ],
            ),
            "\nprocessor time for each job, in us".to_owned(),
            runs.iter()
                .map(|run| format!("{:<16}{}", super::document::text(&run["via"]), named(&run["cpu_us_per_job"])))
                .collect::<Vec<_>>()
                .join("\n"),
            floors
                .first()
                .map(|floor| format!("{:<16}{}", "floor", named(&floor["cpu_us_per_job"])))
                .unwrap_or_default(),
            format!(
                "{:<16}{} ({:.0} jobs/s)",
                "rules",
                named(&document["rules"]["cpu_us_per_job"]),
                self.rules.jobs_per_s
            ),
            "\nmessages stored for each job".to_owned(),
            runs.iter()
                .map(|run| format!("{:<16}{}", super::document::text(&run["via"]), named(&run["stored_per_job"])))
                .collect::<Vec<_>>()
                .join("\n"),
        ];
        lines.join("\n")
    }

    fn wrong(&self) -> Option<String> {
        let (lost, doubled) =
            self.runs.iter().fold((0, 0), |(lost, doubled), run| (lost + run.lost, doubled + run.doubled));
        (lost + doubled > 0).then(|| format!("{lost} jobs are lost, {doubled} calls or webhooks came twice"))
    }

    fn nats_server(&self) -> Option<&str> {
        self.nats_server.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::Consumers;

    fn runs(lost: u32, doubled: u32) -> Runs {
        let run = Run {
            via: Via::Nats,
            jobs: 100,
            jobs_per_s: 600.0,
            floor_jobs_per_s: 1000.0,
            lost,
            doubled,
            used: Used::default(),
            stored: BTreeMap::from([("events", 250), ("dead", 0)]),
        };
        let floor = Measured { jobs_per_s: 1000.0, nats_us_per_job: 50, own_us_per_job: 60 };
        let args =
            ThroughputArgs { jobs: 100, queues: 10, open: 10, consumers: Consumers::Memory, rounds: 1, json: true };
        let rules = Measured { jobs_per_s: 800.0, ..floor };
        Runs { args, runs: vec![run], floors: vec![floor], rules, nats_server: None }
    }

    #[test]
    fn the_document_says_what_each_run_was_beside_the_floor() {
        let document = runs(0, 0).document();
        let run = &document["runs"][0];
        assert_eq!((&run["via"], &run["ratio"], &run["jobs_per_s"]), (&json!("nats"), &json!(0.6), &json!(600.0)));
        assert_eq!((&run["of_rules"], &document["rules"]["jobs_per_s"]), (&json!(0.75), &json!(800.0)));
        assert_eq!(run["stored_per_job"], json!({"events": 2.5}));
        assert_eq!(run["cpu_us_per_job"], json!({"nats": 0, "gateway": 0, "worker": 0, "delivery": 0}));
        assert_eq!((&document["queues"], &document["consumers"]), (&json!(10), &json!("memory")));
    }

    #[test]
    fn lost_and_doubled_jobs_are_wrong() {
        assert_eq!(runs(0, 0).wrong(), None);
        assert!(runs(1, 0).wrong().is_some() && runs(0, 1).wrong().is_some());
    }

    #[test]
    fn what_was_stored_before_does_not_count() {
        let (now, before) = (BTreeMap::from([("jobs", 7), ("gates", 2)]), BTreeMap::from([("jobs", 3)]));
        assert_eq!(difference(&now, &before), BTreeMap::from([("jobs", 4), ("gates", 2)]));
    }
}
