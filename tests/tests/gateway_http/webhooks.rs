//! What a job shows of its webhooks.

use serde_json::{Value, json};
use sluice_shared::clock::Millis;
use sluice_shared::domain::delivery::{Deliveries, Quorum, WebhookState};
use sluice_shared::domain::id::JobId;

use crate::rig::{Rig, job};

async fn submit(rig: &Rig) -> JobId {
    let webhooks = json!([{"url": "https://one.example/"}, {"url": "https://two.example/"}]);
    rig.submit(job(json!({"webhooks": webhooks}))).await
}

async fn shown(rig: &Rig, job: &JobId) -> Vec<Value> {
    rig.show(job).await["webhooks"].as_array().unwrap().clone()
}

pub(crate) async fn remember(rig: &Rig, job: &JobId, webhooks: Vec<WebhookState>) {
    let (record, _) = rig.record(job).await;
    let state = Deliveries { webhooks, quorum: Quorum { needed: 1, reached: 0 } };
    let bucket = rig.nats().bucket::<Deliveries>(&rig.nats().topology().deliveries_bucket());
    bucket.swap(&Deliveries::key(job, &record.incarnation), &state, 0).await.unwrap();
}

fn words(webhooks: &[Value]) -> Vec<&str> {
    webhooks.iter().map(|webhook| webhook["status"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_webhook_is_pending_until_its_delivery_is_remembered() {
    let rig = Rig::start().await;
    let id = submit(&rig).await;
    assert_eq!(words(&shown(&rig, &id).await), ["pending", "pending"]);
    rig.succeed(&id).await;
    assert_eq!(words(&shown(&rig, &id).await), ["pending", "pending"]);
    let (record, _) = rig.record(&id).await;
    let delivered = WebhookState::Delivered { at: Millis(7), attempt: 1 };
    remember(&rig, &id, vec![WebhookState::Untried, delivered]).await;
    let webhooks = shown(&rig, &id).await;
    assert_eq!(words(&webhooks), ["pending", "delivered"]);
    assert_eq!(webhooks[1]["id"], format!("{id}.{}.1", record.incarnation));
    assert_eq!((&webhooks[1]["at"], &webhooks[1]["attempt"]), (&json!(7), &json!(1)));
}

#[tokio::test]
async fn what_the_delivery_service_remembers_is_shown_as_it_is() {
    let rig = Rig::start().await;
    let id = submit(&rig).await;
    rig.succeed(&id).await;
    let waiting = WebhookState::Waiting { attempt: 2, next_at: Millis(9), last_error: Some("it answered 500".into()) };
    let dead = WebhookState::Dead { reason: "it answered 410".into(), at: Millis(8), attempt: 3 };
    remember(&rig, &id, vec![waiting, dead]).await;
    let webhooks = shown(&rig, &id).await;
    assert_eq!(words(&webhooks), ["waiting", "dead"]);
    assert_eq!((&webhooks[0]["next_at"], &webhooks[0]["last_error"]), (&json!(9), &json!("it answered 500")));
    assert_eq!((&webhooks[1]["reason"], &webhooks[1]["attempt"]), (&json!("it answered 410"), &json!(3)));
}
