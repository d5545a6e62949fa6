//! Webhooks that may not be posted: given up at once, as dead letters with that reason.

use serde_json::json;
use sluice::scripted::Script;
use sluice_shared::nats::dead::REASON;
use sluice_tests::eventually;

use crate::rig::{Rig, says_nothing};

#[tokio::test]
async fn a_webhook_inside_is_a_dead_letter_at_once_and_the_others_are_posted() {
    let rig = Rig::start().await;
    let hooks = json!([{"url": rig.at("inner.example", "/resume?token=7")}, {"url": rig.scene.hooks.url()}]);
    let outcome = rig.run("outer.example", json!({"webhooks": hooks})).await;
    assert_eq!(outcome["status"], "success", "{outcome:#}");
    let letter = rig.scene.system.broker.dead_letters("webhook", 1).await.remove(0);
    let reason = letter.header(REASON).unwrap();
    assert!(reason.starts_with("target_refused"), "{reason}");
    says_nothing(reason);
    let job = outcome["job_id"].as_str().unwrap();
    let hook = eventually("the webhook's state", async || {
        let shown = rig.scene.client.get(job).await;
        (shown["webhooks"][0]["status"] == "dead").then(|| shown["webhooks"][0].clone())
    });
    let hook = hook.await;
    assert!(hook["reason"].as_str().unwrap().starts_with("target_refused"), "{hook:#}");
    rig.nobody_inside_was_called();
}

#[tokio::test]
async fn a_webhook_that_is_redirected_inside_is_not_posted_there() {
    let rig = Rig::start().await;
    let inside = rig.inner.at("/resume");
    rig.scene.hooks.answer([Script::answer(307).header("location", inside), Script::answer(200)]);
    let job = json!({"url": rig.at("outer.example", "/"), "webhooks": [{"url": rig.scene.hooks.url()}]});
    let job = rig.scene.client.submit(&job).await.job_id;
    let posts = rig.scene.hooks.wait_for_posts(&job, 2, sluice_tests::DEADLINE).await.unwrap();
    assert_eq!(posts.len(), 2);
    rig.nobody_inside_was_called();
}

#[tokio::test]
async fn a_webhook_whose_name_points_inside_by_the_next_try_is_given_up_then() {
    let rig = Rig::start().await;
    // The receiver is the destination itself: it hangs up after a refusal, so that the next try is a new connection.
    rig.scene.destination.on("/hook", Script::answer(500).header("connection", "close"));
    let hooks = json!([{"url": rig.at("rebinding.example", "/hook")}]);
    rig.scene.client.submit(&json!({"url": rig.at("outer.example", "/"), "webhooks": hooks})).await;
    let letter = rig.scene.system.broker.dead_letters("webhook", 1).await.remove(0);
    assert!(letter.header(REASON).unwrap().starts_with("target_refused"));
    assert_eq!(rig.scene.destination.calls("/hook").len(), 1);
    rig.nobody_inside_was_called();
}
