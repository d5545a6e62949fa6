//! What a job shows of its webhooks.

use serde_json::{Value, json};
use sluice_shared::clock::Millis;
use sluice_shared::domain::delivery::{Deliveries, Quorum, WebhookState};
use sluice_shared::domain::event::What;
use sluice_shared::domain::id::{JobId, Tenant};
use sluice_shared::domain::result::JobResult;
use sluice_shared::wire;

use crate::rig::{Rig, job};
use crate::settle::now;

async fn submit(rig: &Rig) -> JobId {
    let webhooks = json!([{"url": "https://one.example/"}, {"url": "https://two.example/"}]);
    rig.submit(job(json!({"webhooks": webhooks}))).await
}

async fn shown(rig: &Rig, job: &JobId) -> Vec<Value> {
    rig.show(job).await["webhooks"].as_array().unwrap().clone()
}

fn words(webhooks: &[Value]) -> Vec<&str> {
    webhooks.iter().map(|webhook| webhook["status"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_webhook_is_pending_until_an_event_tells_of_its_delivery() {
    let rig = Rig::start().await;
    let id = submit(&rig).await;
    assert_eq!(words(&shown(&rig, &id).await), ["pending", "pending"]);
    rig.succeed(&id).await;
    assert_eq!(words(&shown(&rig, &id).await), ["pending", "pending"]);
    let (record, _) = rig.record(&id).await;
    let what = What::Delivered { webhook: 1, attempt: 1 };
    rig.effects.tell(&Tenant::default(), &id, &record.incarnation, now(), what).await;
    rig.nats().client().flush().await.unwrap();
    let webhooks = shown(&rig, &id).await;
    assert_eq!(words(&webhooks), ["pending", "delivered"]);
    assert_eq!(webhooks[1]["id"], format!("{id}.{}.1", record.incarnation));
    assert!(webhooks[1]["at"].is_u64() && webhooks[1]["attempt"] == 1, "{webhooks:?}");
}

#[tokio::test]
async fn what_the_delivery_service_remembers_is_shown_as_it_is() {
    let rig = Rig::start().await;
    let id = submit(&rig).await;
    rig.succeed(&id).await;
    let (record, _) = rig.record(&id).await;
    let waiting = WebhookState::Waiting { attempt: 2, next_at: Millis(9), last_error: Some("it answered 500".into()) };
    let dead = WebhookState::Dead { reason: "it answered 410".into(), at: Millis(8), attempt: 3 };
    let state = Deliveries { webhooks: vec![waiting, dead], quorum: Quorum { needed: 1, reached: 0 } };
    let bucket = rig.nats().bucket::<Deliveries>(&rig.nats().topology().deliveries_bucket());
    bucket.swap(&Deliveries::key(&id, &record.incarnation), &state, 0).await.unwrap();
    let webhooks = shown(&rig, &id).await;
    assert_eq!(words(&webhooks), ["waiting", "dead"]);
    assert_eq!((&webhooks[0]["next_at"], &webhooks[0]["last_error"]), (&json!(9), &json!("it answered 500")));
    assert_eq!((&webhooks[1]["reason"], &webhooks[1]["attempt"]), (&json!("it answered 410"), &json!(3)));
}

#[tokio::test]
async fn a_result_that_was_let_go_without_a_word_was_delivered_at_once() {
    let rig = Rig::start().await;
    let id = submit(&rig).await;
    rig.succeed(&id).await;
    let (record, _) = rig.record(&id).await;
    let topology = rig.nats().topology();
    let result = topology.result(&Tenant::default(), &id);
    let payload = wire::encode(&JobResult::of(&id, &record).unwrap());
    rig.nats().publish(result, async_nats::HeaderMap::new(), payload).await.unwrap();
    let purge = async |stream: String| {
        rig.nats().jetstream().get_stream(stream).await.unwrap().purge().await.unwrap();
    };
    // As long as the winner's message is there, the result may be still to come.
    purge(topology.results_stream()).await;
    assert_eq!(words(&shown(&rig, &id).await), ["pending", "pending"]);
    purge(topology.jobs_stream(0)).await;
    assert_eq!(words(&shown(&rig, &id).await), ["delivered", "delivered"]);
}
