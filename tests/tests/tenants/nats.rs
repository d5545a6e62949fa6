//! The NATS service: many requests of one tenant hold up none of another's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_nats::Request;
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::{Value, json};
use sluice_tests::DEADLINE;
use sluice_tests::configuration::Configuration;
use sluice_tests::eventually;

use crate::rig::Two;

const FLOOD: usize = 4_000;

#[tokio::test]
async fn requests_of_one_tenant_are_answered_while_those_of_another_wait_in_thousands() {
    let two = Two::start(Configuration::default()).await;
    let topology = two.scene.system.broker.topology().clone();
    let client = two.scene.system.broker.connect().await.client().clone();
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.unwrap();
    let answered = Arc::new(AtomicUsize::new(0));
    let counting = tokio::spawn({
        let answered = Arc::clone(&answered);
        async move {
            while answers.next().await.is_some() {
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let job = |path: &str| Bytes::from(two.job(path, json!({})).to_string());
    let (flood, quiet) = (topology.api("submit", Some("flood")), topology.api("submit", Some("quiet")));
    for _ in 0..FLOOD {
        client.publish_with_reply(flood.clone(), inbox.clone(), job("/flood")).await.unwrap();
    }
    // However long that takes.
    let request = Request::new().payload(job("/quiet")).timeout(Some(DEADLINE));
    let answer = client.send_request(quiet, request).await.unwrap();
    let before = answered.load(Ordering::Relaxed);
    let receipt: Value = serde_json::from_slice(&answer.payload).unwrap();
    assert_eq!(receipt["status"], "queued", "{receipt:#}");
    assert!(before < FLOOD / 2, "{before} of the flood's were answered before the one of another tenant");
    eventually("an answer to each", async || (answered.load(Ordering::Relaxed) == FLOOD).then_some(())).await;
    // And it is nobody else's.
    let id = receipt["job_id"].as_str().unwrap();
    let asked = client.request(topology.api("get", Some("flood")), id.to_owned().into()).await.unwrap();
    let problem: Value = serde_json::from_slice(&asked.payload).unwrap();
    assert_eq!(problem["code"], "no_such_job", "{problem:#}");
    counting.abort();
}
