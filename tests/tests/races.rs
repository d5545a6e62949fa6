//! Races: fallbacks beside a job's own request, the first success, and what becomes of the others.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice::scripted::{Call, Destination, Script, WebhookReceiver};
use sluice_tests::DEADLINE;
use sluice_tests::client::Client;
use sluice_tests::configuration::Configuration;
use sluice_tests::scene::{calls, dropped};
use sluice_tests::system::{Setup, System};

/// How long a winner takes: long enough for all others to have begun, also on a busy machine.
const LONG: Duration = Duration::from_secs(3);
/// Not at once, but as good as.
const SOON: Duration = Duration::from_secs(2);

/// Three providers, each with a gate of its own.
struct Race {
    system: System,
    primary: Destination,
    second: Destination,
    third: Destination,
    hooks: WebhookReceiver,
    client: Client,
}

impl Race {
    async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    async fn with(setup: impl Into<Setup>) -> Self {
        let system = System::start(setup.into()).await;
        let [primary, second, third] =
            [Destination::start().await, Destination::start().await, Destination::start().await];
        Self {
            client: system.client(),
            system,
            primary: primary.unwrap(),
            second: second.unwrap(),
            third: third.unwrap(),
            hooks: WebhookReceiver::start().await.unwrap(),
        }
    }

    /// The job of the article: the second when the first is refused, the third when the second is slow.
    fn article(&self, slow_ms: u64) -> Value {
        let third = json!({"url": self.third.url(), "method": "POST", "trigger": {"type": "on_timeout", "timeout_ms": slow_ms}});
        let second = json!({
            "url": self.second.url(), "method": "POST", "trigger": {"type": "on_error", "codes": [429, 500]},
            "fallback_job": third,
        });
        json!({"url": self.primary.url(), "method": "POST", "body": {"model": "m"}, "fallback_job": second})
    }

    async fn submit(&self, mut job: Value) -> String {
        job["webhooks"] = json!([{"url": self.hooks.url()}]);
        self.client.submit(&job).await.job_id
    }

    async fn outcome(&self, id: &str) -> Value {
        self.hooks.wait_for_job(id, DEADLINE).await.unwrap().payload
    }

    async fn run(&self, job: Value) -> Value {
        let id = self.submit(job).await;
        self.outcome(&id).await
    }

    /// Waits until nothing is on its way: then there was one webhook, and none will follow.
    async fn over(&self, id: &str) {
        self.system.broker.nothing_left().await;
        assert_eq!(self.hooks.posts(id).len(), 1);
        assert_eq!(self.client.get(id).await["status"], self.hooks.posts(id)[0].payload["status"]);
    }
}

fn won_by(payload: &Value, branch: u16, body: &str) {
    assert_eq!((&payload["status"], &payload["winner"]), (&json!("success"), &json!(branch)), "{payload:#}");
    assert_eq!(payload["response"]["body"], body);
}

fn call_of(destination: &Destination, number: usize) -> Call {
    destination.all_calls().swap_remove(number)
}

fn between(earlier: Instant, later: Instant) -> Duration {
    later.saturating_duration_since(earlier)
}

#[tokio::test]
async fn the_race_of_the_article_runs_as_printed() {
    let race = Race::start().await;
    let refused = Script::answer(429).after(Duration::from_millis(100));
    race.primary.on("/", [refused, Script::hang()]);
    race.second.on("/", Script::hang());
    race.third.on("/", Script::answer(200).after(Duration::from_millis(100)).body("third"));
    let id = race.submit(race.article(3000)).await;
    won_by(&race.outcome(&id).await, 2, "third");

    let (first, again) = (call_of(&race.primary, 0), dropped(&race.primary, 1).await);
    let (second, third) = (dropped(&race.second, 0).await, call_of(&race.third, 0));
    let refused_at = first.answered_at.unwrap();
    assert!(between(refused_at, second.at) < SOON, "the fallback fires at once: {second:?}");
    assert!(between(refused_at, again.at) >= Duration::from_millis(900), "the gate was closed for a second");
    assert!(again.at < third.at, "the primary was tried again beside its fallback");
    let waited = between(refused_at, third.at);
    assert!((Duration::from_millis(2900)..Duration::from_secs(3) + SOON).contains(&waited), "{waited:?}");
    for loser in [&again, &second] {
        assert!(loser.dropped_at.unwrap() >= third.answered_at.unwrap(), "{loser:?}");
    }
    race.over(&id).await;
    assert_eq!((race.primary.count(), race.second.count(), race.third.count()), (2, 1, 1));
}

#[tokio::test]
async fn the_primary_wins_when_its_retry_is_the_first_and_both_fallbacks_are_dropped() {
    let race = Race::start().await;
    race.primary.on("/", [Script::answer(429), Script::answer(200).after(LONG).body("primary")]);
    race.second.on("/", Script::hang());
    race.third.on("/", Script::hang());
    let id = race.submit(race.article(300)).await;
    won_by(&race.outcome(&id).await, 0, "primary");
    dropped(&race.second, 0).await;
    dropped(&race.third, 0).await;
    race.over(&id).await;
    assert_eq!((race.primary.count(), race.second.count(), race.third.count()), (2, 1, 1));
}

