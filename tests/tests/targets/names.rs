//! Names whose addresses change between a look and a call, and names with several addresses.

use serde_json::{Value, json};
use sluice::scripted::Script;

use crate::rig::{Rig, refused};

/// How often a scripted name was looked up by the workers.
fn looked_up(rig: &Rig, name: &str) -> usize {
    let said = rig.scene.system.workers[0].said();
    let of_name = |line: &&str| line.contains("a scripted name was looked up") && line.contains(&format!("\"{name}\""));
    said.lines().filter(of_name).count()
}

/// A naive client looks once to check, and once more to connect: inside.
#[tokio::test]
async fn a_name_is_resolved_once_and_the_address_that_was_checked_is_called() {
    let rig = Rig::start().await;
    rig.scene.destination.on("/", Script::answer(200).header("connection", "close"));
    let outcome = rig.run("rebinding.example", json!({})).await;
    assert_eq!(outcome["status"], "success", "{outcome:#}");
    assert_eq!((looked_up(&rig, "rebinding.example"), rig.scene.destination.count()), (1, 1));
    // Over a new connection it is looked up anew, and points inside now.
    refused(&rig.run("rebinding.example", json!({})).await);
    assert_eq!((looked_up(&rig, "rebinding.example"), rig.scene.destination.count()), (2, 1));
    rig.nobody_inside_was_called();
}

#[tokio::test]
async fn of_several_addresses_only_those_that_may_be_called_are() {
    let rig = Rig::start().await;
    for _ in 0..3 {
        assert_eq!(rig.run("both.example", json!({})).await["status"], "success");
    }
    rig.nobody_inside_was_called();
    rig.scene.destination.stop();
    let outcome = rig.run("both.example", json!({"retry_policy": {"max_retries": 0}})).await;
    assert_eq!(outcome["branches"][0]["error"]["kind"], "connect", "{outcome:#}");
    rig.nobody_inside_was_called();
}

#[tokio::test]
async fn a_trusted_host_may_be_called_wherever_it_is_but_not_where_credentials_are() {
    let lists =
        crate::rig::outer_alone().set("targets.allow_hosts", ["inner.example", "credentials.example"].as_slice());
    let rig = Rig::with(lists).await;
    assert_eq!(rig.run("inner.example", json!({})).await["status"], "success");
    assert_eq!(rig.inner.all_calls().len(), 1);
    refused(&rig.run("credentials.example", json!({})).await);
    refused(&rig.run("rebinding.example", json!({"url": rig.at("mapped.example", "/")})).await);
    assert_eq!(rig.inner.all_calls().len(), 1);
}

#[tokio::test]
async fn with_only_hosts_configured_no_other_is_called() {
    let rig = Rig::with(crate::rig::outer_alone().set("targets.only_hosts", ["outer.example"].as_slice())).await;
    let answer = rig.scene.client.post(&json!({"url": rig.at("both.example", "/")})).await;
    assert_eq!((answer.status, &answer.body["code"]), (422, &json!("target_refused")), "{answer:#?}");
    let job: Value = json!({"url": rig.at("outer.example", "/")});
    let id = rig.scene.client.submit(&job).await.job_id;
    assert_eq!(rig.scene.client.wait(&id).await["status"], "success");
}
