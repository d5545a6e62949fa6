//! The floor: the way that every job takes at least, without anything that makes it dependable. Publish, pull, call, create an
//! entry, post the webhook, ack; in one process, on the same streams and consumers, for the same sink.
//!
//! What Sluice does in the same time is held against it: what is between them is the price of the promises. A second floor
//! does all that the promises ask of the broker, and nothing else (`rules`).

mod rules;
mod way;

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use self::way::Way;
use super::audience::Audience;
use super::usage::Usage;
use crate::broker::{Broker, BrokerOptions};
use crate::cli::args::{Consumers, FloorArgs};
use crate::cli::{Failure, say};

/// The hidden subcommand that runs it.
pub(crate) const SUBCOMMAND: &str = "bench-floor";
/// How long all of it may take.
const WITHIN: Duration = Duration::from_secs(600);

/// What was measured.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Measured {
    pub(super) jobs_per_s: f64,
    /// Processor time of the nats-server for each job.
    pub(super) nats_us_per_job: u64,
    /// Processor time of all the rest for each job.
    pub(super) own_us_per_job: u64,
}

/// What is run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Floor {
    pub(super) queues: u32,
    pub(super) jobs: u32,
    /// Jobs that are open at most.
    pub(super) open: u32,
    pub(super) consumers: Consumers,
    /// Whether what the promises ask of the broker is done.
    pub(super) rules: bool,
}

impl Floor {
    /// Runs it, on a nats-server of its own.
    pub(super) async fn measure(self) -> Result<Measured, Failure> {
        let program = std::env::current_exe().context("this program cannot be found")?;
        let dir = tempfile::Builder::new().prefix("sluice-bench-").tempdir();
        let dir = dir.context("there is no temporary directory")?;
        let audience = Audience::start(&program, dir.path(), None).await?;
        let mut options = BrokerOptions::new(dir.path().join("nats"));
        options.environment.nats_url = None; // one of its own, always
        let mut broker = Broker::start(options).await?;
        let measured = self.run(&program, &broker, &audience).await;
        audience.stop().await?;
        broker.kill().await;
        Ok(measured?)
    }

    async fn run(self, program: &Path, broker: &Broker, audience: &Audience) -> anyhow::Result<Measured> {
        let mut command = Command::new(program);
        command.args([SUBCOMMAND, "--nats", broker.url(), "--sink", audience.url()]);
        command.args(["--consumers", self.consumers.as_str()]);
        for (name, value) in [("--queues", self.queues), ("--jobs", self.jobs), ("--open", self.open)] {
            command.args([name, &value.to_string()]);
        }
        if self.rules {
            command.arg("--rules");
        }
        command.args(["--nats-pid", &broker.pid().unwrap_or_default().to_string()]);
        command.stdin(Stdio::null()).stderr(Stdio::inherit()).process_group(0).kill_on_drop(true);
        let output = timeout(WITHIN, command.output()).await.context("the floor takes too long")??;
        ensure!(output.status.success(), "the floor failed: {}", output.status);
        serde_json::from_slice(&output.stdout).context("the floor said no JSON")
    }
}

/// The hidden subcommand: once without looking, to open connections, then measured.
pub(crate) async fn floor(args: FloorArgs) -> Result<(), Failure> {
    let way = Arc::new(Way::prepare(&args).await?);
    let mut pullers = JoinSet::new();
    for queue in 0..way.queues() {
        let way = Arc::clone(&way);
        pullers.spawn(async move { way.pull_queue(queue).await });
    }
    if args.rules {
        let way = Arc::clone(&way);
        pullers.spawn(async move { way.pull_results().await });
    }
    let (warm, pid) = (args.queues.max(200), Some(args.nats_pid));
    way.run(0..warm, args.open).await?;
    let (began, nats, own) = (Instant::now(), Usage::of(pid), Usage::of(Some(std::process::id())));
    way.run(warm..warm + args.jobs, args.open).await?;
    let took = began.elapsed().as_secs_f64();
    let per_job = |now: Usage, before: Usage| now.cpu_us.saturating_sub(before.cpu_us) / u64::from(args.jobs.max(1));
    let measured = Measured {
        jobs_per_s: f64::from(args.jobs) / took,
        nats_us_per_job: per_job(Usage::of(pid), nats),
        own_us_per_job: per_job(Usage::of(Some(std::process::id())), own),
    };
    say(&json!(measured).to_string());
    Ok(())
}
