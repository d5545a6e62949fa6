//! Jobs that follow others: once each, by how the one before ended or by its being late.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sluice::scripted::{Destination, Script};
use sluice_tests::scene::{Scene, calls};

#[tokio::test]
async fn a_success_is_followed_once_by_its_job_and_that_by_the_next() {
    let scene = Scene::start().await;
    let third = scene.job("/third", json!({}));
    let second = scene.job("/second", json!({"method": "POST", "body": "b", "on_success": third}));
    let never = scene.job("/never", json!({}));
    let id = scene.submit("/first", json!({"on_success": second, "on_failure": never})).await;
    scene.calls("/third", 1).await;
    scene.nothing_left().await;
    let paths: Vec<String> = scene.destination.all_calls().into_iter().map(|call| call.path).collect();
    assert_eq!(paths, ["/first", "/second", "/third"]);
    let call = &scene.destination.calls("/second")[0];
    assert_eq!((call.method.as_str(), &call.body[..]), ("POST", &b"b"[..]));
    let key = call.header("idempotency-key").unwrap();
    assert!(key.starts_with(&format!("{id}:")) && key.ends_with(":on_success"), "{key}");
    let posts = scene.hooks.all_posts();
    let jobs: BTreeSet<&str> = posts.iter().map(|post| post.payload["job_id"].as_str().unwrap()).collect();
    assert_eq!((posts.len(), jobs.len()), (3, 3));
}

#[tokio::test]
async fn a_failure_is_followed_once_by_its_job() {
    let scene = Scene::start().await;
    scene.destination.on("/first", Script::answer(404));
    let never = scene.job("/never", json!({}));
    let rescue = scene.job("/rescue", json!({"metadata": {"of": "first"}}));
    scene.run("/first", json!({"on_success": never, "on_failure": rescue})).await;
    scene.calls("/rescue", 1).await;
    scene.nothing_left().await;
    assert_eq!((scene.destination.calls("/never").len(), scene.destination.calls("/rescue").len()), (0, 1));
    let followed = scene.hooks.all_posts().into_iter().any(|post| post.payload["metadata"] == json!({"of": "first"}));
    assert!(followed);
}

#[tokio::test]
async fn a_cancelled_job_is_followed_by_nothing() {
    let scene = Scene::start().await;
    scene.destination.on("/first", Script::hang());
    let (one, other) = (scene.job("/one", json!({})), scene.job("/other", json!({})));
    let id = scene.submit("/first", json!({"on_success": one, "on_failure": other})).await;
    scene.calls("/first", 1).await;
    scene.client.cancel(&id).await;
    assert_eq!(scene.outcome(&id).await["status"], "cancelled");
    scene.nothing_left().await;
    assert_eq!(scene.destination.count(), 1);
}

/// A job at a destination of its own, whose gate nothing closes.
fn rescue(elsewhere: &Destination, path: &str) -> Value {
    json!({"url": elsewhere.at(path)})
}

#[tokio::test]
async fn a_late_job_is_followed_while_it_goes_on_and_not_again_when_it_fails() {
    let (scene, elsewhere) = (Scene::start().await, Destination::start().await.unwrap());
    scene.destination.on("/", [Script::answer(503).header("retry-after", 3), Script::answer(404)]);
    let late = json!({"on_failure": rescue(&elsewhere, "/rescue"), "on_failure_timeout_ms": 500});
    let id = scene.submit("/", late).await;
    calls(&elsewhere, "/rescue", 1).await;
    assert_eq!(scene.destination.count(), 1, "it has not ended yet");
    let payload = scene.outcome(&id).await;
    assert_eq!((&payload["status"], &payload["response"]["status_code"]), (&json!("failed"), &json!(404)));
    scene.nothing_left().await;
    assert_eq!(elsewhere.count(), 1);
}

#[tokio::test]
async fn a_late_job_that_succeeds_after_all_is_a_success_and_one_in_time_is_followed_by_nothing() {
    let (scene, elsewhere) = (Scene::start().await, Destination::start().await.unwrap());
    scene.destination.on("/late", [Script::answer(503).header("retry-after", 2), Script::answer(200)]);
    let late = json!({"on_failure": rescue(&elsewhere, "/rescue"), "on_failure_timeout_ms": 300});
    let id = scene.submit("/late", late).await;
    calls(&elsewhere, "/rescue", 1).await;
    assert_eq!(scene.outcome(&id).await["status"], "success");
    let in_time = json!({"on_failure": rescue(&elsewhere, "/no-rescue"), "on_failure_timeout_ms": 1000});
    assert_eq!(scene.run("/in-time", in_time).await["status"], "success");
    scene.nothing_left().await;
    assert_eq!((elsewhere.calls("/rescue").len(), elsewhere.calls("/no-rescue").len()), (1, 0));
}
