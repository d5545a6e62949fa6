//! The sweep against a real nats-server: what a death left undone is put right, what is over goes away.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

use std::path::Path;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::{Consumer, pull};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use sluice_shared::clock::{self, Millis};
use sluice_shared::domain::demand::When;
use sluice_shared::domain::id::{BranchId, Destination, JobId, QueueName, Tenant, Token};
use sluice_shared::domain::job::Priority;
use sluice_shared::domain::outcome::{Content, ErrorKind, Status};
use sluice_shared::domain::record::BranchState;
use sluice_shared::domain::region::Place;
use sluice_shared::domain::submission::{Limits, read};
use sluice_shared::effects::{Effects, Receipt, Submission};
use sluice_shared::nats::records::Found;
use sluice_shared::queues::{QueueEntry, QueueSpec};
use sluice_shared::telemetry::Metrics;
use sluice_shared::topology::{JobSubject, LaneConsumer, Laned};
use sluice_tests::broker::TestBroker;
use sluice_tests::eventually;
use sluice_workers::sweep::{Sweep, SweepOptions, run};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

const DEADLINE: Duration = Duration::from_secs(30);
const OWN: Token = Token::Branch(BranchId::OWN);

struct Rig {
    broker: TestBroker,
    effects: Effects,
    stop: CancellationToken,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Who sweeps.
#[derive(serde::Serialize, serde::Deserialize)]
struct Holder {
    holder: u64,
}

/// Everything is old enough, and nothing waits.
fn options() -> SweepOptions {
    SweepOptions {
        interval: Duration::from_millis(100),
        pending_after: Duration::ZERO,
        orphan_after: Duration::ZERO,
        closing_wait: Duration::ZERO,
        ..SweepOptions::default()
    }
}

impl Rig {
    async fn start() -> Self {
        let broker = TestBroker::start().await;
        let effects = broker.effects().await;
        Self { broker, effects, stop: CancellationToken::new() }
    }

    fn sweep(&self) {
        tokio::spawn(run(self.effects.clone(), options(), Metrics::new(), self.stop.clone()));
    }

    async fn submit(&self) -> Receipt {
        self.submit_as("k").await
    }

