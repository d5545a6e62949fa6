//! `sluice bench sweep`: what it costs to look at a million records, and whether all that is broken among them is healed.
//!
//! The sweep runs in this process, on a nats-server of its own. Most records are of jobs that have ended, some of jobs that
//! wait with all their messages, a few of jobs whose submitter died before it published anything.

use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use sluice_shared::clock;
use sluice_shared::config::Config;
use sluice_shared::domain::id::{BranchId, JobId, Tenant, Token};
use sluice_shared::domain::record::Record;
use sluice_shared::domain::submission::{Limits, read};
use sluice_shared::effects::{Caps, Effects, Submission};
use sluice_shared::nats::records::Found;
use sluice_shared::nats::{ConnectOptions, Nats};
use sluice_shared::queues::Queues;
use sluice_shared::telemetry::Metrics;
use sluice_shared::topology::Topology;
use sluice_workers::sweep::{Sweep, SweepOptions};

use super::document::{Report, measured, rounded};
use super::servers::{Servers, ServersError};
use super::usage::Usage;
use crate::cli::args::SweepArgs;
use crate::cli::{Failure, configuration};
use crate::show::{Show, millis, seconds};

/// How many records are written at a time.
const AT_ONCE: usize = 256;
/// How long an ended job's record is kept: longer than this takes.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// Rounds after which it is given up.
const ROUNDS: usize = 10_000;

/// What was measured.
struct Swept {
    records: u32,
    pending: u32,
    broken: usize,
    healed: usize,
    rounds: usize,
    wall: Duration,
    server: Usage,
    sweeper: Usage,
    interval: Duration,
    nats_server: Option<String>,
}

/// Runs it to its end. It is a failure where something broken was not healed, or where it was stopped before.
pub(crate) async fn run(args: SweepArgs) -> Result<(), Failure> {
    let show = Show::new(args.json);
    measured(args.json, &show, measure(&args, &show)).await
}

async fn measure(args: &SweepArgs, show: &Show) -> Result<Swept, Failure> {
    let dir = tempfile::Builder::new().prefix("sluice-bench-").tempdir().context("there is no temporary directory")?;
    let program = std::env::current_exe().context("this program cannot be found")?;
    let servers = Servers::start(1, dir.path(), &program).await.map_err(|error| match error {
        ServersError::Broker(error) => Failure::from(error),
        ServersError::Cluster(error) => error.into(),
    })?;
    let (config, effects) = ground(&servers).await?;
    fill(&effects, args, show).await?;
    let broken = lose(&effects, args.broken).await?;
    let options = SweepOptions {
        pending_after: Duration::ZERO,
        orphan_after: Duration::ZERO,
        interval: config.worker.sweep_interval,
        ..SweepOptions::default()
    };
    let interval = options.interval;
    let (sweep, rounds) = (Sweep::new(effects.clone(), options, Metrics::new()), rounds(args, &effects));
    let usage = || (Usage::of(servers.pids().next()), Usage::of(Some(std::process::id())));
    let (before, begin) = (usage(), Instant::now());
    for round in 0..rounds {
        show.progress(&format!("round {} of {rounds}", round + 1));
        ensure_ran(sweep.round().await)?;
    }
    let (wall, after) = (begin.elapsed(), usage());
    let healed = healed(&effects, &broken).await?;
    let nats_server = servers.version().map(|version| version.to_string());
    servers.stop().await;
    Ok(Swept {
        records: args.records,
        pending: args.pending,
        broken: broken.len(),
        healed,
        rounds,
        wall,
        server: after.0 - before.0,
        sweeper: after.1 - before.1,
        interval,
        nats_server,
    })
}

fn ensure_ran(ran: bool) -> anyhow::Result<()> {
    ensure!(ran, "a round of the sweep did not come to its end");
    Ok(())
}

/// How many rounds see every record once, when each bucket holds its share and a little more.
fn rounds(args: &SweepArgs, effects: &Effects) -> usize {
    let buckets = usize::from(effects.nats().topology().settings().record_buckets.max(1));
    let all = usize::try_from(args.records).unwrap_or(usize::MAX).saturating_add(args.broken as usize);
    let each = all.saturating_add(usize::try_from(args.pending).unwrap_or_default()).div_ceil(buckets);
    (each + each / 20).div_ceil(sluice_workers::sweep::A_ROUND).clamp(1, ROUNDS)
}

/// A connection with the topology made, and the configuration as it is without a file.
async fn ground(servers: &Servers) -> anyhow::Result<(Config, Effects)> {
    let config = Config::from_toml("").context("the configuration is wrong")?;
    let topology = Topology::new(configuration::topology(&config));
    let options = ConnectOptions { url: servers.url(), name: "sluice bench".to_owned(), ..ConnectOptions::default() };
    let nats = Nats::connect(options, topology.clone()).await?;
    topology.create(&nats, configuration::assets(&config)).await?;
    let queues = Queues::start(&nats).await;
    let caps = Caps::new(nats.max_payload(), usize::try_from(config.worker.response_limit.0).unwrap_or(usize::MAX));
    Ok((config, Effects::new(&nats, &queues, caps, KEPT)))
}

