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
