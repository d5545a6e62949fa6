//! The service that answers requests.

use async_nats::Message;
use futures_util::StreamExt;
use serde_json::{Value, json};
use sluice_shared::domain::id::{JobId, Tenant};
use tokio::time::timeout;

use super::rig::{DEADLINE, JOB, Rig, options, read, tenant, until};

async fn asked(rig: &Rig, subject: &str, payload: &str) -> (Value, Option<u16>) {
    read(&rig.ask(subject, payload).await.expect("an answer"))
}

async fn id_of_new(rig: &Rig, subject: &str) -> String {
    let (receipt, code) = asked(rig, subject, JOB).await;
    assert_eq!(code, None, "{receipt}");
    receipt["job_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_job_is_submitted_asked_about_and_cancelled_by_requests_alone() {
    let (rig, gateway) = Rig::with_gateway().await;
    let job = r#"{"url":"http://a.example/","idempotent_key":"k","metadata":{"order":7}}"#;
    let id = JobId::derive(&Tenant::default(), "k");
    let receipt = |duplicate: bool| {
        (json!({"job_id": id, "status": "queued", "idempotent_key": "k", "duplicate": duplicate}), None)
    };
    assert_eq!(asked(&rig, "sluice.api.submit", job).await, receipt(false));
    assert_eq!(asked(&rig, "sluice.api.submit.default", job).await, receipt(true));
    let (shown, code) = asked(&rig, "sluice.api.get", id.as_str()).await;
    assert_eq!((&shown["status"], &shown["metadata"]["order"], code), (&json!("queued"), &json!(7), None));
    let (by_key, _) = asked(&rig, "sluice.api.get", r#"{"idempotent_key": "k"}"#).await;
    assert_eq!(by_key, shown);
    let (still, _) = asked(&rig, "sluice.api.wait", &json!({"job_id": id, "timeout": 0.05}).to_string()).await;
    assert_eq!(still["status"], "queued");
    let (cancelled, _) = asked(&rig, "sluice.api.cancel", id.as_str()).await;
    assert_eq!((&cancelled["status"], &cancelled["outcome"]["reason"]), (&json!("cancelled"), &json!("cancelled")));
    let (waited, _) = asked(&rig, "sluice.api.wait", id.as_str()).await;
    assert_eq!(waited["outcome"], cancelled["outcome"]);
    for outcome in ["accepted", "duplicate"] {
        let line = format!("sluice_jobs_submitted_total{{via=\"nats\",outcome=\"{outcome}\"}} 1");
        assert!(gateway.has(&line), "{line}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn the_key_may_be_a_header_and_jobs_of_another_tenant_are_not_found() {
    let (rig, _gateway) = Rig::with_gateway().await;
    let client = rig.nats.client();
    let headers = super::rig::headers(&[("Idempotency-Key", "k")]);
    let answer = client.request_with_headers("sluice.api.submit.acme", headers, JOB.into()).await.unwrap();
    assert_eq!(read(&answer).0["idempotent_key"], "k");
    assert!(rig.record(&tenant("acme"), "k").await.is_some());
    let id = JobId::derive(&tenant("acme"), "k");
    assert_eq!(asked(&rig, "sluice.api.get.acme", id.as_str()).await.1, None);
    for subject in ["sluice.api.get", "sluice.api.wait.other", "sluice.api.cancel.other"] {
        assert_eq!(asked(&rig, subject, id.as_str()).await.1, Some(404), "{subject}");
    }
}

#[tokio::test]
async fn an_error_is_a_problem_with_the_code_and_a_word_in_the_headers() {
    let (rig, _gateway) = Rig::with_gateway().await;
    let taken = r#"{"url":"http://a.example/","idempotent_key":"k"}"#;
    asked(&rig, "sluice.api.submit", taken).await;
    let table = [
        ("sluice.api.submit", r#"{"urll":"http://a.example/"}"#, 422, "invalid_job", "did you mean `url`"),
        ("sluice.api.submit", "hello", 400, "not_json", "not valid JSON"),
        (
            "sluice.api.submit",
            r#"{"url":"http://b.example/","idempotent_key":"k"}"#,
            409,
            "conflict",
            "another request",
        ),
        ("sluice.api.submit.§", taken, 400, "invalid_tenant", "names no tenant"),
        ("sluice.api.get", "job_none", 404, "no_such_job", "no such job"),
        ("sluice.api.get", "not a job", 404, "no_such_job", "no such job"),
        ("sluice.api.cancel", "job_none", 404, "no_such_job", "no such job"),
        ("sluice.api.wait", r#"{"idempotent_key":"none"}"#, 404, "no_such_job", "no such job"),
        ("sluice.api.get", "", 400, "invalid_request", "name the job"),
        ("sluice.api.wait", r#"{"idempotent_key":"k","timeout":"soon"}"#, 400, "invalid_request", "30s"),
    ];
    for (subject, payload, status, code, detail) in table {
        let answer = rig.ask(subject, payload).await.unwrap();
        let (problem, error) = read(&answer);
        assert_eq!((&problem["code"], &problem["status"]), (&json!(code), &json!(status)), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(detail), "{problem}");
        let word = answer.headers.as_ref().unwrap().get("Nats-Service-Error").unwrap().as_str();
        assert!(error == Some(status) && word.contains(detail), "{word}");
    }
}

#[tokio::test]
async fn who_waits_holds_up_nobody_and_hears_of_the_end() {
    let (rig, _gateway) = Rig::with_gateway().await;
    let id = id_of_new(&rig, "sluice.api.submit").await;
    let client = rig.nats.client();
    let (mut answers, inbox) = inbox(&rig).await;
    // More than any other operation may have in hand.
    for _ in 0..600 {
        client.publish_with_reply("sluice.api.wait", inbox.clone(), id.clone().into()).await.unwrap();
    }
    let (shown, _) = asked(&rig, "sluice.api.get", &id).await;
    assert_eq!(shown["status"], "queued");
    asked(&rig, "sluice.api.cancel", &id).await;
    for _ in 0..600 {
        let answer = timeout(DEADLINE, answers.next()).await.unwrap().unwrap();
        assert_eq!(read(&answer).0["status"], "cancelled");
    }
}

#[tokio::test]
async fn two_gateways_share_the_requests_and_each_is_answered_once() {
    let rig = Rig::start().await;
    let gateways = [rig.gateway(options()).await, rig.gateway(options()).await];
    let (mut answers, inbox) = inbox(&rig).await;
    for _ in 0..100 {
        rig.nats.client().publish_with_reply("sluice.api.submit", inbox.clone(), JOB.into()).await.unwrap();
    }
    for _ in 0..100 {
        let answer = timeout(DEADLINE, answers.next()).await.unwrap().unwrap();
        assert_eq!(read(&answer).0["duplicate"], false);
    }
    for gateway in gateways {
        assert!(
            !gateway.has("sluice_jobs_submitted_total{via=\"nats\",outcome=\"accepted\"} 0"),
            "one had nothing to do"
        );
        gateway.stop().await;
    }
    assert!(
        timeout(std::time::Duration::from_millis(1), answers.next()).await.is_err(),
        "a request was answered twice"
    );
    assert_eq!(rig.held("KV_sluice_records_0").await, 100);
}

#[tokio::test]
async fn it_can_be_found_with_its_endpoints_and_its_counts() {
    let (rig, gateway) = Rig::with_gateway().await;
    asked(&rig, "sluice.api.get", "job_none").await;
    let (ping, _) = asked(&rig, "$SRV.PING", "").await;
    assert_eq!((&ping["name"], &ping["version"]), (&json!("sluice"), &json!(env!("CARGO_PKG_VERSION"))));
    let (info, _) = asked(&rig, "$SRV.INFO.sluice", "").await;
    let endpoints = info["endpoints"].as_array().unwrap();
    let mut subjects: Vec<_> = endpoints.iter().map(|one| one["subject"].as_str().unwrap()).collect();
    subjects.sort_unstable();
    let operations = ["cancel", "get", "submit", "wait"];
    let expected: Vec<_> =
        operations.iter().flat_map(|one| [format!("sluice.api.{one}"), format!("sluice.api.{one}.*")]).collect();
    assert_eq!(subjects, expected);
    assert!(endpoints.iter().all(|one| one["metadata"]["request"].is_string()));
    let (stats, _) = asked(&rig, "$SRV.STATS.sluice", "").await;
    let get = stats["endpoints"].as_array().unwrap().iter().find(|one| one["name"] == "get").unwrap();
    assert_eq!((&get["num_requests"], &get["num_errors"]), (&json!(1), &json!(1)));
    assert!(get["last_error"].as_str().unwrap().starts_with("404:"), "{get}");
    gateway.stop().await;
    until("nobody", async || rig.ask("$SRV.PING.sluice", "").await.is_none().then_some(())).await;
    assert!(rig.ask("sluice.api.get", "job_none").await.is_none());
}

#[tokio::test]
async fn who_waits_when_the_gateway_stops_is_told_how_far_the_job_is() {
    let (rig, gateway) = Rig::with_gateway().await;
    let id = id_of_new(&rig, "sluice.api.submit").await;
    let (mut answers, inbox) = inbox(&rig).await;
    rig.nats.client().publish_with_reply("sluice.api.wait", inbox, id.clone().into()).await.unwrap();
    // The wait was handed out before this was.
    asked(&rig, "sluice.api.get", &id).await;
    gateway.stop().await;
    let answer = timeout(DEADLINE, answers.next()).await.unwrap().unwrap();
    assert_eq!(read(&answer).0["status"], "queued");
}

#[tokio::test]
async fn a_request_that_wants_no_answer_is_done_all_the_same() {
    let (rig, _gateway) = Rig::with_gateway().await;
    let job = r#"{"url":"http://a.example/","idempotent_key":"quiet"}"#;
    rig.nats.client().publish("sluice.api.submit", job.into()).await.unwrap();
    rig.until_record(&Tenant::default(), "quiet").await;
}

/// A subscription for many answers, and its subject.
async fn inbox(rig: &Rig) -> (impl futures_util::Stream<Item = Message> + Unpin, String) {
    let inbox = rig.nats.client().new_inbox();
    (rig.nats.client().subscribe(inbox.clone()).await.unwrap(), inbox)
}
