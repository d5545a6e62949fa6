//! Limits that are learned from a destination: what it announces is kept to, and what it does not is found out.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice::scripted::{Call, Quota, RateLimit, Script};
use sluice_shared::clock;
use sluice_shared::domain::gate::Interval;
use sluice_shared::domain::gate::{GateState, Limits, Nanos, effective};
use sluice_shared::domain::id::{Destination, GateName};
use sluice_tests::configuration::Configuration;
use sluice_tests::scene::Scene;
use sluice_tests::system::Setup;

async fn two_workers(configuration: Configuration) -> Scene {
    Scene::with(Setup { workers: 2, configuration, ..Setup::default() }).await
}

/// Submits so many jobs and waits until all of them have succeeded.
async fn all_succeed(scene: &Scene, jobs: usize) {
    let mut ids = Vec::new();
    for _ in 0..jobs {
        ids.push(scene.submit("/", json!({"retry_policy": {"max_retries": 0}})).await);
    }
    for id in &ids {
        let payload: Value = scene.outcome(id).await;
        assert_eq!(payload["status"], "success", "{payload:#}");
    }
}

/// The gate of the scene's destination, as the broker has it.
async fn gate(scene: &Scene) -> GateState {
    let nats = scene.system.broker.connect().await;
    let destination = Destination::of(&scene.destination.at("/").parse().unwrap()).unwrap();
    let bucket = nats.bucket::<GateState>(&nats.topology().gates_bucket());
    bucket.get(GateName::of(&destination, None).as_str()).await.unwrap().expect("the gate has an entry").value
}

fn refused(calls: &[Call]) -> usize {
    calls.iter().filter(|call| call.status == Some(429)).count()
}

fn span(calls: &[Call]) -> Duration {
    let moments: Vec<Instant> = calls.iter().map(|call| call.at).collect();
    moments.iter().max().unwrap().duration_since(*moments.iter().min().unwrap())
}

#[allow(clippy::print_stdout, reason = "figures, shown with --nocapture")]
fn shown(text: &str) {
    println!("{text}");
}

#[tokio::test]
async fn a_quota_that_is_announced_is_spread_over_its_window_and_hardly_ever_exceeded() {
    let scene = two_workers(Configuration::default().set("gate.rate", 200.0)).await;
    scene.destination.on("/", Quota::of(100, Duration::from_secs(5)));
    all_succeed(&scene, 250).await;
    let calls = scene.destination.all_calls();
    let (refused, windows) = (refused(&calls), span(&calls).as_secs() / 5 + 1);
    shown(&format!("{} calls in {:?}, {refused} refused", calls.len(), span(&calls)));
    // At two hundred a second half a window would be enough, and then there would be as many refusals as calls.
    assert!(refused <= 25, "{refused} of {} calls were refused", calls.len());
    assert!(windows <= 6, "250 calls of 100 a window took {windows} windows");
    // The quota held out: calls of the first window go on to its end.
    let first = calls[0].at;
    let late = |call: &&Call| (Duration::from_secs(3)..Duration::from_secs(5)).contains(&call.at.duration_since(first));
    assert!(calls.iter().filter(late).count() >= 5, "nothing was left for the end of the first window");
    let known = gate(&scene).await.announced;
    assert_eq!(known.len(), 1, "{known:#?}");
    assert_eq!((known[0].source.as_str(), known[0].left), ("ratelimit-remaining", true));
    assert!(known[0].expires_at > known[0].learned_at && known[0].learned_at >= known[0].sent_at);
}

#[tokio::test]
async fn a_limit_that_nobody_announces_is_found_out_by_a_few_refusals_and_used() {
    let scene = two_workers(Configuration::default().set("gate.rate", 200.0).set("gate.burst", 1)).await;
    scene.destination.on("/", RateLimit::per_second(50));
    all_succeed(&scene, 600).await;
    let calls = scene.destination.all_calls();
    let refused_at_all = refused(&calls);
    let allowed_a_second = 600.0 / span(&calls).as_secs_f64();
    shown(&format!("{} calls in {:?}, {refused_at_all} refused", calls.len(), span(&calls)));
    assert!(refused_at_all <= 150, "{refused_at_all} of {} calls were refused", calls.len());
    // Once it is found out there are hardly any more.
    let later = refused(&calls[calls.len() / 2..]);
    assert!(later <= 60, "{later} of the later half were refused");
    assert!(allowed_a_second >= 50.0 * 0.2, "{allowed_a_second:.1} a second of the 50 were used");
    let state = gate(&scene).await;
    let backoff = state.backoff.expect("a rate that was found out");
    let interval = Interval::of_rate(200.0).unwrap();
    assert!(backoff.interval > interval && backoff.expires_at > Nanos::from(clock::now()));
    let limits = Limits { interval, burst: 1, concurrency: 64, ceiling: false };
    let ever = effective(limits, &state, backoff.expires_at);
    assert_eq!(ever, limits, "it is forgotten");
}

#[tokio::test]
async fn a_learned_limit_is_told_once_by_its_header_and_never_by_the_name_that_the_destination_gives_it() {
    let scene = Scene::start().await;
    let policy = r#""key-5f1c";q=6000;w=60"#;
    scene.destination.on("/", Script::answer(200).header("ratelimit-policy", policy));
    all_succeed(&scene, 20).await;
    let known = gate(&scene).await.announced;
    assert_eq!((known[0].calls, known[0].name.as_deref()), (6000, Some("key-5f1c")));
    let log = scene.system.workers[0].said();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("a gate learned a limit")).collect();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].contains(r#""level":"INFO""#) && told[0].contains("ratelimit-policy"), "{told:#?}");
    assert!(!log.contains("key-5f1c"), "a name is in the log");
}

#[tokio::test]
async fn a_ceiling_is_not_exceeded_by_what_is_announced_unless_the_configuration_says_so() {
    let announced = Script::answer(200).header("ratelimit-policy", r#""a";q=30000;w=60"#);
    for (ceiling, jobs) in [(true, 30), (false, 200)] {
        let destination = sluice::scripted::Destination::start().await.unwrap();
        let section = format!("gate.destinations.\"{}\"", destination.address());
        let configuration = Configuration::default().limit(&destination, 10.0, 1);
        let configuration = configuration.set(&format!("{section}.ceiling"), ceiling);
        let scene = Scene::at(destination, Setup { configuration, ..Setup::default() }).await;
        scene.destination.on("/", announced.clone());
        all_succeed(&scene, jobs).await;
        let took = span(&scene.destination.all_calls());
        // Ten a second, less what clocks and late calls make of it; two hundred take twenty seconds, or far less.
        let kept = took >= Duration::from_millis(95) * u32::try_from(jobs - 1).unwrap();
        assert_eq!(kept, ceiling, "{jobs} calls in {took:?}");
    }
}
