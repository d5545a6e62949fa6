//! The secret of a key is with its owner and nowhere else.

use http::Method;
use serde_json::json;
use sluice_tests::configuration::Configuration;
use sluice_tests::system::Setup;

use crate::rig::{Rig, admin, later};

/// Everything is logged that can be, everything is asked for, and much of it is refused.
#[tokio::test]
async fn it_is_in_no_log_no_answer_and_nothing_that_is_stored() {
    let configuration = Configuration::default().set("gateway.auth", "keys").set("log.filter", "trace");
    let rig = Rig::with(Setup { workers: 1, deliveries: 1, ..Setup::from(configuration) }).await;
    let operator = rig.key(admin(None)).await;
    let client = rig.at(0, &operator.text);
    let wished = json!({"tenant": "acme", "scopes": ["submit", "read"], "quotas": {"jobs_per_day": 2}}).to_string();
    let made = client.send(Method::POST, "/v1/keys", &[], Some(wished.into())).await;
    let acme = made.body["key"].as_str().unwrap().to_owned();
    let user = rig.at(0, &acme);
    let mut answers = Vec::new();
    let job = user.submit(&rig.scene.job("/ok", json!({}))).await.job_id;
    answers.push(user.wait(&job).await.to_string());
    for number in 0..3 {
        answers.push(user.post(&later(&number.to_string())).await.body.to_string());
    }
    for route in sluice_gateway::http::routes() {
        for client in [&client, &user] {
            let path = crate::scopes::path_of(route.path);
            let answer = client.send(route.method.clone(), &path, &[], Some(b"{}".to_vec())).await;
            answers.push(format!("{:?} {}", answer.headers, answer.body));
        }
    }
    let broken = format!("Bearer {acme}x");
    let refused = rig.stranger().send(Method::GET, "/v1/queues", &[("authorization", &broken)], None).await;
    answers.push(format!("{:?} {}", refused.headers, refused.body));
    rig.scene.hooks.wait_for_job(&job, sluice_tests::DEADLINE).await.unwrap();
    rig.keys.revoke(&made.body["id"].as_str().unwrap().parse().unwrap(), None).await.unwrap();
    let system = &rig.scene.system;
    let logs = system.gateways.iter().chain(&system.workers).chain(&system.deliveries).map(|process| process.said());
    answers.extend(logs);
    assert!(answers.iter().any(|text| text.contains("an API key was made")), "nothing was logged");
    // What destinations and receivers were sent.
    answers.push(format!("{:?}{:?}", rig.scene.hooks.all_posts(), rig.scene.destination.all_calls()));
    for key in [&operator.text, &acme] {
        let secret = key.rsplit('_').next().unwrap();
        for text in &answers {
            let found = text.find(secret).map(|at| &text[at.saturating_sub(200)..at]);
            assert!(found.is_none(), "…{}", found.unwrap_or_default());
        }
        assert!(!system.broker.holds(secret), "it is stored");
    }
    // What is looked for there would be found: the id of a key is.
    assert!(system.broker.holds(&operator.id));
}
