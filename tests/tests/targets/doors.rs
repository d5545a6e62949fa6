//! What is known when a job is submitted is refused then, at every door, with the path of each URL.

use async_nats::HeaderMap;
use serde_json::{Value, json};
use sluice_shared::nats::dead::REASON;
use sluice_tests::configuration::Configuration;
use sluice_tests::eventually;
use sluice_tests::system::System;

use crate::rig::says_nothing;

/// Roles as they are when they are started one by one: nothing of this machine may be called.
fn strict() -> Configuration {
    Configuration::default().set("targets.allow_networks", Value::Array(Vec::new()))
}

/// Each URL of a job that may have one, pointing inside.
fn everywhere() -> Value {
    json!({
        "url": "http://127.0.0.1:8080/admin",
        "fallback_job": {
            "url": "http://0x7f.1/", "trigger": {"type": "on_error"},
            "fallbacks": [{"url": "http://[::ffff:10.0.0.1]/", "trigger": {"type": "on_error"}}],
        },
        "webhooks": [
            {"url": "http://169.254.169.254/latest/meta-data/"}, {"url": "nats:my.outcomes"},
            {"url": "https://8.8.8.8/"}, {"url": "http://localhost/"},
        ],
        "on_success": {"url": "http://2130706433/", "webhooks": [{"url": "http://[fd00:ec2::254]/"}]},
        "on_failure": {"url": "https://a.example/", "fallback_job": {"url": "http://10.1/", "trigger": {"type": "on_error"}}},
    })
}

const PATHS: [&str; 8] = [
    "url",
    "fallback_job.url",
    "fallback_job.fallbacks[0].url",
    "webhooks[0].url",
    "webhooks[3].url",
    "on_success.url",
    "on_success.webhooks[0].url",
    "on_failure.fallback_job.url",
];

fn check(problem: &Value) {
    assert_eq!((&problem["status"], &problem["code"]), (&json!(422), &json!("target_refused")), "{problem:#}");
    let faults = problem["faults"].as_array().unwrap();
    let mut paths: Vec<&str> = faults.iter().map(|fault| fault["path"].as_str().unwrap()).collect();
    let mut expected = PATHS.to_vec();
    paths.sort_unstable();
    expected.sort_unstable();
    assert_eq!(paths, expected, "{problem:#}");
    for fault in faults {
        assert_eq!((&fault["code"], &fault["message"]), (&json!("target_refused"), &faults[0]["message"]), "{fault}");
    }
    says_nothing(&problem.to_string());
}

async fn gateway_alone() -> System {
    let setup = sluice_tests::system::Setup { workers: 0, deliveries: 0, ..strict().into() };
    System::start(setup).await
}

#[tokio::test]
async fn over_http_each_url_that_points_inside_is_a_fault_of_its_own() {
    let system = gateway_alone().await;
    let client = system.client();
    let answer = client.post(&everywhere()).await;
    assert_eq!(answer.status, 422, "{answer:#?}");
    check(&answer.body);
    let batch = client.batch(&[everywhere(), json!({"url": "https://a.example/"})]).await;
    check(&batch[0]["problem"]);
    assert_eq!(batch[1]["status"], 202, "{batch:#?}");
    // With something else wrong it is a job that is not valid, as ever.
    let both = client.post(&json!({"url": "http://10.0.0.1/", "method": 5})).await;
    assert_eq!((both.status, &both.body["code"]), (422, &json!("invalid_job")), "{both:#?}");
}

#[tokio::test]
async fn a_user_in_a_url_is_refused_whatever_comes_after_it() {
    let system = gateway_alone().await;
    for url in ["http://a.example@127.0.0.1/", "http://a.example:80@10.0.0.1/", "http://127.0.0.1@a.example/"] {
        let answer = system.client().post(&json!({"url": url})).await;
        assert_eq!((answer.status, &answer.body["faults"][0]["code"]), (422, &json!("invalid_url")), "{answer:#?}");
    }
}

#[tokio::test]
async fn over_nats_it_is_the_same_refusal_and_only_webhooks_that_may_be_called_are_told() {
    let system = gateway_alone().await;
    let nats = system.broker.connect().await;
    let job = everywhere().to_string();
    // A gateway says that it is there for HTTP a moment before it listens to NATS.
    let ask = async || nats.client().request("sluice.api.submit.acme", job.clone().into()).await.ok();
    let answer = eventually("an answer", ask).await;
    check(&serde_json::from_slice(&answer.payload).unwrap());
    nats.publish("sluice.submit.acme".into(), HeaderMap::new(), job.into()).await.unwrap();
    let letter = system.broker.dead_letters("submission", 1).await.remove(0);
    let reason = letter.header(REASON).unwrap();
    assert!(PATHS.iter().all(|path| reason.contains(&format!("`{path}` may not be called"))), "{reason}");
    says_nothing(reason);
    let result = nats.newest("SLUICE_RESULTS", "sluice.results.*.acme.*").await.unwrap().unwrap();
    let result: sluice_shared::domain::result::JobResult = sluice_shared::wire::decode(&result.payload).unwrap();
    let told: Vec<&str> = result.webhooks.iter().map(|webhook| webhook.url.as_str()).collect();
    assert_eq!(told, ["nats:my.outcomes", "https://8.8.8.8/"]);
}

#[tokio::test]
async fn hosts_and_ports_that_are_configured_are_refused_and_allowed_at_the_door() {
    let lists = strict()
        .set("targets.deny_hosts", ["*.internal"].as_slice())
        .set("targets.allow_networks", ["10.0.0.0/8"].as_slice())
        .set("targets.deny_networks", ["10.9.0.0/16"].as_slice())
        .set("targets.deny_ports", [25].as_slice());
    let system = System::start(sluice_tests::system::Setup { workers: 0, deliveries: 0, ..lists.into() }).await;
    let table = [
        ("http://db.internal/", 422),
        ("http://DB.Internal./", 422),
        ("http://a.example:25/", 422),
        ("http://10.9.0.1/", 422),
        ("http://[::ffff:10.9.0.1]/", 422),
        ("http://192.168.0.1/", 422),
        ("http://10.1.0.1/", 202),
        ("http://a.example/", 202),
    ];
    for (url, status) in table {
        let answer = system.client().post(&json!({"url": url})).await;
        assert_eq!(answer.status, status, "{url}: {answer:#?}");
    }
}
