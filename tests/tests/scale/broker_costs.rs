//! What a nats-server spends on those who watch a bucket, and on pulls that wait: the figures that the simulation and
//! `deploy/SCALE.md` reckon with. Bounded, and run when asked for:
//! `cargo test --release -p sluice-tests --test scale -- --ignored --nocapture --test-threads 1 costs`.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::AckPolicy;
use async_nats::jetstream::consumer::pull::Config as Pull;
use async_nats::jetstream::stream::{Config, RetentionPolicy, Stream};
use futures_util::future::join_all;
use sluice_shared::domain::gate::{GateState, Nanos, restate};
use sluice_shared::domain::id::Destination;
use sluice_shared::nats::Nats;
use sluice_shared::nats::bucket::{Bucket, Change, Written};
use sluice_shared::nats::pull::{Generation, Pulled, Puller};
use sluice_shared::topology::Topology;
use sluice_shared::wire;
use sluice_tests::broker::TestBroker;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

const KEY: &str = "a.example";
/// What a broker's process is measured over, so that ticks of 10 ms are fine enough.
const LONG_ENOUGH: Duration = Duration::from_secs(4);

#[allow(clippy::print_stdout, reason = "figures, shown with --nocapture")]
fn shown(text: &str) {
    println!("{text}");
}

/// Processor time in microseconds, and memory in KiB, of the server.
fn usage(broker: &TestBroker) -> (u64, u64) {
    let pid = broker.broker.pid().unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    (ticks * 10_000, rss.split_whitespace().next().unwrap().parse().unwrap())
}

/// A gate at which so many workers have calls in flight.
fn state_with(leases: u32) -> GateState {
    let fresh = GateState::new(Destination::of(&"http://a.example/".parse().unwrap()).unwrap(), None);
    let now = Nanos(1_800_000_000_000_000_000);
    (0..leases).fold(fresh, |state, n| restate(state, &format!("{n:05}-{n:016x}"), 3, now))
}

type Watcher = (Nats, JoinHandle<()>, tokio::sync::watch::Receiver<u64>);

/// Waits until all have been told of this revision, or of a later one.
async fn told_of(watching: &mut [Watcher], revision: u64) {
    // What is waited for stays locked for as long as it is looked at.
    let each =
        watching.iter_mut().map(async |(_, _, told)| drop(told.wait_for(|seen| *seen >= revision).await.unwrap()));
    join_all(each).await;
}

/// Counts what a watch has told, each over a connection of its own.
async fn watcher(broker: &TestBroker) -> Watcher {
    let nats = broker.connect().await;
    let bucket: Bucket<GateState> = nats.bucket(&nats.topology().gates_bucket());
    let (tell, told) = tokio::sync::watch::channel(0);
    let mut changes = bucket.watch();
    let counting = tokio::spawn(async move {
        while let Some(change) = changes.recv().await {
            match change {
                Change::Put { entry, .. } => drop(tell.send(entry.revision)),
                Change::Current => tell.send_modify(|seen| *seen = (*seen).max(1)),
                Change::Anew | Change::Removed { .. } | Change::Unreadable { .. } => {}
            }
        }
    });
    (nats, counting, told)
}

