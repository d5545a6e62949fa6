//! What a real client sees of a scripted destination, and what the destination sees of the client.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, Instant};

use serde_json::json;

use super::*;

const SOON: Duration = Duration::from_secs(10);

fn client() -> reqwest::Client {
    // Another test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

#[tokio::test]
async fn a_call_is_answered_as_told_and_recorded_whole() {
    let dest = Destination::start().await.unwrap();
    dest.on("/v1/chat", Script::answer(201).header("x-rate", 7).json(&json!({"ok": true})));
    let answer = client().post(dest.at("/v1/chat?q=1")).header("x-key", "k").body("{\"a\":1}").send().await.unwrap();
    assert_eq!(answer.status(), 201);
    assert_eq!(answer.headers()["x-rate"], "7");
    assert_eq!(answer.content_length(), Some(11));
    assert_eq!(answer.text().await.unwrap(), "{\"ok\":true}");
    let calls = dest.wait_for(|calls| calls.iter().all(|call| call.completed_at.is_some()), SOON).await.unwrap();
    let [call] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!((call.method.as_str(), call.path.as_str(), call.query.as_deref()), ("POST", "/v1/chat", Some("q=1")));
    assert_eq!((call.header("x-key"), call.json()), (Some("k"), Some(&json!({"a": 1}))));
    assert_eq!((call.status, call.dropped_at, call.closed_at), (Some(201), None, None));
    assert!(call.at <= call.answered_at.unwrap());
}

#[tokio::test]
async fn scripts_of_a_list_follow_each_other_and_the_last_one_stays() {
    let dest = Destination::start().await.unwrap();
    dest.on("/", [Script::answer(429), Script::answer(503), Script::answer(200)]);
    let client = client();
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(client.get(dest.url()).send().await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [429, 503, 200, 200]);
}

#[tokio::test]
async fn the_longest_matching_path_counts_and_without_a_rule_the_answer_is_200() {
    let dest = Destination::start().await.unwrap();
    dest.on("/a*", Script::answer(500)).on("/a/b*", Script::answer(501)).on("/a/b/c", Script::answer(502));
    let client = client();
    let mut statuses = Vec::new();
    for path in ["/a/x", "/a/b/x", "/a/b/c", "/other"] {
        statuses.push(client.get(dest.at(path)).send().await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [500, 501, 502, 200]);
    assert_eq!((dest.calls("/a/b/c").len(), dest.calls("/a*").len(), dest.count()), (1, 3, 4));
}

#[tokio::test]
async fn an_answer_waits_for_its_delay() {
    let dest = Destination::start().await.unwrap();
    dest.on("/", Script::answer(200).after(Duration::from_millis(80)));
    let begin = Instant::now();
    client().get(dest.url()).send().await.unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(80));
    let call = &dest.all_calls()[0];
    assert!(call.answered_at.unwrap() - call.at >= Duration::from_millis(80));
}

#[tokio::test]
async fn a_client_that_leaves_a_hanging_call_is_seen_as_dropped() {
    let dest = Destination::start().await.unwrap();
    dest.on("/", Script::hang());
    let request = tokio::spawn(client().get(dest.url()).send());
    let calls = dest.wait_for(|calls| calls.len() == 1, SOON).await.unwrap();
    assert!(calls[0].is_open());
    request.abort();
    let calls = dest.wait_for(|calls| calls[0].dropped_at.is_some(), SOON).await.unwrap();
    assert_eq!((calls[0].status, calls[0].completed_at), (None, None));
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_a_slow_body_is_seen_as_dropped() {
    let dest = Destination::start().await.unwrap();
    dest.on("/", Script::answer(200).filled(1000).slowly(1, Duration::from_millis(20)));
    let mut answer = client().get(dest.url()).send().await.unwrap();
    assert_eq!(answer.content_length(), None);
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "x");
    drop(answer);
    let calls = dest.wait_for(|calls| calls[0].dropped_at.is_some(), SOON).await.unwrap();
    assert_eq!((calls[0].status, calls[0].completed_at), (Some(200), None));
}

#[tokio::test]
async fn a_slow_body_arrives_in_its_pieces_and_completes() {
    let dest = Destination::start().await.unwrap();
    dest.on("/", Script::answer(200).body("abcde").slowly(2, Duration::from_millis(30)));
    let begin = Instant::now();
    let answer = client().get(dest.url()).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "abcde");
    assert!(begin.elapsed() >= Duration::from_millis(90));
    dest.wait_for(|calls| calls[0].completed_at.is_some(), SOON).await.unwrap();
}

