//! Places in workers' hands: calls that hang, everywhere, leave some to others.

use serde_json::json;
use sluice::scripted::{Call, Script};
use sluice_tests::DEADLINE;
use sluice_tests::configuration::Configuration;

use crate::rig::{Two, submit_all};

/// Messages that each of the two workers may have in hand: 14 of one tenant, if it is alone.
const SLOTS: usize = 16;

#[tokio::test]
async fn calls_that_hang_at_many_destinations_leave_room_to_others() {
    let two = Two::start(Configuration::default().set("worker.slots", SLOTS)).await;
    two.scene.destination.on("/hangs/*", [Script::hang()]);
    // Each account has a gate and a queue of its own: these are 20 destinations.
    let jobs =
        (0..20 * 8).map(|number| two.job(&format!("/hangs/{number}"), json!({"account": format!("a{}", number % 20)})));
    submit_all(&two.flood, jobs).await;
    let hanging = |calls: &[Call]| calls.iter().filter(|call| call.is_open()).count();
    two.scene.destination.wait_for(|calls| hanging(calls) >= 28, DEADLINE).await.unwrap();
    // To the same destination, to another, and to a queue that is new.
    two.asks("/now", json!({})).await;
    two.asks("/now", json!({"account": "a1"})).await;
    two.asks("/now", json!({"account": "quiet"})).await;
    let hangs = two.calls("/hangs/*");
    assert!(hanging(&hangs) == hangs.len() && hangs.len() < 2 * SLOTS, "{} of {}", hanging(&hangs), hangs.len());
}
