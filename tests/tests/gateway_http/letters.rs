//! Dead letters over HTTP: listed, looked at, tried again, forgotten.

use bytes::Bytes;
use reqwest::Method;
use serde_json::{Value, json};
use sluice_shared::clock::Millis;
use sluice_shared::domain::delivery::{Deliveries, Delivery, Quorum, WebhookState};
use sluice_shared::domain::id::{JobId, Tenant};
use sluice_shared::domain::result::JobResult;
use sluice_shared::nats::dead::{DeadKind, DeadLetter};
use sluice_shared::wire;

use crate::rig::{Answer, Rig, job};

async fn ask(rig: &Rig, method: Method, path: &str) -> Answer {
    Answer::to(rig.gateway.request(method, path)).await
}

async fn letters(rig: &Rig, query: &str) -> Vec<Value> {
    rig.gateway.get(&format!("/v1/dead-letters{query}")).await.json()["letters"].as_array().unwrap().clone()
}

async fn set_aside(rig: &Rig, kind: DeadKind, name: &str, payload: Bytes) {
    let letter = DeadLetter { kind, tenant: "default", name: name.into(), reason: "it answered 410", payload };
    rig.nats().set_aside(letter).await.unwrap();
}

/// A webhook of a job that has ended, given up.
async fn given_up(rig: &Rig) -> (JobId, JobResult) {
    let webhooks = json!([{"url": "https://hooks.example:8443/path?token=secret"}]);
    let id = rig.submit(job(json!({"webhooks": webhooks}))).await;
    rig.succeed(&id).await;
    let (record, _) = rig.record(&id).await;
    let result = JobResult::of(&id, &record).unwrap();
    let dead = WebhookState::Dead { reason: "it answered 410".into(), at: Millis(8), attempt: 3 };
    let state = Deliveries { webhooks: vec![dead], quorum: Quorum { needed: 1, reached: 0 } };
    let bucket = rig.nats().bucket::<Deliveries>(&rig.nats().topology().deliveries_bucket());
    bucket.swap(&Deliveries::key(&id, &record.incarnation), &state, 0).await.unwrap();
    let delivery = Delivery { result: result.clone(), webhook: 0, attempt: 3, postponed: 0 };
    set_aside(rig, DeadKind::Webhook, &result.event_id(0), wire::encode(&delivery)).await;
    (id, result)
}

#[tokio::test]
async fn letters_are_listed_in_pages_and_by_kind_and_shown_without_the_path_of_their_url() {
    let rig = Rig::start().await;
    let (id, result) = given_up(&rig).await;
    for name in ["one", "two", "three"] {
        set_aside(&rig, DeadKind::Submission, name, Bytes::from_static(b"{}")).await;
    }
    let first = rig.gateway.get("/v1/dead-letters?limit=3").await.json();
    assert_eq!(first["letters"].as_array().unwrap().len(), 3);
    let rest = letters(&rig, &format!("?from={}", first["next"].as_str().unwrap())).await;
    assert_eq!((rest.len(), &rest[0]["name"]), (1, &json!("three")));
    let webhooks = letters(&rig, "?kind=webhook").await;
    let expected = json!({
        "id": webhooks[0]["id"], "kind": "webhook", "tenant": "default", "name": result.event_id(0),
        "reason": "it answered 410", "at": webhooks[0]["at"], "job_id": id.as_str(),
        "destination": "hooks.example:8443", "size": webhooks[0]["size"],
    });
    assert_eq!(webhooks, [expected]);
    let whole = rig.gateway.get(&format!("/v1/dead-letters/{}", webhooks[0]["id"].as_str().unwrap())).await;
    assert_eq!((&whole.json()["outcome"]["job_id"], whole.text.contains("secret")), (&json!(id.as_str()), false));
}

#[tokio::test]
async fn a_webhook_that_is_tried_again_waits_for_its_first_try_and_its_letter_is_gone() {
    let rig = Rig::start().await;
    let (id, result) = given_up(&rig).await;
    let letter = letters(&rig, "").await[0]["id"].as_str().unwrap().to_owned();
    let answer = ask(&rig, Method::POST, &format!("/v1/dead-letters/{letter}/redrive")).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let topology = rig.nats().topology();
    let timer = topology.delivery_any(&Tenant::default(), &result.event_id(0));
    assert!(rig.nats().newest(&topology.deliveries_stream(), &timer).await.unwrap().is_some());
    let webhook = rig.show(&id).await["webhooks"][0].clone();
    assert_eq!((&webhook["status"], &webhook["attempt"]), (&json!("waiting"), &json!(1)), "{webhook}");
    assert!(letters(&rig, "").await.is_empty());
    let again = ask(&rig, Method::POST, &format!("/v1/dead-letters/{letter}/redrive")).await;
    again.problem(404, "no_such_letter");
}

#[tokio::test]
async fn all_of_a_kind_are_tried_again_or_forgotten_and_what_has_no_way_back_stays() {
    let rig = Rig::start().await;
    given_up(&rig).await;
    for name in ["one", "two"] {
        set_aside(&rig, DeadKind::Submission, name, Bytes::from_static(b"{}")).await;
    }
    let done = ask(&rig, Method::POST, "/v1/dead-letters/redrive").await.json();
    assert_eq!(done, json!({"done": 1, "stay": 2}));
    let left = letters(&rig, "").await;
    let one = ask(&rig, Method::POST, &format!("/v1/dead-letters/{}/redrive", left[0]["id"].as_str().unwrap())).await;
    one.problem(409, "no_way_back");
    let gone = ask(&rig, Method::DELETE, &format!("/v1/dead-letters/{}", left[0]["id"].as_str().unwrap())).await;
    assert_eq!(gone.status, 204);
    let done = ask(&rig, Method::POST, "/v1/dead-letters/purge?kind=submission").await.json();
    assert_eq!(done, json!({"done": 1, "stay": 0}));
    assert!(letters(&rig, "").await.is_empty());
}

#[tokio::test]
async fn what_is_asked_for_wrongly_is_said() {
    let rig = Rig::start().await;
    for query in ["?kind=letter", "?limit=0", "?limit=many", "?from=x", "?colour=red", "?kind=webhook&kind=message"] {
        rig.gateway.get(&format!("/v1/dead-letters{query}")).await.problem(400, "bad_query");
    }
    rig.gateway.get("/v1/dead-letters/17").await.problem(404, "no_such_letter");
    rig.gateway.delete("/v1/dead-letters/x").await.problem(404, "no_such_letter");
}
