//! Durable submissions that become jobs.

use std::time::Duration;

use sluice_shared::domain::id::Tenant;
use sluice_shared::domain::submission::{Limits, read};
use sluice_shared::effects::Submission;
use sluice_shared::nats::publish::PublishError;

use super::rig::{JOB, Rig, headers, options, tenant, until};

#[tokio::test]
async fn a_stored_submission_becomes_a_job_of_the_tenant_in_its_subject() {
    let (rig, gateway) = Rig::with_gateway().await;
    let job = r#"{"url":"http://a.example/","idempotent_key":"mine","metadata":{"order": 7}}"#;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    rig.publish("sluice.submit.acme", &[("Traceparent", trace)], job).await;
    rig.publish("sluice.submit", &[], job).await;
    let record = rig.until_record(&tenant("acme"), "mine").await;
    assert_eq!((record.tenant, record.traceparent.as_deref()), (tenant("acme"), Some(trace)));
    rig.until_record(&Tenant::default(), "mine").await;
    rig.until_all_taken().await;
    assert!(gateway.has("sluice_jobs_submitted_total{via=\"nats\",outcome=\"accepted\"} 2"));
    gateway.stop().await;
}

/// A header of NATS empties a stream that allows it, of everybody's messages.
#[tokio::test]
async fn a_submission_cannot_take_the_place_of_others() {
    let rig = Rig::start().await;
    rig.publish("sluice.submit.globex", &[], JOB).await;
    for what in ["all", "sub"] {
        let rollup = headers(&[("Nats-Rollup", what)]);
        let refused = rig.nats.publish("sluice.submit.acme".into(), rollup, JOB.into()).await;
        assert!(matches!(refused, Err(PublishError::Refused(_))), "{what}: {refused:?}");
    }
    assert_eq!(rig.held("SLUICE_SUBMIT").await, 1);
}

#[tokio::test]
async fn a_submission_stored_while_no_gateway_runs_waits_for_one() {
    let rig = Rig::start().await;
    rig.publish("sluice.submit", &[("Idempotency-Key", "early")], JOB).await;
    let gateway = rig.gateway(options()).await;
    rig.until_record(&Tenant::default(), "early").await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_job_without_a_key_gets_that_of_its_header_or_its_message_id_or_its_place_in_the_stream() {
    let (rig, _gateway) = Rig::with_gateway().await;
    let both = [("Idempotency-Key", "header"), ("Nats-Msg-Id", "one")];
    rig.publish("sluice.submit", &both, JOB).await;
    rig.publish("sluice.submit", &[("Nats-Msg-Id", "two")], JOB).await;
    let sequence = rig.publish("sluice.submit", &[], JOB).await;
    for key in ["header", "two", &rig.derived_key(sequence).await] {
        rig.until_record(&Tenant::default(), key).await;
    }
    assert!(rig.record(&Tenant::default(), "one").await.is_none());
}

#[tokio::test]
async fn the_same_submission_twice_is_one_job() {
    let (rig, gateway) = Rig::with_gateway().await;
    rig.publish("sluice.submit", &[("Nats-Msg-Id", "once")], JOB).await;
    let record = rig.until_record(&Tenant::default(), "once").await;
    rig.publish("sluice.submit", &[("Idempotency-Key", "once")], JOB).await;
    until("a duplicate", async || {
        gateway.has("sluice_jobs_submitted_total{via=\"nats\",outcome=\"duplicate\"} 1").then_some(())
    })
    .await;
    rig.until_all_taken().await;
    assert_eq!(rig.until_record(&Tenant::default(), "once").await.incarnation, record.incarnation);
    assert_eq!(rig.held("KV_sluice_records_0").await, 1);
    assert!(rig.dead_letter("default").await.is_none());
}

#[tokio::test]
async fn a_submission_that_was_taken_in_but_not_acknowledged_is_the_same_job_when_it_comes_again() {
    let rig = Rig::start().await;
    let sequence = rig.publish("sluice.submit", &[], JOB).await;
    let (tenant, key) = (Tenant::default(), rig.derived_key(sequence).await);
    let limits = Limits::new(1 << 20, sluice_shared::clock::now(), "sluice", &tenant);
    let job = read(JOB.as_bytes(), &limits).unwrap();
    let submission = Submission { tenant: tenant.clone(), key: key.clone(), job, traceparent: None };
    let first = rig.effects.submit(submission).await.unwrap();
    let gateway = rig.gateway(options()).await;
    rig.until_all_taken().await;
    assert!(gateway.has("sluice_jobs_submitted_total{via=\"nats\",outcome=\"duplicate\"} 1"));
    assert_eq!(rig.record(&tenant, &key).await.unwrap().incarnation, first.record.incarnation);
}

#[tokio::test]
async fn more_submissions_than_are_taken_in_at_a_time_all_become_jobs_of_two_gateways() {
    let rig = Rig::start().await;
    for number in 0..200 {
        rig.publish("sluice.submit", &[("Idempotency-Key", &format!("k{number}"))], JOB).await;
    }
    let few = sluice_gateway::nats::Options { intake: 3, max_wait: Duration::from_secs(1), ..options() };
    let (one, other) = (rig.gateway(few).await, rig.gateway(few).await);
    rig.until_all_taken().await;
    for number in 0..200 {
        assert!(rig.record(&Tenant::default(), &format!("k{number}")).await.is_some(), "k{number}");
    }
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn large_submissions_are_taken_in_a_few_at_a_time() {
    let rig = Rig::start().await;
    let body = "x".repeat(1 << 20);
    for number in 0..60 {
        let job = format!(r#"{{"url":"http://a.example/","idempotent_key":"k{number}","body":"{body}"}}"#);
        rig.publish("sluice.submit", &[], &job).await;
    }
    let _gateway = rig.gateway(sluice_gateway::nats::Options { intake: 1_000, ..options() }).await;
    until("no submissions left", async || {
        assert!(rig.in_hand().await <= 33, "more than four of the largest messages' worth");
        (rig.held("SLUICE_SUBMIT").await == 0).then_some(())
    })
    .await;
    assert_eq!(rig.held("KV_sluice_records_0").await, 60);
    assert!(rig.dead_letter("default").await.is_none());
}
