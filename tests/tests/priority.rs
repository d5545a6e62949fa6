//! Who goes first at a destination, and how much of it each has: priorities, accounts, credentials. What is held against
//! expectations is the order of calls and their shares, never their speed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use sluice::scripted::{Call, Destination as Scripted, Rule, Script};
use sluice_shared::domain::id::{Destination, QueueName, Tenant};
use sluice_shared::domain::job::Priority;
use sluice_shared::domain::region::Place;
use sluice_tests::DEADLINE;
use sluice_tests::configuration::Configuration;
use sluice_tests::scene::Scene;
use sluice_tests::system::Setup;

/// A system whose destination has the keys that are set here in a section of its own.
async fn scene(workers: usize, section: &[(&str, Value)]) -> Scene {
    let destination = Scripted::start().await.unwrap();
    for path in ["/high", "/normal", "/low", "/a", "/b"] {
        destination.on(path, Script::answer(200));
    }
    let name = format!("gate.destinations.\"{}\"", destination.address());
    let configuration = section.iter().fold(Configuration::default(), |configuration, (key, value)| {
        configuration.set(&format!("{name}.{key}"), value.clone())
    });
    Scene::at(destination, Setup { workers, configuration, ..Setup::default() }).await
}

/// So many calls a second, evenly.
fn rate(rate: f64) -> [(&'static str, Value); 2] {
    [("rate", rate.into()), ("burst", 1.into())]
}

/// Submits so many jobs that get this path.
async fn submit(scene: &Scene, jobs: usize, path: &str, more: &Value) {
    let jobs = vec![scene.job(path, more.clone()); jobs];
    for jobs in jobs.chunks(500) {
        let items = scene.client.batch(jobs).await;
        assert!(items.iter().all(|item| item["status"] == 202), "{:#?}", items[0]);
    }
}

async fn wait_for_calls(scene: &Scene, calls: usize) -> Vec<Call> {
    scene.destination.wait_for(|seen| seen.len() >= calls, DEADLINE).await.unwrap();
    scene.destination.all_calls()
}

/// How many of these calls got each path.
fn shares(calls: &[Call]) -> BTreeMap<&str, usize> {
    let mut shares = BTreeMap::new();
    for call in calls {
        *shares.entry(call.path.as_str()).or_default() += 1;
    }
    shares
}

/// Three backlogs behind one gate, whose shares are 8 to 4 to 1 while all of them wait.
async fn of_three_backlogs(scene: &Scene, tolerances: [usize; 3]) {
    for (path, priority, jobs) in [("/low", "low", 60), ("/normal", "normal", 80), ("/high", "high", 120)] {
        submit(scene, jobs, path, &json!({"priority": priority})).await;
    }
    // What each worker had reserved, and had in hand, before all of them waited.
    let from = scene.destination.count() + 12;
    let calls = wait_for_calls(scene, from + 104).await;
    let shares = shares(&calls[from..from + 104]);
    shown(&format!("{shares:?}"));
    for ((path, share), tolerance) in [("/high", 64), ("/normal", 32), ("/low", 8)].into_iter().zip(tolerances) {
        assert!(shares.get(path).copied().unwrap_or(0).abs_diff(share) <= tolerance, "{path}: {shares:?}");
    }
}

#[allow(clippy::print_stdout, reason = "figures, shown with --nocapture")]
fn shown(text: &str) {
    println!("{text}");
}

async fn priorities_have_their_shares(workers: usize) {
    of_three_backlogs(&scene(workers, &rate(40.0)).await, [10, 8, 5]).await;
}

/// The same where it is the end of other calls that all of them wait for.
async fn priorities_have_their_shares_of_few_calls_at_once(workers: usize, concurrency: u32) {
    let scene = scene(workers, &[("rate", 1000.0.into()), ("concurrency", concurrency.into())]).await;
    for path in ["/high", "/normal", "/low"] {
        scene.destination.on(path, Script::answer(200).after(Duration::from_millis(30)));
    }
    of_three_backlogs(&scene, [14, 10, 8]).await;
}

#[tokio::test]
async fn priorities_have_their_shares_with_one_worker() {
    priorities_have_their_shares(1).await;
}

#[tokio::test]
async fn priorities_have_their_shares_with_two_workers() {
    priorities_have_their_shares(2).await;
}

#[tokio::test]
async fn priorities_have_their_shares_with_four_workers() {
    priorities_have_their_shares(4).await;
}

#[tokio::test]
async fn priorities_have_their_shares_of_one_call_at_a_time() {
    priorities_have_their_shares_of_few_calls_at_once(1, 1).await;
}

#[tokio::test]
async fn priorities_have_their_shares_of_three_calls_at_a_time_over_two_workers() {
    priorities_have_their_shares_of_few_calls_at_once(2, 3).await;
}

#[tokio::test]
async fn a_job_of_high_priority_does_not_wait_behind_a_backlog_of_others() {
    let scene = scene(2, &rate(20.0)).await;
    submit(&scene, 300, "/normal", &json!({})).await;
    submit(&scene, 300, "/low", &json!({"priority": "low"})).await;
    let before = wait_for_calls(&scene, 10).await.len();
    let payload = scene.run("/high", json!({"priority": "high"})).await;
    assert_eq!(payload["status"], "success", "{payload:#}");
    let place = scene.destination.all_calls().iter().position(|call| call.path == "/high").unwrap() - before;
    shown(&format!("{place} calls before it"));
    // What two workers had reserved, and the turn of the other.
    assert!(place <= 12, "{place} calls before it");
}

#[tokio::test]
async fn a_queue_of_a_priority_is_paused_and_shown_by_its_own_name() {
    let scene = scene(1, &[]).await;
    let to = Destination::of(&scene.destination.at("/").parse().unwrap()).unwrap();
    let name = |priority| QueueName::placed(&Tenant::default(), &to, None, &Place::default(), priority);
    scene.run("/high", json!({"priority": "high"})).await;
    let queue = format!("/v1/queues/{}", name(Priority::High));
    let paused = scene.client.send(Method::POST, &format!("{queue}/pause"), &[], None).await;
    assert_eq!((paused.status, &paused.body["priority"]), (200, &json!("high")), "{paused:#?}");
    let ids = [
        scene.submit("/high", json!({"priority": "high"})).await,
        scene.submit("/high", json!({"priority": "high"})).await,
    ];
    let payload = scene.run("/normal", json!({})).await;
    assert_eq!(payload["status"], "success", "{payload:#}");
    let waiting = sluice_tests::eventually("a place in the paused queue", async || {
        let job = scene.client.get(&ids[1]).await;
        (job["waiting"]["position"] == 2).then_some(job)
    })
    .await;
    assert_eq!(waiting["waiting"]["queue"], json!(name(Priority::High).as_str()), "{waiting:#}");
    assert_eq!(waiting["branches"][0]["priority"], "high", "{waiting:#}");
    let purged = scene.client.send(Method::POST, &format!("{queue}/purge"), &[], None).await;
    assert!((200..300).contains(&purged.status), "{purged:#?}");
    for id in &ids {
        assert_eq!(scene.outcome(id).await["status"], "cancelled");
    }
    assert_eq!(scene.destination.calls("/high").len(), 1);
}

/// Two accounts at a destination that has a limit for all of it: one has a backlog of a thousand, the other of fifty.
async fn accounts_have_equal_shares(workers: usize) {
    let scene =
        scene(workers, &[("rate", 1000.0.into()), ("shared_rate", 80.0.into()), ("shared_burst", 1.into())]).await;
    submit(&scene, 1000, "/a", &json!({"account": "a"})).await;
    let before = wait_for_calls(&scene, 20).await.len();
    submit(&scene, 50, "/b", &json!({"account": "b"})).await;
    let calls = wait_for_calls(&scene, 1050).await;
    let of_b: Vec<usize> = (0..calls.len()).filter(|at| calls[*at].path == "/b").collect();
    let tens: Vec<usize> = (9..50).step_by(10).map(|nth| of_b[nth] - of_b[0] + 1).collect();
    shown(&format!("{workers} workers: tens of b by {tens:?}, the first after {} others", of_b[0] - before));
    // The last ten are in the hands of one worker or the other, which may have another turn before it.
    assert!(tens[3].abs_diff(80) <= 12, "40 of b's among {} calls", tens[3]);
    // One's thousand are all there: what the other did not use was not lost.
    assert_eq!(shares(&calls), [("/a", 1000), ("/b", 50)].into());
}

#[tokio::test]
async fn accounts_have_equal_shares_of_what_they_share_while_both_wait() {
    accounts_have_equal_shares(1).await;
}

#[tokio::test]
async fn accounts_have_equal_shares_of_what_they_share_over_two_workers() {
    accounts_have_equal_shares(2).await;
}

#[tokio::test]
async fn a_credential_is_an_account_that_holds_up_no_other_and_does_not_show() {
    let scene = scene(1, &[("account_from", "authorization".into())]).await;
    scene.destination.on(
        "/limited",
        Rule::choose(|call, _| match call.header("authorization") {
            Some("Bearer canary-a") => Script::answer(429).header("retry-after", 600),
            Some(_) | None => Script::answer(200),
        }),
    );
    let with = |credential: &str| json!({"headers": {"Authorization": credential}});
    let limited = scene.submit("/limited", with("Bearer canary-a")).await;
    scene.calls("/limited", 1).await;
    for other in [with("Bearer canary-b"), json!({})] {
        let payload = scene.run("/limited", other).await;
        assert_eq!(payload["status"], "success", "{payload:#}");
    }
    let job = scene.client.get(&limited).await;
    let account = job["branches"][0]["account"].as_str().unwrap();
    assert!(account.starts_with("derived-"), "{account}");
    // The same credential is the same account, which is closed.
    let again = scene.submit("/limited", with("Bearer canary-a")).await;
    let again = scene.client.get(&again).await;
    assert_eq!(again["branches"][0]["account"], account);
    let queues = scene.client.send(Method::GET, "/v1/queues", &[], None).await.body.to_string();
    assert!(queues.contains(account) && !queues.contains("canary"), "{queues}");
}

#[tokio::test]
async fn a_destination_that_says_that_its_limits_are_by_account_has_one_for_each_credential_until_it_says_otherwise() {
    let scene = scene(1, &[]).await;
    for (path, word) in [("/a", "enabled"), ("/b", "disabled")] {
        scene.destination.on(path, Script::answer(200).header("x-ezthrottle-account-queue", word));
    }
    let with = |credential: &str| json!({"headers": {"X-Api-Key": credential}});
    let account = async |path| {
        let id = scene.submit(path, with("canary-a")).await;
        scene.outcome(&id).await;
        scene.client.get(&id).await["branches"][0]["account"].clone()
    };
    assert_eq!(account("/a").await, Value::Null);
    let derived =
        sluice_tests::eventually("an account", async || Some(account("/a").await).filter(Value::is_string)).await;
    assert!(derived.as_str().unwrap().starts_with("derived-"), "{derived}");
    sluice_tests::eventually("no account", async || account("/b").await.is_null().then_some(())).await;
}
