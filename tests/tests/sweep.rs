//! The sweep against a real nats-server: what a death left undone is put right, what is over goes away.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

use std::time::Duration;

use sluice_shared::clock::{self, Millis};
use sluice_shared::domain::demand::When;
use sluice_shared::domain::id::{JobId, Tenant, Token};
use sluice_shared::domain::record::BranchState;
use sluice_shared::domain::submission::{Limits, read};
use sluice_shared::effects::{Effects, Receipt, Submission};
use sluice_shared::nats::records::Found;
use sluice_shared::queues::QueueEntry;
use sluice_shared::telemetry::Metrics;
use sluice_shared::topology::JobSubject;
use sluice_tests::broker::TestBroker;
use sluice_workers::sweep::{SweepOptions, run};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

const DEADLINE: Duration = Duration::from_secs(30);

struct Rig {
    _broker: TestBroker,
    effects: Effects,
    stop: CancellationToken,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Rig {
    async fn start() -> Self {
        let broker = TestBroker::start().await;
        let effects = broker.effects().await;
        Self { _broker: broker, effects, stop: CancellationToken::new() }
    }

    fn sweep(&self) {
        let options = SweepOptions {
            interval: Duration::from_millis(100),
            pending_after: Duration::ZERO,
            orphan_after: Duration::ZERO,
            closing_wait: Duration::ZERO,
            ..SweepOptions::default()
        };
        tokio::spawn(run(self.effects.clone(), options, Metrics::new(), self.stop.clone()));
    }

    async fn submit(&self) -> Receipt {
        let tenant = Tenant::default();
        let limits = Limits::new(1 << 20, clock::now(), "sluice", &tenant);
        let job = read(br#"{"url":"http://a.example/","deadline_ms":3600000}"#, &limits).unwrap();
        let submission = Submission { tenant: tenant.clone(), key: "k".into(), job, traceparent: None };
        self.effects.submit(submission).await.unwrap()
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
        let (name, bucket) = (receipt.record.branches[0].queue.as_str(), self.effects.queues().bucket());
        let there = bucket.get(name).await.unwrap().unwrap();
        let entry = QueueEntry { keep_until: Millis(1), ..there.value };
        bucket.swap(name, &entry, there.revision).await.unwrap();
    }
}

#[tokio::test]
async fn a_job_whose_messages_were_never_published_gets_its_work_and_its_deadline() {
    let rig = Rig::start().await;
    let receipt = rig.submit().await;
    rig.lose_all_messages().await;
    let own = Token::Branch(sluice_shared::domain::id::BranchId::OWN);
    assert_eq!(rig.newest(&receipt.job, &receipt, own).await, "");
    rig.sweep();
    let until = Instant::now() + DEADLINE;
    while !rig.newest(&receipt.job, &receipt, own).await.starts_with("sluice.jobs.")
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
    let own = Token::Branch(sluice_shared::domain::id::BranchId::OWN);
    let until = Instant::now() + DEADLINE;
    while !rig.newest(&receipt.job, &receipt, own).await.starts_with("sluice.later.") {
        assert!(Instant::now() < until, "the timer was not published");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_body_that_nobody_needs_goes_away_and_one_of_a_pending_job_stays() {
    let rig = Rig::start().await;
    let receipt = rig.submit().await;
    let records = rig.effects.records();
    let (own, body) = (sluice_shared::domain::id::BranchId::OWN, bytes::Bytes::from_static(b"body"));
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
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Holder {
        holder: u64,
    }
    let rig = Rig::start().await;
    let receipt = rig.submit().await;
    rig.lose_all_messages().await;
    let nats = rig.effects.nats();
    let leases = nats.bucket::<Holder>(&nats.topology().sweep_bucket());
    leases.swap_for("lease", &Holder { holder: 1 }, 0, Duration::from_secs(2)).await.unwrap();
    rig.sweep();
    let own = Token::Branch(sluice_shared::domain::id::BranchId::OWN);
    let until = Instant::now() + DEADLINE;
    loop {
        let healed = !rig.newest(&receipt.job, &receipt, own).await.is_empty();
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
        let token = Token::Branch(sluice_shared::domain::id::BranchId(branch + 1));
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
