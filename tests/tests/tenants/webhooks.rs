//! Delivery: webhooks that hang, at one endpoint or at many, leave room to those of others.

use serde_json::json;
use sluice::scripted::{Call, Destination, Script};
use sluice_tests::DEADLINE;
use sluice_tests::configuration::Configuration;
use sluice_tests::eventually;

use crate::rig::{Two, submit_all};

fn open(calls: &[Call]) -> usize {
    calls.iter().filter(|call| call.is_open()).count()
}

#[tokio::test]
async fn webhooks_that_hang_at_many_endpoints_leave_room_to_others() {
    // Twelve results in hand, and four that came due.
    let configuration = Configuration::default().set("delivery.concurrency", 16).set("delivery.per_endpoint", 2);
    let two = Two::start(configuration.set("delivery.timeout", "300s")).await;
    let mut endpoints = Vec::new();
    for _ in 0..20 {
        let endpoint = Destination::start().await.unwrap();
        endpoint.on("/*", [Script::hang()]);
        endpoints.push(endpoint);
    }
    let jobs = (0..200).map(|number| {
        let hook = endpoints[number % endpoints.len()].at("/hook");
        two.job("/flood", json!({"webhooks": [{"url": hook}]}))
    });
    submit_all(&two.flood, jobs).await;
    let hanging = || endpoints.iter().map(|endpoint| endpoint.look(open)).sum::<usize>();
    // As many as one tenant may have of the eleven results that its lane may have in hand, and of the three that came due.
    eventually("posts that hang wherever they may", async || (hanging() >= 10 + 2).then_some(())).await;
    for number in 0..5 {
        two.asks(&format!("/quiet/{number}"), json!({})).await;
    }
    assert!((12..16).contains(&hanging()), "{}", hanging());
    let all: usize = endpoints.iter().map(Destination::count).sum();
    assert_eq!(all, hanging(), "none of them has ended");
}

#[tokio::test]
async fn an_endpoint_that_two_tenants_share_has_a_seat_for_each() {
    let two = Two::start(Configuration::default().set("delivery.timeout", "300s")).await;
    let shared = Destination::start().await.unwrap();
    shared.on("/hangs", [Script::hang()]);
    let jobs = (0..50).map(|_| two.job("/flood", json!({"webhooks": [{"url": shared.at("/hangs")}]})));
    submit_all(&two.flood, jobs).await;
    shared.wait_for(|calls| open(calls) == 7, DEADLINE).await.unwrap();
    for number in 0..3 {
        let job = two.job("/quiet", json!({"webhooks": [{"url": shared.at(&format!("/takes/{number}"))}]}));
        two.quiet.submit(&job).await;
        shared
            .wait_for(|calls| calls.iter().any(|call| call.path == format!("/takes/{number}")), DEADLINE)
            .await
            .unwrap();
    }
    assert_eq!(shared.calls("/hangs").len(), 7, "seven of eight");
    assert!(shared.calls("/hangs").iter().all(Call::is_open));
}
