//! Secrets that jobs name: filled in where they are sent, and nowhere else.

use futures_util::StreamExt as _;
use http::Method;
use serde_json::{Value, json};
use sluice_gateway::secrets::MOST;
use sluice_shared::clock;
use sluice_shared::domain::id::Tenant;
use sluice_shared::domain::named_secret::{Name, SecretValue};
use sluice_shared::seal::{Seal, SealKey};
use sluice_shared::secrets::{SecretName, SecretsStore};
use sluice_tests::client::{Answer, Client};
use sluice_tests::configuration::{Configuration, KEY};
use sluice_tests::scene::Scene;
use sluice_tests::system::Setup;
use sluice_tests::{DEADLINE, eventually};

pub(crate) async fn put(client: &Client, name: &str, body: &Value) -> Answer {
    client.send(Method::PUT, &format!("/v1/secrets/{name}"), &[], Some(body.to_string().into())).await
}

async fn names(client: &Client) -> Vec<Value> {
    let listed = client.send(Method::GET, "/v1/secrets", &[], None).await;
    assert_eq!(listed.status, 200, "{listed:#?}");
    listed.body["secrets"].as_array().unwrap().iter().map(|secret| secret["name"].clone()).collect()
}

/// A job that names a secret in a header and in its body.
fn naming(name: &str) -> Value {
    let secret = format!("{{{{secret:{name}}}}}");
    json!({"method": "POST", "headers": {"x-key": format!("Bearer {secret}")}, "body": {"key": secret}})
}

/// Why the job failed: the kind of its last error, and its text.
async fn failed(scene: &Scene, job: &str) -> (String, String) {
    let shown = scene.client.wait(job).await;
    let last = &shown["branches"][0]["last"];
    assert_eq!((&shown["status"], &last["attempt"]), (&json!("failed"), &json!(1)), "{shown:#}");
    let text = |field: &str| last["error"][field].as_str().unwrap_or_default().to_owned();
    (text("kind"), text("message"))
}

