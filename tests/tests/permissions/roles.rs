//! Every role does all its work with what it may, and the server refuses none of it.

use http::Method;
use serde_json::{Value, json};
use sluice::scripted::Script;
use sluice_tests::client::Client;
use sluice_tests::configuration::Configuration;
use sluice_tests::{DEADLINE, eventually, program};
use tokio::process::Command;

use crate::rig::{Guarded, job};

async fn post(guarded: &Guarded, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
    let body = body.map(|body| body.to_string().into_bytes());
    let answer = guarded.scene.client.send(method, path, &[], body).await;
    (answer.status, answer.body)
}

#[tokio::test]
async fn jobs_run_from_either_door_to_either_kind_of_webhook() {
    let guarded = Guarded::start(&["acme"]).await;
    let scene = &guarded.scene;
    scene.destination.on("/again", [Script::answer(503), Script::answer(200)]);
    assert_eq!(scene.run("/again", json!({"idempotent_key": "by-http"})).await["status"], "success");

    let acme = guarded.tenant("acme").await;
    let mut outcomes = acme.nats.subscribe("sluice.outcomes.acme.>").await.unwrap();
    let of_acme = job(&guarded, "/", "sluice.outcomes.acme.done", json!({"idempotent_key": "by-nats"}));
    assert_eq!(acme.ask("submit", &of_acme).await.unwrap()["status"], "queued");
    let outcome = futures_util::StreamExt::next(&mut outcomes).await.unwrap();
    acme.nats.publish(outcome.reply.clone().unwrap(), "taken".into()).await.unwrap();
    let said: Value = serde_json::from_slice(&outcome.payload).unwrap();
    assert_eq!((&said["status"], &said["idempotent_key"]), (&json!("success"), &json!("by-nats")));
    let ended = acme.ask("wait", &json!({"idempotent_key": "by-nats", "timeout": "20s"})).await.unwrap();
    assert_eq!(ended["status"], "success", "{ended:#}");
    scene.nothing_left().await;
    let told = acme.ask("get", &json!({"idempotent_key": "by-nats"})).await.unwrap();
    assert_eq!(told["webhooks"][0]["status"], "delivered", "{told:#}");
    guarded.nothing_was_refused();
}

#[tokio::test]
async fn everything_else_that_roles_do_is_allowed_to_them() {
    let often =
        Configuration::default().set("worker.sweep_interval", "200ms").set("delivery.retry", ["300ms"].as_slice());
    let guarded = Guarded::with(&["acme"], often).await;
    let scene = &guarded.scene;
    // A large body, a fallback, follow-ups, timers and a deadline; a race that is dropped on the wire.
    scene.destination.on("/slow", Script::hang());
    let large = "x".repeat(20_000);
    let race = json!({"method": "POST", "body": large, "fallback_job": {"url": scene.destination.at("/fast"),
        "trigger": {"type": "on_timeout", "timeout_ms": 300}}, "on_success": scene.job("/after", json!({})), "deadline_ms": 60_000});
    assert_eq!(scene.run("/slow", race).await["winner"], 1);
    scene.calls("/after", 1).await;
    let told = scene.client.events(&scene.submit("/", json!({})).await, None).await.rest().await;
    assert_eq!(told.last().unwrap().name, "outcome");
    guarded.nothing_was_refused();

    // Cancelled, failed and run again; a webhook that nobody takes, its letter tried again and forgotten.
    scene.destination.on("/hang", Script::hang());
    let hangs = scene.submit("/hang", json!({})).await;
    scene.calls("/hang", 1).await;
    assert_eq!(scene.client.cancel(&hangs).await.status, 200);
    scene.destination.on("/bad", Script::answer(400));
    let failed = scene.submit("/bad", json!({"method": "POST", "body": large})).await;
    assert_eq!(scene.client.wait(&failed).await["status"], "failed");
    scene.destination.on("/bad", Script::answer(200));
    assert_eq!(post(&guarded, Method::POST, &format!("/v1/jobs/{failed}/retry"), None).await.0, 202);
    assert_eq!(scene.client.wait(&failed).await["status"], "success");
    let lonely = scene.job("/", json!({"webhooks": [{"url": "nats:sluice.outcomes.default.nobody"}]}));
    let lonely = scene.client.submit(&lonely).await.job_id;
    let letter = &scene.system.broker.dead_letters("webhook", 1).await[0];
    let letter = format!("/v1/dead-letters/{}", letter.sequence);
    assert_eq!(post(&guarded, Method::GET, &letter, None).await.1["job_id"], lonely);
    assert_eq!(post(&guarded, Method::POST, &format!("{letter}/redrive"), None).await.0, 202);
    let again = &scene.system.broker.dead_letters("webhook", 1).await[0];
    assert_eq!(post(&guarded, Method::DELETE, &format!("/v1/dead-letters/{}", again.sequence), None).await.0, 204);
    assert_eq!(post(&guarded, Method::POST, &format!("/v1/jobs/{lonely}/webhooks/0/replay"), None).await.0, 202);
    scene.system.broker.dead_letters("webhook", 1).await;
    guarded.nothing_was_refused();
}

#[tokio::test]
async fn keys_and_secrets_are_kept_and_used_by_those_who_have_to() {
    let guarded = Guarded::with(&[], Configuration::default().set("gateway.auth", "keys")).await;
    let scene = &guarded.scene;
    let mut make = Command::new(program());
    make.args(["keys", "create", "--admin", "--json", "--nats", guarded.server.url()]);
    make.arg("--config").arg(&guarded.configuration).env("SLUICE_NATS__NKEY_SEED_FILE", guarded.server.seed("gateway"));
    let made = make.output().await.unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    let client = Client::with_key(scene.system.gateways[0].http(), made["key"].as_str().unwrap());
    let ask = async |method: Method, path: &str, body: Value| {
        client.send(method, path, &[], Some(body.to_string().into_bytes())).await
    };
    let put = async |path: &str, body: Value| {
        let stored = async || (ask(Method::PUT, path, body.clone()).await.status == 200).then_some(());
        eventually("a secret that is set", stored).await;
    };
    put("/v1/secrets/token", json!({"value": "a value"})).await;
    put("/v1/webhook-secrets", json!({"primary_secret": "a secret of some length"})).await;
    let limited =
        json!({"tenant": "default", "scopes": ["submit", "read"], "quotas": {"jobs_per_day": 9, "open_jobs": 9}});
    let key = ask(Method::POST, "/v1/keys", limited).await;
    assert_eq!(key.status, 201, "{key:#?}");
    let user = Client::with_key(scene.system.gateways[0].http(), key.body["key"].as_str().unwrap());
    let job = user.submit(&scene.job("/", json!({"headers": {"x-token": "{{secret:token}}"}}))).await;
    let post = scene.hooks.wait_for_job(&job.job_id, DEADLINE).await.unwrap();
    assert!(post.call.header("webhook-signature").is_some());
    assert_eq!(scene.destination.calls("/")[0].header("x-token"), Some("a value"));
    assert_eq!(ask(Method::GET, "/v1/secrets", json!(null)).await.body["secrets"][0]["name"], "token");
    for (path, status) in [("/v1/secrets/token", 204), ("/v1/webhook-secrets", 204)] {
        assert_eq!(ask(Method::DELETE, path, json!(null)).await.status, status);
    }
    let id = key.body["id"].as_str().unwrap();
    assert_eq!(ask(Method::DELETE, &format!("/v1/keys/{id}"), json!(null)).await.status, 204);
    guarded.nothing_was_refused();
}
