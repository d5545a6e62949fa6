//! What goes out and what comes back: requests as they were given, answers as they came.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::json;
use sluice::scripted::Script;
use sluice_shared::clock;
use sluice_tests::DEADLINE;
use sluice_tests::configuration::Configuration;
use sluice_tests::scene::Scene;

/// The trace and the span of a `traceparent`.
fn trace(header: &str) -> (&str, &str) {
    let mut parts = header.split('-').skip(1);
    (parts.next().unwrap(), parts.next().unwrap())
}

#[tokio::test]
async fn a_job_is_called_once_as_it_was_given_and_its_outcome_arrives_once_at_its_webhook() {
    let scene = Scene::start().await;
    let answer = Script::answer(201).header("x-answer", "a").header("keep-alive", "timeout=5").json(&json!({"b": 2}));
    scene.destination.on("/v1/chat", answer);
    let job = scene.job(
        "/v1/chat?q=1",
        json!({
            "method": "put", "headers": {"X-Custom": "c", "Authorization": "Bearer k"}, "body": {"a": 1, "b": [ ]},
            "metadata": {"workflow_id": 7}, "idempotent_key": "step 7",
        }),
    );
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = [("traceparent", parent)];
    let taken = scene.client.send(Method::POST, "/v1/jobs", &headers, Some(job.to_string().into())).await;
    assert_eq!(taken.status, 202, "{taken:#?}");
    assert_eq!((&taken.body["status"], &taken.body["idempotent_key"]), (&json!("queued"), &json!("step 7")));
    let id = taken.body["job_id"].as_str().unwrap();
    assert!(taken.header("location").ends_with(&format!("/v1/jobs/{id}")), "{taken:#?}");
    let payload = scene.outcome(id).await;

    scene.nothing_left().await;
    let calls = scene.destination.all_calls();
    let [call] = calls.as_slice() else { panic!("{calls:#?}") };
    assert_eq!((&call.method, call.path.as_str(), call.query.as_deref()), (&Method::PUT, "/v1/chat", Some("q=1")));
    assert_eq!((call.header("x-custom"), call.header("authorization")), (Some("c"), Some("Bearer k")));
    assert_eq!(&call.body[..], json!({"a": 1, "b": []}).to_string().as_bytes());
    assert_eq!(call.header("content-type"), Some("application/json"));
    assert_eq!(call.header("idempotency-key"), Some("step 7"));
    let child = call.header("traceparent").expect("a traceparent");
    assert_eq!(trace(child).0, trace(parent).0);
    assert_ne!(trace(child).1, trace(parent).1);
    for hop in ["connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"] {
        assert_eq!(call.header(hop), None, "{hop}");
    }

    let posts = scene.hooks.posts(id);
    let [post] = posts.as_slice() else { panic!("{posts:#?}") };
    assert_eq!(post.call.header("content-type"), Some("application/json"));
    assert_eq!(post.call.header("webhook-id"), payload["delivery"]["id"].as_str());
    assert_eq!((&payload["job_id"], &payload["idempotent_key"]), (&json!(id), &json!("step 7")));
    assert_eq!((&payload["status"], &payload["winner"]), (&json!("success"), &json!(0)));
    assert_eq!((&payload["metadata"], &payload["delivery"]["attempt"]), (&json!({"workflow_id": 7}), &json!(1)));
    let response = &payload["response"];
    assert_eq!((&response["status_code"], &response["body"]), (&json!(201), &json!(r#"{"b":2}"#)));
    let headers = &response["headers"];
    assert_eq!((&headers["x-answer"], &headers["content-type"]), (&json!("a"), &json!("application/json")));
    assert_eq!((headers.get("keep-alive"), headers.get("connection")), (None, None));
}

#[tokio::test]
async fn a_job_without_a_key_gets_one_and_the_destination_sees_the_same() {
    let scene = Scene::start().await;
    let receipt = scene.client.submit(&scene.job("/", json!({}))).await;
    let payload = scene.outcome(&receipt.job_id).await;
    assert_eq!(payload["idempotent_key"], receipt.idempotent_key.as_str());
    let call = &scene.destination.calls("/")[0];
    assert_eq!(call.header("idempotency-key"), Some(receipt.idempotent_key.as_str()));
    assert_eq!((&call.method, call.body.len()), (&Method::GET, 0));
}

#[tokio::test]
async fn an_idempotency_key_of_the_request_itself_goes_before_that_of_the_job() {
    let scene = Scene::start().await;
    scene.run("/", json!({"idempotent_key": "job's", "headers": {"Idempotency-Key": "request's"}})).await;
    let keys: Vec<_> = scene.destination.calls("/")[0].headers.get_all("idempotency-key").iter().cloned().collect();
    assert_eq!(keys, ["request's"]);
}

#[tokio::test]
async fn a_body_of_a_mebibyte_goes_through_whole() {
    let scene = Scene::start().await;
    let body: String = (0..1 << 20).map(|at: u32| char::from(b'a' + u8::try_from(at % 23).unwrap())).collect();
    let payload =
        scene.run("/", json!({"method": "POST", "body": body, "headers": {"content-type": "text/plain"}})).await;
    assert_eq!(payload["status"], "success");
    let call = &scene.destination.calls("/")[0];
    assert!(call.body == body.as_bytes(), "{} bytes arrived", call.body.len());
    assert_eq!(call.header("content-length"), Some("1048576"));
}

#[tokio::test]
async fn a_job_with_no_body_and_an_answer_with_none_are_as_good_as_any() {
    let scene = Scene::start().await;
    scene.destination.on("/none", Script::answer(204)).on("/empty", Script::answer(200));
    for (path, status) in [("/none", 204), ("/empty", 200)] {
        let payload = scene.run(path, json!({"method": "POST", "body": ""})).await;
        assert_eq!((&payload["status"], &payload["response"]["status_code"]), (&json!("success"), &json!(status)));
        assert_eq!(payload["response"]["body"], "");
        assert_eq!(scene.destination.calls(path)[0].body.len(), 0);
    }
}

#[tokio::test]
async fn a_binary_answer_comes_back_as_base64_and_binary_requests_go_out_from_it() {
    let scene = Scene::start().await;
    scene.destination.on("/", Script::answer(200).body(vec![0xff, 0, 0xfe]));
    let payload = scene.run("/", json!({"method": "POST", "body": "AAEC/w==", "body_encoding": "base64"})).await;
    assert_eq!(payload["response"]["body"], "/wD+");
    assert_eq!(payload["response"]["body_encoding"], "base64");
    assert_eq!(&scene.destination.calls("/")[0].body[..], [0, 1, 2, 0xff]);
}

#[tokio::test]
async fn an_answer_above_the_limit_is_a_success_that_is_marked_as_cut_and_not_asked_for_again() {
    let scene = Scene::with(Configuration::default().set("worker.response_limit", "4 KiB")).await;
    scene.destination.on("/", Script::answer(200).filled(1 << 20));
    let payload = scene.run("/", json!({})).await;
    assert_eq!((&payload["status"], &payload["response"]["truncated"]), (&json!("success"), &json!(true)));
    assert_eq!(payload["response"]["body"], "x".repeat(4096));
    scene.nothing_left().await;
    assert_eq!(scene.destination.count(), 1);
}

#[tokio::test]
async fn a_redirect_is_the_answer_for_following_it_would_be_a_call_that_no_gate_was_asked_for() {
    let scene = Scene::start().await;
    scene.destination.on("/", Script::answer(307).header("location", "/there"));
    let payload = scene.run("/", json!({})).await;
    assert_eq!((&payload["status"], &payload["response"]["status_code"]), (&json!("failed"), &json!(307)));
    assert_eq!(payload["response"]["headers"]["location"], "/there");
    assert_eq!(scene.destination.count(), 1);
}

#[tokio::test]
async fn a_job_with_a_time_is_not_called_before_it() {
    let scene = Scene::start().await;
    let (now, started) = (clock::now(), Instant::now());
    let wait = Duration::from_millis(1500);
    scene.run("/", json!({"retry_at": now.after(wait).0})).await;
    let after = scene.destination.calls("/")[0].at.duration_since(started);
    // The clock's milliseconds are cut off.
    assert!(after + Duration::from_millis(1) >= wait, "{after:?}");
}

#[tokio::test]
async fn a_job_without_webhooks_is_told_by_the_gateway_that_is_asked() {
    let scene = Scene::start().await;
    scene.destination.on("/", Script::answer(200).body("hello").after(Duration::from_millis(300)));
    let id = scene.submit("/", json!({"webhooks": []})).await;
    let job = scene.client.wait(&id).await;
    assert_eq!((&job["status"], &job["outcome"]["response"]["body"]), (&json!("success"), &json!("hello")), "{job:#}");
    scene.nothing_left().await;
    assert_eq!(scene.hooks.all_posts().len(), 0);
}

#[tokio::test]
async fn a_webhook_that_fails_is_posted_again_with_the_same_id_until_it_is_taken() {
    let scene = Scene::start().await;
    scene.hooks.answer([Script::answer(500), Script::close(), Script::answer(204)]);
    let id = scene.submit("/", json!({})).await;
    let posts = scene.hooks.wait_for_posts(&id, 3, DEADLINE).await.unwrap();
    let ids: Vec<_> = posts.iter().map(|post| post.call.header("webhook-id").unwrap()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let tries: Vec<_> = posts.iter().map(|post| &post.payload["delivery"]["attempt"]).collect();
    assert_eq!(tries, [&json!(1), &json!(2), &json!(3)]);
    scene.nothing_left().await;
    assert_eq!(scene.hooks.posts(&id).len(), 3);
}
