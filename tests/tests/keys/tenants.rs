//! A tenant reaches what is its own and nothing else; the operator reaches everything.

use http::Method;
use serde_json::{Value, json};
use sluice::scripted::Script;
use sluice_shared::domain::access::Scope;
use sluice_tests::client::Client;
use sluice_tests::configuration::Configuration;
use sluice_tests::eventually;
use sluice_tests::system::Setup;

use crate::rig::{Rig, admin, later, problem, setup, user, wish};

async fn ask(client: &Client, method: Method, path: &str) -> sluice_tests::client::Answer {
    client.send(method, path, &[], None).await
}

/// The values of a field of each item of a list.
async fn listed(client: &Client, path: &str, list: &str, field: &str) -> Vec<String> {
    let answer = ask(client, Method::GET, path).await;
    assert_eq!(answer.status, 200, "{answer:#?}");
    let items = answer.body[list].as_array().unwrap_or_else(|| panic!("{answer:#?}"));
    items.iter().map(|item| item[field].as_str().unwrap_or("(none)").to_owned()).collect()
}

#[tokio::test]
async fn the_job_of_another_tenant_is_not_there_whatever_is_asked_of_it() {
    let rig = Rig::start(1, 1).await;
    let (acme, other) = (rig.client(user("acme")).await, rig.client(user("other")).await);
    let reader = rig.client(wish(None, &[Scope::Read])).await;
    let failing = json!({"url": "http://127.0.0.1:9/", "retry_policy": {"max_retries": 0}, "webhooks": [{"url": rig.scene.hooks.url()}]});
    let (waits, failed) = (acme.submit(&later("waits")).await.job_id, acme.submit(&failing).await.job_id);
    assert_eq!(acme.wait(&failed).await["status"], "failed");
    for job in [&waits, &failed] {
        for (method, path) in [
            (Method::GET, ""),
            (Method::GET, "?wait=1s"),
            (Method::GET, "/events"),
            (Method::POST, "/retry"),
            (Method::POST, "/webhooks/0/replay"),
            (Method::DELETE, ""),
        ] {
            let answer = ask(&other, method, &format!("/v1/jobs/{job}{path}")).await;
            problem(&answer, 404, "no_such_job");
            assert!(!answer.body.to_string().contains("acme"), "{answer:#?}");
        }
        assert_eq!(reader.get(job).await["job_id"], json!(job));
    }
    // Nothing of that has changed it, and to its owner all of it is there.
    assert_eq!(acme.get(&waits).await["status"], "backing_off");
    assert_eq!(ask(&acme, Method::POST, &format!("/v1/jobs/{failed}/webhooks/0/replay")).await.status, 202);
    assert_eq!(ask(&acme, Method::POST, &format!("/v1/jobs/{failed}/retry")).await.status, 202);
    assert_eq!(acme.cancel(&waits).await.body["status"], "cancelled");
}

#[tokio::test]
async fn the_same_key_of_two_tenants_names_two_jobs() {
    let rig = Rig::start(1, 0).await;
    let (acme, other) = (rig.client(user("acme")).await, rig.client(user("other")).await);
    let (one, two) = (acme.submit(&later("k")).await, other.submit(&later("k")).await);
    assert_ne!(one.job_id, two.job_id);
    // The operator submits for whom it says, else for the default tenant.
    let operator = rig.client(user_of_all()).await;
    let post = async |client: &Client, path: &str| {
        client.send(Method::POST, path, &[], Some(later("k").to_string().into())).await
    };
    let third = operator.submit(&later("k")).await;
    assert!(third.job_id != one.job_id && third.job_id != two.job_id);
    let fourth = post(&operator, "/v1/jobs?tenant=third").await;
    assert_eq!(fourth.status, 202, "{fourth:#?}");
    assert_eq!(operator.get(fourth.body["job_id"].as_str().unwrap()).await["idempotent_key"], "k");
    problem(&post(&acme, "/v1/jobs?tenant=other").await, 403, "other_tenant");
    assert_eq!(post(&acme, "/v1/jobs?tenant=acme").await.body["job_id"], json!(one.job_id));
    problem(&post(&operator, "/v1/jobs?tenant=a.b").await, 400, "bad_query");
}

fn user_of_all() -> sluice_shared::domain::access::Wish {
    wish(None, &[Scope::Submit, Scope::Read, Scope::Operate])
}

