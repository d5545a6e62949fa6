//! Gates: what a destination says about its limits, and that all workers keep to it.

use std::time::{Duration, Instant, UNIX_EPOCH};

use serde_json::{Value, json};
use sluice::scripted::{Call, Destination, Rule, Script};
use sluice_shared::clock;
use sluice_tests::DEADLINE;
use sluice_tests::check::{most_at_once, span};
use sluice_tests::configuration::Configuration;
use sluice_tests::scene::Scene;
use sluice_tests::system::Setup;

/// A call whose slot came together with the news of a closing may still begin.
const GRACE: Duration = Duration::from_millis(250);

/// Two workers.
async fn two_workers(configuration: Configuration) -> Scene {
    Scene::with(Setup { workers: 2, configuration, ..Setup::default() }).await
}

async fn submit_all(scene: &Scene, jobs: usize, fields: &Value) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..jobs {
        ids.push(scene.submit("/", fields.clone()).await);
    }
    ids
}

async fn all_succeed(scene: &Scene, ids: &[String]) {
    for id in ids {
        let payload = scene.outcome(id).await;
        assert_eq!(payload["status"], "success", "{payload:#}");
    }
}

/// From the first answer to the first call that is not of the same moment.
fn closed_for(calls: &[Call]) -> Duration {
    let answered = calls[0].answered_at.unwrap();
    let next = calls.iter().skip(1).map(|call| call.at).filter(|at| *at > answered + GRACE).min();
    next.expect("a later call").duration_since(answered)
}

#[tokio::test]
async fn a_429_uses_up_no_attempt_and_closes_the_gate_for_all_workers_as_long_as_it_says() {
    let scene = two_workers(Configuration::default()).await;
    scene.destination.on("/", [Script::answer(429).header("retry-after", 2), Script::answer(200)]);
    let once = json!({"retry_policy": {"max_retries": 0}});
    let mut ids = submit_all(&scene, 1, &once).await;
    scene.destination.wait_for(|calls| calls.iter().any(|call| call.status == Some(429)), DEADLINE).await.unwrap();
    ids.extend(submit_all(&scene, 20, &once).await);
    all_succeed(&scene, &ids).await;
    let calls = scene.destination.all_calls();
    assert!(closed_for(&calls) >= Duration::from_millis(1900), "{calls:#?}");
    scene.nothing_left().await;
    let refused = scene.destination.look(|calls| calls.iter().filter(|call| call.status == Some(429)).count());
    assert_eq!(scene.destination.count(), ids.len() + refused);
}

#[tokio::test]
async fn a_429_is_tried_again_however_often_it_comes() {
    let scene = Scene::start().await;
    let limited = Script::answer(429).header("retry-after", 1);
    scene.destination.on("/", [limited.clone(), limited.clone(), limited, Script::answer(200)]);
    let payload = scene.run("/", json!({"retry_policy": {"max_retries": 0}})).await;
    assert_eq!(payload["status"], "success", "{payload:#}");
    assert_eq!(scene.destination.count(), 4);
}

#[tokio::test]
async fn a_retry_after_that_is_a_date_is_kept_to() {
    let scene = Scene::start().await;
    let (now, seen) = (clock::now(), Instant::now());
    let opens = UNIX_EPOCH + Duration::from_secs(now.0 / 1000 + 3);
    let limited = Script::answer(429).header("retry-after", httpdate::fmt_http_date(opens));
    scene.destination.on("/", [limited, Script::answer(200)]);
    scene.run("/", json!({})).await;
    let left = opens.duration_since(UNIX_EPOCH + Duration::from_millis(now.0)).unwrap();
    let after = scene.destination.all_calls()[1].at.duration_since(seen);
    // The clock's milliseconds are cut off.
    assert!(after + Duration::from_millis(2) >= left, "{after:?} of {left:?}");
}

#[tokio::test]
async fn a_429_without_a_time_closes_the_gate_for_a_second() {
    let scene = Scene::start().await;
    scene.destination.on("/", [Script::answer(429), Script::answer(200)]);
    scene.run("/", json!({})).await;
    let closed = closed_for(&scene.destination.all_calls());
    assert!(closed >= Duration::from_millis(900), "{closed:?}");
}

