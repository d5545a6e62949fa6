//! Code on the published client of EZThrottle, unmodified: with Sluice's base URLs it does what it did.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

use std::process::Stdio;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use sluice::scripted::{Post, Script};
use sluice_shared::domain::access::{Quotas, Scope, Scopes, Wish};
use sluice_shared::keys::Keys;
use sluice_tests::client::Client;
use sluice_tests::configuration::Configuration;
use sluice_tests::scene::Scene;
use sluice_tests::{DEADLINE, eventually, python};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

/// A system, and what the client's code is to know of it.
struct Rig {
    scene: Scene,
    key: String,
}

impl Rig {
    async fn open() -> Self {
        Self { scene: Scene::start().await, key: "ck_live_anything".to_owned() }
    }

    /// What the client gave back, or why it failed.
    async fn client(&self, scenario: &str) -> Value {
        let python = tokio::task::spawn_blocking(python::with_ezthrottle).await.unwrap();
        let mut script = Command::new(python);
        script.arg(python::script("ezthrottle_client.py")).arg(scenario).kill_on_drop(true);
        script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let api = self.scene.destination.url();
        let sluice = self.scene.system.gateways[0].http();
        let known = json!({
            "sluice": sluice, "key": self.key, "hook": self.scene.hooks.url(), "api": api.trim_end_matches('/'),
        });
        let mut running = script.spawn().unwrap();
        running.stdin.take().unwrap().write_all(known.to_string().as_bytes()).await.unwrap();
        let output = timeout(Duration::from_secs(120), running.wait_with_output()).await.unwrap().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    async fn post_of(&self, job: &Value) -> Post {
        let id = job["job_id"].as_str().unwrap_or_else(|| panic!("no job: {job}"));
        self.scene.hooks.wait_for_job(id, DEADLINE).await.unwrap()
    }
}

#[tokio::test]
async fn a_job_is_queued_called_and_told_in_the_form_that_its_receivers_know() {
    let rig = Rig::open().await;
    rig.scene.destination.on("/ok", Script::answer(200).header("x-answer", "yes").body("done"));
    let job = rig.client("basic").await;
    assert_eq!((&job["status"], job["queued_at"].is_u64()), (&json!("queued"), true), "{job}");
    assert!(job["idempotent_key"].as_str().unwrap().starts_with("hash_"), "{job}");
    let post = rig.post_of(&job).await.payload;
    assert_eq!((&post["status"], &post["metadata"]), (&json!("success"), &json!({"order": "7"})), "{post:#}");
    let response = &post["response"];
    assert_eq!((&response["status_code"], &response["body"]), (&json!(200), &json!("done")), "{post:#}");
    assert_eq!(response["headers"]["x-answer"], "yes", "{post:#}");
    let call = &rig.scene.destination.calls("/ok")[0];
    assert_eq!((call.method.as_str(), call.body.as_ref()), ("POST", br#"{"a": 1}"#.as_slice()));
    assert_eq!(call.header("x-own"), Some("1"));
}

#[tokio::test]
async fn the_same_request_is_one_job_and_a_unique_one_is_another_each_time() {
    let rig = Rig::open().await;
    let same = rig.client("duplicate").await;
    assert_eq!(same[0]["job_id"], same[1]["job_id"], "{same}");
    let unique = rig.client("unique").await;
    assert_ne!(unique[0]["job_id"], unique[1]["job_id"], "{unique}");
    for job in [&same[0], &unique[0], &unique[1]] {
        rig.post_of(job).await;
    }
    assert_eq!(rig.scene.destination.calls("/ok").len(), 3);
}

#[tokio::test]
async fn of_jobs_without_a_key_the_request_names_the_job_whatever_its_fallbacks_are() {
    let rig = Rig::open().await;
    let url = rig.scene.destination.at("/ok");
    let jobs =
        [json!({"url": url}), json!({"url": url, "fallback_job": {"url": url, "trigger": {"type": "on_error"}}})];
    let mut ids = Vec::new();
    for job in &jobs {
        let answer = rig.scene.client.send(Method::POST, "/api/v1/jobs", &[], Some(job.to_string().into_bytes())).await;
        assert_eq!(answer.status, 201, "{answer:#?}");
        ids.push(answer.body["job_id"].clone());
    }
    assert_eq!(ids[0], ids[1]);
}

#[tokio::test]
async fn a_slow_request_is_overtaken_by_its_fallback() {
    let rig = Rig::open().await;
    rig.scene.destination.on("/slow", Script::hang());
    rig.scene.destination.on("/ok", Script::answer(200).body("fast"));
    let post = rig.post_of(&rig.client("race").await).await.payload;
    assert_eq!((&post["status"], &post["response"]["body"]), (&json!("success"), &json!("fast")), "{post:#}");
}

#[tokio::test]
async fn each_fallback_of_a_chain_starts_by_its_trigger() {
    let rig = Rig::open().await;
    rig.scene.destination.on("/limited", Script::answer(429).header("retry-after", 60));
    rig.scene.destination.on("/broken", Script::answer(500));
    rig.scene.destination.on("/ok", Script::answer(200).body("third"));
    let post = rig.post_of(&rig.client("chain").await).await.payload;
    assert_eq!((&post["status"], &post["response"]["body"]), (&json!("success"), &json!("third")), "{post:#}");
    assert_eq!(["/limited", "/broken", "/ok"].map(|path| rig.scene.destination.calls(path).len()), [1, 1, 1]);
}

#[tokio::test]
async fn what_follows_a_success_is_run_and_a_moment_is_waited_for() {
    let rig = Rig::open().await;
    let job = rig.client("workflow").await;
    assert_eq!(rig.post_of(&job).await.payload["status"], "success");
    rig.scene.calls("/after", 1).await;
    let later = rig.client("later").await;
    let post = rig.post_of(&later).await;
    assert_eq!(post.payload["status"], "success");
    let job = rig.scene.client.get(later["job_id"].as_str().unwrap()).await;
    assert_eq!(job["starts_at"], later["at"], "{job:#}");
}

#[tokio::test]
async fn what_fails_at_the_client_is_forwarded() {
    let rig = Rig::open().await;
    rig.scene.destination.on("/broken_once", [Script::answer(503), Script::answer(200).body("at last")]);
    let job = rig.client("frugal").await;
    assert_eq!(job["idempotent_key"], "frugal", "{job}");
    assert_eq!(rig.post_of(&job).await.payload["response"]["body"], "at last");
    let forwarded = rig.client("forward").await;
    assert_eq!(rig.post_of(&forwarded).await.payload["metadata"], json!({"n": "1"}));
}

#[tokio::test]
async fn webhook_secrets_are_set_rotated_shown_masked_and_deleted() {
    let rig = Rig::open().await;
    let said = rig.client("secrets").await;
    let none = "No webhook secrets configured";
    assert!(said[0].as_str().unwrap().starts_with(none) && said[7].as_str().unwrap().starts_with(none), "{said:#}");
    let masked = |text: &str| text.contains("****") && !text.contains("secret of");
    assert!(masked(said[2]["primary_secret"].as_str().unwrap()), "{said:#}");
    assert_eq!((&said[2]["customer_id"], &said[2]["has_secondary"]), (&json!("default"), &json!(false)), "{said:#}");
    assert_eq!((&said[3]["status"], &said[5]["has_secondary"]), (&json!("ok"), &json!(true)), "{said:#}");
    assert_eq!(said[6]["status"], "ok", "{said:#}");
    rig.client("secret").await;
    rig.scene.destination.on("/ok", Script::answer(200));
    let signed = async || {
        let post = rig.post_of(&rig.client("unique").await[0]).await;
        post.call.header("x-ezthrottle-signature").is_some().then_some(post)
    };
    // That its value is what the client's own verification takes is in the suite `secrets`.
    assert!(eventually("a signed webhook", signed).await.call.header("webhook-signature").is_some());
}

#[tokio::test]
async fn what_is_wrong_with_a_job_is_said_and_an_envelope_is_never_called() {
    let rig = Rig::open().await;
    let refused = rig.client("refused").await;
    let error = refused["error"].as_str().unwrap();
    assert!(error.contains("job creation failed") && error.contains("invalid_url"), "{error}");
    let target = rig.scene.destination.at("/api/v1/jobs");
    let inner = json!({"url": rig.scene.destination.at("/ok"), "idempotent_key": "one"}).to_string();
    let ask = async |target: &str, method: &str| {
        let envelope = json!({"target_url": target, "method": method, "body": inner}).to_string();
        rig.scene.client.send(Method::POST, "/api/v1/proxy", &[], Some(envelope.into_bytes())).await.body
    };
    assert_eq!(ask(&target, "POST").await["forwarded_response"]["status_code"], 201);
    let denied = ask(&rig.scene.destination.at("/elsewhere"), "POST").await;
    assert_eq!(denied["status"], "denied", "{denied}");
    rig.scene.calls("/ok", 1).await;
    assert_eq!(rig.scene.destination.count(), 1, "nothing but the job was called");
}

#[tokio::test]
async fn a_key_is_asked_for_and_its_tenant_and_quota_count() {
    let scene = Scene::with(Configuration::default().set("gateway.auth", "keys")).await;
    let keys = Keys::new(&scene.system.broker.connect().await);
    let quotas = Quotas { jobs_per_day: Some(1), ..Quotas::default() };
    let wish = Wish {
        tenant: Some("acme".parse().unwrap()),
        scopes: [Scope::Submit].into_iter().collect::<Scopes>(),
        label: String::new(),
        expires_at: None,
        quotas,
    };
    let (api_key, _) = keys.create(wish, None).await.unwrap();
    let key = api_key.reveal();
    let client = Client::with_key(scene.system.gateways[0].http(), &key);
    eventually("a key that is taken", async || {
        let answer = client.send(Method::GET, "/v1/jobs/none", &[], None).await;
        (answer.status != 401).then_some(())
    })
    .await;
    let rig = Rig { scene, key };
    let envelope = |path: &str, method: &str, body: &Value| {
        let target = format!("https://ezthrottle.example{path}");
        json!({"target_url": target, "method": method, "body": body.to_string()}).to_string()
    };
    let job = |n: u32| json!({"url": rig.scene.destination.at("/ok"), "body": n.to_string(), "method": "POST"});
    let ask = async |client: &Client, envelope: String| {
        client.send(Method::POST, "/api/v1/proxy", &[], Some(envelope.into_bytes())).await
    };
    let stranger = ask(&rig.scene.client, envelope("/api/v1/jobs", "POST", &job(1))).await;
    assert_eq!(stranger.status, 401, "{stranger:#?}");
    let taken = ask(&client, envelope("/api/v1/jobs", "POST", &job(1))).await;
    assert_eq!(taken.body["forwarded_response"]["status_code"], 201, "{taken:#?}");
    let over = ask(&client, envelope("/api/v1/jobs", "POST", &job(2))).await;
    assert_eq!((over.status, over.body["retry_at"].is_u64()), (429, true), "{over:#?}");
    assert!(!over.header("retry-after").is_empty() && over.body["error"].is_string(), "{over:#?}");
    // This key may submit, and nothing else.
    let secrets = ask(&client, envelope("/api/v1/webhook-secrets", "GET", &json!({}))).await;
    assert_eq!(secrets.body["forwarded_response"]["status_code"], 403, "{secrets:#?}");
}
