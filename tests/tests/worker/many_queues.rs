//! A worker with very many queues, and beside very many other workers: nobody waits for what is of others.

use std::time::Duration;

use async_nats::jetstream::consumer::AckPolicy;
use async_nats::jetstream::consumer::pull::Config as Pull;
use futures_util::{FutureExt, StreamExt, stream};
use sluice_shared::clock;
use sluice_shared::domain::id::{Destination as Host, QueueName, Tenant};
use sluice_shared::nats::bucket::Written;
use sluice_shared::nats::pull::{Generation, Puller};
use sluice_shared::queues::{QueueEntry, QueueSpec};
use tokio::time::{sleep, timeout};

use crate::rig::{Rig, SOON};

/// The queue of what the rig submits.
fn queue(rig: &Rig) -> QueueSpec {
    QueueSpec::plain(&Tenant::default(), host(&rig.destination.at("/")))
}

async fn called(rig: &Rig, within: Duration) {
    let called = rig.destination.wait_for(|calls| !calls.is_empty(), within).await;
    called.expect("the job was not called");
}

fn host(url: &str) -> Host {
    Host::of(&url.parse().unwrap()).unwrap()
}

#[tokio::test]
async fn a_worker_leaves_a_queue_to_the_many_that_ask_and_takes_part_again_later() {
    let rig = Rig::start().await;
    let (nats, queue) = (rig.effects.nats(), queue(&rig));
    let shard = rig.effects.queues().keep(&queue, clock::now()).await.unwrap();
    let (stream, name) = (nats.topology().jobs_stream(shard), queue.name().to_string());
    // One request may wait, and one does.
    let consumer = Pull {
        durable_name: Some(name.clone()),
        filter_subject: nats.topology().queue_filter(shard, &queue.name()),
        ack_policy: AckPolicy::Explicit,
        max_waiting: 1,
        ..Pull::default()
    };
    nats.jetstream().create_consumer_on_stream(consumer, &stream).await.unwrap();
    let mut other = Puller::open(nats, &stream, &name, &Generation::default()).await.unwrap();
    other.request(1, Duration::from_secs(60)).await.unwrap();
    let asked = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}");
    let mut requests = nats.client().subscribe(asked).await.unwrap();
    nats.has_taken_in().await.unwrap();

    let _worker = rig.worker("").await;
    timeout(SOON, requests.next()).await.expect("the worker asks").unwrap();
    // It asks again after two seconds at the earliest.
    sleep(Duration::from_secs(3)).await;
    let again = std::iter::from_fn(|| requests.next().now_or_never()).count();
    assert!(again <= 1, "it was refused, and asked {again} times more");

    other.close().await;
    rig.submit("a job").await;
    called(&rig, SOON).await;
}

/// The consumers of a thousand queues cannot be made, for their stream is not there: each keeps whoever makes it busy for half
/// a second, all together for more than half a minute.
#[tokio::test]
async fn a_thousand_new_queues_of_one_tenant_do_not_keep_that_of_another_from_being_made() {
    const QUEUES: usize = 1000;
    let rig = Rig::start().await;
    let (nats, flood) = (rig.effects.nats(), "flood".parse::<Tenant>().unwrap());
    let nowhere = nats.topology().settings().shards + 76;
    let model = QueueSpec::plain(&flood, host("http://127.0.0.1:19999/"));
    rig.effects.queues().keep(&model, clock::now()).await.unwrap();
    let model = rig.effects.queues().bucket().get(model.name().as_str()).await.unwrap().unwrap().value;
    stream::iter(0..QUEUES)
        .for_each_concurrent(32, async |number| {
            let destination = host(&format!("http://127.0.0.1:{}/", 20_000 + number));
            let name = QueueName::of(&flood, &destination, None);
            let entry = QueueEntry { tenant: flood.clone(), destination, shard: nowhere, ..model.clone() };
            let written = rig.effects.queues().bucket().create(name.as_str(), &entry).await.unwrap();
            assert!(matches!(written, Written::At(_)));
        })
        .await;
    let tries = format!("$JS.API.CONSUMER.CREATE.{}.>", nats.topology().jobs_stream(nowhere));
    let mut tries = nats.client().subscribe(tries).await.unwrap();
    nats.has_taken_in().await.unwrap();

    let _worker = rig.worker("").await;
    // All that one tenant may make at a time, twice over: the rest of its queues wait.
    for _ in 0..28 {
        timeout(SOON, tries.next()).await.expect("their consumers are tried").unwrap();
    }
    rig.submit("a job").await;
    called(&rig, Duration::from_secs(10)).await;
}
