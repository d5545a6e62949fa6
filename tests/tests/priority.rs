//! Who goes first at a destination, and how much of it each has: priorities, accounts, credentials. What is held against
//! expectations is the order of calls and their shares, never their speed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

use std::collections::BTreeMap;

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

/// Three backlogs behind one gate: of 104 calls while all of them wait, 64 are of high priority, 32 normal, 8 low.
async fn priorities_have_their_shares(workers: usize) {
    let scene = scene(workers, &rate(40.0)).await;
    for (path, priority, jobs) in [("/low", "low", 60), ("/normal", "normal", 80), ("/high", "high", 120)] {
        submit(&scene, jobs, path, &json!({"priority": priority})).await;
    }
    // What each worker had reserved, and had in hand, before all of them waited.
    let from = scene.destination.count() + 12;
    let calls = wait_for_calls(&scene, from + 104).await;
    let shares = shares(&calls[from..from + 104]);
    println!("{workers} workers: {shares:?}");
    let expected = [("/high", 64, 10), ("/normal", 32, 8), ("/low", 8, 5)];
    for (path, share, tolerance) in expected {
        assert!(shares.get(path).copied().unwrap_or(0).abs_diff(share) <= tolerance, "{path}: {shares:?}");
    }
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
async fn a_job_of_high_priority_does_not_wait_behind_a_backlog_of_others() {
    let scene = scene(2, &rate(20.0)).await;
    submit(&scene, 300, "/normal", &json!({})).await;
    submit(&scene, 300, "/low", &json!({"priority": "low"})).await;
    let before = wait_for_calls(&scene, 10).await.len();
    let payload = scene.run("/high", json!({"priority": "high"})).await;
    assert_eq!(payload["status"], "success", "{payload:#}");
    let place = scene.destination.all_calls().iter().position(|call| call.path == "/high").unwrap() - before;
    println!("{place} calls before it");
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
    let among = of_b[49] - of_b[0] + 1;
    println!("{workers} workers: 50 of {among}, the first after {} others", of_b[0] - before);
    assert!((85..=125).contains(&among), "50 of b's among {among} calls");
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
