//! What is made or revoked at one gateway counts at all of them.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::json;
use sluice_shared::domain::access::Scope;
use sluice_tests::client::Client;

use crate::rig::{Rig, admin, later, problem, user, wish};

/// How long a change may take to count everywhere.
const SOON: Duration = Duration::from_secs(1);

/// Asks until the answer has this status; how long that took.
async fn until(client: &Client, status: u16) -> Duration {
    let since = Instant::now();
    loop {
        let answer = client.send(Method::GET, "/v1/queues/none", &[], None).await;
        if answer.status == status {
            return since.elapsed();
        }
        assert!(since.elapsed() < SOON * 5, "{answer:#?}");
    }
}

#[tokio::test]
async fn a_key_counts_at_all_gateways_within_a_second_of_being_made_or_revoked() {
    let rig = Rig::start(2, 0).await;
    let operator = rig.client(admin(None)).await;
    let mut longest = Duration::ZERO;
    for number in 0..10 {
        let wished = json!({"tenant": "acme", "scopes": ["read"], "label": format!("number {number}")}).to_string();
        let made = operator.send(Method::POST, "/v1/keys", &[], Some(wished.into())).await;
        assert_eq!((made.status, made.header("cache-control")), (201, "no-store"), "{made:#?}");
        let (id, key) = (made.body["id"].as_str().unwrap(), made.body["key"].as_str().unwrap());
        let (here, there) = (rig.at(0, key), rig.at(1, key));
        // Whoever made it sees it at once where they made it.
        assert_eq!(here.send(Method::GET, "/v1/queues/none", &[], None).await.status, 404);
        longest = longest.max(until(&there, 404).await);
        let revoked = operator.send(Method::DELETE, &format!("/v1/keys/{id}"), &[], None).await;
        assert_eq!(revoked.status, 204, "{revoked:#?}");
        problem(&here.send(Method::GET, "/v1/queues/none", &[], None).await, 401, "unknown_api_key");
        longest = longest.max(until(&there, 401).await);
        problem(&operator.send(Method::DELETE, &format!("/v1/keys/{id}"), &[], None).await, 404, "no_such_key");
    }
    eprintln!("the longest took {longest:?}");
    assert!(longest < SOON, "{longest:?}");
}

#[tokio::test]
async fn whoever_waits_or_follows_with_a_key_that_is_revoked_is_cut_off() {
    let rig = Rig::start(1, 0).await;
    let (submitter, key) = (rig.client(user("acme")).await, rig.key(wish(Some("acme"), &[Scope::Read])).await);
    let job = submitter.submit(&later("k")).await.job_id;
    let reader = rig.at(0, &key.text);
    let mut events = reader.events(&job, None).await;
    let waiting = tokio::spawn({
        let (reader, job) = (reader.clone(), job.clone());
        async move { reader.look(&job, "?wait=50s").await }
    });
    let follower = tokio::spawn(async move { while events.next().await.is_some() {} });
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!waiting.is_finished() && !follower.is_finished());
    let since = Instant::now();
    rig.keys.revoke(&key.id.parse().unwrap(), None).await.unwrap();
    let cut_off = waiting.await.unwrap();
    problem(&cut_off, 401, "unknown_api_key");
    assert_eq!(cut_off.header("www-authenticate"), "Bearer realm=\"sluice\"");
    follower.await.unwrap();
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
}

/// As after a partition: what was revoked meanwhile is known when the connection is back.
#[tokio::test]
async fn what_was_revoked_while_the_broker_was_away_counts_when_it_is_back() {
    let mut rig = Rig::start(1, 0).await;
    let (kept, revoked) = (rig.key(user("acme")).await, rig.key(user("acme")).await);
    rig.scene.system.gateways[0].pause();
    rig.keys.revoke(&revoked.id.parse().unwrap(), None).await.unwrap();
    rig.scene.system.broker.broker.restart().await.unwrap();
    rig.scene.system.gateways[0].resume();
    let gone = rig.at(0, &revoked.text);
    sluice_tests::eventually("a gateway that knows", async || {
        let answer = gone.send(Method::GET, "/v1/queues/none", &[], None).await;
        (answer.status == 401).then_some(())
    })
    .await;
    assert_ne!(rig.at(0, &kept.text).send(Method::GET, "/v1/queues", &[], None).await.status, 401);
}
