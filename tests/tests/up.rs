//! `sluice up`: everything in one process tree, as somebody meets it who has just installed it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use http::Method;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use sluice::scripted::{Destination, Script, WebhookReceiver};
use sluice_shared::clock;
use sluice_shared::seal::SealKey;
use sluice_tests::client::Client;
use sluice_tests::configuration::Configuration;
use sluice_tests::events::Event;
use sluice_tests::process::is_alive;
use sluice_tests::scene::{calls, dropped};
use sluice_tests::up::Up;
use sluice_tests::{DEADLINE, eventually};

async fn up() -> (Up, Client, Destination) {
    let (up, destination) = (Up::start(&Configuration::default()).await, Destination::start().await.unwrap());
    let client = up.client();
    (up, client, destination)
}

fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.name.as_str()).collect()
}

#[tokio::test]
async fn it_says_where_everything_is_and_all_of_it_answers() {
    let (up, client, _) = up().await;
    let said = up.process.announced();
    assert_eq!(said["pid"], up.process.pid(), "{said:#}");
    for path in ["/healthz", "/readyz"] {
        assert_eq!(client.send(Method::GET, path, &[], None).await.status, 200, "{path}");
    }
    let metrics = said["metrics"].as_array().unwrap();
    assert_eq!(metrics.len(), 2, "{said:#}");
    for url in metrics {
        let answer = Client::new(url.as_str().unwrap()).send(Method::GET, "", &[], None).await;
        assert!(answer.status == 200 && answer.body.as_str().unwrap().contains("# EOF"), "{answer:#?}");
    }
    async_nats::connect(said["nats"].as_str().unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_job_is_waited_for_until_it_has_ended() {
    let (_up, client, destination) = up().await;
    destination.on("/", Script::answer(200).after(Duration::from_secs(1)).body("hello"));
    let id = client.submit(&json!({"url": destination.at("/")})).await.job_id;
    let before = client.get(&id).await;
    assert!(matches!(before["status"].as_str(), Some("queued" | "gated" | "running")), "{before:#}");
    assert_eq!(before["outcome"], json!(null));
    let answer = client.look(&id, "?wait=30s").await;
    assert_eq!((answer.status, &answer.body["status"]), (200, &json!("success")), "{answer:#?}");
    assert_eq!(answer.body["outcome"]["response"]["body"], "hello");
    assert_eq!(answer.body["attempts"], 1);
}

#[tokio::test]
async fn this_machine_may_be_called_and_webhooks_may_come_back_to_it_though_nothing_is_configured() {
    let nothing = Configuration::default().set("targets.allow_networks", Value::Array(Vec::new()));
    let up = Up::start(&nothing).await;
    assert_eq!(up.process.announced()["loopback_targets"], true);
    let (destination, hooks) = (Destination::start().await.unwrap(), WebhookReceiver::start().await.unwrap());
    let by_name = destination.at("/").replace("127.0.0.1", "localhost");
    let id = up.client().submit(&json!({"url": by_name, "webhooks": [{"url": hooks.url()}]})).await.job_id;
    assert_eq!(hooks.wait_for_job(&id, DEADLINE).await.unwrap().payload["status"], "success");
    let private = up.client().post(&json!({"url": "http://10.0.0.1/"})).await;
    assert_eq!((private.status, &private.body["code"]), (422, &json!("target_refused")), "{private:#?}");
}

#[tokio::test]
async fn a_wait_that_is_over_before_the_job_says_how_far_it_is() {
    let (_up, client, destination) = up().await;
    destination.on("/", Script::hang());
    let id = client.submit(&json!({"url": destination.at("/")})).await.job_id;
    calls(&destination, "/", 1).await;
    let answer = client.look(&id, "?wait=200ms").await;
    assert_eq!((answer.status, &answer.body["status"]), (200, &json!("running")), "{answer:#?}");
    let unknown = client.look("job_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "?wait=30s").await;
    assert_eq!(unknown.status, 404, "{unknown:#?}");
    let nonsense = client.look(&id, "?wait=soon").await;
    assert_eq!(nonsense.status, 400, "{nonsense:#?}");
}

#[tokio::test]
async fn events_tell_what_happened_then_what_happens_and_end_with_the_outcome() {
    let (_up, client, destination) = up().await;
    destination.on("/", [Script::answer(500), Script::answer(200).after(Duration::from_secs(1)).body("hello")]);
    let id = client.submit(&json!({"url": destination.at("/")})).await.job_id;
    calls(&destination, "/", 1).await;
    let events = client.events(&id, None).await.rest().await;
    let expected = ["accepted", "sent", "answered", "sent", "settled", "outcome"];
    assert_eq!(names(&events), expected, "{events:#?}");
    let answered = &events[2].data;
    assert_eq!((&answered["status_code"], &answered["attempt"]), (&json!(500), &json!(1)), "{events:#?}");
    let outcome = &events[5].data;
    assert_eq!((&outcome["status"], &outcome["response"]["body"]), (&json!("success"), &json!("hello")), "{outcome:#}");
}

#[tokio::test]
async fn events_go_on_after_the_one_that_was_seen_last() {
    let (_up, client, destination) = up().await;
    let id = client.submit(&json!({"url": destination.at("/")})).await.job_id;
    let all = client.events(&id, None).await.rest().await;
    let sent = all.iter().find(|event| event.name == "sent").unwrap();
    let rest = client.events(&id, sent.id.as_deref()).await.rest().await;
    let after = all.iter().skip_while(|event| event.id != sent.id).skip(1);
    assert_eq!(names(&rest), after.map(|event| event.name.as_str()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_running_job_is_cancelled_and_its_call_dropped() {
    let (_up, client, destination) = up().await;
    destination.on("/", Script::hang());
    let id = client.submit(&json!({"url": destination.at("/")})).await.job_id;
    calls(&destination, "/", 1).await;
    let answer = client.cancel(&id).await;
    assert!(matches!(answer.status, 200 | 202), "{answer:#?}");
    assert_eq!(client.wait(&id).await["status"], "cancelled");
    dropped(&destination, 0).await;
}

#[tokio::test]
async fn a_key_is_one_job_and_the_same_key_for_another_request_a_conflict() {
    let (_up, client, destination) = up().await;
    let job = |body: &str| json!({"url": destination.at("/"), "method": "POST", "body": body, "idempotent_key": "k"});
    let first = client.submit(&job("a")).await;
    let again = client.post(&job("a")).await;
    assert_eq!((again.status, &again.body["duplicate"]), (200, &json!(true)), "{again:#?}");
    assert_eq!(again.body["job_id"], first.job_id.as_str());
    let other = client.post(&job("b")).await;
    assert_eq!((other.status, &other.body["code"]), (409, &json!("conflict")), "{other:#?}");
    assert_eq!(other.header("content-type"), "application/problem+json");
    client.wait(&first.job_id).await;
    assert_eq!(client.post(&job("a")).await.body["status"], "success");
    assert_eq!(destination.count(), 1);
}

#[tokio::test]
async fn a_bad_job_is_told_everything_that_is_wrong_with_it_by_the_path_of_each_field() {
    let (_up, client, _) = up().await;
    let bad = json!({
        "url": "ftp://example.com/", "methood": "GET", "timeout_ms": -1,
        "fallback_job": {"url": "https://example.com/", "trigger": {"type": "on_timeout"}, "webhooks": []},
        "webhooks": [{"url": "nats:$SYS.x"}], "execution_mode": "fanout",
    });
    let answer = client.post(&bad).await;
    assert_eq!((answer.status, &answer.body["code"]), (422, &json!("invalid_job")), "{answer:#?}");
    let faults = answer.body["faults"].as_array().unwrap();
    let mut found: Vec<(&str, &str)> =
        faults.iter().map(|fault| (fault["path"].as_str().unwrap(), fault["code"].as_str().unwrap())).collect();
    found.sort_unstable();
    let expected = [
        ("execution_mode", "misplaced"),
        ("fallback_job.trigger.timeout_ms", "missing"),
        ("fallback_job.webhooks", "job_only"),
        ("methood", "unknown_field"),
        ("timeout_ms", "out_of_range"),
        ("url", "invalid_url"),
        ("webhooks[0].url", "invalid_subject"),
    ];
    assert_eq!(found, expected, "{answer:#?}");
}

#[tokio::test]
async fn what_is_no_json_and_what_is_too_large_are_told_apart() {
    let (_up, client, destination) = up().await;
    let no_json = client.send(Method::POST, "/v1/jobs", &[], Some(b"{\"url\": ".to_vec())).await;
    assert_eq!((no_json.status, &no_json.body["code"]), (400, &json!("not_json")), "{no_json:#?}");
    let large = json!({"url": destination.at("/"), "method": "POST", "body": "x".repeat(9 << 20)});
    let answer = client.post(&large).await;
    assert_eq!((answer.status, &answer.body["code"]), (413, &json!("too_large")), "{answer:#?}");
    assert_eq!(destination.count(), 0);
}

#[tokio::test]
async fn a_batch_is_answered_item_by_item_in_its_order() {
    let (_up, client, destination) = up().await;
    let job = |key: &str| json!({"url": destination.at("/"), "idempotent_key": key});
    let first = client.submit(&job("known")).await;
    let items = client.batch(&[job("new"), json!({"url": 7}), job("known")]).await;
    let statuses: Vec<&Value> = items.iter().map(|item| &item["status"]).collect();
    assert_eq!(statuses, [202, 422, 200], "{items:#?}");
    assert_eq!(items[1]["problem"]["faults"][0]["code"], "wrong_type", "{items:#?}");
    assert_eq!(items[2]["job"]["job_id"], first.job_id.as_str(), "{items:#?}");
}

/// Stops it as Ctrl-C does.
async fn interrupted(up: &mut Up) {
    let (server, nats) = (up.server(), up.process.announced()["nats"].as_str().unwrap().to_owned());
    assert!(is_alive(server));
    up.process.signal(Signal::SIGINT);
    let ended = up.process.ended().await;
    assert_eq!(ended.code(), Some(0), "{ended}");
    eventually("the nats-server is gone", async || (!is_alive(server)).then_some(())).await;
    let address = nats.trim_start_matches("nats://").to_owned();
    assert!(tokio::net::TcpStream::connect(&address).await.is_err(), "somebody listens on {address}");
}

#[tokio::test]
async fn stopped_and_started_again_it_goes_on_where_it_was_and_leaves_no_server_behind() {
    let (mut up, client, destination) = up().await;
    destination.on("/later", [Script::answer(503).header("retry-after", 3), Script::answer(200)]);
    let job = |path: &str| json!({"url": destination.at(path), "idempotent_key": path});
    let ended = client.submit(&job("/ended")).await.job_id;
    let before: Value = client.wait(&ended).await;
    let later = client.submit(&job("/later")).await.job_id;
    calls(&destination, "/later", 1).await;
    interrupted(&mut up).await;
    up.process.restart().await;
    let client = up.client();
    let after = client.get(&ended).await;
    assert_eq!(after["outcome"], before["outcome"]);
    assert_eq!(client.wait(&later).await["status"], "success");
    assert_eq!((destination.calls("/ended").len(), destination.calls("/later").len()), (1, 2));
    interrupted(&mut up).await;
}

#[tokio::test]
async fn it_makes_a_key_of_its_own_and_opens_what_it_sealed_before_a_restart() {
    let destination = Destination::start().await.unwrap();
    let mut up = Up::start(&Configuration::default().without("secrets.key")).await;
    let file = up.data().join("secrets.key");
    let (key, mode) = (std::fs::read_to_string(&file).unwrap(), std::fs::metadata(&file).unwrap().permissions().mode());
    assert_eq!((SealKey::parse(&key).is_ok(), mode & 0o777), (true, 0o600));
    assert!(!up.process.said().contains("nothing is sealed") && !up.process.said().contains(key.trim()));

    let (headers, later) = (json!({"authorization": "Bearer canary"}), clock::now().after(Duration::from_secs(5)));
    let job = json!({"url": destination.at("/"), "headers": headers, "retry_at": later});
    let id = up.client().submit(&job).await.job_id;
    up.process.restart().await;
    assert_eq!(up.client().wait(&id).await["status"], "success");
    assert_eq!(calls(&destination, "/", 1).await[0].header("authorization"), Some("Bearer canary"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), key);
}