#[tokio::test]
async fn a_secret_is_filled_in_at_the_destination_and_is_nowhere_else() {
    let scene = Scene::start().await;
    for value in [r#"old"#, r#"canary-"q"\"#] {
        assert_eq!(put(&scene.client, "a-1", &json!({"value": value})).await.status, 200);
    }
    put(&scene.client, "B", &json!({"value": "canary-b"})).await;
    assert_eq!(names(&scene.client).await, ["B", "a-1"]);

    scene.run("/small", naming("a-1")).await;
    let call = scene.destination.calls("/small").remove(0);
    assert_eq!(call.header("x-key"), Some(r#"Bearer canary-"q"\"#));
    assert_eq!(call.json().unwrap()["key"], r#"canary-"q"\"#);

    let large = format!("{}{{{{secret:B}}}}", "x".repeat(20_000));
    let job = scene.submit("/large", json!({"method": "POST", "body": large})).await;
    scene.outcome(&job).await;
    assert!(scene.destination.calls("/large")[0].body.ends_with(b"xcanary-b"));
    assert!(!scene.client.get(&job).await.to_string().contains("canary"));

    let found = scene.system.broker.everything().await.into_iter().filter(|message| message.contains("canary"));
    assert_eq!(found.collect::<Vec<_>>(), Vec::<String>::new());
}

#[tokio::test]
async fn a_job_that_names_what_there_is_not_fails_by_the_name_alone_without_a_call_or_a_retry() {
    let scene = Scene::start().await;
    put(&scene.client, "a", &json!({"value": "canary"})).await;
    scene.run("/", naming("a")).await;
    for _ in 0..2 {
        assert_eq!(scene.client.send(Method::DELETE, "/v1/secrets/a", &[], None).await.status, 204);
    }
    assert_eq!(names(&scene.client).await, Vec::<Value>::new());
    let job = eventually("a job that fails", async || {
        let job = scene.submit("/", naming("a")).await;
        (scene.client.wait(&job).await["status"] == "failed").then_some(job)
    })
    .await;
    let (kind, message) = failed(&scene, &job).await;
    assert_eq!(
        (kind.as_str(), message.as_str()),
        ("secret_missing", "the request names secrets that there are not: `a`")
    );

    let calls = scene.destination.count();
    let fallback = json!({"url": scene.destination.at("/second"), "trigger": {"type": "on_error"}});
    let mut job = naming("nobody");
    job["fallback_job"] = fallback;
    assert_eq!(scene.run("/first", job).await["winner"], 1);
    assert_eq!(scene.destination.count(), calls + 1);
}

#[tokio::test]
async fn configured_secrets_stand_behind_those_that_were_set_and_each_tenant_has_its_own() {
    let configured = Configuration::default()
        .set("secrets.static.default.both", "configured")
        .set("secrets.static.default.one", "of the default")
        .set("secrets.static.acme.one", "of acme");
    let scene = Scene::with(configured).await;
    put(&scene.client, "both", &json!({"value": "set"})).await;
    put(&scene.client, "mine", &json!({"value": "of the default"})).await;
    for (path, name, expected) in [("/both", "both", "Bearer set"), ("/one", "one", "Bearer of the default")] {
        scene.run(path, naming(name)).await;
        assert_eq!(scene.destination.calls(path)[0].header("x-key"), Some(expected));
    }
    let nats = scene.system.broker.connect().await;
    let submit = async |name: &str| {
        let job = scene.job("/acme", naming(name)).to_string();
        nats.jetstream().publish("sluice.submit.acme", job.into()).await.unwrap().await.unwrap();
    };
    submit("one").await;
    assert_eq!(scene.calls("/acme", 1).await[0].header("x-key"), Some("Bearer of acme"));
    submit("mine").await;
    let of_foreign = |calls: &[sluice::scripted::Call]| calls.iter().any(|call| call.json().is_some_and(missing));
    scene.hooks.destination().wait_for(of_foreign, DEADLINE).await.unwrap();
    assert_eq!(scene.destination.calls("/acme").len(), 1);
}

fn missing(outcome: &Value) -> bool {
    outcome["branches"][0]["error"]["kind"] == "secret_missing"
}

#[tokio::test]
async fn what_is_no_secret_is_refused_and_without_a_key_none_is_kept() {
    let scene = Scene::start().await;
    let refused = put(&scene.client, "a", &json!({"value": "canary\n"})).await;
    assert_eq!((refused.status, &refused.body["code"]), (422, &json!("invalid_secret")));
    assert!(!refused.body.to_string().contains("canary"), "{refused:#?}");
    let named = put(&scene.client, "a.b", &json!({"value": "canary"})).await;
    assert_eq!((named.status, &named.body["code"]), (422, &json!("invalid_name")));

    let scene = Scene::with(Configuration::default().without("secrets.key")).await;
    let refused = put(&scene.client, "a", &json!({"value": "canary"})).await;
    assert_eq!((refused.status, &refused.body["code"]), (409, &json!("nothing_sealed")));
    assert!(scene.system.broker.everything().await.iter().all(|message| !message.contains("canary")));
}

#[tokio::test]
async fn a_tenant_has_so_many_secrets_at_most_and_can_still_change_and_delete_them() {
    let setup = Setup { workers: 0, deliveries: 0, ..Configuration::default().into() };
    let scene = Scene::with(setup).await;
    let store = SecretsStore::<SecretName>::new(
        &scene.system.broker.connect().await,
        &Seal::new(SealKey::parse(KEY).unwrap(), None),
    );
    let value = SecretValue::parse("v").unwrap();
    let all = (0..MOST).map(|number| {
        let key = SecretName { tenant: Tenant::default(), name: Name::parse(&format!("n{number}")).unwrap() };
        let (store, value) = (&store, &value);
        async move { store.set(&key, value, clock::now()).await }
    });
    let written: Vec<_> = futures_util::stream::iter(all).buffer_unordered(32).collect().await;
    assert!(written.iter().all(Result::is_ok));
    let refused = put(&scene.client, "more", &json!({"value": "v"})).await;
    assert_eq!((refused.status, &refused.body["code"]), (409, &json!("too_many_secrets")));
    assert_eq!(put(&scene.client, "n7", &json!({"value": "v"})).await.status, 200);
    assert_eq!(scene.client.send(Method::DELETE, "/v1/secrets/n8", &[], None).await.status, 204);
    assert_eq!(put(&scene.client, "more", &json!({"value": "v"})).await.status, 200);
    assert_eq!(names(&scene.client).await.len(), MOST);
}
