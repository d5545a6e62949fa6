//! Keys made over HTTP.

use http::Method;
use serde_json::{Value, json};
use sluice_shared::clock;
use sluice_shared::domain::access::{Quotas, Wish};
use sluice_tests::client::{Answer, Client};
use sluice_tests::scene::Scene;
use sluice_tests::system::Setup;

use crate::rig::{Rig, admin, problem};

async fn make(client: &Client, wished: &Value) -> Answer {
    client.send(Method::POST, "/v1/keys", &[], Some(wished.to_string().into())).await
}

#[tokio::test]
async fn a_key_is_shown_once_and_described_without_its_secret_from_then_on() {
    let rig = Rig::start(1, 0).await;
    let operator = rig.client(admin(None)).await;
    let expires_at = clock::now().0 + 3_600_000;
    let quotas = json!({"jobs_per_second": 5, "jobs_per_day": 100, "open_jobs": 7, "body_bytes": 65536});
    let wished = json!({"tenant": "acme", "scopes": ["read", "submit"], "label": "app", "expires_at": expires_at, "quotas": quotas});
    let made = make(&operator, &wished).await;
    assert_eq!(made.status, 201, "{made:#?}");
    let key = made.body["key"].as_str().unwrap();
    let listed = operator.send(Method::GET, "/v1/keys?tenant=acme", &[], None).await;
    let (shown, id) = (&listed.body["keys"][0], key.split('_').nth(1).unwrap());
    let expected = json!({
        "id": id, "tenant": "acme", "operator": false, "scopes": ["submit", "read"], "label": "app",
        "created_at": shown["created_at"], "created_by": shown["created_by"], "expires_at": expires_at, "expired": false,
        "quotas": quotas,
    });
    assert_eq!(*shown, expected);
    assert!(shown["created_by"].is_string() && shown["created_at"].is_u64());
    assert!(!listed.body.to_string().contains(key.rsplit('_').next().unwrap()));
}

#[tokio::test]
async fn a_tenants_key_makes_keys_of_its_tenant_within_its_own_limits() {
    let rig = Rig::start(1, 0).await;
    let end = clock::now().after(std::time::Duration::from_secs(3600));
    let quotas = Quotas { jobs_per_day: Some(10), ..Quotas::default() };
    let maker = rig.key(Wish { expires_at: Some(end), quotas, ..admin(Some("acme")) }).await;
    let acme = rig.at(0, &maker.text);
    let made = make(&acme, &json!({"scopes": ["submit", "admin"]})).await;
    assert_eq!((made.status, &made.body["tenant"]), (201, &json!("acme")), "{made:#?}");
    assert_eq!(made.body["expires_at"], json!(end.0));
    assert_eq!(made.body["shared_quotas"], json!([{"key": maker.id, "quotas": {"jobs_per_day": 10}}]));
    for wished in [json!({"tenant": "other", "scopes": ["read"]}), json!({"operator": true, "scopes": ["read"]})] {
        problem(&make(&acme, &wished).await, 403, "other_tenant");
    }
}

#[tokio::test]
async fn a_wish_that_makes_no_sense_is_refused_with_all_that_is_wrong() {
    let rig = Rig::start(1, 0).await;
    let operator = rig.client(admin(None)).await;
    let paths = |answer: &Answer| -> Vec<String> {
        let faults = answer.body["faults"].as_array().unwrap().iter();
        faults.map(|fault| fault["path"].as_str().unwrap().to_owned()).collect()
    };
    let unread = make(&operator, &json!({"scopes": ["root"], "secret": "x"})).await;
    problem(&unread, 422, "invalid_api_key");
    assert_eq!(paths(&unread), ["scopes", "secret", "tenant"]);
    let senseless =
        make(&operator, &json!({"tenant": "_", "scopes": [], "expires_at": 1, "quotas": {"open_jobs": 0}})).await;
    problem(&senseless, 422, "invalid_api_key");
    assert_eq!(paths(&senseless), ["tenant", "scopes", "expires_at", "quotas.open_jobs"]);
    problem(&operator.send(Method::POST, "/v1/keys", &[], Some(b"[".to_vec())).await, 400, "not_json");
}

#[tokio::test]
async fn an_open_gateway_makes_no_keys() {
    let scene = Scene::with(Setup { workers: 0, deliveries: 0, ..Setup::default() }).await;
    problem(&make(&scene.client, &json!({"operator": true, "scopes": ["admin"]})).await, 409, "no_keys_here");
    for (method, path) in [(Method::GET, "/v1/keys"), (Method::DELETE, "/v1/keys/one")] {
        problem(&scene.client.send(method, path, &[], None).await, 409, "no_keys_here");
    }
}
