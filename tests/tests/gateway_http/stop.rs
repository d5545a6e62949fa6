//! A gateway that is told to stop.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::time::timeout;

use crate::rig::{Rig, job};

/// Far less than what the clients would wait for.
const PROMPTLY: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_stop_ends_long_polls_and_event_streams_and_takes_no_more_connections() {
    let rig = Rig::with("gateway.max_wait = \"10m\"\ngateway.grace = \"5m\"").await;
    let id = rig.submit(job(json!({}))).await;
    let poll = rig.gateway.request(Method::GET, &format!("/v1/jobs/{id}?wait=10m")).timeout(PROMPTLY * 10).send();
    let poll = tokio::spawn(poll);
    let mut events = rig.gateway.follow(&id, None).await;
    assert_eq!(events.next().await.unwrap().name, "accepted");
    rig.gateway.until_waiting(2).await;
    rig.gateway.stop();
    let polled = timeout(PROMPTLY, poll).await.expect("a long poll went on").unwrap().unwrap();
    assert_eq!(polled.json::<serde_json::Value>().await.unwrap()["status"], "queued");
    let rest = timeout(PROMPTLY, events.rest()).await.expect("a stream of events went on");
    assert!(rest.is_empty(), "{rest:?}");
    timeout(PROMPTLY, rig.gateway.stopped()).await.expect("the gateway did not stop");
}
