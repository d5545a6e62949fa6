//! `/v1/webhook-secrets`: set, shown masked, forgotten; what is refused.

use http::Method;
use serde_json::{Value, json};
use sluice_tests::client::{Answer, Client};
use sluice_tests::configuration::Configuration;
use sluice_tests::scene::Scene;
use sluice_tests::system::Setup;

pub(crate) async fn ask(client: &Client, method: Method, body: Option<&Value>) -> Answer {
    client.send(method, "/v1/webhook-secrets", &[], body.map(|body| body.to_string().into())).await
}

/// Sets them; what is shown of them.
pub(crate) async fn set(client: &Client, secrets: &Value) -> Value {
    let answer = ask(client, Method::PUT, Some(secrets)).await;
    assert_eq!(answer.status, 200, "{answer:#?}");
    answer.body
}

#[tokio::test]
async fn secrets_are_set_shown_masked_replaced_and_forgotten() {
    let setup = Setup { workers: 0, deliveries: 0, ..Configuration::default().into() };
    let scene = Scene::with(setup).await;
    let client = &scene.client;
    let missing = ask(client, Method::GET, None).await;
    assert_eq!((missing.status, &missing.body["code"]), (404, &json!("no_webhook_secrets")));

    let shown = set(client, &json!({"primary_secret": "abcd-canary-canary-wxyz"})).await;
    let expected = json!({"primary_secret": "abcd****wxyz", "has_secondary": false, "schemes": ["standard"],
        "set_at": shown["set_at"]});
    assert_eq!(shown, expected);
    assert_eq!(ask(client, Method::GET, None).await.body, expected);

    let both = json!({"primary_secret": "efgh-canary-canary-stuv", "secondary_secret": "abcd-canary-canary-wxyz",
        "schemes": ["ezthrottle", "standard"]});
    let shown = set(client, &both).await;
    assert_eq!(
        (&shown["primary_secret"], &shown["secondary_secret"]),
        (&json!("efgh****stuv"), &json!("abcd****wxyz"))
    );
    assert_eq!((&shown["has_secondary"], &shown["schemes"]), (&json!(true), &json!(["standard", "ezthrottle"])));
    assert_eq!(set(client, &both).await["has_secondary"], true);

    for _ in 0..2 {
        assert_eq!(ask(client, Method::DELETE, None).await.status, 204);
    }
    assert_eq!(ask(client, Method::GET, None).await.status, 404);
    assert_eq!(set(client, &json!({"primary_secret": "abcd-canary-canary-wxyz"})).await["has_secondary"], false);
}

#[tokio::test]
async fn what_is_no_secret_is_refused_with_its_faults_and_never_repeated() {
    let setup = Setup { workers: 0, deliveries: 0, ..Configuration::default().into() };
    let scene = Scene::with(setup).await;
    let refused = ask(&scene.client, Method::PUT, Some(&json!({"primary_secret": "canary", "schemes": ["md5"]}))).await;
    assert_eq!((refused.status, &refused.body["code"]), (422, &json!("invalid_secrets")));
    let paths: Vec<&Value> = refused.body["faults"].as_array().unwrap().iter().map(|fault| &fault["path"]).collect();
    assert_eq!(paths, ["primary_secret", "schemes"]);
    let broken = scene.client.send(Method::PUT, "/v1/webhook-secrets", &[], Some(b"{\"canary".to_vec())).await;
    assert_eq!((broken.status, &broken.body["code"]), (400, &json!("not_json")));
    for answer in [refused, broken] {
        assert!(!answer.body.to_string().contains("canary"), "{answer:#?}");
    }
}
