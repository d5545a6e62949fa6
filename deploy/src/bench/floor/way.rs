//! The way that both floors have in common: who publishes, who pulls, and the bare path itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use async_nats::Request;
use bytes::Bytes;
use reqwest::Client;
use sluice_shared::clock::Millis;
use sluice_shared::domain::id::{BranchId, Destination, GateName, Incarnation, JobId, QueueName, Tenant, Token};
use sluice_shared::domain::job::Priority;
use sluice_shared::domain::region::Place;
use sluice_shared::nats::ack::InHand;
use sluice_shared::nats::bucket::{Bucket, Written};
use sluice_shared::nats::pull::{Generation, Pulled, Puller};
use sluice_shared::nats::{ConnectOptions, Nats};
use sluice_shared::queues::QueueEntry;
use sluice_shared::topology::{JobSubject, Options, Settings, Stage, Topology};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::bench::load::BODY;
use crate::cli::args::{Consumers, FloorArgs};

/// Who publishes at a time.
const PUBLISHERS: u32 = 64;
/// Messages in hand, as a worker has them.
const IN_HAND: usize = 512;
/// Messages that a pull asks for.
const BATCH: usize = 64;
const EXPIRES: Duration = Duration::from_secs(30);
/// What the sink answers.
pub(super) const OUTCOME: usize = 256;

/// All that the tasks share.
pub(super) struct Way {
    pub(super) nats: Nats,
    client: Client,
    sink: String,
    bucket: Bucket<Bytes>,
    queues: Vec<(QueueName, u16)>,
    pub(super) body: String,
    rules: bool,
    /// Places for jobs that are open.
    open: Arc<Semaphore>,
    in_hand: Arc<Semaphore>,
    done: AtomicU32,
}

impl Way {
    pub(super) async fn prepare(args: &FloorArgs) -> anyhow::Result<Self> {
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
            rules: args.rules,
            open: Arc::new(Semaphore::new(0)),
            in_hand: Arc::new(Semaphore::new(IN_HAND)),
            done: AtomicU32::new(0),
        })
    }

    /// Publishes these jobs and waits until all are done.
    pub(super) async fn run(self: &Arc<Self>, numbers: std::ops::Range<u32>, open: u32) -> anyhow::Result<()> {
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
        let address = self.address(number);
        if self.rules {
            return self.submit_by_rules(number, &address).await;
        }
        let request = Request::new().payload(format!("{number} {}", self.body).into());
        self.nats.client().send_request(address.at(self.nats.prefix(), Stage::Work), request).await?;
        Ok(())
    }

    /// How many queues there are.
    pub(super) fn queues(&self) -> usize {
        self.queues.len()
    }

    /// Where the message of a job is.
    fn address(&self, number: u32) -> JobSubject {
        let (queue, shard) = &self.queues[number as usize % self.queues.len()];
        JobSubject {
            shard: *shard,
            queue: queue.clone(),
            job: JobId::derive(&Tenant::default(), &number.to_string()),
            incarnation: Incarnation::from_random(1),
            token: Token::Branch(BranchId::OWN),
        }
    }

    pub(super) async fn pull_queue(self: Arc<Self>, queue: usize) -> anyhow::Result<()> {
        let (name, shard) = &self.queues[queue];
        let stream = self.nats.topology().jobs_stream(*shard);
        match self.rules {
            true => self.pull(&stream, name.as_str(), Self::carry_out_by_rules).await,
            false => self.pull(&stream, name.as_str(), Self::carry_out).await,
        }
    }

    /// Handles what a consumer brings, each message as a task.
    pub(super) async fn pull<H, F>(self: &Arc<Self>, stream: &str, consumer: &str, handle: H) -> anyhow::Result<()>
    where
        H: Fn(Arc<Self>, InHand) -> F,
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let mut puller = Puller::open(&self.nats, stream, consumer, &Generation::default()).await?;
        loop {
            puller.request(BATCH, EXPIRES).await?;
            while puller.outstanding() > 0 {
                match puller.next().await {
                    Pulled::Message(message) => {
                        let place = Arc::clone(&self.in_hand).acquire_owned().await?;
                        let handling = handle(Arc::clone(self), *message);
                        tokio::spawn(async move {
                            if let Err(error) = handling.await {
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

    async fn carry_out(self: Arc<Self>, message: InHand) -> anyhow::Result<()> {
        let number = self.call(message.payload()).await?;
        let written = self.bucket.create(&format!("floor-{number}"), &Bytes::from(vec![b'x'; OUTCOME])).await?;
        ensure!(matches!(written, Written::At(_)), "the entry was there");
        self.tell(number).await?;
        message.ack().await;
        self.is_done();
        Ok(())
    }

    /// Makes the call of a request, a number and a body; its number.
    pub(super) async fn call(&self, request: &[u8]) -> anyhow::Result<u32> {
        let (number, body) = std::str::from_utf8(request)?.split_once(' ').context("no number")?;
        let answer = self.client.post(format!("{}/call/{number}", self.sink)).body(body.to_owned()).send().await?;
        answer.bytes().await?;
        Ok(number.parse()?)
    }

    /// Posts the webhook.
    pub(super) async fn tell(&self, number: u32) -> anyhow::Result<()> {
        let answer = self.client.post(format!("{}/hook/{number}", self.sink)).body("x".repeat(OUTCOME)).send().await?;
        answer.bytes().await?;
        Ok(())
    }

    pub(super) fn is_done(&self) {
        self.done.fetch_add(1, Ordering::SeqCst);
        self.open.add_permits(1);
    }
}
