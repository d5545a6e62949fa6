//! Pulling from a real consumer: whoever stops has given back all that was on its way, at whatever moment the stop comes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::AckPolicy;
use async_nats::jetstream::consumer::pull::Config as Pull;
use async_nats::jetstream::stream::{Config, RetentionPolicy};
use sluice_shared::domain::id::{JobId, Tenant};
use sluice_shared::nats::Nats;
use sluice_shared::nats::pull::{Generation, Pulled, Puller};
use sluice_shared::topology::{LaneConsumer, Laned};
use sluice_tests::broker::TestBroker;
use tokio::time::{Instant, sleep};

const STREAM: &str = "MANY";
const CONSUMER: &str = "those";
/// Far longer than the test takes: nothing comes again by that.
const ACK_WAIT: Duration = Duration::from_secs(300);

async fn start() -> (TestBroker, Nats) {
    start_with(ACK_WAIT).await
}

async fn start_with(ack_wait: Duration) -> (TestBroker, Nats) {
    let broker = TestBroker::start().await;
    let nats = broker.effects().await.nats().clone();
    let config = Config {
        name: STREAM.into(),
        subjects: vec!["many.>".into()],
        retention: RetentionPolicy::WorkQueue,
        ..Config::default()
    };
    let stream = nats.jetstream().create_stream(config).await.unwrap();
    let consumer = Pull {
        durable_name: Some(CONSUMER.into()),
        ack_policy: AckPolicy::Explicit,
        ack_wait,
        max_ack_pending: 100_000,
        ..Pull::default()
    };
    stream.create_consumer(consumer).await.unwrap();
    (broker, nats)
}

async fn open(nats: &Nats) -> Puller {
    Puller::open(nats, STREAM, CONSUMER, &Generation::default()).await.unwrap()
}

/// Acks what comes until a moment; then closes.
async fn pull_for(nats: &Nats, batch: usize, time: Duration, acked: &mut BTreeSet<u64>) {
    let mut puller = open(nats).await;
    let end = Instant::now() + time;
    loop {
        if puller.outstanding() == 0 {
            puller.request(batch, Duration::from_secs(30)).await.unwrap();
        }
        let pulled = tokio::select! {
            biased;
            () = tokio::time::sleep_until(end) => break,
            pulled = puller.next() => pulled,
        };
        let Pulled::Message(message) = pulled else { continue };
        assert!(message.ack_confirmed().await);
        assert!(acked.insert(message.sequence()), "handed out again after its ack");
    }
    puller.close().await;
}

