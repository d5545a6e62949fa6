//! `GET /v1/jobs/{id}`: where a job is, in each of the places where it can be.

use std::time::Duration;

use serde_json::{Value, json};
use sluice_shared::domain::decide::Verdict;
use sluice_shared::domain::gate::{Closing, GateState, Nanos};
use sluice_shared::domain::id::{Destination, GateName, JobId, Tenant};
use sluice_shared::domain::submission::{Limits, read};
use sluice_shared::effects::Submission;

use crate::rig::{Rig, job};
use crate::settle::{again_in, now};

const LONG: Duration = Duration::from_secs(600);

/// A job with a fallback that starts on any error.
fn race() -> Value {
    job(json!({"fallback_job": {"url": "https://b.example/"}}))
}

/// The status of a job and those of its branches.
async fn places(rig: &Rig, job: &JobId) -> (String, Vec<String>) {
    let shown = rig.show(job).await;
    let word = |value: &Value| value["status"].as_str().unwrap().to_owned();
    (word(&shown), shown["branches"].as_array().unwrap().iter().map(word).collect())
}

#[tokio::test]
async fn a_job_is_queued_then_running_then_backs_off_then_succeeds() {
    let rig = Rig::start().await;
    let id = rig.submit(job(json!({"metadata": {"thread": 7}}))).await;
    assert_eq!(places(&rig, &id).await, ("queued".into(), vec!["queued".into()]));
    rig.send(&id, 0).await;
    assert_eq!(places(&rig, &id).await, ("running".into(), vec!["running".into()]));
    rig.conclude(&id, 0, 503, again_in(LONG)).await;
    let shown = rig.show(&id).await;
    assert_eq!((&shown["status"], &shown["attempts"]), (&json!("backing_off"), &json!(1)));
    let branch = &shown["branches"][0];
    assert_eq!((&branch["last"]["attempt"], &branch["last"]["status_code"]), (&json!(1), &json!(503)));
    assert!(branch["next_attempt_at"].as_u64().unwrap() > now().0, "{branch}");
    assert!(shown.get("outcome").is_none(), "{shown}");
    rig.succeed(&id).await;
    let shown = rig.show(&id).await;
    assert_eq!((&shown["status"], &shown["branches"][0]["status"]), (&json!("success"), &json!("won")));
    assert_eq!((&shown["attempts"], &shown["metadata"]), (&json!(2), &json!({"thread": 7})));
    assert_eq!(shown["outcome"]["response"]["body"], "the answer");
    assert_eq!(shown["branches"][0]["last"]["status_code"], 200);
    assert!(shown["branches"][0].get("next_attempt_at").is_none(), "{shown}");
}

#[tokio::test]
async fn a_job_before_a_closed_gate_is_gated_until_the_gate_opens() {
    let rig = Rig::start().await;
    let id = rig.submit(job(json!({}))).await;
    let destination = Destination::of(&"http://a.example/".parse().unwrap()).unwrap();
    let name = GateName::of(&destination, None);
    let until = now().after(LONG);
    let closing = Some(Closing { until: Nanos::from(until), consecutive: 1 });
    let closed = GateState { closing, ..GateState::new(destination, None) };
    let gates = rig.nats().bucket::<GateState>(&rig.nats().topology().gates_bucket());
    gates.create(name.as_str(), &closed).await.unwrap();
    let shown = rig.show(&id).await;
    assert_eq!((&shown["status"], &shown["branches"][0]["next_attempt_at"]), (&json!("gated"), &json!(until.0)));
}

#[tokio::test]
async fn a_race_shows_each_of_its_branches_and_is_where_the_most_advanced_is() {
    let rig = Rig::start().await;
    let id = rig.submit(race()).await;
    assert_eq!(places(&rig, &id).await.1, ["queued", "unstarted"]);
    rig.conclude(&id, 0, 503, again_in(LONG)).await;
    assert_eq!(places(&rig, &id).await, ("queued".into(), vec!["backing_off".into(), "queued".into()]));
    rig.send(&id, 1).await;
    assert_eq!(places(&rig, &id).await.0, "running");
    rig.conclude(&id, 1, 200, Verdict::Success).await;
    let shown = rig.show(&id).await;
    assert_eq!(places(&rig, &id).await.1, ["cancelled", "won"]);
    assert_eq!((&shown["outcome"]["winner"], &shown["attempts"]), (&json!(1), &json!(2)));
    assert_eq!(
        (&shown["branches"][1]["destination"], &shown["branches"][1]["parent"]),
        (&json!("b.example"), &json!(0))
    );
}

