//! Gates against a real nats-server: several workers on one gate, each with its own connection.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sluice_shared::clock;
use sluice_shared::config;
use sluice_shared::domain::gate::{Heard, Pacing};
use sluice_shared::domain::id::{Destination, GateName};
use sluice_shared::domain::pace::Pace;
use sluice_shared::topology::Topology;
use sluice_tests::broker::TestBroker;
use sluice_tests::check::worst_second;
use sluice_workers::gate::{Gate, GateSet, GateSettings, Gates};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const DEADLINE: Duration = Duration::from_secs(40);

struct Worker {
    gate: Gate,
    set: GateSet,
    stop: CancellationToken,
}

fn limits(rate: f64, concurrency: u32) -> config::Gate {
    config::Gate {
        rate,
        burst: 1,
        concurrency,
        horizon: Duration::from_millis(100),
        max_close: Duration::from_secs(3600),
        learn: true,
        circuit_failures: 0,
        circuit_pause: Duration::from_secs(5),
        presets: true,
        destinations: BTreeMap::new(),
    }
}

async fn worker(broker: &TestBroker, name: &str, limits: config::Gate) -> Worker {
    let stop = CancellationToken::new();
    let gates = Gates::start(&broker.connect().await, GateSettings::from(limits), name.to_owned(), stop.clone());
    let destination = Destination::of(&"http://a.example/".parse().unwrap()).unwrap();
    let gate = gates.gate(&GateName::of(&destination, None), &destination, None);
    Worker { set: GateSet::from(gate.clone()), gate, stop }
}

impl Worker {
    /// Sends without end: each call lasts so long. What is counted are calls in flight and when they began.
    fn load(&self, calls: &Arc<Calls>, lasts: Duration) -> tokio::task::JoinHandle<()> {
        let (set, calls) = (self.set.clone(), Arc::clone(calls));
        tokio::spawn(async move {
            loop {
                for hold in set.admit(32).await {
                    let calls = Arc::clone(&calls);
                    tokio::spawn(async move {
                        let Ok(slot) = hold.slot().await else { return };
                        calls.begin();
                        tokio::time::sleep(lasts).await;
                        calls.in_flight.fetch_sub(1, Ordering::SeqCst);
                        drop(slot);
                    });
                }
            }
        })
    }
}

#[derive(Default)]
struct Calls {
    sent: Mutex<Vec<Instant>>,
    in_flight: AtomicUsize,
    most: AtomicUsize,
}

impl Calls {
    fn begin(&self) {
        let now = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        self.sent.lock().unwrap().push(Instant::now());
    }

    fn sent(&self) -> Vec<Instant> {
        let mut sent = self.sent.lock().unwrap().clone();
        sent.sort_unstable();
        sent
    }

