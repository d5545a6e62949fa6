//! What can be asked of the performance benchmarks on the command line, and the help about them.

use clap::{Args, ValueEnum};

/// A way in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Via {
    /// Requests to the NATS service.
    #[default]
    Nats,
    /// The HTTP interface.
    Http,
    /// Durable submissions, taken in later: nobody waits for a job.
    Durable,
}

impl Via {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Nats => "nats",
            Self::Http => "http",
            Self::Durable => "durable",
        }
    }
}

/// Where the consumers of queues keep their state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Consumers {
    /// On the disk.
    File,
    /// In the memory of the nats-server.
    Memory,
}

impl Consumers {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Memory => "memory",
        }
    }
}

fn count() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=10_000_000)
}

fn rate() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=100_000)
}

fn seconds() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(2..=600)
}

fn queue_count() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=20_000)
}

fn worker_count() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=16)
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ThroughputArgs {
    /// Jobs of each run
    #[arg(long, value_name = "NUMBER", default_value_t = 20_000, value_parser = count())]
    pub(crate) jobs: u32,
    /// Over so many queues
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = queue_count())]
    pub(crate) queues: u32,
    /// Jobs that are submitted and not told of, at most
    #[arg(long, value_name = "NUMBER", default_value_t = 1000, value_parser = count())]
    pub(crate) open: u32,
    /// Where the consumers of queues keep their state, `topology.consumer_storage`
    #[arg(long, value_name = "STORAGE", default_value = "file")]
    pub(crate) consumers: Consumers,
    /// How often each way in is measured
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub(crate) rounds: u32,
    /// Print what was measured as one JSON document, when all is over
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct LatencyArgs {
    /// Jobs that count, one at a time
    #[arg(long, value_name = "NUMBER", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) jobs: u32,
    /// How they are submitted
    #[arg(long, value_name = "DOOR", default_value = "nats")]
    pub(crate) via: Via,
    /// Where the consumers of queues keep their state, `topology.consumer_storage`
    #[arg(long, value_name = "STORAGE", default_value = "file")]
    pub(crate) consumers: Consumers,
    /// Print what was measured as one JSON document, when all is over
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct GateArgs {
    /// The limit, calls a second
    #[arg(long, value_name = "NUMBER", default_value_t = 500, value_parser = rate())]
    pub(crate) limit: u32,
    /// How long each run takes at the limit
    #[arg(long, value_name = "SECONDS", default_value_t = 16, value_parser = seconds())]
    pub(crate) seconds: u32,
    /// How many workers share the limit, a run for each number
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', default_values_t = [1, 2, 4], value_parser = worker_count())]
    pub(crate) workers: Vec<u32>,
    /// Print what was measured as one JSON document, when all is over
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct StormArgs {
    /// What the destination takes in a second; above it answers 429
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
    /// For how long it could take all jobs at its limit
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = seconds())]
    pub(crate) seconds: u32,
    /// The rate that is configured for it, calls a second [default: twice its limit]
    #[arg(long, value_name = "NUMBER", value_parser = rate())]
    pub(crate) rate: Option<u32>,
    /// Print what was measured as one JSON document, when all is over
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct QueuesArgs {
    /// How many queues are active, a run for each number
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', default_values_t = [10, 1000, 10_000], value_parser = queue_count())]
    pub(crate) queues: Vec<u32>,
    /// Jobs a second, over all of them together
    #[arg(long, value_name = "NUMBER", default_value_t = 500, value_parser = rate())]
    pub(crate) rate: u32,
    /// For how long
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = seconds())]
    pub(crate) seconds: u32,
    /// Where the consumers of queues keep their state, `topology.consumer_storage`
    #[arg(long, value_name = "STORAGE", default_value = "memory")]
    pub(crate) consumers: Consumers,
    /// Print what was measured as one JSON document, when all is over
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct TenantsArgs {
    /// Jobs of the quiet tenant, alone, and as many beside the flood
    #[arg(long, value_name = "NUMBER", default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) jobs: u32,
    /// How many of these it submits a second
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rate: u32,
    /// Jobs of the flood that are submitted and not told of, always
    #[arg(long, value_name = "NUMBER", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) flood: u32,
    /// It submits so many jobs a second instead, however many are open [default: as fast as they are taken]
    #[arg(long, value_name = "NUMBER", conflicts_with = "flood", value_parser = rate())]
    pub(crate) flood_rate: Option<u32>,
    /// Over so many queues, each with a gate of its own
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..=20_000))]
    pub(crate) queues: u32,
    /// Both call one destination at one gate, with this limit, calls a second [default: no limit, no common gate]
    #[arg(long, value_name = "NUMBER", value_parser = rate())]
    pub(crate) gate: Option<u32>,
    /// How both submit
    #[arg(long, value_name = "DOOR", default_value = "nats")]
    pub(crate) via: Via,
    /// Where the consumers of queues keep their state, `topology.consumer_storage`
    #[arg(long, value_name = "STORAGE", default_value = "memory")]
    pub(crate) consumers: Consumers,
    /// Print what was measured as one JSON document, when all is over
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct BacklogArgs {
    /// How many jobs wait
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000_000, value_parser = count())]
    pub(crate) jobs: u32,
    /// Over so many queues
    #[arg(long, value_name = "NUMBER", default_value_t = 1000, value_parser = queue_count())]
    pub(crate) queues: u32,
    /// For how long they drain
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = seconds())]
    pub(crate) seconds: u32,
    /// Where the consumers of queues keep their state, `topology.consumer_storage`
    #[arg(long, value_name = "STORAGE", default_value = "memory")]
    pub(crate) consumers: Consumers,
    /// Print what was measured as one JSON document, when all is over
    #[arg(long)]
    pub(crate) json: bool,
}