#[tokio::test]
async fn a_job_that_fails_shows_the_last_answer_of_each_branch() {
    let rig = Rig::start().await;
    let id = rig.submit(race()).await;
    rig.conclude(&id, 0, 400, Verdict::Final).await;
    rig.conclude(&id, 1, 404, Verdict::Final).await;
    let shown = rig.show(&id).await;
    assert_eq!((&shown["status"], &shown["outcome"]["reason"]), (&json!("failed"), &json!("exhausted")));
    assert_eq!(places(&rig, &id).await.1, ["failed", "failed"]);
    let last = |branch: usize| shown["outcome"]["branches"][branch]["response"]["status_code"].clone();
    assert_eq!((last(0), last(1)), (json!(400), json!(404)));
}

#[tokio::test]
async fn a_free_attempt_that_found_the_gate_closed_is_no_longer_running() {
    let rig = Rig::start().await;
    let id = rig.submit(job(json!({}))).await;
    rig.send(&id, 0).await;
    rig.conclude(&id, 0, 429, Verdict::Limited { until: now() }).await;
    assert_eq!(places(&rig, &id).await.0, "queued");
    rig.send(&id, 0).await;
    assert_eq!(places(&rig, &id).await.0, "running");
}

#[tokio::test]
async fn no_request_and_no_webhook_shows_what_may_be_secret() {
    let rig = Rig::start().await;
    let submission = json!({
        "url": "http://a.example/secret-path?secret=1", "headers": {"authorization": "secret"}, "body": "secret",
        "webhooks": [{"url": "https://hooks.example/secret?token=secret"}, {"url": "nats:outcomes.mine"}],
    });
    let id = rig.submit(submission).await;
    rig.conclude(&id, 0, 503, again_in(LONG)).await;
    let shown = rig.show(&id).await;
    assert!(!shown.to_string().contains("secret"), "{shown}");
    let to: Vec<&Value> = shown["webhooks"].as_array().unwrap().iter().map(|webhook| &webhook["destination"]).collect();
    assert_eq!(to, ["hooks.example", "nats:outcomes.mine"]);
}

#[tokio::test]
async fn a_job_that_is_not_there_is_not_found_whatever_is_asked_of_it() {
    let rig = Rig::start().await;
    for id in ["job_of_nobody", "no.job%20at*all", "%ff"] {
        for path in [format!("/v1/jobs/{id}"), format!("/v1/jobs/{id}?wait=20s"), format!("/v1/jobs/{id}/events")] {
            rig.gateway.get(&path).await.problem(404, "no_such_job");
        }
        rig.gateway.delete(&format!("/v1/jobs/{id}")).await.problem(404, "no_such_job");
    }
}

/// Whoever is let in without a key is the operator; what tenants see of each other is in the suite of keys.
#[tokio::test]
async fn at_an_open_door_the_jobs_of_all_tenants_are_seen() {
    let rig = Rig::start().await;
    let tenant: Tenant = "other".parse().unwrap();
    let foreign = read(br#"{"url":"http://a.example/"}"#, &Limits::new(1 << 20, now(), "sluice", &tenant)).unwrap();
    let submission = Submission { tenant, key: "k".into(), job: foreign, traceparent: None };
    let foreign = rig.effects.submit(submission).await.unwrap().job;
    assert_eq!(rig.show(&foreign).await["idempotent_key"], "k");
    assert_eq!(rig.gateway.delete(&format!("/v1/jobs/{foreign}")).await.json()["status"], "cancelled");
    assert!(rig.record(&foreign).await.0.outcome.is_some());
}