    async fn reach(&self, count: usize) {
        let reached = async {
            while self.sent.lock().unwrap().len() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(DEADLINE, reached).await.expect("calls in time");
    }
}

async fn share_of_the_rate(workers: usize) {
    let broker = TestBroker::start().await;
    let calls = Arc::new(Calls::default());
    let mut running = Vec::new();
    for number in 0..workers {
        let worker = worker(&broker, &format!("w{number}"), limits(200.0, 64)).await;
        running.push((worker.load(&calls, Duration::from_millis(5)), worker));
    }
    calls.reach(1000).await;
    let sent = calls.sent();
    for (load, _) in &running {
        load.abort();
    }
    let worst = worst_second(&sent);
    // The first 200 are the time in which clocks and latencies are learned.
    let steady = &sent[200..];
    let took = steady.last().unwrap().duration_since(steady[0]).as_secs_f64();
    let used = f64::from(u32::try_from(steady.len() - 1).unwrap()) / (took * 200.0);
    shown(&format!("{workers} workers: worst second {worst} of 200, share used {used:.3}"));
    assert!(worst <= 202, "{workers} workers: {worst} calls in a second");
    // A machine that is busy with other things misses slots; a gate that lets too little through misses most of them.
    assert!(used >= 0.5, "{workers} workers: {used} of the rate");
}

#[allow(clippy::print_stdout, reason = "figures, shown with --nocapture")]
fn shown(text: &str) {
    println!("{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_worker_uses_its_rate_and_no_more() {
    share_of_the_rate(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_share_the_rate() {
    share_of_the_rate(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn four_workers_share_the_rate() {
    share_of_the_rate(4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_that_one_worker_closes_lets_nothing_of_another_through_until_it_opens() {
    let broker = TestBroker::start().await;
    let (one, other) = (worker(&broker, "a", limits(100.0, 64)).await, worker(&broker, "b", limits(100.0, 64)).await);
    let calls = Arc::new(Calls::default());
    let load = other.load(&calls, Duration::ZERO);
    calls.reach(50).await;
    let closing = clock::now().after(Duration::from_secs(2));
    let until = one.gate.close(Some(closing)).await;
    assert_eq!(until, closing);
    let seen = async {
        while other.gate.snapshot().closed_until.is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(DEADLINE, seen).await.unwrap();
    let (closed, left) = (Instant::now(), until.since(clock::now()));
    let before = calls.sent().len();
    calls.reach(before + 20).await;
    load.abort();
    // A call whose slot came together with the news may still begin.
    let grace = Duration::from_millis(20);
    let within = |at: &&Instant| **at > closed + grace && **at + grace < closed + left;
    assert_eq!(calls.sent().iter().filter(within).count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_calls_in_flight_over_four_workers_are_never_more_and_all_are_used() {
    let broker = TestBroker::start().await;
    let calls = Arc::new(Calls::default());
    let mut running = Vec::new();
    for number in 0..4 {
        let worker = worker(&broker, &format!("w{number}"), limits(500.0, 3)).await;
        running.push((worker.load(&calls, Duration::from_millis(20)), worker));
    }
    calls.reach(150).await;
    for (load, _) in &running {
        load.abort();
    }
    assert_eq!(calls.most.load(Ordering::SeqCst), 3);
}

/// Whoever has the places uses them again and again, as long as it has messages: the others would wait for good.
#[tokio::test(flavor = "multi_thread")]
async fn places_in_flight_come_round_while_every_worker_has_a_backlog() {
    let broker = TestBroker::start().await;
    let mut running = Vec::new();
    for number in 0..4 {
        let (worker, calls) = (worker(&broker, &format!("w{number}"), limits(500.0, 3)).await, Arc::default());
        running.push((worker.load(&calls, Duration::from_millis(50)), worker, calls));
    }
    for (_, _, calls) in &running {
        calls.reach(10).await;
    }
    running.iter().for_each(|(load, ..)| load.abort());
    let sent: Vec<usize> = running.iter().map(|(_, _, calls)| calls.sent().len()).collect();
    shown(&format!("calls of four workers at three places: {sent:?}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_with_its_leases_gives_them_back_by_their_end() {
    let broker = TestBroker::start().await;
    let (dead, alive) =
        (worker(&broker, "dead", limits(100.0, 2)).await, worker(&broker, "alive", limits(100.0, 2)).await);
    for _ in 0..2 {
        let hold = dead.set.admit(1).await.remove(0);
        let slot = hold.slot().await.unwrap();
        // Dead: nothing is released, and nothing renews.
        std::mem::forget((slot, hold));
    }
    dead.stop.cancel();
    let hold = alive.set.admit(1).await.remove(0);
    let asked = Instant::now();
    timeout(DEADLINE, hold.slot()).await.unwrap().unwrap();
    assert!(asked.elapsed() > Duration::from_secs(10), "{:?}", asked.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_worker_learns_counts_for_all() {
    let broker = TestBroker::start().await;
    let (one, other) = (worker(&broker, "a", limits(2.0, 64)).await, worker(&broker, "b", limits(2.0, 64)).await);
    let calls = Arc::new(Calls::default());
    let pacing = Pacing { rate: Some(200.0), source: "x-ezthrottle-rps".into(), ..Pacing::default() };
    one.gate.learn(&Heard { pacing: Some(pacing), ..Heard::default() }).await;
    let began = Instant::now();
    let load = other.load(&calls, Duration::ZERO);
    calls.reach(100).await;
    load.abort();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

async fn writes(broker: &TestBroker) -> u64 {
    let nats = broker.connect().await;
    let stream = Topology::stream_of(&nats.topology().gates_bucket());
    nats.jetstream().get_stream(stream).await.unwrap().cached_info().state.last_sequence
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_answers_a_second_that_say_what_is_left_cost_a_few_writes() {
    let broker = TestBroker::start().await;
    let (one, other) = (worker(&broker, "a", limits(500.0, 64)).await, worker(&broker, "b", limits(500.0, 64)).await);
    let (began, reset) = (Instant::now(), clock::now().after(Duration::from_secs(4)));
    let mut answers = 0_u64;
    while began.elapsed() < Duration::from_secs(3) {
        let headers = [
            ("ratelimit-remaining".to_owned(), 1_500_u64.saturating_sub(answers).to_string()),
            ("ratelimit-reset".to_owned(), reset.since(clock::now()).as_secs_f64().to_string()),
        ];
        let heard = Pace::read(&headers, clock::now()).heard(200, clock::nanos());
        let gate = if answers.is_multiple_of(2) { &one.gate } else { &other.gate };
        gate.learn(&heard).await;
        answers += 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let swaps = writes(&broker).await;
    shown(&format!("{answers} answers in {:?}, {swaps} swaps", began.elapsed()));
    assert!(answers > 100 && swaps > 0 && swaps <= 12, "{swaps} swaps for {answers} answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_that_come_at_once_from_all_workers_halve_the_rate_once() {
    let broker = TestBroker::start().await;
    let (one, other) = (worker(&broker, "a", limits(100.0, 64)).await, worker(&broker, "b", limits(100.0, 64)).await);
    let sent_at = clock::nanos();
    let refused = Pace::read(&[], clock::now()).heard(429, sent_at);
    let burst =
        (0..40).map(|number| if number % 2 == 0 { one.gate.learn(&refused) } else { other.gate.learn(&refused) });
    futures_util::future::join_all(burst).await;
    let interval = one.gate.snapshot().state.backoff.unwrap().interval;
    assert_eq!(interval.duration(), Duration::from_millis(20));
    assert_eq!(writes(&broker).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_high_rate_one_swap_serves_many_calls() {
    let broker = TestBroker::start().await;
    let worker = worker(&broker, "fast", limits(20_000.0, 4_000)).await;
    let calls = Arc::new(Calls::default());
    let load = worker.load(&calls, Duration::ZERO);
    calls.reach(10_000).await;
    load.abort();
    let swaps = writes(&broker).await;
    let sent = calls.sent();
    shown(&format!("{} calls, {swaps} swaps, {:?}", sent.len(), sent[sent.len() - 1] - sent[0]));
    assert!(swaps < 5_000, "{swaps} swaps for 10,000 calls");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_gate_of_many_workers_sends_each_call_at_its_time() {
    let broker = TestBroker::start().await;
    let calls = Arc::new(Calls::default());
    let mut running = Vec::new();
    for number in 0..16 {
        let worker = worker(&broker, &format!("w{number}"), limits(5.0, 64)).await;
        running.push((worker.load(&calls, Duration::ZERO), worker));
    }
    calls.reach(25).await;
    for (load, _) in &running {
        load.abort();
    }
    let sent = calls.sent();
    let took = sent[24].duration_since(sent[4]);
    shown(&format!("16 workers: 20 calls at 5 a second in {took:?}"));
    assert!((Duration::from_millis(3_900)..Duration::from_millis(4_300)).contains(&took), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_goes_on_after_its_broker_was_killed_and_keeps_its_rate() {
    let mut broker = TestBroker::start().await;
    let (one, other) = (worker(&broker, "a", limits(200.0, 64)).await, worker(&broker, "b", limits(200.0, 64)).await);
    let calls = Arc::new(Calls::default());
    let loads = [one.load(&calls, Duration::ZERO), other.load(&calls, Duration::ZERO)];
    calls.reach(100).await;
    broker.broker.kill().await;
    broker.broker.restart().await.unwrap();
    let before = calls.sent().len();
    calls.reach(before + 400).await;
    for load in &loads {
        load.abort();
    }
    let worst = worst_second(&calls.sent());
    shown(&format!("over a restart: worst second {worst} of 200"));
    assert!(worst <= 202, "{worst} calls in a second");
}
