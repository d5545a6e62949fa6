//! What is known only at the call: a branch that fails at once, redirects that nobody follows, proxies that nobody uses.

use serde_json::json;
use sluice::scripted::Script;

use crate::rig::{Rig, refused, says_nothing};

#[tokio::test]
async fn a_name_of_a_private_address_fails_its_branch_at_once_and_nobody_learns_why() {
    let rig = Rig::start().await;
    for host in ["inner.example", "mapped.example", "translated.example", "credentials.example"] {
        let outcome = rig.run(host, json!({"retry_policy": {"max_retries": 5}})).await;
        refused(&outcome);
        let job = outcome["job_id"].as_str().unwrap();
        let shown = rig.scene.client.get(job).await;
        assert_eq!(shown["attempts"], 1, "{shown:#}");
        assert_eq!(shown["branches"][0]["last"]["error"]["kind"], "target_refused", "{shown:#}");
        says_nothing(&shown.to_string());
        let events = rig.scene.client.events(job, None).await.rest().await;
        says_nothing(&format!("{events:?}"));
    }
    rig.nobody_inside_was_called();
    assert!(rig.scene.system.workers[0].said().contains(r#""why":"loopback""#), "whoever runs this is not told");
}

#[tokio::test]
async fn a_name_without_an_address_is_not_refused_but_tried_again() {
    let rig = Rig::start().await;
    let outcome = rig.run("nowhere.example", json!({"retry_policy": {"max_retries": 1}})).await;
    assert_eq!(outcome["branches"][0]["error"]["kind"], "connect", "{outcome:#}");
}

#[tokio::test]
async fn a_refused_target_starts_its_fallback_which_may_win() {
    let rig = Rig::start().await;
    rig.scene.destination.on("/fallback", Script::answer(200).body("hello"));
    let fallback = json!({"url": rig.at("outer.example", "/fallback"), "trigger": {"type": "on_error"}});
    let outcome = rig.run("inner.example", json!({"fallback_job": fallback})).await;
    assert_eq!((&outcome["status"], &outcome["winner"]), (&json!("success"), &json!(1)), "{outcome:#}");
    // And the other way round: a fallback that may not be called leaves its parent's answer.
    rig.scene.destination.on("/fails", Script::answer(404));
    let fallback = json!({"url": rig.at("inner.example", "/"), "trigger": {"type": "on_error"}});
    let outcome =
        rig.run("outer.example", json!({"url": rig.at("outer.example", "/fails"), "fallback_job": fallback})).await;
    assert_eq!(outcome["status"], "failed", "{outcome:#}");
    assert_eq!(outcome["branches"][1]["error"]["kind"], "target_refused", "{outcome:#}");
    rig.nobody_inside_was_called();
}

#[tokio::test]
async fn a_follow_up_whose_target_is_refused_fails_as_a_job_of_its_own() {
    let rig = Rig::start().await;
    let hooks = json!([{"url": rig.scene.hooks.at("/follow-up")}]);
    let follow_up = json!({"url": rig.at("inner.example", "/"), "webhooks": hooks});
    let outcome = rig.run("outer.example", json!({"on_success": follow_up})).await;
    assert_eq!(outcome["status"], "success", "{outcome:#}");
    let told = sluice_tests::eventually("the follow-up's outcome", async || {
        rig.scene.hooks.all_posts().into_iter().find(|post| post.call.path == "/follow-up")
    });
    refused(&told.await.payload);
    rig.nobody_inside_was_called();
}

#[tokio::test]
async fn a_redirect_inside_is_an_answer_and_no_call() {
    let rig = Rig::start().await;
    for (path, status) in [("/moved", 302), ("/kept", 307), ("/gone", 308)] {
        let inside = rig.inner.at("/latest/meta-data/");
        rig.scene.destination.on(path, Script::answer(status).header("location", inside));
        let outcome = rig.run("outer.example", json!({"url": rig.at("outer.example", path)})).await;
        assert_eq!(outcome["status"], "failed", "{outcome:#}");
        assert_eq!(outcome["branches"][0]["response"]["status_code"], status, "{outcome:#}");
        assert_eq!(rig.scene.destination.calls(path).len(), 1);
    }
    rig.nobody_inside_was_called();
}

#[tokio::test]
async fn a_public_target_is_called_past_the_proxies_of_the_environment() {
    let rig = Rig::start().await;
    for host in ["outer.example", "mapped-outer.example", "127.0.0.1"] {
        let outcome = rig.run(host, json!({})).await;
        assert_eq!(outcome["status"], "success", "{host}: {outcome:#}");
    }
    let hosts: Vec<_> =
        rig.scene.destination.calls("/").into_iter().map(|call| call.header("host").unwrap().to_owned()).collect();
    let expected = ["outer.example", "mapped-outer.example", "127.0.0.1"];
    assert_eq!(hosts, expected.map(|host| format!("{host}:{}", rig.inner.address().port())));
    rig.nobody_inside_was_called();
}
