//! A worker in this process against a real nats-server: what it does with messages that are no ordinary work.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

mod many_queues;
mod rig;

use std::time::Duration;

use async_nats::jetstream::stream::Config as StreamConfig;
use futures_util::StreamExt;
use sluice::scripted::Script;
use sluice_shared::clock;
use sluice_shared::domain::id::{BranchId, JobId, Tenant, Token};
use sluice_shared::domain::outcome::{Content, ErrorKind, Outcome, Status};
use sluice_shared::domain::record::BranchState;
use sluice_shared::nats::records::Found;
use sluice_tests::eventually;
use tokio::time::sleep;

use rig::{Rig, SOON};

#[tokio::test]
async fn a_job_is_called_once_settled_and_leaves_nothing_in_its_queue() {
    let rig = Rig::start().await;
    let _worker = rig.worker("").await;
    let job = rig.submit("a").await.job;
    let record = rig.ended(&job).await;
    assert_eq!(record.outcome.unwrap().status, Status::Success);
    rig.empty().await;
    assert_eq!(rig.destination.count(), 1);
}

#[tokio::test]
async fn a_branch_whose_message_nobody_can_read_dies_and_the_queue_goes_on() {
    let rig = Rig::start().await;
    let receipt = rig.submit("a").await;
    rig.replace_work(&receipt, b"\x01garbage").await;
    let next = rig.submit("b").await.job;
    let _worker = rig.worker("").await;
    let outcome = rig.ended(&receipt.job).await.outcome.unwrap();
    assert_eq!(outcome.status, Status::Failed);
    let Content::Error { kind, .. } = outcome.answer.unwrap().content else { panic!("an answer") };
    assert_eq!(kind, ErrorKind::Unreadable);
    assert_eq!(rig.ended(&next).await.outcome.unwrap().status, Status::Success);
    rig.empty().await;
    let letters = rig.dead_letters().await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert!(letters[0].0.starts_with("sluice.dead.message._.jobs.0."), "{letters:?}");
    assert_eq!(rig.destination.count(), 1);
}

#[tokio::test]
async fn a_message_that_nobody_can_read_of_a_job_that_has_ended_by_it_still_brings_its_result() {
    let rig = Rig::start().await;
    let receipt = rig.submit("a").await;
    // Whoever ended it died before the result.
    let Found::Record(mut record, revision) = rig.effects.records().read(&receipt.job).await.unwrap() else { panic!() };
    let (status, winner) = (Status::Failed, Token::Branch(BranchId::OWN));
    record.branches[0].state = BranchState::Dead;
    record.outcome = Some(Outcome { status, reason: None, winner, at: clock::now(), answer: None });
    rig.effects.records().swap(&receipt.job, &record, revision, Duration::from_secs(60)).await.unwrap();
    rig.replace_work(&receipt, b"\x01garbage").await;
    let _worker = rig.worker("").await;
    rig.empty().await;
    let nats = rig.effects.nats();
    assert_eq!(nats.held(&nats.topology().results_stream()).await.unwrap(), 1);
    assert_eq!((rig.dead_letters().await.len(), rig.destination.count()), (1, 0));
}

#[tokio::test]
async fn a_message_of_a_newer_version_is_left_to_somebody_newer() {
    let rig = Rig::start().await;
    let receipt = rig.submit("a").await;
    rig.replace_work(&receipt, b"\x63?").await;
    let _worker = rig.worker("").await;
    let next = rig.submit("b").await.job;
    rig.ended(&next).await;
    // That of the other job goes when it has been let go of, which is after its end.
    let alone = async || (rig.held().await == 1).then_some(());
    eventually("one message that is left", alone).await;
    assert!(rig.record(&receipt.job).await.outcome.is_none());
    assert!(rig.dead_letters().await.is_empty());
}

#[tokio::test]
async fn a_message_whose_record_the_broker_lost_is_set_aside() {
    let rig = Rig::start().await;
    let receipt = rig.submit("a").await;
    let nats = rig.effects.nats();
    let records = nats.jetstream().get_stream(format!("KV_{}", nats.topology().records_bucket(0))).await.unwrap();
    records.purge().await.unwrap();
    let _worker = rig.worker("").await;
    rig.empty().await;
    let letters = rig.dead_letters().await;
    assert_eq!(letters.len(), 1);
    assert!(letters[0].0.contains(receipt.job.as_str()) && letters[0].1.contains("record is not there"), "{letters:?}");
    assert_eq!(rig.destination.count(), 0);
}

#[tokio::test]
async fn a_consumer_that_vanished_is_made_again() {
    let rig = Rig::start().await;
    let _worker = rig.worker("").await;
    let first = rig.submit("a").await.job;
    rig.ended(&first).await;
    let consumers = rig.queue_consumers().await;
    assert_eq!(consumers.len(), 1);
    let stream = rig.stream().await;
    stream.delete_consumer(&consumers[0]).await.unwrap();
    stream.delete_consumer("due").await.unwrap();
    let second = rig.submit("b").await.job;
    assert_eq!(rig.ended(&second).await.outcome.unwrap().status, Status::Success);
    rig.destination.on("/", [Script::answer(500), Script::answer(200)]);
    // The retry comes by the due consumer.
    let third = rig.submit("c").await.job;
    assert_eq!(rig.ended(&third).await.outcome.unwrap().status, Status::Success);
    assert_eq!(rig.queue_consumers().await, consumers);
}

