//! The floor: the way that every job takes at least, without anything that makes it dependable. Publish, pull, call, create an
//! entry, post the webhook, ack; in one process, on the same streams and consumers, for the same sink.
//!
//! What Sluice does in the same time is held against it: what is between them is the price of the promises.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use async_nats::Request;
use bytes::Bytes;
use reqwest::Client;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sluice_shared::clock::Millis;
use sluice_shared::domain::id::{Destination, GateName, JobId, QueueName, Tenant};
use sluice_shared::domain::job::Priority;
use sluice_shared::domain::region::Place;
use sluice_shared::nats::ack::InHand;
use sluice_shared::nats::bucket::{Bucket, Written};
use sluice_shared::nats::pull::{Generation, Pulled, Puller};
use sluice_shared::nats::{ConnectOptions, Nats};
use sluice_shared::queues::QueueEntry;
use sluice_shared::topology::{Options, Settings, Topology};
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::audience::Audience;
use super::load::BODY;
use super::usage::Usage;
use crate::broker::{Broker, BrokerOptions};
use crate::cli::args::{Consumers, FloorArgs};
use crate::cli::{Failure, say};

/// The hidden subcommand that runs it.
pub(crate) const SUBCOMMAND: &str = "bench-floor";
/// Who publishes at a time.
const PUBLISHERS: u32 = 64;
/// Messages in hand, as a worker has them.
const IN_HAND: usize = 512;
/// Messages that a pull asks for.
const BATCH: usize = 64;
const EXPIRES: Duration = Duration::from_secs(30);
/// How long all of it may take.
const WITHIN: Duration = Duration::from_secs(600);
/// What the sink answers.
const OUTCOME: usize = 256;

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
        command.args(["--nats-pid", &broker.pid().unwrap_or_default().to_string()]);
        command.stdin(Stdio::null()).stderr(Stdio::inherit()).process_group(0).kill_on_drop(true);
        let output = timeout(WITHIN, command.output()).await.context("the floor takes too long")??;
        ensure!(output.status.success(), "the floor failed: {}", output.status);
        serde_json::from_slice(&output.stdout).context("the floor said no JSON")
    }
}

/// All that the tasks share.
struct Way {
    nats: Nats,
    client: Client,
    sink: String,
    bucket: Bucket<Bytes>,
    queues: Vec<(QueueName, u16)>,
    body: String,
    /// Places for jobs that are open.
    open: Arc<Semaphore>,
    in_hand: Arc<Semaphore>,
    done: AtomicU32,
}

