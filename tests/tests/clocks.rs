//! Machines whose clocks are wrong: by the broker's clock everything happens when it should, and gates keep their rates.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice::scripted::{Destination, Script};
use sluice_tests::check::worst_second;
use sluice_tests::configuration::Configuration;
use sluice_tests::scene::Scene;
use sluice_tests::system::{Setup, WrongClocks};

/// Calls a second of the destination.
const RATE: usize = 20;
/// Calls that may arrive in a second above the rate: the stated bound is one, and each is on its way for longer or shorter
/// on a busy machine. A worker that went by its own clock would send as much again.
const TOLERANCE: usize = 4;
const JOBS: usize = 120;
const HOUR: i64 = 3_600_000;

/// The jobs of one destination, by two workers.
async fn two_workers_share_a_gate(clocks: &'static [i64]) {
    let destination = Destination::start().await.unwrap();
    let configuration = Configuration::default().limit(&destination, 20.0, 1);
    let wrong_clocks = WrongClocks { workers: clocks, ..WrongClocks::default() };
    let scene = Scene::at(destination, Setup { workers: 2, wrong_clocks, configuration, ..Setup::default() }).await;
    let jobs: Vec<Value> = (0..JOBS).map(|_| scene.job("/", json!({}))).collect();
    scene.client.batch(&jobs).await;
    let moments: Vec<Instant> = scene.calls("/", JOBS).await.iter().map(|call| call.at).collect();
    scene.nothing_left().await;
    assert_eq!(scene.destination.count(), JOBS);
    let worst = worst_second(&moments);
    assert!(worst <= RATE + TOLERANCE, "{clocks:?}: {worst} calls in a second");
    for worker in &scene.system.workers {
        let share = worker.counted("attempts_total").await;
        assert!(share >= JOBS as f64 / 10.0, "{clocks:?}: one of two workers made {share} of {JOBS} calls");
    }
}

#[tokio::test]
async fn a_worker_that_is_ahead_keeps_the_rate_and_starves_nobody() {
    two_workers_share_a_gate(&[5_000, 0]).await;
}

#[tokio::test]
async fn a_worker_that_is_behind_keeps_the_rate_and_is_not_starved() {
    two_workers_share_a_gate(&[-5_000, 0]).await;
}

#[tokio::test]
async fn workers_that_are_hours_apart_keep_the_rate_together() {
    two_workers_share_a_gate(&[HOUR, -HOUR]).await;
}

/// How long something took, which may take this long and a bit.
fn took(begin: Instant, least: u64) {
    let (took, least) = (begin.elapsed(), Duration::from_millis(least));
    assert!(
        took + Duration::from_millis(50) >= least && took < least + Duration::from_secs(15),
        "{took:?}, not {least:?}"
    );
}

#[tokio::test]
async fn retries_deadlines_fallbacks_webhooks_and_times_ahead_come_when_they_should_though_every_clock_is_wrong() {
    let wrong_clocks = WrongClocks { gateways: &[HOUR], workers: &[-HOUR], deliveries: &[5_000] };
    let scene = Scene::with(Setup { wrong_clocks, ..Setup::default() }).await;

    let begin = Instant::now();
    scene.destination.on("/hangs", Script::hang());
    let payload = scene.run("/hangs", json!({"deadline_ms": 2000})).await;
    assert_eq!(payload["reason"], "deadline", "{payload:#}");
    took(begin, 2000);

    let begin = Instant::now();
    let fallback =
        json!({"url": scene.destination.at("/other"), "trigger": {"type": "on_timeout", "timeout_ms": 1000}});
    let payload = scene.run("/hangs", json!({"fallback_job": fallback})).await;
    assert_eq!((&payload["status"], &payload["winner"]), (&json!("success"), &json!(1)), "{payload:#}");
    took(begin, 1000);

    scene.destination.on("/gets-better", [Script::answer(503).header("retry-after", 1), Script::answer(200)]);
    let payload = scene.run("/gets-better", json!({})).await;
    assert_eq!(payload["status"], "success", "{payload:#}");
    let calls = scene.destination.calls("/gets-better");
    took(Instant::now() - calls[1].at.duration_since(calls[0].at), 1000);

    scene.destination.on("/limited", [Script::answer(429).header("retry-after", 2), Script::answer(200)]);
    scene.run("/limited", json!({})).await;
    let calls = scene.destination.calls("/limited");
    took(Instant::now() - calls[1].at.duration_since(calls[0].at), 2000);

    let begin = Instant::now();
    let at = sluice_shared::clock::now().after(Duration::from_secs(2));
    scene.hooks.answer([Script::answer(500), Script::answer(200)]);
    let id = scene.submit("/ahead", json!({"retry_at": at.0})).await;
    let posts = scene.hooks.wait_for_posts(&id, 2, sluice_tests::DEADLINE).await.unwrap();
    took(begin, 2000);
    took(Instant::now() - posts[1].call.at.duration_since(posts[0].call.at), 300);
}