#[tokio::test]
async fn a_503_with_a_time_closes_the_gate_and_uses_up_an_attempt() {
    let scene = two_workers(Configuration::default()).await;
    scene.destination.on("/once", Script::answer(503).header("retry-after", 2));
    let payload = scene.run("/once", json!({"retry_policy": {"max_retries": 0}})).await;
    assert_eq!((&payload["status"], &payload["response"]["status_code"]), (&json!("failed"), &json!(503)));
    let ids = submit_all(&scene, 10, &json!({})).await;
    all_succeed(&scene, &ids).await;
    let calls = scene.destination.all_calls();
    assert_eq!(calls.len(), 11);
    assert!(closed_for(&calls) >= Duration::from_millis(1900), "{calls:#?}");
}

#[tokio::test]
async fn an_answer_that_says_that_nothing_is_left_closes_the_gate_until_the_reset() {
    let scene = two_workers(Configuration::default()).await;
    let last = Script::answer(200).header("x-ratelimit-remaining", 0).header("x-ratelimit-reset", 2);
    scene.destination.on("/", [last, Script::answer(200)]);
    scene.run("/", json!({})).await;
    let ids = submit_all(&scene, 10, &json!({})).await;
    all_succeed(&scene, &ids).await;
    let calls = scene.destination.all_calls();
    assert_eq!(calls.len(), 11);
    assert!(closed_for(&calls) >= Duration::from_millis(1900), "{calls:#?}");
}

#[tokio::test]
async fn a_gate_that_is_closed_holds_up_no_other_destination() {
    let scene = Scene::start().await;
    let other = Destination::start().await.unwrap();
    scene.destination.on("/", Script::answer(429).header("retry-after", 600));
    submit_all(&scene, 20, &json!({})).await;
    scene.calls("/", 1).await;
    let payload = scene.run("/", json!({"url": other.at("/")})).await;
    assert_eq!(payload["status"], "success", "{payload:#}");
}

#[tokio::test]
async fn accounts_at_a_destination_have_gates_of_their_own() {
    let scene = Scene::start().await;
    scene.destination.on(
        "/",
        Rule::choose(|call, _| match call.header("x-account") {
            Some("a") => Script::answer(429).header("retry-after", 600),
            Some(_) | None => Script::answer(200),
        }),
    );
    scene.submit("/", json!({"account": "a", "headers": {"x-account": "a"}})).await;
    scene.calls("/", 1).await;
    let payload = scene.run("/", json!({"account": "b", "headers": {"x-account": "b"}})).await;
    assert_eq!(payload["status"], "success", "{payload:#}");
}

#[tokio::test]
async fn a_faster_pace_that_a_destination_announces_is_that_of_every_worker() {
    let scene = two_workers(Configuration::default().set("gate.rate", 1.0).set("gate.burst", 1)).await;
    scene.destination.on("/", Script::answer(200).header("x-ezthrottle-rps", 50));
    let ids = submit_all(&scene, 60, &json!({})).await;
    all_succeed(&scene, &ids).await;
    let took = span(&scene.destination.look(|calls| calls.iter().map(|call| call.at).collect::<Vec<_>>()));
    assert!(took < Duration::from_secs(30), "{took:?}");
}

#[tokio::test]
async fn a_slower_pace_that_a_destination_announces_is_that_of_every_worker() {
    let scene = two_workers(Configuration::default()).await;
    scene.destination.on("/", Script::answer(200).header("x-aqueduct-rps", 5));
    scene.run("/", json!({})).await;
    let ids = submit_all(&scene, 16, &json!({})).await;
    all_succeed(&scene, &ids).await;
    let moments: Vec<Instant> = scene.destination.look(|calls| calls[1..].iter().map(|call| call.at).collect());
    // 16 calls, of which as many as the burst of ten may go at once after the pause.
    let took = span(&moments);
    assert!(took >= Duration::from_millis(1000), "{took:?}");
}

#[tokio::test]
async fn calls_at_once_that_a_destination_announces_are_counted_over_all_workers() {
    let scene = two_workers(Configuration::default()).await;
    let slow = Script::answer(200).header("x-ezthrottle-max-concurrent", 2).after(Duration::from_millis(100));
    scene.destination.on("/", slow);
    scene.run("/", json!({})).await;
    let ids = submit_all(&scene, 20, &json!({})).await;
    all_succeed(&scene, &ids).await;
    let intervals = scene.destination.look(|calls| {
        let of_call = |call: &Call| Some((call.at, call.answered_at?));
        calls.iter().skip(1).filter_map(of_call).collect::<Vec<_>>()
    });
    assert_eq!((intervals.len(), most_at_once(&intervals)), (20, 2));
}
