//! What is tried again, how often and when; and what is not.

use std::time::{Duration, Instant};

use serde_json::json;
use sluice::scripted::{Destination, Script};
use sluice_tests::DEADLINE;
use sluice_tests::scene::{Scene, dropped};

/// The least between an attempt and the next: what the broker's timers can do, less what a message takes.
const PAUSE: Duration = Duration::from_millis(200);

#[tokio::test]
async fn an_answer_that_may_get_better_is_tried_again_after_a_pause() {
    let scene = Scene::start().await;
    for status in [408, 425, 500, 502, 503, 504, 599] {
        let path = format!("/{status}");
        scene.destination.on(&path, [Script::answer(status), Script::answer(status), Script::answer(200)]);
    }
    for status in [408, 425, 500, 502, 503, 504, 599] {
        let path = format!("/{status}");
        let payload = scene.run(&path, json!({"idempotent_key": path})).await;
        assert_eq!(payload["status"], "success", "{status}: {payload:#}");
        let calls = scene.destination.calls(&path);
        assert_eq!(calls.len(), 3, "{calls:#?}");
        assert!(calls.windows(2).all(|two| two[1].at.duration_since(two[0].at) >= PAUSE), "{calls:#?}");
        assert!(calls.iter().all(|call| call.header("idempotency-key") == Some(path.as_str())));
    }
}

#[tokio::test]
async fn an_answer_that_will_not_get_better_ends_the_job_at_once() {
    let scene = Scene::start().await;
    for status in [400, 401, 403, 404, 409, 410, 422] {
        let path = format!("/{status}");
        scene.destination.on(&path, Script::answer(status).body("no"));
        let payload = scene.run(&path, json!({})).await;
        assert_eq!((&payload["status"], &payload["reason"]), (&json!("failed"), &json!("exhausted")), "{payload:#}");
        assert_eq!(payload["response"]["status_code"], status);
    }
    scene.nothing_left().await;
    assert_eq!(scene.destination.count(), 7);
}

#[tokio::test]
async fn a_destination_that_cannot_be_reached_is_tried_again_until_it_can() {
    let scene = Scene::start().await;
    let gone = Destination::start().await.unwrap();
    let (address, url) = (gone.address(), gone.at("/"));
    gone.stop();
    let id = scene.submit("/", json!({"url": url, "retry_policy": {"max_retries": 100}})).await;
    let mut events = scene.client.events(&id, None).await;
    loop {
        let event = events.next().await.expect("an attempt that failed");
        if event.name == "answered" {
            assert_eq!(event.data["error"], "connect", "{event:?}");
            break;
        }
    }
    let until = Instant::now() + DEADLINE;
    let back = loop {
        match Destination::start_on(address).await {
            Ok(destination) => break destination,
            Err(error) => assert!(Instant::now() < until, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let payload = scene.outcome(&id).await;
    assert_eq!(payload["status"], "success", "{payload:#}");
    assert_eq!(back.count(), 1);
}

#[tokio::test]
async fn a_connection_that_breaks_before_or_within_the_answer_is_tried_again() {
    let scene = Scene::start().await;
    let half = Script::answer(200).filled(10_000).break_off_after(5_000);
    scene.destination.on("/", [Script::close(), half, Script::answer(200).body("whole")]);
    let payload = scene.run("/", json!({})).await;
    assert_eq!((&payload["status"], &payload["response"]["body"]), (&json!("success"), &json!("whole")));
    assert_eq!(scene.destination.count(), 3);
}

#[tokio::test]
async fn an_attempt_that_takes_longer_than_it_may_is_dropped_and_tried_again() {
    let scene = Scene::start().await;
    let slow = Script::answer(200).filled(1_000_000).slowly(1_000, Duration::from_millis(50));
    scene.destination.on("/", [Script::hang(), slow, Script::answer(200).body("in time")]);
    let payload = scene.run("/", json!({"timeout_ms": 400})).await;
    assert_eq!((&payload["status"], &payload["response"]["body"]), (&json!("success"), &json!("in time")));
    for number in [0, 1] {
        let call = dropped(&scene.destination, number).await;
        let lasted = call.dropped_at.unwrap().duration_since(call.at);
        assert!(lasted >= Duration::from_millis(300), "{lasted:?}");
    }
}

#[tokio::test]
async fn a_job_that_timed_out_at_its_last_attempt_says_so() {
    let scene = Scene::start().await;
    scene.destination.on("/", Script::hang());
    let payload = scene.run("/", json!({"timeout_ms": 300, "retry_policy": {"max_retries": 0}})).await;
    assert_eq!((&payload["status"], &payload["error"]["kind"]), (&json!("failed"), &json!("timeout")), "{payload:#}");
    assert_eq!(payload["response"], json!(null));
}

#[tokio::test]
async fn without_a_word_of_it_there_are_three_retries() {
    let scene = Scene::start().await;
    scene.destination.on("/", Script::answer(500).body("down"));
    let payload = scene.run("/", json!({})).await;
    assert_eq!((&payload["status"], &payload["reason"]), (&json!("failed"), &json!("exhausted")), "{payload:#}");
    assert_eq!(payload["response"]["status_code"], 500);
    let branch = &payload["branches"][0];
    assert_eq!((&branch["attempt"], &branch["response"]["body"]), (&json!(4), &json!("down")), "{payload:#}");
    scene.nothing_left().await;
    assert_eq!(scene.destination.count(), 4);
}

#[tokio::test]
async fn the_jobs_own_policy_says_how_often_and_for_which_statuses() {
    let scene = Scene::start().await;
    for path in ["/never", "/twice", "/404", "/500"] {
        let status = if path == "/404" { 404 } else { 500 };
        scene.destination.on(path, Script::answer(status));
    }
    for (path, policy, calls) in [
        ("/never", json!({"max_retries": 0}), 1),
        ("/twice", json!({"maxRetries": 2}), 3),
        ("/404", json!({"max_retries": 1, "retry_codes": [404]}), 2),
        ("/500", json!({"max_retries": 1, "retry_codes": [404]}), 1),
    ] {
        let payload = scene.run(path, json!({"retry_policy": policy})).await;
        assert_eq!(payload["status"], "failed", "{path}: {payload:#}");
        assert_eq!(scene.destination.calls(path).len(), calls, "{path}");
    }
}