/// The hidden subcommand: once without looking, to open connections, then measured.
pub(crate) async fn floor(args: FloorArgs) -> Result<(), Failure> {
    let way = Arc::new(Way::prepare(&args).await?);
    let mut pullers = JoinSet::new();
    for queue in 0..way.queues.len() {
        let way = Arc::clone(&way);
        pullers.spawn(async move { way.pull(queue).await });
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

impl Way {
    async fn prepare(args: &FloorArgs) -> anyhow::Result<Self> {
        let settings = Settings {
            prefix: "sluice".to_owned(),
            shards: 16,
            record_buckets: 4,
            lanes: 8,
            replicas: 1,
            consumers_in_memory: args.consumers == Consumers::Memory,
        };
        let options = ConnectOptions { url: args.nats.clone(), ..ConnectOptions::default() };
        let topology = Topology::new(settings);
        let nats = Nats::connect(options, topology.clone()).await?;
        let ack_wait = Duration::from_secs(30);
        topology.create(&nats, Options { dead_letter_age: Duration::from_secs(3600), ack_wait }).await?;
        let (tenant, host) = (Tenant::default(), url::Url::parse(&args.sink)?);
        let destination = Destination::of(&host).context("the sink has no host")?;
        let mut queues = Vec::new();
        for number in 0..args.queues {
            let account = format!("q{number}");
            let name = QueueName::of(&tenant, &destination, Some(&account));
            let entry = QueueEntry {
                tenant: tenant.clone(),
                destination: destination.clone(),
                gates: vec![GateName::of(&destination, Some(&account))],
                account: Some(account),
                shard: topology.shard_for_new(&name),
                max_ack_pending: 4096,
                keep_until: Millis(u64::MAX),
                closing_since: None,
                paused_since: None,
                place: Place::default(),
                priority: Priority::Normal,
                said: None,
            };
            topology.create_queue_consumer(&nats, &name, &entry, ack_wait).await?;
            queues.push((name, entry.shard));
        }
        Ok(Self {
            bucket: nats.bucket(&topology.bodies_bucket()),
            nats,
            client: Client::builder().no_proxy().build()?,
            sink: args.sink.clone(),
            queues,
            body: "x".repeat(BODY),
            open: Arc::new(Semaphore::new(0)),
            in_hand: Arc::new(Semaphore::new(IN_HAND)),
            done: AtomicU32::new(0),
        })
    }

    /// Publishes these jobs and waits until all are done.
    async fn run(self: &Arc<Self>, numbers: std::ops::Range<u32>, open: u32) -> anyhow::Result<()> {
        self.open.add_permits(open as usize);
        let (next, mut publishers) = (Arc::new(AtomicU32::new(numbers.start)), JoinSet::<anyhow::Result<()>>::new());
        for _ in 0..PUBLISHERS {
            let (this, next, end) = (Arc::clone(self), Arc::clone(&next), numbers.end);
            publishers.spawn(async move {
                loop {
                    this.open.acquire().await?.forget();
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= end {
                        this.open.add_permits(1);
                        return Ok(());
                    }
                    this.send_out(number).await?;
                }
            });
        }
        while let Some(ended) = publishers.join_next().await {
            ended??;
        }
        // Every place is free again when all are done.
        self.open.acquire_many(open).await?.forget();
        ensure!(self.done.load(Ordering::SeqCst) == numbers.end, "the floor lost jobs");
        Ok(())
    }

    async fn send_out(&self, number: u32) -> anyhow::Result<()> {
        let (queue, shard) = &self.queues[number as usize % self.queues.len()];
        let filter = self.nats.topology().queue_filter(*shard, queue);
        let subject =
            format!("{}{}", filter.trim_end_matches('>'), JobId::derive(&Tenant::default(), &number.to_string()));
        let request = Request::new().payload(format!("{number} {}", self.body).into());
        self.nats.client().send_request(format!("{subject}.i.0"), request).await?;
        Ok(())
    }

    async fn pull(self: Arc<Self>, queue: usize) -> anyhow::Result<()> {
        let (name, shard) = &self.queues[queue];
        let stream = self.nats.topology().jobs_stream(*shard);
        let mut puller = Puller::open(&self.nats, &stream, name.as_str(), &Generation::default()).await?;
        loop {
            puller.request(BATCH, EXPIRES).await?;
            while puller.outstanding() > 0 {
                match puller.next().await {
                    Pulled::Message(message) => {
                        let (this, place) = (Arc::clone(&self), Arc::clone(&self.in_hand).acquire_owned().await?);
                        tokio::spawn(async move {
                            if let Err(error) = this.carry_out(*message).await {
                                eprintln!("sluice: {error:#}");
                            }
                            drop(place);
                        });
                    }
                    Pulled::Over | Pulled::Crowded => break,
                    Pulled::Gone | Pulled::Lost => return Ok(()),
                }
            }
        }
    }

    async fn carry_out(&self, message: InHand) -> anyhow::Result<()> {
        let (number, body) = std::str::from_utf8(message.payload())?.split_once(' ').context("no number")?;
        let answer = self.client.post(format!("{}/call/{number}", self.sink)).body(body.to_owned()).send().await?;
        answer.bytes().await?;
        let written = self.bucket.create(&format!("floor-{number}"), &Bytes::from(vec![b'x'; OUTCOME])).await?;
        ensure!(matches!(written, Written::At(_)), "the entry was there");
        let answer = self.client.post(format!("{}/hook/{number}", self.sink)).body("x".repeat(OUTCOME)).send().await?;
        answer.bytes().await?;
        message.ack().await;
        self.done.fetch_add(1, Ordering::SeqCst);
        self.open.add_permits(1);
        Ok(())
    }
}
