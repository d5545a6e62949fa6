//! Canaries in every place that holds a caller's secret, everything run that can go well or wrong, and then everything
//! looked through that anybody could read: logs at their most talkative, metrics, answers, webhooks, dead letters, all
//! streams and buckets, the broker's files.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use sluice::scripted::Script;
use sluice_shared::clock;
use sluice_tests::configuration::{Configuration, KEY};
use sluice_tests::scene::Scene;

use crate::named::put;
use crate::signing::set;

/// Sealed: at the destination and nowhere else.
const SEALED: &str = "canary-sealed";
/// The same, in what clients store in the broker themselves: it is there until it is taken in.
const DOOR: &str = "canary-door";
/// Bodies of requests, and URLs behind their hosts: in the broker, and shown to nobody.
const UNSHOWN: [&str; 3] = ["canary-body", "canary-path", "canary-query"];
/// Bodies of answers: in outcomes, and nowhere else.
const ANSWER: &str = "canary-answer";

/// Headers and a body full of canaries.
fn request(scene: &Scene, path: &str, more: Value) -> Value {
    let mut request = json!({
        "url": scene.destination.at(&format!("{path}/canary-path?token=canary-query")),
        "method": "POST",
        "headers": {"Authorization": format!("Bearer {SEALED}"), "cookie": format!("id={SEALED}"),
            "x-api-key": [SEALED, SEALED], "x-custom": "{{secret:named}}"},
        "body": {"text": "canary-body", "named": "{{secret:named}}", "configured": "{{secret:configured}}"},
    });
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    request
}

/// The same as a whole job, with its webhooks.
fn job(scene: &Scene, path: &str, more: Value) -> Value {
    let mut job = request(scene, path, more);
    job["webhooks"] = json!([{"url": scene.hooks.at("/hook/canary-path?token=canary-query")}]);
    job
}

/// All that a job can go through; the ids of what was accepted.
async fn run_everything(scene: &Scene) -> Vec<String> {
    let on = |path: &str, script: Script| scene.destination.on(&format!("{path}/canary-path"), script);
    on("/refuses", Script::answer(404).body(ANSWER));
    on("/fails", Script::answer(500).body(ANSWER));
    on("/breaks", Script::close());
    on("/hangs", Script::hang());
    on("/limits", Script::answer(200).body(ANSWER));
    let fallback = || request(scene, "/second", json!({"trigger": {"type": "on_error"}}));
    let follow_up = || request(scene, "/after", json!({}));
    let jobs = [
        job(scene, "/works", json!({"on_success": follow_up()})),
        job(scene, "/refuses", json!({"on_failure": follow_up()})),
        job(scene, "/fails", json!({"retry_policy": {"max_retries": 1}, "fallbacks": [fallback()]})),
        job(scene, "/breaks", json!({"retry_policy": {"max_retries": 1}})),
        job(scene, "/hangs", json!({"timeout_ms": 300, "retry_policy": {"max_retries": 0}})),
        job(scene, "/hangs", json!({"deadline_ms": 500})),
        job(scene, "/works", json!({"headers": {"authorization": format!("{SEALED} {{{{secret:nobody}}}}")}})),
        job(scene, "/works", json!({"idempotent_key": "panic at work"})),
        job(scene, "/works", json!({"idempotent_key": "panic at answer,panic at die"})),
        job(scene, "/works", json!({"idempotent_key": "panic at delivery"})),
    ];
    let mut ids = Vec::new();
    for job in jobs {
        ids.push(scene.client.submit(&job).await.job_id);
    }
    for item in scene.client.batch(&[job(scene, "/works", json!({})), json!({"url": 7, "headers": SEALED})]).await {
        ids.extend(item["job"]["job_id"].as_str().map(str::to_owned));
    }
    let tomorrow = clock::now().after(Duration::from_secs(24 * 3600));
    let waits = scene.client.submit(&job(scene, "/works", json!({"retry_at": tomorrow}))).await.job_id;
    assert!(scene.client.cancel(&waits).await.status < 300);
    for id in &ids {
        scene.client.wait(id).await;
    }
    assert_eq!(scene.client.send(Method::POST, &format!("/v1/jobs/{}/retry", ids[1]), &[], None).await.status, 202);
    ids.push(waits);
    ids
}

