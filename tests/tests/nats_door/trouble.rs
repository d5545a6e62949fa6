//! What fails around the intake, and what it does then.

use std::time::{Duration, Instant};

use async_nats::jetstream::AckKind;
use sluice_gateway::nats::Options;
use sluice_shared::domain::id::Tenant;

use super::rig::{JOB, Rig, options, until};

#[tokio::test]
async fn a_submission_that_the_broker_has_no_room_for_is_tried_again_until_there_is() {
    let (rig, gateway) = Rig::with_gateway().await;
    rig.fill_records().await;
    rig.publish("sluice.submit", &[("Idempotency-Key", "k")], JOB).await;
    until("three tries", async || {
        let text = gateway.metrics.encode();
        let tries = text
            .lines()
            .find_map(|line| line.strip_prefix("sluice_jobs_submitted_total{via=\"nats\",outcome=\"unavailable\"} "));
        tries.is_some_and(|tries| tries.parse::<u64>().unwrap() >= 3).then_some(())
    })
    .await;
    assert_eq!(rig.held("SLUICE_SUBMIT").await, 1);
    rig.empty_records().await;
    rig.until_record(&Tenant::default(), "k").await;
    rig.until_all_taken().await;
    assert!(rig.dead_letter("default").await.is_none());
}

#[tokio::test]
async fn a_consumer_that_is_gone_is_made_again() {
    let (rig, _gateway) = Rig::with_gateway().await;
    for key in ["one", "two"] {
        rig.nats.jetstream().delete_consumer_from_stream(&rig.lane().name, "SLUICE_SUBMIT").await.unwrap();
        rig.publish("sluice.submit", &[("Idempotency-Key", key)], JOB).await;
        rig.until_record(&Tenant::default(), key).await;
    }
    rig.until_all_taken().await;
}

#[tokio::test]
async fn a_broker_that_was_started_again_is_pulled_from_again_and_asks_are_answered() {
    let (mut rig, gateway) = Rig::with_gateway().await;
    rig.broker.broker.restart().await.unwrap();
    until("a stored submission", async || {
        let headers = super::rig::headers(&[("Idempotency-Key", "after"), ("Nats-Msg-Id", "after")]);
        rig.nats.publish("sluice.submit".into(), headers, JOB.into()).await.ok()
    })
    .await;
    rig.until_record(&Tenant::default(), "after").await;
    until("an answer", async || rig.ask("sluice.api.get", r#"{"idempotent_key":"after"}"#).await).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_gateway_that_stops_hands_back_what_it_could_not_end_in_time() {
    let rig = Rig::start().await;
    let hasty = rig.gateway(Options { grace: Duration::from_millis(100), ..options() }).await;
    // Without the bucket nobody knows whether a record was made, so the submission is looked into for seconds.
    let bucket = rig.nats.jetstream().get_stream("KV_sluice_records_0").await.unwrap().cached_info().config.clone();
    rig.nats.jetstream().delete_stream("KV_sluice_records_0").await.unwrap();
    for key in ["one", "two", "three"] {
        rig.publish("sluice.submit", &[("Idempotency-Key", key)], JOB).await;
    }
    until("submissions in hand", async || (rig.in_hand().await == 3).then_some(())).await;
    hasty.stop().await;
    // Before the consumer would lose its patience with them.
    for message in rig.pull(3, Duration::from_secs(10)).await {
        message.ack_with(AckKind::Nak(None)).await.unwrap();
    }
    rig.nats.jetstream().create_stream(bucket).await.unwrap();
    let _other = rig.gateway(options()).await;
    for key in ["one", "two", "three"] {
        rig.until_record(&Tenant::default(), key).await;
    }
    rig.until_all_taken().await;
}

#[tokio::test]
async fn a_gateway_that_stops_amid_many_submissions_loses_none() {
    let rig = Rig::start().await;
    for number in 0..300 {
        rig.publish("sluice.submit", &[("Idempotency-Key", &format!("k{number}"))], JOB).await;
    }
    let first = rig.gateway(options()).await;
    rig.until_record(&Tenant::default(), "k20").await;
    first.stop().await;
    let begin = Instant::now();
    let _second = rig.gateway(options()).await;
    rig.until_all_taken().await;
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(12), "{took:?}: some came only when their time in hand was over");
    assert_eq!(rig.held("KV_sluice_records_0").await, 300);
}