#[tokio::test]
async fn a_tenant_sees_and_changes_its_own_queues_only() {
    let rig = Rig::start(1, 0).await;
    let (acme, other) = (rig.client(user("acme")).await, rig.client(user("other")).await);
    let operator = rig.client(user_of_all()).await;
    for client in [&acme, &other] {
        client.submit(&json!({"url": "http://a.example/"})).await;
    }
    let names =
        async |client: &Client, query: &str| listed(client, &format!("/v1/queues{query}"), "queues", "tenant").await;
    eventually("both queues", async || (names(&operator, "").await.len() == 2).then_some(())).await;
    assert_eq!((names(&acme, "").await, names(&other, "").await), (vec!["acme".to_owned()], vec!["other".to_owned()]));
    assert_eq!(names(&operator, "?tenant=acme").await, ["acme"]);
    assert_eq!(names(&acme, "?tenant=acme").await, ["acme"]);
    problem(&ask(&acme, Method::GET, "/v1/queues?tenant=other").await, 403, "other_tenant");
    let queue = listed(&acme, "/v1/queues", "queues", "queue").await.remove(0);
    for (method, path) in
        [(Method::GET, ""), (Method::POST, "/pause"), (Method::POST, "/resume"), (Method::POST, "/purge")]
    {
        let path = format!("/v1/queues/{queue}{path}");
        problem(&ask(&other, method.clone(), &path).await, 404, "no_such_queue");
        assert_eq!(ask(&acme, method, &path).await.status, 200);
    }
    // How busy others keep a gate that is shared is not told; its limits are the operator's to change.
    let gate = |answer: Value| answer["gates"][0].clone();
    let path = format!("/v1/queues/{queue}");
    let (seen, all) =
        (gate(ask(&acme, Method::GET, &path).await.body), gate(ask(&operator, Method::GET, &path).await.body));
    assert!(seen.get("in_flight").is_none() && all["in_flight"] == 0, "{seen} {all}");
    let limits = || Some(br#"{"rate": 5}"#.to_vec());
    problem(&acme.send(Method::PATCH, &path, &[], limits()).await, 403, "operators_only");
    assert_eq!(operator.send(Method::PATCH, &path, &[], limits()).await.status, 200);
}

#[tokio::test]
async fn a_tenant_sees_and_changes_its_own_dead_letters_only() {
    let configuration = Configuration::default().set("gateway.auth", "keys").set("delivery.retry", ["1s"].as_slice());
    let rig = Rig::with(Setup { workers: 1, deliveries: 1, ..Setup::from(configuration) }).await;
    let (acme, other) = (rig.client(user("acme")).await, rig.client(user("other")).await);
    let operator = rig.client(user_of_all()).await;
    // A webhook that answers 410 is a dead letter at once.
    rig.scene.destination.on("/gone", Script::answer(410));
    let job = |number: u8| {
        let hook = rig.scene.destination.at("/gone");
        json!({"url": rig.scene.destination.at("/ok"), "webhooks": [{"url": hook}], "idempotent_key": number.to_string()})
    };
    for number in 0..2 {
        acme.submit(&job(number)).await;
        other.submit(&job(number)).await;
    }
    let whose = async |client: &Client, query: &str| {
        let mut whose = listed(client, &format!("/v1/dead-letters{query}"), "letters", "tenant").await;
        whose.sort();
        whose
    };
    eventually("all letters", async || (whose(&operator, "").await.len() == 4).then_some(())).await;
    assert_eq!(whose(&acme, "").await, ["acme", "acme"]);
    assert_eq!(whose(&operator, "?tenant=other").await, ["other", "other"]);
    problem(&ask(&acme, Method::GET, "/v1/dead-letters?tenant=other").await, 403, "other_tenant");
    problem(&ask(&acme, Method::POST, "/v1/dead-letters/purge?tenant=other").await, 403, "other_tenant");
    let id = listed(&acme, "/v1/dead-letters", "letters", "id").await.remove(0);
    for (method, path) in [(Method::GET, ""), (Method::POST, "/redrive"), (Method::DELETE, "")] {
        problem(&ask(&other, method, &format!("/v1/dead-letters/{id}{path}")).await, 404, "no_such_letter");
    }
    assert_eq!(ask(&acme, Method::GET, &format!("/v1/dead-letters/{id}")).await.status, 200);
    // All of a tenant's are all that it has.
    let purged = ask(&other, Method::POST, "/v1/dead-letters/purge").await;
    assert_eq!(purged.body["done"], 2, "{purged:#?}");
    assert_eq!(whose(&operator, "").await, ["acme", "acme"]);
    assert_eq!(ask(&acme, Method::DELETE, &format!("/v1/dead-letters/{id}")).await.status, 204);
    let purged = ask(&operator, Method::POST, "/v1/dead-letters/purge?tenant=acme").await;
    assert_eq!(purged.body["done"], 1, "{purged:#?}");
}

#[tokio::test]
async fn a_tenant_sees_and_revokes_its_own_keys_only() {
    let rig = Rig::with(setup(1, 0)).await;
    let (acme, other) = (rig.key(admin(Some("acme"))).await, rig.key(admin(Some("other"))).await);
    let operator = rig.key(admin(None)).await;
    let ids = async |key: &str, query: &str| listed(&rig.at(0, key), &format!("/v1/keys{query}"), "keys", "id").await;
    assert_eq!(ids(&acme.text, "").await, [acme.id.as_str()]);
    assert_eq!(ids(&operator.text, "").await, [acme.id.as_str(), other.id.as_str(), operator.id.as_str()]);
    assert_eq!(ids(&operator.text, "?tenant=other").await, [other.id.as_str()]);
    let (by_acme, by_operator) = (rig.at(0, &acme.text), rig.at(0, &operator.text));
    for id in [&other.id, &operator.id] {
        problem(&ask(&by_acme, Method::DELETE, &format!("/v1/keys/{id}")).await, 404, "no_such_key");
    }
    assert_eq!(ask(&by_operator, Method::DELETE, &format!("/v1/keys/{}", other.id)).await.status, 204);
    assert_eq!(ask(&by_acme, Method::DELETE, &format!("/v1/keys/{}", acme.id)).await.status, 204);
    problem(&ask(&by_acme, Method::GET, "/v1/keys").await, 401, "unknown_api_key");
}
