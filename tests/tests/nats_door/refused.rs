//! Durable submissions that are refused: never silence.

use bytes::Bytes;
use sluice_shared::domain::id::{JobId, Tenant};
use sluice_shared::domain::outcome::{Reason, Status};
use sluice_shared::domain::payload::WebhookBody;
use sluice_shared::nats::dead::REASON;
use sluice_shared::nats::read::Held;

use super::rig::{JOB, Rig, options, until};

const INVALID: &str = r#"{"urll":"http://a.example/","idempotent_key":"mine","metadata":{"order":7},
    "webhooks":[{"url":"nats:my.outcomes"},{"url":"ftp://no"}]}"#;

fn reason(letter: &Held) -> &str {
    letter.header(REASON).unwrap_or_default()
}

#[tokio::test]
async fn an_invalid_job_fails_at_its_webhooks_and_becomes_a_dead_letter_without_taking_its_key() {
    let (rig, gateway) = Rig::with_gateway().await;
    let sequence = rig.publish("sluice.submit.acme", &[], INVALID).await;
    let letter = rig.until_dead_letter("acme").await;
    assert_eq!(letter.payload, INVALID);
    for part in ["`urll` is unknown here; did you mean `url`?", "`webhooks[1].url`"] {
        assert!(reason(&letter).contains(part), "{part} in {}", reason(&letter));
    }
    let result = rig.result("acme").await.unwrap();
    let name = rig.derived_key(sequence).await;
    assert_eq!((&result.job, result.outcome.status), (&JobId::refused(&name), Status::Failed));
    assert!(matches!(&result.outcome.reason, Some(Reason::Refused(why)) if why.contains("`urll`")));
    let body = serde_json::to_value(WebhookBody::new(&result, 0, 1)).unwrap();
    assert_eq!((&body["idempotent_key"], &body["metadata"]["order"]), (&"mine".into(), &7.into()));
    assert_eq!(result.webhooks.len(), 1);
    rig.until_all_taken().await;
    assert!(rig.record(&"acme".parse().unwrap(), "mine").await.is_none());
    assert!(gateway.has("sluice_jobs_submitted_total{via=\"nats\",outcome=\"refused\"} 1"));
    gateway.stop().await;
}

#[tokio::test]
async fn a_key_that_belongs_to_another_request_is_refused_and_the_first_job_stays() {
    let (rig, _gateway) = Rig::with_gateway().await;
    rig.publish("sluice.submit", &[("Idempotency-Key", "k")], JOB).await;
    let first = rig.until_record(&Tenant::default(), "k").await;
    let other = r#"{"url":"http://b.example/","webhooks":[{"url":"http://c.example/"}]}"#;
    rig.publish("sluice.submit", &[("Idempotency-Key", "k")], other).await;
    assert!(reason(&rig.until_dead_letter("default").await).contains("belongs to another request"));
    assert_eq!(rig.result("default").await.unwrap().webhooks[0].url, "http://c.example/");
    assert_eq!(rig.record(&Tenant::default(), "k").await.unwrap().fingerprint, first.fingerprint);
}

#[tokio::test]
async fn two_different_keys_and_a_key_that_is_none_are_refused() {
    let (rig, _gateway) = Rig::with_gateway().await;
    let job = r#"{"url":"http://a.example/","idempotent_key":"inside"}"#;
    rig.publish("sluice.submit.two", &[("Idempotency-Key", "beside")], job).await;
    assert!(reason(&rig.until_dead_letter("two").await).contains("differ"));
    rig.publish("sluice.submit.long", &[("Nats-Msg-Id", &"x".repeat(600))], JOB).await;
    assert!(reason(&rig.until_dead_letter("long").await).contains("printable characters"));
    rig.until_all_taken().await;
}

#[tokio::test]
async fn what_is_no_json_becomes_a_dead_letter_and_nobody_can_be_told() {
    let (rig, _gateway) = Rig::with_gateway().await;
    rig.publish("sluice.submit.acme", &[], "hello").await;
    assert_eq!(rig.until_dead_letter("acme").await.payload, "hello");
    rig.until_all_taken().await;
    assert!(rig.result("acme").await.is_none());
}

#[tokio::test]
async fn a_subject_that_names_no_tenant_is_the_reason_of_a_dead_letter_and_its_webhooks_are_told() {
    let (rig, _gateway) = Rig::with_gateway().await;
    let job = r#"{"url":"http://a.example/","webhooks":[{"url":"http://b.example/"},
        {"url":"nats:sluice.outcomes.acme.x"}]}"#;
    rig.publish("sluice.submit.acme.eu", &[], job).await;
    let letter = rig.until_dead_letter("_").await;
    assert!(reason(&letter).contains("`sluice.submit.acme.eu` names no tenant"), "{}", reason(&letter));
    assert_eq!(letter.payload, job);
    // A tenant's own subjects are for that tenant alone.
    let told: Vec<_> = rig.result("_").await.unwrap().webhooks.into_iter().map(|webhook| webhook.url).collect();
    assert_eq!(told, ["http://b.example/"]);
    rig.until_all_taken().await;
}

#[tokio::test]
async fn a_submission_as_large_as_a_message_can_be_is_kept_as_far_as_it_fits() {
    let (rig, _gateway) = Rig::with_gateway().await;
    let garbage = Bytes::from(vec![b'x'; rig.nats.max_payload()]);
    rig.nats.client().publish("sluice.submit.acme", garbage.clone()).await.unwrap();
    let letter = rig.until_dead_letter("acme").await;
    assert!(reason(&letter).contains(&format!("(of {} bytes the first", garbage.len())), "{}", reason(&letter));
    assert!(letter.payload.len() > garbage.len() / 2);
    rig.until_all_taken().await;
}

#[tokio::test]
async fn a_refusal_that_broke_off_half_way_is_told_once_when_it_is_repeated() {
    let rig = Rig::start().await;
    let dead = rig.nats.jetstream().get_stream("SLUICE_DEAD").await.unwrap().cached_info().config.clone();
    rig.nats.jetstream().delete_stream("SLUICE_DEAD").await.unwrap();
    rig.publish("sluice.submit.acme", &[], INVALID).await;
    let _gateway = rig.gateway(options()).await;
    until("a result", async || rig.result("acme").await).await;
    assert_eq!(rig.held("SLUICE_SUBMIT").await, 1);
    rig.nats.jetstream().create_stream(dead).await.unwrap();
    rig.until_dead_letter("acme").await;
    rig.until_all_taken().await;
    assert_eq!((rig.held("SLUICE_RESULTS").await, rig.held("SLUICE_DEAD").await), (1, 1));
}