/// How many messages nobody has let go of, and how many of them somebody has in hand.
async fn left(nats: &Nats) -> (u64, usize) {
    let stream = nats.jetstream().get_stream(STREAM).await.unwrap();
    let consumer = stream.consumer_info(CONSUMER).await.unwrap();
    (stream.cached_info().state.messages, consumer.num_ack_pending)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_leaves_nothing_in_nobodys_hands() {
    let (_broker, nats) = start().await;
    let publisher = nats.clone();
    let publishing = tokio::spawn(async move {
        for n in 0..6_000 {
            publisher.client().publish(format!("many.{}", n % 7), vec![b'x'; 2_000].into()).await.unwrap();
            if n % 50 == 0 {
                sleep(Duration::from_millis(2)).await;
            }
        }
        publisher.client().flush().await.unwrap();
    });
    let mut acked = BTreeSet::new();
    for _ in 0..200 {
        let (batch, time) = (rand::random_range(1..600), Duration::from_micros(rand::random_range(0..6_000)));
        pull_for(&nats, batch, time, &mut acked).await;
    }
    publishing.await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while left(&nats).await.0 > 0 {
        pull_for(&nats, 500, Duration::from_millis(300), &mut acked).await;
        let (messages, in_hand) = left(&nats).await;
        assert!(Instant::now() < deadline, "{messages} are left, {in_hand} in hand: they come when that time is over");
    }
    assert_eq!(acked.len(), 6_000);
}

#[tokio::test]
async fn a_stop_while_nothing_comes_is_over_at_once_and_the_request_with_it() {
    let (_broker, nats) = start().await;
    for _ in 0..20 {
        let mut puller = open(&nats).await;
        puller.request(10, Duration::from_secs(30)).await.unwrap();
        let begin = Instant::now();
        puller.close().await;
        assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    }
    nats.publish("many.1".to_owned(), HeaderMap::new(), "x".into()).await.unwrap();
    let mut puller = open(&nats).await;
    puller.request(1, Duration::from_secs(10)).await.unwrap();
    let Pulled::Message(message) = puller.next().await else { panic!("it was given to one who had stopped") };
    assert!(message.ack_confirmed().await);
}

#[tokio::test]
async fn a_second_copy_of_what_this_process_has_in_hand_is_passed_over_until_that_is_let_go_of() {
    let (_broker, nats) = start_with(Duration::from_secs(1)).await;
    nats.publish("many.1".into(), HeaderMap::new(), "x".into()).await.unwrap();
    let generation = Generation::default();
    let (mut puller, mut other) = (
        Puller::open(&nats, STREAM, CONSUMER, &generation).await.unwrap(),
        Puller::open(&nats, STREAM, CONSUMER, &generation).await.unwrap(),
    );
    puller.request(1, Duration::from_secs(5)).await.unwrap();
    let Pulled::Message(first) = puller.next().await else { panic!("no message") };
    other.request(1, Duration::from_secs(10)).await.unwrap();
    // It was handed out once more after its time, and used the request up.
    assert!(matches!(other.next().await, Pulled::Over));
    other.request(1, Duration::from_secs(10)).await.unwrap();
    first.nak(None).await;
    let Pulled::Message(again) = other.next().await else { panic!("no message") };
    assert!(again.delivered() >= 3, "{}", again.delivered());
    drop(first);
    assert!(again.ack_confirmed().await);
    assert_eq!(left(&nats).await.0, 0);
}

/// A broker lets 512 requests wait at a consumer, where nothing else is said: whoever asks again at once does nothing else.
#[tokio::test]
async fn a_request_that_is_refused_because_so_many_wait_is_told_from_one_that_is_over() {
    let (_broker, nats) = start().await;
    let few =
        Pull { durable_name: Some("few".into()), ack_policy: AckPolicy::Explicit, max_waiting: 1, ..Pull::default() };
    let config = Config { name: "FEW".into(), subjects: vec!["few.>".into()], ..Config::default() };
    nats.jetstream().create_stream(config).await.unwrap().create_consumer(few).await.unwrap();
    let open = || async { Puller::open(&nats, "FEW", "few", &Generation::default()).await.unwrap() };
    let (mut first, mut second) = (open().await, open().await);
    first.request(1, Duration::from_secs(30)).await.unwrap();
    nats.client().flush().await.unwrap();
    second.request(1, Duration::from_secs(30)).await.unwrap();
    assert!(matches!(second.next().await, Pulled::Crowded));
    assert_eq!(second.outstanding(), 0);
    nats.publish("few.1".into(), HeaderMap::new(), "x".into()).await.unwrap();
    assert!(matches!(first.next().await, Pulled::Message(_)));
    second.request(1, Duration::from_secs(1)).await.unwrap();
    assert!(matches!(second.next().await, Pulled::Over), "it is over when its time is");
}

/// Its subscription is opened anew from time to time, or it would keep more and more memory.
#[tokio::test]
async fn a_puller_that_stood_idle_for_long_takes_what_comes_and_gives_back_what_is_on_its_way() {
    let (_broker, nats) = start().await;
    let mut puller = open(&nats).await;
    for _ in 0..70 {
        puller.request(1, Duration::from_millis(5)).await.unwrap();
        assert!(matches!(puller.next().await, Pulled::Over));
    }
    let publish = |n: u32| nats.publish(format!("many.{n}"), HeaderMap::new(), "x".into());
    puller.request(2, Duration::from_secs(30)).await.unwrap();
    publish(1).await.unwrap();
    let Pulled::Message(first) = puller.next().await else { panic!("no message") };
    assert!(first.ack_confirmed().await);
    publish(2).await.unwrap();
    let begin = Instant::now();
    puller.close().await;
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    let mut other = open(&nats).await;
    other.request(1, Duration::from_secs(10)).await.unwrap();
    let Pulled::Message(second) = other.next().await else { panic!("it was left in nobody's hands") };
    assert!(second.ack_confirmed().await);
    assert_eq!(left(&nats).await, (0, 0));
}

/// Without an anchor the broker makes a file for every message of such a queue.
#[tokio::test]
async fn a_queue_that_every_message_leaves_empty_keeps_its_file() {
    let broker = TestBroker::start().await;
    let nats = broker.effects().await.nats().clone();
    let topology = nats.topology().clone();
    let LaneConsumer { stream, name, .. } = topology.lane(Laned::Results, topology.lane_of(&Tenant::default()));
    let mut puller = Puller::open(&nats, &stream, &name, &Generation::default()).await.unwrap();
    for number in 0..600 {
        puller.request(1, Duration::from_secs(30)).await.unwrap();
        let subject = topology.result(&Tenant::default(), &JobId::derive(&Tenant::default(), &number.to_string()));
        nats.publish(subject, HeaderMap::new(), "anything".into()).await.unwrap();
        let Pulled::Message(message) = puller.next().await else { panic!("no message") };
        assert!(message.ack_confirmed().await);
    }
    assert_eq!(nats.held(&stream).await.unwrap(), 0);
    let held = nats.jetstream().get_stream(&stream).await.unwrap().cached_info().state.messages;
    assert_eq!(held, 1, "the anchor alone");
    let files = std::fs::read_dir(broker.directory(&format!("streams/{stream}/msgs"))).unwrap();
    let numbers =
        files.filter_map(|file| file.unwrap().file_name().to_str()?.strip_suffix(".blk")?.parse::<u32>().ok());
    let newest = numbers.max().unwrap();
    assert!(newest <= 4, "{newest} files were made");
}