/// The server's time for one swap that is won while so many watch, in microseconds; each is told of each.
async fn swap_costs(watchers: usize, leases: u32) -> (f64, usize) {
    let broker = TestBroker::start().await;
    let nats = broker.connect().await;
    let bucket: Bucket<GateState> = nats.bucket(&nats.topology().gates_bucket());
    let state = state_with(leases);
    let mut watching = Vec::new();
    for _ in 0..watchers {
        watching.push(watcher(&broker).await);
    }
    let Written::At(mut revision) = bucket.create(KEY, &state).await.unwrap() else { panic!("not created") };
    told_of(&mut watching, 1).await;
    let ((before, _), begun, mut swaps) = (usage(&broker), Instant::now(), 0_u32);
    while begun.elapsed() < LONG_ENOUGH {
        let Written::At(next) = bucket.swap(KEY, &state, revision).await.unwrap() else { panic!("lost") };
        revision = next;
        told_of(&mut watching, revision).await;
        swaps += 1;
    }
    let (after, _) = usage(&broker);
    watching.iter().for_each(|(_, counting, _)| counting.abort());
    #[allow(clippy::cast_precision_loss, reason = "microseconds of a few seconds")]
    let each = (after - before) as f64 / f64::from(swaps);
    (each, wire::encode(&state).len())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures for a minute"]
async fn costs_of_a_swap_by_those_who_watch() {
    for (watchers, leases) in
        [(1, 0), (10, 0), (100, 0), (400, 0), (1000, 0), (10, 64), (400, 64), (10, 1000), (200, 1000)]
    {
        let (each, bytes) = swap_costs(watchers, leases).await;
        shown(&format!("{watchers} watch an entry of {bytes} bytes: a swap costs the server {each:.0} µs"));
    }
}

/// The server's time for one swap where so many write, each an entry of its own, one swap after the other, while so many watch all
/// of them: what it is when messages for one connection go out together.
async fn swap_costs_under_load(watchers: usize, writers: usize) -> (f64, f64) {
    let broker = TestBroker::start().await;
    let mut watching = Vec::new();
    for _ in 0..watchers {
        watching.push(watcher(&broker).await);
    }
    told_of(&mut watching, 1).await;
    let nats = broker.connect().await;
    let writing = (0..writers).map(async |writer| {
        let bucket: Bucket<GateState> = nats.bucket(&nats.topology().gates_bucket());
        let (key, state, begun) = (format!("gate{writer}"), state_with(3), Instant::now());
        let Written::At(mut revision) = bucket.create(&key, &state).await.unwrap() else { panic!("not created") };
        let mut swaps = 0_u32;
        while begun.elapsed() < LONG_ENOUGH {
            if let Written::At(next) = bucket.swap(&key, &state, revision).await.unwrap() {
                (revision, swaps) = (next, swaps + 1);
            }
        }
        swaps
    });
    let (before, _) = usage(&broker);
    let swaps: u32 = join_all(writing).await.into_iter().sum();
    let newest = bucket_revision(&nats).await;
    told_of(&mut watching, newest).await;
    let (after, _) = usage(&broker);
    watching.iter().for_each(|(_, counting, _)| counting.abort());
    #[allow(clippy::cast_precision_loss, reason = "microseconds of a few seconds")]
    let each = (after - before) as f64 / f64::from(swaps);
    (each, f64::from(swaps) / LONG_ENOUGH.as_secs_f64())
}

async fn bucket_revision(nats: &Nats) -> u64 {
    let stream = Topology::stream_of(&nats.topology().gates_bucket());
    nats.jetstream().get_stream(stream).await.unwrap().cached_info().state.last_sequence
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures for a minute"]
async fn costs_of_swaps_of_many_gates_by_those_who_watch_all_of_them() {
    for (watchers, writers) in [(1, 16), (10, 16), (100, 16), (100, 64)] {
        let (each, swaps) = swap_costs_under_load(watchers, writers).await;
        shown(&format!(
            "{watchers} watch {writers} gates: {swaps:.0} swaps a second, each costs the server {each:.0} µs"
        ));
    }
}

/// The server's time for a swap that is lost, with the read after it, in microseconds.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures for some seconds"]
async fn costs_of_a_swap_that_is_lost() {
    for leases in [0, 64, 1000] {
        let broker = TestBroker::start().await;
        let nats = broker.connect().await;
        let bucket: Bucket<GateState> = nats.bucket(&nats.topology().gates_bucket());
        let state = state_with(leases);
        bucket.create(KEY, &state).await.unwrap();
        let Written::At(_) = bucket.swap(KEY, &state, 1).await.unwrap() else { panic!("lost") };
        let ((before, _), begun, mut lost) = (usage(&broker), Instant::now(), 0_u32);
        while begun.elapsed() < LONG_ENOUGH {
            assert_eq!(bucket.swap(KEY, &state, 1).await.unwrap(), Written::Changed);
            bucket.get(KEY).await.unwrap();
            lost += 1;
        }
        #[allow(clippy::cast_precision_loss, reason = "microseconds of a few seconds")]
        let each = (usage(&broker).0 - before) as f64 / f64::from(lost);
        shown(&format!("{leases} leases: a lost swap and its read cost the server {each:.0} µs"));
    }
}

/// A work queue for messages of many queues.
async fn stream(nats: &Nats, anchored: bool) -> Stream {
    let anchor = nats.topology().anchor("MANY").filter(|_| anchored);
    let config = Config {
        name: "MANY".into(),
        subjects: ["many.jobs.0.>".to_owned()].into_iter().chain(anchor).collect(),
        retention: RetentionPolicy::WorkQueue,
        allow_rollup: true,
        ..Config::default()
    };
    nats.jetstream().create_stream(config).await.unwrap()
}

/// The consumers of so many queues, with subjects as those of jobs are.
async fn consumers(stream: &Stream, queues: usize) {
    for queue in 0..queues {
        let config = Pull {
            durable_name: Some(format!("q{queue}")),
            filter_subject: format!("many.jobs.0.q{queue}.>"),
            ack_policy: AckPolicy::Explicit,
            memory_storage: true,
            ..Pull::default()
        };
        stream.create_consumer(config).await.unwrap();
    }
}

/// The server's time for a message that is published, pulled and acked and leaves its stream empty, in microseconds.
async fn message_costs(queues: usize, anchored: bool) -> f64 {
    let broker = TestBroker::start().await;
    let nats = broker.connect().await;
    consumers(&stream(&nats, anchored).await, queues).await;
    let mut puller = Puller::open(&nats, "MANY", "q0", &Generation::default()).await.unwrap();
    let ((before, _), begun, mut messages) = (usage(&broker), Instant::now(), 0_u32);
    while begun.elapsed() < LONG_ENOUGH {
        puller.request(1, LONG_ENOUGH).await.unwrap();
        let subject = format!("many.jobs.0.q0.job_{messages}.life.0");
        nats.publish(subject, HeaderMap::new(), "anything".into()).await.unwrap();
        let Pulled::Message(message) = puller.next().await else { panic!("no message") };
        assert!(message.ack_confirmed().await);
        messages += 1;
    }
    #[allow(clippy::cast_precision_loss, reason = "microseconds of a few seconds")]
    let each = (usage(&broker).0 - before) as f64 / f64::from(messages);
    each
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures for a minute"]
async fn costs_of_a_message_among_the_queues_of_its_stream() {
    for (queues, anchored) in [(1, false), (1, true), (50, true), (200, true), (1000, true)] {
        let each = message_costs(queues, anchored).await;
        let anchor = if anchored { "with" } else { "without" };
        shown(&format!("{queues} queues in its stream, {anchor} an anchor: a message costs the server {each:.0} µs"));
    }
}

/// Consumers of a stream, each pulled by so many workers: memory and processor time of what waits.
async fn pulls_that_wait(queues: usize, workers: usize, expires: Duration) {
    let broker = TestBroker::start().await;
    let nats = broker.connect().await;
    let stream = stream(&nats, false).await;
    let (_, empty) = usage(&broker);
    consumers(&stream, queues).await;
    let (_, made) = usage(&broker);
    let mut pulling = Vec::new();
    for _ in 0..workers {
        let nats = broker.connect().await;
        for queue in 0..queues {
            let nats = nats.clone();
            pulling.push(tokio::spawn(async move {
                let mut puller =
                    Puller::open(&nats, "MANY", &format!("q{queue}"), &Generation::default()).await.unwrap();
                sleep(expires.mul_f64(rand::random())).await;
                loop {
                    puller.request(1, expires).await.unwrap();
                    puller.next().await;
                }
            }));
        }
    }
    sleep(expires + Duration::from_secs(1)).await;
    let (before, _) = usage(&broker);
    sleep(expires * 2).await;
    let (after, waiting) = usage(&broker);
    pulling.iter().for_each(JoinHandle::abort);
    let pulls = queues * workers;
    #[allow(clippy::cast_precision_loss, reason = "small numbers")]
    let each = (after - before) as f64 / 2.0 / pulls as f64;
    let kib = |more: u64, parts: usize| more * 1024 / u64::try_from(parts.max(1)).unwrap();
    shown(&format!(
        "{queues} queues × {workers} workers: {each:.1} µs for a pull that waits {expires:?} for nothing; {} bytes a consumer, {} bytes an open pull; {} MiB in all",
        kib(made.saturating_sub(empty), queues),
        kib(waiting.saturating_sub(made), pulls),
        waiting / 1024,
    ));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures for a minute"]
async fn costs_of_pulls_that_wait_for_nothing() {
    for (queues, workers) in [(1000, 1), (1000, 4), (1000, 10), (1000, 20)] {
        pulls_that_wait(queues, workers, Duration::from_secs(6)).await;
    }
}
