//! What one tenant may call is nothing that another may, not even over a connection that is open already.

use async_nats::HeaderMap;
use serde_json::{Value, json};
use sluice_shared::nats::Nats;
use sluice_tests::eventually;

use crate::rig::{Rig, outer_alone, refused};

async fn submit(nats: &Nats, tenant: &str, job: &Value) {
    nats.publish(format!("sluice.submit.{tenant}"), HeaderMap::new(), job.to_string().into()).await.unwrap();
}

/// The outcome that came to a path of the receiver.
async fn outcome(rig: &Rig, path: &str) -> Value {
    eventually(&format!("an outcome at {path}"), async || {
        rig.scene.hooks.all_posts().into_iter().find(|post| post.call.path == path).map(|post| post.payload)
    })
    .await
}

#[tokio::test]
async fn a_tenant_may_call_what_is_allowed_to_it_and_no_other_gets_there_over_its_connections() {
    let acme = ["127.0.0.2"].as_slice();
    let rig = Rig::with(outer_alone().set("targets.tenants.acme.allow_networks", acme)).await;
    let nats = rig.scene.system.broker.connect().await;
    let job =
        |host: &str, path: &str| json!({"url": rig.at(host, path), "webhooks": [{"url": rig.scene.hooks.at(path)}]});

    submit(&nats, "acme", &job("inner.example", "/acme")).await;
    assert_eq!(outcome(&rig, "/acme").await["status"], "success");
    // The connection is kept open; the same name by somebody else is another matter.
    submit(&nats, "other", &job("inner.example", "/other")).await;
    refused(&outcome(&rig, "/other").await);
    submit(&nats, "acme", &job("inner.example", "/again")).await;
    assert_eq!(outcome(&rig, "/again").await["status"], "success");
    // At the door, where the address is known.
    submit(&nats, "acme", &job("127.0.0.2", "/literal")).await;
    assert_eq!(outcome(&rig, "/literal").await["status"], "success");
    submit(&nats, "other", &job("127.0.0.2", "/refused")).await;
    let refusal = outcome(&rig, "/refused").await;
    assert_eq!((&refusal["status"], &refusal["reason"]), (&json!("failed"), &json!("refused")), "{refusal:#}");
    let called: Vec<String> = rig.inner.all_calls().into_iter().map(|call| call.path).collect();
    assert_eq!(called, ["/acme", "/again", "/literal"]);
}

#[tokio::test]
async fn the_webhooks_of_a_tenant_go_where_that_tenant_may_call() {
    let acme = ["127.0.0.2"].as_slice();
    let rig = Rig::with(outer_alone().set("targets.tenants.acme.allow_networks", acme)).await;
    let nats = rig.scene.system.broker.connect().await;
    for tenant in ["acme", "other"] {
        let inside = rig.at("inner.example", &format!("/hook-of-{tenant}"));
        let job = json!({"url": rig.at("outer.example", "/"),
            "webhooks": [{"url": inside}, {"url": rig.scene.hooks.at(&format!("/{tenant}"))}]});
        submit(&nats, tenant, &job).await;
        outcome(&rig, &format!("/{tenant}")).await;
    }
    let letter = rig.scene.system.broker.dead_letters("webhook", 1).await.remove(0);
    assert!(letter.subject.contains(".other."), "{}", letter.subject);
    let called: Vec<String> = rig.inner.all_calls().into_iter().map(|call| call.path).collect();
    assert_eq!(called, ["/hook-of-acme"]);
}