#[tokio::test]
async fn a_worker_told_to_stop_lets_a_call_end_and_gives_back_what_waits() {
    let rig = Rig::start().await;
    rig.destination.on("/", Script::answer(200).after(Duration::from_millis(700)));
    let worker = rig.worker("gate.concurrency = 1").await;
    let (first, second) = (rig.submit("a").await.job, rig.submit("b").await.job);
    rig.destination.wait_for(|calls| !calls.is_empty(), SOON).await.unwrap();
    worker.stopped().await;
    let ended = |job: &JobId| {
        let job = job.clone();
        async { (rig.record(&job).await.outcome.is_some(), job) }
    };
    let states: Vec<_> = futures_util::stream::iter([&first, &second]).then(ended).collect().await;
    assert_eq!(states.iter().filter(|(ended, _)| *ended).count(), 1, "{states:?}");
    // What was given back is there for the next one at once.
    let _next = rig.worker("").await;
    rig.ended(&first).await;
    rig.ended(&second).await;
    assert_eq!(rig.destination.count(), 2);
}

#[tokio::test]
async fn a_call_that_outlasts_the_grace_is_dropped_and_made_again_by_the_next_worker() {
    let rig = Rig::start().await;
    rig.destination.on("/", [Script::hang(), Script::answer(200)]);
    let worker = rig.worker("worker.grace = \"100ms\"").await;
    let job = rig.submit("a").await.job;
    rig.destination.wait_for(|calls| !calls.is_empty(), SOON).await.unwrap();
    worker.stopped().await;
    rig.destination.wait_for(|calls| calls[0].dropped_at.is_some(), SOON).await.unwrap();
    let _next = rig.worker("").await;
    assert_eq!(rig.ended(&job).await.outcome.unwrap().status, Status::Success);
    assert_eq!(rig.destination.count(), 2);
}

#[tokio::test]
async fn a_job_older_than_the_maximum_age_fails_instead_of_being_sent() {
    let rig = Rig::start().await;
    let job = rig.submit("a").await.job;
    sleep(Duration::from_millis(1_100)).await;
    let _worker = rig.worker("worker.max_age = \"1s\"").await;
    let outcome = rig.ended(&job).await.outcome.unwrap();
    let Content::Error { kind, .. } = outcome.answer.unwrap().content else { panic!("an answer") };
    assert_eq!((outcome.status, kind), (Status::Failed, ErrorKind::Expired));
    assert_eq!(rig.destination.count(), 0);
}

/// It was allowed when it was submitted: an address is no name, so nothing but this check stands before it.
#[tokio::test]
async fn a_job_whose_target_may_not_be_called_any_more_fails_without_a_call() {
    let rig = Rig::start().await;
    let job = rig.submit("a").await.job;
    let _worker = rig.worker("targets.deny_networks = [\"127.0.0.1\"]").await;
    let outcome = rig.ended(&job).await.outcome.unwrap();
    let Content::Error { kind, message } = outcome.answer.unwrap().content else { panic!("an answer") };
    assert_eq!((outcome.status, kind), (Status::Failed, ErrorKind::TargetRefused));
    assert!(!message.contains("127.0.0.1"), "{message}");
    assert_eq!(rig.destination.count(), 0);
    rig.empty().await;
}

#[tokio::test]
async fn a_broker_without_room_for_an_answer_gets_it_later_without_a_second_call() {
    let rig = Rig::start().await;
    rig.destination.on("/", Script::answer(200).after(Duration::from_millis(500)));
    let _worker = rig.worker("").await;
    let job = rig.submit("a").await.job;
    rig.destination.wait_for(|calls| !calls.is_empty(), SOON).await.unwrap();
    let nats = rig.effects.nats();
    let records = nats.jetstream().get_stream(format!("KV_{}", nats.topology().records_bucket(0))).await.unwrap();
    let config = records.cached_info().config.clone();
    nats.jetstream().update_stream(StreamConfig { max_bytes: 1, ..config.clone() }).await.unwrap();
    sleep(Duration::from_secs(3)).await; // a message that is given back comes again within a second or so
    assert!(rig.record(&job).await.outcome.is_none(), "there was room");
    nats.jetstream().update_stream(config).await.unwrap();
    assert_eq!(rig.ended(&job).await.outcome.unwrap().status, Status::Success);
    rig.empty().await;
    assert_eq!(rig.destination.count(), 1);
}

#[tokio::test]
async fn a_job_cancelled_while_no_worker_runs_has_ended_and_gets_its_one_result_from_the_next_worker() {
    let rig = Rig::start().await;
    let job = rig.submit("a").await.job;
    let nats = rig.effects.nats();
    let results = || async {
        let stream = nats.jetstream().get_stream(nats.topology().results_stream()).await.unwrap();
        stream.cached_info().state.last_sequence
    };
    rig.effects.cancel(&Tenant::default(), &job).await.unwrap();
    assert_eq!(rig.record(&job).await.outcome.unwrap().status, Status::Cancelled);
    assert_eq!(results().await, 0);
    let _worker = rig.worker("").await;
    rig.empty().await;
    assert_eq!(results().await, 1);
    assert_eq!(rig.destination.count(), 0);
}