#[tokio::test]
async fn the_fallback_wins_when_it_is_the_first_and_the_two_others_are_dropped() {
    let race = Race::start().await;
    race.primary.on("/", [Script::answer(429), Script::hang()]);
    race.second.on("/", Script::answer(200).after(LONG).body("second"));
    race.third.on("/", Script::hang());
    let id = race.submit(race.article(300)).await;
    won_by(&race.outcome(&id).await, 1, "second");
    dropped(&race.primary, 1).await;
    dropped(&race.third, 0).await;
    race.over(&id).await;
    assert_eq!((race.primary.count(), race.second.count(), race.third.count()), (2, 1, 1));
}

#[tokio::test]
async fn a_primary_that_succeeds_in_time_needs_no_fallback() {
    let race = Race::start().await;
    let id = race.submit(race.article(300)).await;
    won_by(&race.outcome(&id).await, 0, "");
    race.over(&id).await;
    assert_eq!((race.second.count(), race.third.count()), (0, 0));
}

#[tokio::test]
async fn a_fallback_is_told_from_its_job_by_its_key() {
    let race = Race::start().await;
    race.primary.on("/", Script::answer(500));
    let mut job = race.article(60_000);
    job["idempotent_key"] = json!("k");
    won_by(&race.run(job).await, 1, "");
    assert_eq!(call_of(&race.primary, 0).header("idempotency-key"), Some("k"));
    assert_eq!(call_of(&race.second, 0).header("idempotency-key"), Some("k:1"));
}

#[tokio::test]
async fn of_several_fallbacks_on_one_job_each_starts_by_its_own_trigger() {
    let race = Race::start().await;
    race.primary.on("/", [Script::answer(500), Script::hang()]);
    race.second.on("/any", Script::hang()).on("/500", Script::hang());
    race.third.on("/late", Script::answer(200).after(LONG).body("late"));
    let error = |path: &str, trigger: Value| json!({"url": race.second.at(path), "trigger": trigger});
    let job = json!({
        "url": race.primary.url(),
        "fallbacks": [
            error("/any", json!({"type": "on_error"})),
            error("/500", json!({"type": "on_error", "codes": [500]})),
            error("/404", json!({"type": "on_error", "codes": [404]})),
            {"url": race.third.at("/late"), "trigger": {"type": "on_timeout", "timeout_ms": 400}},
        ],
    });
    let id = race.submit(job).await;
    won_by(&race.outcome(&id).await, 4, "late");
    for path in ["/any", "/500"] {
        let call = calls(&race.second, path, 1).await.swap_remove(0);
        dropped(&race.second, call.number).await;
    }
    dropped(&race.primary, 1).await;
    race.over(&id).await;
    assert_eq!((race.second.calls("/404").len(), race.third.count()), (0, 1));
}

#[tokio::test]
async fn a_chain_of_fallbacks_is_gone_through_until_one_succeeds() {
    let race = Race::start().await;
    race.primary.on("/*", Script::answer(400));
    let link = |path: &str, next: Value| json!({"url": race.primary.at(path), "fallback_job": next});
    let last = json!({"url": race.third.at("/last")});
    let id = race.submit(link("/0", link("/1", link("/2", link("/3", last))))).await;
    won_by(&race.outcome(&id).await, 4, "");
    race.over(&id).await;
    let paths: Vec<String> = race.primary.all_calls().into_iter().map(|call| call.path).collect();
    assert_eq!(paths, ["/0", "/1", "/2", "/3"]);
}

#[tokio::test]
async fn a_primary_that_has_failed_for_good_starts_even_those_that_wait_for_a_timeout() {
    let race = Race::start().await;
    race.primary.on("/", Script::answer(404));
    let late = json!({"url": race.second.url(), "trigger": {"type": "on_timeout", "timeout_ms": 3_600_000}});
    won_by(&race.run(json!({"url": race.primary.url(), "fallback_job": late})).await, 1, "");
}

#[tokio::test]
async fn when_all_fail_the_outcome_carries_the_last_answer_of_each() {
    let race = Race::start().await;
    race.primary.on("/", [Script::answer(500).body("first try"), Script::answer(500).body("second try")]);
    race.second.on("/", Script::answer(403).body("forbidden"));
    race.third.on("/", Script::hang());
    let mut job = race.article(3000);
    job["retry_policy"] = json!({"max_retries": 1});
    job["fallback_job"]["fallback_job"]["timeout_ms"] = json!(500);
    job["fallback_job"]["fallback_job"]["retry_policy"] = json!({"max_retries": 0});
    let id = race.submit(job).await;
    let payload = race.outcome(&id).await;
    assert_eq!((&payload["status"], &payload["reason"]), (&json!("failed"), &json!("exhausted")), "{payload:#}");
    let branches = payload["branches"].as_array().unwrap();
    let [first, second, third] = branches.as_slice() else { panic!("{payload:#}") };
    assert_eq!((&first["attempt"], &first["response"]["body"]), (&json!(2), &json!("second try")));
    assert_eq!((&second["response"]["status_code"], &second["response"]["body"]), (&json!(403), &json!("forbidden")));
    assert_eq!((&third["branch"], &third["error"]["kind"]), (&json!(2), &json!("timeout")));
    race.over(&id).await;
}