    async fn submit_as(&self, key: &str) -> Receipt {
        let tenant = Tenant::default();
        let limits = Limits::new(1 << 20, clock::now(), "sluice", &tenant);
        let job = read(br#"{"url":"http://a.example/","deadline_ms":3600000}"#, &limits).unwrap();
        let submission = Submission { tenant: tenant.clone(), key: key.into(), job, traceparent: None };
        self.effects.submit(submission).await.unwrap()
    }

    /// So many jobs, of which no message is there.
    async fn broken(&self, jobs: usize) -> Vec<Receipt> {
        let keys: Vec<String> = (0..jobs).map(|number| format!("broken {number}")).collect();
        let receipts = join_all(keys.iter().map(|key| self.submit_as(key))).await;
        self.lose_all_messages().await;
        receipts
    }

    /// Of these, how many have the message of their branch again.
    async fn healed(&self, receipts: &[Receipt]) -> usize {
        let newest = receipts.iter().map(|receipt| self.newest(&receipt.job, receipt, OWN));
        join_all(newest).await.iter().filter(|subject| !subject.is_empty()).count()
    }

    async fn until_healed(&self, receipts: &[Receipt]) {
        let until = Instant::now() + DEADLINE;
        while self.healed(receipts).await < receipts.len() {
            assert!(Instant::now() < until, "not all were healed");
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn a_sweep(&self) -> Sweep {
        Sweep::new(self.effects.clone(), options(), Metrics::new())
    }

    /// Each broken job has one message of its branch and one of its deadline.
    async fn messages(&self) -> u64 {
        let stream = self.effects.nats().topology().jobs_stream(0);
        self.effects.nats().held(&stream).await.unwrap()
    }

    async fn lose_all_messages(&self) {
        let stream = self.effects.nats().topology().jobs_stream(0);
        self.effects.nats().jetstream().get_stream(stream).await.unwrap().purge().await.unwrap();
    }

    /// Where the newest message of a token is; empty where there is none.
    async fn newest(&self, job: &JobId, receipt: &Receipt, token: Token) -> String {
        let address = Effects::address(job, &receipt.record, token).unwrap();
        let nats = self.effects.nats();
        let held = nats.newest(&nats.topology().jobs_stream(0), &address.any_stage(nats.prefix())).await.unwrap();
        held.map(|held| held.subject).unwrap_or_default()
    }

    async fn expire(&self, receipt: &Receipt) {
        self.expire_queue(&receipt.record.branches[0].queue).await;
    }

    async fn expire_queue(&self, name: &QueueName) {
        let bucket = self.effects.queues().bucket();
        let there = bucket.get(name.as_str()).await.unwrap().unwrap();
        let entry = QueueEntry { keep_until: Millis(1), ..there.value };
        bucket.swap(name.as_str(), &entry, there.revision).await.unwrap();
    }
}

#[tokio::test]
async fn a_job_whose_messages_were_never_published_gets_its_work_and_its_deadline() {
    let rig = Rig::start().await;
    let receipt = rig.submit().await;
    rig.lose_all_messages().await;
    assert_eq!(rig.newest(&receipt.job, &receipt, OWN).await, "");
    rig.sweep();
    let until = Instant::now() + DEADLINE;
    while !rig.newest(&receipt.job, &receipt, OWN).await.starts_with("sluice.jobs.")
        || !rig.newest(&receipt.job, &receipt, Token::Deadline).await.starts_with("sluice.later.")
    {
        assert!(Instant::now() < until, "nothing was healed");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_expired_queue_with_work_is_kept_and_one_without_disappears() {
    let rig = Rig::start().await;
    let receipt = rig.submit().await;
    let name = receipt.record.branches[0].queue.clone();
    rig.expire(&receipt).await;
    rig.sweep();
    let until = Instant::now() + DEADLINE;
    while rig.effects.queues().bucket().get(name.as_str()).await.unwrap().unwrap().value.keep_until < clock::now() {
        assert!(Instant::now() < until, "a queue with work was not kept");
        sleep(Duration::from_millis(20)).await;
    }
    let signal = rig.effects.cancel(&Tenant::default(), &receipt.job).await;
    assert!(signal.is_ok());
    rig.lose_all_messages().await;
    rig.expire(&receipt).await;
    while rig.effects.queues().bucket().get(name.as_str()).await.unwrap().is_some() {
        assert!(Instant::now() < until, "an empty queue stayed");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_paused_queue_stays_paused_and_is_not_removed_though_it_is_empty_and_expired() {
    let rig = Rig::start().await;
    let spec = |host: &str| {
        let destination = Destination::of(&format!("http://{host}/").parse().unwrap()).unwrap();
        QueueSpec {
            tenant: Tenant::default(),
            destination,
            account: None,
            place: Place::default(),
            priority: Priority::Normal,
            shard: None,
        }
    };
    let (paused, other, queues) = (spec("a.example"), spec("b.example"), rig.effects.queues());
    for spec in [&paused, &other] {
        queues.keep(spec, clock::now()).await.unwrap();
    }
    assert!(queues.pause(&paused.name(), true, clock::now()).await.unwrap().is_some());
    rig.expire_queue(&paused.name()).await;
    rig.expire_queue(&other.name()).await;
    rig.sweep();
    let until = Instant::now() + DEADLINE;
    while queues.bucket().get(other.name().as_str()).await.unwrap().is_some() {
        assert!(Instant::now() < until, "an empty queue stayed");
        sleep(Duration::from_millis(20)).await;
    }
    // By then each was looked at in an earlier round.
    let entry = queues.bucket().get(paused.name().as_str()).await.unwrap().expect("a paused queue is kept").value;
    assert!(entry.paused_since.is_some() && entry.closing_since.is_none(), "{entry:?}");
    queues.pause(&paused.name(), false, clock::now()).await.unwrap();
    rig.expire_queue(&paused.name()).await;
    while queues.bucket().get(paused.name().as_str()).await.unwrap().is_some() {
        assert!(Instant::now() < until, "a queue that was resumed stayed for ever");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_branch_at_its_second_attempt_without_a_message_gets_the_timer_of_that_attempt() {
    let rig = Rig::start().await;
    let receipt = rig.submit().await;
    let Found::Record(old, revision) = rig.effects.records().read(&receipt.job).await.unwrap() else {
        panic!("no record")
    };
    let mut next = old.clone();
    let due_at = clock::now().after(Duration::from_secs(600));
    next.branches[0].state = BranchState::Live { attempt: 2, due_at };
    rig.effects.records().swap(&receipt.job, &next, revision, Duration::from_secs(60)).await.unwrap();
    rig.lose_all_messages().await;
    rig.sweep();
    let until = Instant::now() + DEADLINE;
    while !rig.newest(&receipt.job, &receipt, OWN).await.starts_with("sluice.later.") {
        assert!(Instant::now() < until, "the timer was not published");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_body_that_nobody_needs_goes_away_and_one_of_a_pending_job_stays() {
    let rig = Rig::start().await;
    let receipt = rig.submit().await;
    let records = rig.effects.records();
    let (own, body) = (BranchId::OWN, bytes::Bytes::from_static(b"body"));
    let orphan = JobId::derive(&Tenant::default(), "never came");
    let life = receipt.record.incarnation.clone();
    records.put_body(&receipt.job, &life, own, body.clone(), None).await.unwrap();
    records.put_body(&orphan, &life, own, body.clone(), None).await.unwrap();
    rig.sweep();
    let until = Instant::now() + DEADLINE;
    while records.body(&orphan, &life, own).await.unwrap().is_some() {
        assert!(Instant::now() < until, "a body that nobody needs stayed");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(records.body(&receipt.job, &life, own).await.unwrap(), Some(body));
}

#[tokio::test]
async fn a_sweep_waits_while_another_holds_the_lease_and_takes_over_when_that_one_is_dead() {
    let rig = Rig::start().await;
    let receipt = rig.submit().await;
    rig.lose_all_messages().await;
    let nats = rig.effects.nats();
    let leases = nats.bucket::<Holder>(&nats.topology().sweep_bucket());
    leases.swap_for("lease", &Holder { holder: 1 }, 0, Duration::from_secs(2)).await.unwrap();
    rig.sweep();
    let until = Instant::now() + DEADLINE;
    loop {
        let healed = !rig.newest(&receipt.job, &receipt, OWN).await.is_empty();
        let foreign = leases.get("lease").await.unwrap().is_some_and(|lease| lease.value.holder == 1);
        assert!(!(healed && foreign), "two sweeps ran");
        if healed {
            break;
        }
        assert!(Instant::now() < until, "nobody took over");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn the_timers_of_a_work_queue_are_shown_a_page_at_a_time() {
    let rig = Rig::start().await;
    let receipt = rig.submit().await;
    let nats = rig.effects.nats();
    for branch in 0..3 {
        let token = Token::Branch(BranchId(branch + 1));
        let address = JobSubject { token, ..Effects::address(&receipt.job, &receipt.record, Token::Deadline).unwrap() };
        let at = clock::now().after(Duration::from_secs(3600));
        nats.move_chain(&address, When::Later(at), 1, 0).await.unwrap();
    }
    let (stream, queue) = (nats.topology().jobs_stream(0), &receipt.record.branches[0].queue);
    let filter = nats.topology().later_filter(0, queue);
    let first = nats.shown(&stream, &filter, 1, 3).await.unwrap();
    let rest = nats.shown(&stream, &filter, first[2].sequence + 1, 3).await.unwrap();
    let end = nats.shown(&stream, &filter, rest[0].sequence + 1, 3).await.unwrap();
    // The deadline of the job, and the three above.
    assert_eq!((first.len(), rest.len(), end.len()), (3, 1, 0));
    assert!(first.iter().all(|timer| timer.header("Nats-Schedule").is_some_and(|at| at.starts_with("@at "))));
    assert!(first[0].subject.ends_with(".deadline") && rest[0].subject.ends_with(".3"));
}

#[tokio::test]
async fn two_sweeps_at_once_heal_everything_once() {
    let rig = Rig::start().await;
    let broken = rig.broken(60).await;
    let (one, other) = (rig.a_sweep(), rig.a_sweep());
    let (first, second) = tokio::join!(one.round(), other.round());
    assert!(first || second, "no round came to its end");
    rig.until_healed(&broken).await;
    one.round().await;
    other.round().await;
    assert_eq!(rig.messages().await, 120);
}

#[tokio::test]
async fn what_a_sweep_that_died_on_the_way_has_left_the_next_one_heals() {
    let rig = Rig::start().await;
    let broken = rig.broken(120).await;
    let dies = rig.a_sweep();
    let looks = async {
        while rig.healed(&broken).await < 10 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        _ = dies.round() => panic!("it came to its end before it could die"),
        () = looks => {}
    }
    assert!(rig.healed(&broken).await < broken.len());
    // Its lease runs out.
    let nats = rig.effects.nats();
    let leases = nats.bucket::<Holder>(&nats.topology().sweep_bucket());
    let lease = leases.get("lease").await.unwrap().unwrap();
    leases.swap_for("lease", &lease.value, lease.revision, Duration::from_secs(1)).await.unwrap();
    rig.sweep();
    rig.until_healed(&broken).await;
    assert_eq!(rig.messages().await, 240);
}

#[tokio::test]
async fn a_record_that_makes_the_sweep_panic_is_passed_over_and_all_others_are_healed() {
    sluice_shared::fault_points::obey_keys();
    let rig = Rig::start().await;
    let poison = rig.submit_as("panic at sweep").await;
    let broken = rig.broken(10).await;
    assert!(rig.a_sweep().round().await);
    assert_eq!((rig.healed(&broken).await, rig.healed(&[poison]).await), (10, 0));
}

#[tokio::test]
async fn a_broken_job_behind_more_ended_ones_than_a_page_holds_is_healed() {
    let rig = Rig::start().await;
    let ended = rig.submit_as("ended").await;
    rig.effects.cancel(&Tenant::default(), &ended.job).await.unwrap();
    let Found::Record(settled, _) = rig.effects.records().read(&ended.job).await.unwrap() else { panic!("no record") };
    let write = async |number: usize| {
        let job = JobId::derive(&Tenant::default(), &format!("ended {number}"));
        rig.effects.records().swap(&job, &settled, 0, Duration::from_secs(600)).await.unwrap();
    };
    for hundred in 0..25 {
        join_all((0..100).map(|number| write(hundred * 100 + number))).await;
    }
    let broken = rig.broken(3).await;
    assert!(rig.a_sweep().round().await);
    assert_eq!(rig.healed(&broken).await, 3);
}

/// A nats-server that was killed between writing down the acks and the removals, as single ones can be.
#[tokio::test]
async fn what_was_acked_and_is_still_there_is_removed_and_what_was_not_stays() {
    let mut rig = Rig::start().await;
    let nats = rig.effects.nats().clone();
    let topology = nats.topology().clone();
    let LaneConsumer { stream, name, .. } = topology.lane(Laned::Results, topology.lane_of(&Tenant::default()));
    let publish = async |number: u32| {
        let subject = topology.result(&Tenant::default(), &JobId::derive(&Tenant::default(), &number.to_string()));
        nats.publish(subject, HeaderMap::new(), "anything".into()).await.unwrap();
    };
    for number in 0..10 {
        publish(number).await;
    }
    // Its messages as they were before the acks are put back after them.
    rig.broker.broker.stop().await;
    let messages = rig.broker.directory(&format!("streams/{stream}/msgs"));
    let kept = tempfile::tempdir().unwrap();
    copy(&messages, kept.path());
    rig.broker.broker.restart().await.unwrap();
    let held = async || nats.held(&stream).await;
    assert_eq!(eventually("the stream", async || held().await.ok()).await, 10);
    let consumer: Consumer<pull::Config> = nats.jetstream().get_consumer_from_stream(&name, &stream).await.unwrap();
    let mut fetched = consumer.fetch().max_messages(10).messages().await.unwrap();
    while let Some(message) = fetched.next().await {
        message.unwrap().ack().await.unwrap();
    }
    eventually("all are removed", async || (held().await.ok()? == 0).then_some(())).await;
    rig.broker.broker.stop().await;
    std::fs::remove_dir_all(&messages).unwrap();
    copy(kept.path(), &messages);
    rig.broker.broker.restart().await.unwrap();
    assert_eq!(eventually("the stream", async || held().await.ok()).await, 10, "nobody else removes them");
    for number in 10..13 {
        publish(number).await;
    }
    assert_eq!(nats.acked_to(&stream, &name).await.unwrap(), 10);
    assert!(rig.a_sweep().round().await);
    assert_eq!(held().await.unwrap(), 3, "what nobody has acked stays");
}

/// Copies the files of a directory.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[tokio::test]
async fn a_job_that_is_only_for_a_region_without_workers_expires_once_it_is_too_old() {
    let rig = Rig::start().await;
    let options = || SweepOptions { max_age: Duration::from_millis(50), ..options() };
    let round = || Sweep::new(rig.effects.clone(), options(), Metrics::new());
    let (tenant, mut receipts) = (Tenant::default(), Vec::new());
    let limits = Limits::new(1 << 20, clock::now(), "sluice", &tenant);
    for policy in ["strict", "fallback"] {
        let json = format!(r#"{{"url":"http://a.example/","regions":["eu"],"region_policy":"{policy}"}}"#);
        let job = read(json.as_bytes(), &limits).unwrap();
        let submission = Submission { tenant: tenant.clone(), key: policy.into(), job, traceparent: None };
        receipts.push(rig.effects.submit(submission).await.unwrap());
    }
    let outcome = async |receipt: &Receipt| match rig.effects.records().read(&receipt.job).await.unwrap() {
        Found::Record(record, _) => record.outcome,
        found @ (Found::Absent | Found::Newer(_) | Found::Malformed(_)) => panic!("{found:?}"),
    };
    sleep(Duration::from_millis(100)).await;
    let (eu, regions) = ("eu".parse().unwrap(), rig.effects.queues().regions());
    regions.keep(&eu, Duration::from_secs(1)).await.unwrap();
    let mut live = regions.changes();
    live.wait_for(|live| live.as_ref().is_some_and(|live| live.contains(&eu))).await.unwrap();
    let sweep = round();
    assert!(sweep.round().await && outcome(&receipts[0]).await.is_none(), "its region has workers");
    live.wait_for(|live| live.as_ref().is_some_and(|live| live.is_empty())).await.unwrap();
    assert!(sweep.round().await);
    let ended = outcome(&receipts[0]).await.unwrap();
    let expired = |content| matches!(content, Content::Error { kind: ErrorKind::Expired, .. });
    assert!(ended.status == Status::Failed && ended.answer.is_some_and(|answer| expired(answer.content)));
    assert!(outcome(&receipts[1]).await.is_none(), "others take it");
}