/// What clients store in the broker: a job, one that is none, one that panics, what is no JSON.
async fn through_the_nats_door(scene: &Scene) {
    let nats = scene.system.broker.connect().await;
    let text = |job: Value| job.to_string().replace(SEALED, DOOR);
    let broken = format!(r#"{{"url": "http://a.example/", "headers": {{"cookie": "{DOOR}""#);
    for (key, submission) in [
        ("by-nats", text(job(scene, "/works", json!({})))),
        ("no-job", text(job(scene, "/works", json!({"method": 7})))),
        ("panic at intake", text(job(scene, "/works", json!({})))),
        ("no-json", broken),
    ] {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Idempotency-Key", key);
        nats.jetstream()
            .publish_with_headers("sluice.submit", headers, submission.into())
            .await
            .unwrap()
            .await
            .unwrap();
    }
    scene.system.broker.dead_letters("submission", 3).await;
}

/// Every answer of the gateway that is about what was run, refusals included; and the counts of every role.
async fn answers(scene: &Scene, ids: &[String]) -> Vec<String> {
    let mut answers = Vec::new();
    let mut ask = async |method: Method, path: &str, body: Option<Value>| {
        let body = body.map(|body| body.to_string().into());
        let answer = scene.client.send(method, path, &[], body).await;
        answers.push(format!("{path} {:?} {}", answer.headers, answer.body));
        answer.body
    };
    for id in ids {
        ask(Method::GET, &format!("/v1/jobs/{id}"), None).await;
        ask(Method::GET, &format!("/v1/jobs/{id}/events"), None).await;
    }
    let letters = ask(Method::GET, "/v1/dead-letters?limit=500", None).await;
    let letters: Vec<String> =
        letters["letters"].as_array().unwrap().iter().map(|letter| letter["id"].as_str().unwrap().to_owned()).collect();
    assert!(letters.len() >= 6, "{letters:?}");
    for letter in letters {
        ask(Method::GET, &format!("/v1/dead-letters/{letter}"), None).await;
    }
    for path in ["/v1/queues", "/v1/webhook-secrets", "/v1/secrets", "/metrics", "/readyz"] {
        ask(Method::GET, path, None).await;
    }
    for wrong in [json!({"method": [SEALED]}), json!({"deadline_ms": SEALED}), json!({"url": format!("x:{SEALED}")})] {
        ask(Method::POST, "/v1/jobs", Some(job(scene, "/works", wrong))).await;
    }
    ask(Method::PUT, "/v1/webhook-secrets", Some(json!({"primary_secret": SEALED, "secondary_secret": 1}))).await;
    for process in scene.system.workers.iter().chain(&scene.system.deliveries) {
        answers.push(
            sluice_tests::client::Client::new(process.http())
                .send(Method::GET, "/metrics", &[], None)
                .await
                .body
                .to_string(),
        );
    }
    answers
}

/// Those of these texts that have one of these words, shortened to what is around it.
fn with<'a>(words: &[&str], texts: impl IntoIterator<Item = &'a String>) -> Vec<String> {
    let around = |text: &String| {
        let at = words.iter().find_map(|word| text.find(word))?;
        let from = (0..=at.saturating_sub(300)).rev().find(|from| text.is_char_boundary(*from)).unwrap_or_default();
        Some(text[from..].chars().take(400).collect())
    };
    texts.into_iter().filter_map(around).collect()
}

#[tokio::test]
async fn no_canary_is_found_anywhere_but_at_its_destination() {
    let configuration =
        Configuration::default().set("secrets.static.default.configured", SEALED).set("log.filter", "trace");
    let scene = Scene::with(configuration).await;
    set(
        &scene.client,
        &json!({"primary_secret": format!("one-{SEALED}-one"), "schemes": ["standard", "ezthrottle"],
        "secondary_secret": format!("two-{SEALED}-two")}),
    )
    .await;
    assert_eq!(put(&scene.client, "named", &json!({"value": SEALED})).await.status, 200);
    scene.hooks.answer([Script::answer(500), Script::answer(410).body(ANSWER)]);
    let ids = run_everything(&scene).await;
    through_the_nats_door(&scene).await;
    scene.system.broker.dead_letters("webhook", 6).await;
    scene.system.broker.dead_letters("message", 1).await;

    let calls = scene.destination.all_calls();
    let whole = |word: &str| {
        calls.iter().any(|call| {
            let named = String::from_utf8_lossy(&call.body).contains(&format!(r#""named":"{SEALED}""#));
            named && call.header("x-custom") == Some(SEALED) && call.header("cookie") == Some(&format!("id={word}"))
        })
    };
    assert!(whole(SEALED) && whole(DOOR), "nothing is found because nothing was there");

    let answers = answers(&scene, &ids).await;
    let hidden = [&[SEALED, DOOR], &UNSHOWN[..]].concat();
    assert_eq!(with(&hidden, &answers), Vec::<String>::new(), "in an answer");
    assert!(!with(&[ANSWER], &answers).is_empty(), "outcomes have answers");
    let posts: Vec<String> =
        scene.hooks.all_posts().iter().map(|post| format!("{:?} {}", post.call.headers, post.payload)).collect();
    assert!(posts.len() > ids.len());
    assert_eq!(with(&hidden, &posts), Vec::<String>::new(), "in a webhook");

    let system = &scene.system;
    let processes = system.gateways.iter().chain(&system.workers).chain(&system.deliveries);
    let said: Vec<String> = processes.map(|process| format!("{} {}", process.announced(), process.said())).collect();
    assert!(said.iter().all(|said| said.contains(r#""level":"DEBUG""#)), "the logs say all they can");
    assert!(said.iter().any(|said| said.contains("panicked at shared/src/fault_points.rs")), "something panicked");
    let unsaid = [&hidden[..], &[ANSWER, KEY, "asked for by the key"]].concat();
    let lines: Vec<String> = said.iter().flat_map(|said| said.lines().map(str::to_owned)).collect();
    assert_eq!(with(&unsaid, &lines), Vec::<String>::new(), "in a log");

    let stored = system.broker.everything().await;
    assert_eq!(with(&[SEALED, DOOR, KEY], &stored), Vec::<String>::new(), "in a stream");
    assert!(!with(&["canary-body"], &stored).is_empty(), "bodies are kept as they are");
    let files: Vec<String> =
        system.broker.disk().iter().map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned()).collect();
    assert_eq!(with(&[SEALED, KEY], &files), Vec::<String>::new(), "in a file of the broker");
    assert!(!with(&["canary-body"], &files).is_empty());
}