#[tokio::test]
async fn a_huge_body_arrives_whole() {
    let dest = Destination::start().await.unwrap();
    dest.on("/", Script::answer(200).filled(20_000_001));
    let body = client().get(dest.url()).send().await.unwrap().bytes().await.unwrap();
    assert_eq!(body.len(), 20_000_001);
    dest.wait_for(|calls| calls[0].completed_at.is_some(), SOON).await.unwrap();
}

#[tokio::test]
async fn a_closed_connection_is_an_error_for_the_client_and_no_leaving() {
    let dest = Destination::start().await.unwrap();
    dest.on("/", Script::close());
    client().post(dest.url()).body("x").send().await.unwrap_err();
    let calls = dest.wait_for(|calls| calls.iter().any(|call| call.closed_at.is_some()), SOON).await.unwrap();
    assert!(calls.iter().all(|call| call.dropped_at.is_none() && call.status.is_none()));
}

#[tokio::test]
async fn a_body_that_breaks_off_was_announced_in_full() {
    let dest = Destination::start().await.unwrap();
    dest.on("/", Script::answer(200).body("0123456789").break_off_after(4));
    let mut answer = client().get(dest.url()).send().await.unwrap();
    assert_eq!(answer.content_length(), Some(10));
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "0123");
    answer.chunk().await.unwrap_err();
    dest.wait_for(|calls| calls[0].closed_at.is_some(), SOON).await.unwrap();
}

#[tokio::test]
async fn above_its_limit_a_destination_answers_429_with_a_time_to_retry() {
    let dest = Destination::start().await.unwrap();
    dest.on("/", RateLimit::per_second(3).then(Script::answer(202)).retry_after(2));
    let client = client();
    let calls = (0..5).map(|_| client.get(dest.url()).send());
    let answers: Vec<_> = futures_util::future::join_all(calls).await.into_iter().map(Result::unwrap).collect();
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status() == 429).collect();
    assert_eq!(refused.len(), 2);
    assert!(refused.iter().all(|answer| answer.headers()["retry-after"] == "2"));
    assert_eq!(dest.look(|calls| calls.iter().filter(|call| call.status == Some(202)).count()), 3);
}

#[tokio::test]
async fn what_does_not_come_is_an_error_that_shows_no_header_and_no_body() {
    let dest = Destination::start().await.unwrap();
    client().post(dest.url()).header("authorization", "Bearer topsecret").body("hidden").send().await.unwrap();
    let error = dest.wait_for(|calls| calls.len() == 2, Duration::from_millis(30)).await.unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(shown.contains("POST /"), "{shown}");
    assert!(!shown.contains("topsecret") && !shown.contains("hidden"), "{shown}");
}

#[tokio::test]
async fn a_stopped_destination_refuses_connections_and_blames_no_client() {
    let dest = Destination::start().await.unwrap();
    dest.on("/", Script::hang());
    let (client, url) = (client(), dest.url());
    let request = tokio::spawn(client.get(&url).send());
    dest.wait_for(|calls| calls.len() == 1, SOON).await.unwrap();
    dest.stop();
    request.await.unwrap().unwrap_err();
    assert!(client.get(&url).send().await.unwrap_err().is_connect());
    assert!(dest.all_calls()[0].is_open());
}

#[tokio::test]
async fn a_receiver_keeps_payloads_by_job_and_answers_each_job_by_its_list() {
    let receiver = WebhookReceiver::start().await.unwrap();
    receiver.answer([Script::answer(500), Script::answer(204)]);
    let client = client();
    let mut statuses = Vec::new();
    for (job, status) in [("a", "failed"), ("b", "success"), ("a", "failed")] {
        let payload = json!({"job_id": job, "status": status}).to_string();
        statuses.push(client.post(receiver.url()).body(payload).send().await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [500, 500, 204]);
    let posts = receiver.wait_for_posts("a", 2, SOON).await.unwrap();
    assert!(posts.iter().all(|post| post.payload["status"] == "failed"));
    assert_eq!(receiver.wait_for_job("b", SOON).await.unwrap().payload["status"], "success");
    assert_eq!((receiver.posts("b").len(), receiver.all_posts().len()), (1, 3));
}

#[tokio::test]
async fn a_receiver_can_refuse_and_hang() {
    let receiver = WebhookReceiver::start().await.unwrap();
    receiver.answer([Script::answer(410), Script::hang()]);
    let (client, payload) = (client(), json!({"job_id": "a"}).to_string());
    let first = client.post(receiver.url()).body(payload.clone()).send().await.unwrap();
    assert_eq!(first.status(), 410);
    client.post(receiver.url()).body(payload).timeout(Duration::from_millis(50)).send().await.unwrap_err();
    let gone = |calls: &[Call]| calls.iter().any(|call| call.dropped_at.is_some());
    receiver.destination().wait_for(gone, SOON).await.unwrap();
    assert_eq!(receiver.posts("a").len(), 2);
}
