//! The quorum of a job's webhooks, as the job shows it.

use http::Method;
use serde_json::{Value, json};
use sluice::scripted::{Script, WebhookReceiver};
use sluice_tests::eventually;
use sluice_tests::scene::Scene;

/// Two webhooks that vote, and one that does not.
fn webhooks(hooks: &WebhookReceiver) -> Value {
    json!([
        {"url": hooks.at("/taken")}, {"url": hooks.at("/gone")}, {"url": hooks.at("/other"), "has_quorum_vote": false},
    ])
}

async fn until(scene: &Scene, job: &str, status: &str) -> Value {
    eventually(&format!("a quorum that is {status}"), async || {
        let quorum = scene.client.get(job).await["quorum"].clone();
        (quorum["status"] == status).then_some(quorum)
    })
    .await
}

#[tokio::test]
async fn a_quorum_is_open_until_it_is_reached_or_missed_by_those_that_vote() {
    let scene = Scene::start().await;
    scene.hooks.destination().on("/gone", [Script::answer(410), Script::answer(410), Script::answer(200)]);
    scene.destination.on("/slow", Script::hang());
    let voted = async |path: &str, quorum: u16| {
        scene.submit(path, json!({"webhooks": webhooks(&scene.hooks), "webhook_quorum": quorum})).await
    };
    let slow = voted("/slow", 1).await;
    let expected = json!({"status": "open", "needed": 1, "delivered": 0});
    assert_eq!(scene.client.get(&slow).await["quorum"], expected);

    let one = voted("/a", 1).await;
    assert_eq!(until(&scene, &one, "reached").await, json!({"status": "reached", "needed": 1, "delivered": 1}));
    let both = voted("/b", 2).await;
    assert_eq!(until(&scene, &both, "missed").await, json!({"status": "missed", "needed": 2, "delivered": 1}));

    let replay = format!("/v1/jobs/{both}/webhooks/1/replay");
    assert_eq!(scene.client.send(Method::POST, &replay, &[], None).await.status, 202);
    assert_eq!(until(&scene, &both, "reached").await["delivered"], 2);
}

#[tokio::test]
async fn a_job_without_webhooks_has_no_quorum() {
    let scene = Scene::start().await;
    let id = scene.submit("/", json!({"webhooks": [], "webhook_quorum": 1})).await;
    assert_eq!(scene.client.wait(&id).await.get("quorum"), None);
}