#[tokio::test]
async fn a_fallback_whose_timeout_passes_while_every_worker_is_stopped_starts_when_one_returns() {
    let mut race = Race::with(Configuration::default().set("worker.grace", "200ms")).await;
    race.primary.on("/", Script::hang());
    race.second.on("/", Script::answer(200).body("second"));
    let late = json!({"url": race.second.url(), "trigger": {"type": "on_timeout", "timeout_ms": 2000}});
    let id = race.submit(json!({"url": race.primary.url(), "fallback_job": late})).await;
    calls(&race.primary, "/", 1).await;
    let ended = race.system.workers[0].stop().await;
    assert!(ended.success(), "{ended}");
    dropped(&race.primary, 0).await;
    race.system.broker.wait_for_message("due", "start-1").await;
    assert_eq!(race.second.count(), 0);
    race.system.workers[0].restart().await;
    won_by(&race.outcome(&id).await, 1, "second");
    race.over(&id).await;
    assert_eq!(race.second.count(), 1);
}

#[tokio::test]
async fn a_branch_that_backs_off_does_not_run_after_the_race_is_won() {
    let race = Race::start().await;
    race.primary.on("/", Script::answer(503).header("retry-after", 2));
    race.second.on("/", Script::answer(200).body("second"));
    let second = json!({"url": race.second.url(), "trigger": {"type": "on_error", "codes": [503]}});
    let id = race.submit(json!({"url": race.primary.url(), "fallback_job": second})).await;
    won_by(&race.outcome(&id).await, 1, "second");
    race.over(&id).await;
    assert_eq!(race.primary.count(), 1);
}

#[tokio::test]
async fn a_branch_that_waits_for_its_slot_does_not_run_after_the_race_is_won() {
    let slow = Destination::start().await.unwrap();
    let race = Race::with(Configuration::default().limit(&slow, 0.2, 1)).await;
    race.run(json!({"url": slow.at("/takes-the-slot")})).await;
    race.primary.on("/", [Script::answer(500), Script::answer(200).body("primary")]);
    let second = json!({"url": slow.at("/too-late"), "trigger": {"type": "on_error"}});
    let id = race.submit(json!({"url": race.primary.url(), "fallback_job": second})).await;
    won_by(&race.outcome(&id).await, 0, "primary");
    race.over(&id).await;
    assert_eq!(slow.count(), 1);
}

#[tokio::test]
async fn a_race_is_cancelled_as_a_whole() {
    let race = Race::start().await;
    race.primary.on("/", [Script::answer(429), Script::hang()]);
    race.second.on("/", Script::hang());
    race.third.on("/", Script::hang());
    let id = race.submit(race.article(500)).await;
    for (destination, number) in [(&race.primary, 2), (&race.second, 1), (&race.third, 1)] {
        calls(destination, "/", number).await;
    }
    race.client.cancel(&id).await;
    let payload = race.outcome(&id).await;
    assert_eq!((&payload["status"], &payload["reason"]), (&json!("cancelled"), &json!("cancelled")), "{payload:#}");
    for (destination, number) in [(&race.primary, 1), (&race.second, 0), (&race.third, 0)] {
        dropped(destination, number).await;
    }
    race.over(&id).await;
}

#[tokio::test]
async fn a_race_over_several_workers_has_one_winner_and_all_losers_are_dropped() {
    let race = Race::with(Setup { workers: 3, ..Setup::default() }).await;
    race.primary.on("/*", Script::answer(500));
    race.second.on("/*", Script::hang());
    race.third.on("/*", Script::answer(200).after(Duration::from_millis(500)).body("third"));
    let mut ids = Vec::new();
    for number in 0..10 {
        let path = format!("/{number}");
        let fallback = |destination: &Destination| json!({"url": destination.at(&path)});
        let job = json!({"url": race.primary.at(&path), "fallbacks": [fallback(&race.second), fallback(&race.third)]});
        ids.push(race.submit(job).await);
    }
    for id in &ids {
        won_by(&race.outcome(id).await, 2, "third");
    }
    race.system.broker.nothing_left().await;
    race.second.wait_for(|calls| calls.iter().all(|call| call.dropped_at.is_some()), DEADLINE).await.unwrap();
    assert_eq!(race.third.count(), ids.len());
    assert_eq!(race.hooks.all_posts().len(), ids.len());
}