async fn submit(effects: &Effects, key: String) -> anyhow::Result<JobId> {
    let tenant = Tenant::default();
    let limits = Limits::new(1 << 20, clock::now(), effects.nats().prefix(), &tenant);
    let job = read(br#"{"url":"http://bench.example/","deadline_ms":3600000}"#, &limits);
    let job = job.map_err(|faults| anyhow!("the job is wrong: {faults:?}"))?;
    Ok(effects.submit(Submission { tenant, key, job, traceparent: None }).await?.job)
}

async fn record(effects: &Effects, job: &JobId) -> anyhow::Result<Box<Record>> {
    match effects.records().read(job).await? {
        Found::Record(record, _) => Ok(record),
        Found::Absent | Found::Newer(_) | Found::Malformed(_) => Err(anyhow!("a record is not there")),
    }
}

/// The records of jobs that have ended, copies of one, and of jobs that wait.
async fn fill(effects: &Effects, args: &SweepArgs, show: &Show) -> anyhow::Result<()> {
    let job = submit(effects, "ended".to_owned()).await?;
    effects.cancel(&Tenant::default(), &job).await?;
    let ended = record(effects, &job).await?;
    ensure!(ended.outcome.is_some(), "a cancelled job has not ended");
    let write = |number: u32| {
        let (effects, ended) = (effects.clone(), &ended);
        async move {
            if number.is_multiple_of(10_000) {
                show.progress(&format!("{number} of {} records are there", args.records));
            }
            let job = JobId::derive(&Tenant::default(), &format!("ended {number}"));
            effects.records().swap(&job, ended, 0, KEPT).await.map(|_| ())
        }
    };
    stream::iter(0..args.records).map(write).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    let waits = |number: u32| async move { submit(effects, format!("waits {number}")).await.map(|_| ()) };
    stream::iter(0..args.pending).map(waits).buffer_unordered(AT_ONCE).try_collect().await
}

/// Jobs whose submitter died between the record and the first message.
async fn lose(effects: &Effects, count: u32) -> anyhow::Result<Vec<(JobId, Box<Record>)>> {
    let template = record(effects, &submit(effects, "template".to_owned()).await?).await?;
    let mut broken = Vec::new();
    for number in 0..count {
        let key = format!("broken {number}");
        let (job, record) = (JobId::derive(&Tenant::default(), &key), Record { key, ..(*template).clone() });
        effects.records().create(&job, &record).await?;
        broken.push((job, Box::new(record)));
    }
    Ok(broken)
}

/// How many of them have a message of their branch.
async fn healed(effects: &Effects, broken: &[(JobId, Box<Record>)]) -> anyhow::Result<usize> {
    let (nats, mut healed) = (effects.nats(), 0);
    for (job, record) in broken {
        let address = Effects::address(job, record, Token::Branch(BranchId::OWN)).context("a record has no branch")?;
        let stream = nats.topology().jobs_stream(address.shard);
        healed += usize::from(nats.newest(&stream, &address.any_stage(nats.prefix())).await?.is_some());
    }
    Ok(healed)
}

impl Swept {
    /// How many cores it takes in the long run, where rounds are an interval apart.
    fn cores(&self, usage: Usage) -> f64 {
        let rounds = u32::try_from(self.rounds).unwrap_or(u32::MAX);
        let all = self.wall + self.interval.saturating_mul(rounds);
        Duration::from_micros(usage.cpu_us).as_secs_f64() / all.as_secs_f64()
    }
}

impl Report for Swept {
    fn document(&self) -> Value {
        let part = |usage: Usage| {
            let cpu_s = seconds(Duration::from_micros(usage.cpu_us));
            json!({ "cpu_s": cpu_s, "cores": rounded(self.cores(usage), 4), "rss_mb": usage.rss_kib / 1024 })
        };
        json!({
            "records": self.records, "pending": self.pending, "broken": self.broken, "healed": self.healed,
            "rounds": self.rounds, "pass_ms": millis(self.wall), "interval_ms": millis(self.interval),
            "nats": part(self.server), "sweeper": part(self.sweeper),
        })
    }

    fn table(&self) -> String {
        let part = |name: &str, usage: Usage| {
            let cpu = seconds(Duration::from_micros(usage.cpu_us));
            format!(
                "{name:<20}{cpu} s of CPU, {:.3} cores in the long run, {} MiB\n",
                self.cores(usage),
                usage.rss_kib / 1024
            )
        };
        format!(
            "{} records of ended jobs, {} of waiting ones, {} broken\n\n{:<20}{} of {}\n{:<20}{} s without the pauses, {} rounds {} s apart\n{}{}",
            self.records,
            self.pending,
            self.broken,
            "healed",
            self.healed,
            self.broken,
            "one pass",
            seconds(self.wall),
            self.rounds,
            self.interval.as_secs(),
            part("nats-server", self.server),
            part("sweep", self.sweeper),
        )
        .trim_end()
        .to_owned()
    }

    fn wrong(&self) -> Option<String> {
        let left = self.broken - self.healed;
        (left > 0).then(|| format!("{left} of {} were not healed", self.broken))
    }

    fn nats_server(&self) -> Option<&str> {
        self.nats_server.as_deref()
    }
}