/// What the sink is told by the benchmark that starts it.
#[derive(Debug, Args)]
pub(crate) struct SinkArgs {
    #[arg(long)]
    pub(crate) limit: Option<u32>,
}

/// What the bare path is told by the benchmark that starts it.
#[derive(Debug, Args)]
pub(crate) struct FloorArgs {
    #[arg(long)]
    pub(crate) nats: String,
    #[arg(long)]
    pub(crate) nats_pid: u32,
    #[arg(long)]
    pub(crate) sink: String,
    #[arg(long)]
    pub(crate) queues: u32,
    #[arg(long)]
    pub(crate) jobs: u32,
    #[arg(long)]
    pub(crate) open: u32,
    #[arg(long)]
    pub(crate) consumers: Consumers,
    #[arg(long)]
    pub(crate) rules: bool,
}

pub(super) const THROUGHPUT_HELP: &str = "Example:
  sluice bench throughput
  sluice bench throughput --queues 1000 --consumers memory --json | jq '.runs[] | {via, ratio}'

A gateway, a worker, a delivery and a nats-server run as processes, and the destination and receiver of webhooks as
another. Jobs with bodies of 1 KiB go all the way: submitted, called, settled, webhook taken. Gates hold nothing up.
The floor is the bare path in one process on the same streams: publish, pull, call, create an entry, post the webhook,
ack. Floor and Sluice run in turns, each on a nats-server of its own; a ratio is to the floors before and after. The rules
are a second floor: all that the promises ask of the broker (records, guards, results, what is remembered, acks) and no
more, in one process too. That is the most that Sluice could do.

jobs_per_s       jobs all the way, from the first submission to the last webhook
ratio            of that to the floor
of_rules         of that to the second floor, measured once
lost, doubled    jobs without a call or a webhook; calls and webhooks that came again: have to be 0
cpu_us_per_job   processor time, by role
stored_per_job   messages stored in NATS, by what they are

Exit codes: 0 measured, 1 jobs were lost or doubled, or it failed, 2 wrong usage, 3 no broker.";

pub(super) const LATENCY_HELP: &str = "Example:
  sluice bench latency
  sluice bench latency --via http --jobs 5000 --json | jq .submit_to_webhook_ms

One job at a time on an idle system of its own, from before its submission to its arrival at the destination and that of
its webhook; beside them a call of the same destination without Sluice, to its answer.

Exit codes: 0 measured, 1 jobs were lost or doubled, or it failed, 2 wrong usage, 3 no broker.";

pub(super) const GATE_HELP: &str = "Example:
  sluice bench gate
  sluice bench gate --limit 200 --workers 2 --seconds 30 --json

More jobs than the limit lets through wait for one destination. Half-way one worker is killed and one is added.

utilisation                 the share of the limit that was used, from the second second to the kill
worst_sliding_1s            the most arrivals in any second before the kill
min_100ms, max_100ms        the fewest and the most arrivals in windows of 100 ms
worst_sliding_after_kill    the most arrivals in any second from the kill on
utilisation_after_kill      the share of the limit from the kill on; with one worker, nobody sends until the new one does

Exit codes: 0 measured, 1 webhooks were doubled, or it failed, 2 wrong usage, 3 no broker.";

pub(super) const STORM_HELP: &str = "Example:
  sluice bench storm
  sluice bench storm --limit 20 --seconds 60 --json

A destination takes so many calls in each second and answers the rest with 429 and Retry-After; two workers know nothing
of its limit.

answers_429    calls that were answered 429
limit_used     the share of the limit that was used from the first to the last call that was taken

Exit codes: 0 measured, 1 jobs were lost or doubled, or it failed, 2 wrong usage, 3 no broker.";

pub(super) const QUEUES_HELP: &str = "Example:
  sluice bench queues
  sluice bench queues --queues 10,100 --rate 1000 --seconds 10 --json

The same load over few queues and over many, each with a gate of its own; all were active before it counts. At every number
of queues there is a shard for every 200 of the most. Memory is that of all processes of a role at the end.

Exit codes: 0 measured, 1 jobs were lost or doubled, or it failed, 2 wrong usage, 3 no broker.";

pub(super) const TENANTS_HELP: &str = "Example:
  sluice bench tenants
  sluice bench tenants --via durable --flood 100000
  sluice bench tenants --gate 200 --jobs 100 --rate 5 --json | jq .submit_to_webhook.ratio

One tenant submits jobs at a low, steady rate: first alone, then while another keeps thousands of its own open. Two workers,
one of each other role, one nats-server and whoever submits share this machine: a part of what is longer beside the flood
is that its processors are taken.

alone_ms, beside_ms    from before a submission to the call or the webhook, of the quiet tenant
ratio                  the latter to the former
flood_per_s            jobs a second of the flood meanwhile

Exit codes: 0 measured, 1 calls or webhooks were doubled, or it failed, 2 wrong usage, 3 no broker.";

pub(super) const BACKLOG_HELP: &str = "Example:
  sluice bench backlog
  sluice bench backlog --jobs 100000 --json | jq .bytes_per_job

Jobs are submitted while no worker runs; then one is started. A million jobs take some minutes to submit and some
gigabytes of the temporary directory (TMPDIR).

bytes_per_job    memory that the nats-server grew by, for each job
first_send_ms    from the start of the worker to the arrival of its first call
drained_per_s    webhooks a second from then on

Exit codes: 0 measured, 1 calls or webhooks were doubled, or it failed, 2 wrong usage, 3 no broker.";
