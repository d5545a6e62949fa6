//! Webhooks that are NATS subjects: taken by a reply or by a stream, else tried again.

use async_nats::jetstream::stream::{Config, DiscardPolicy};
use futures_util::StreamExt as _;
use serde_json::Value;
use sluice_shared::domain::delivery::WebhookState;
use sluice_shared::nats::dead::REASON;

use crate::rig::{Rig, TRACE, options, to};

#[tokio::test]
async fn a_reply_delivers_and_a_subject_that_nobody_listens_to_is_tried_again() {
    let rig = Rig::start().await;
    let result = to(&["nats:orders.done".into()], "k");
    let _service = rig.serve(options()).await;
    rig.publish(&result).await;
    let state = rig.wait_for_state(&result, |state| matches!(state, WebhookState::Waiting { .. })).await;
    assert!(
        matches!(&state, WebhookState::Waiting { last_error: Some(why), .. } if why.contains("nobody")),
        "{state:?}"
    );
    let client = rig.nats().client();
    let mut orders = client.subscribe("orders.>").await.unwrap();
    let message = orders.next().await.unwrap();
    let payload: Value = serde_json::from_slice(&message.payload).unwrap();
    assert_eq!((&payload["job_id"], &payload["idempotent_key"]), (&result.job.as_str().into(), &"k".into()));
    assert!(payload["delivery"]["attempt"].as_u64() >= Some(2), "{payload}");
    let headers = message.headers.unwrap();
    let header = |name: &str| headers.get(name).map(|value| value.as_str()).unwrap_or_default();
    assert_eq!(header("webhook-id"), result.event_id(0));
    assert!(header("traceparent").starts_with(&TRACE[..36]));
    client.publish(message.reply.unwrap(), "thanks".into()).await.unwrap();
    rig.wait_for_state(&result, |state| matches!(state, WebhookState::Delivered { .. })).await;
    rig.wait_until_let_go(&result).await;
}

#[tokio::test]
async fn a_stream_takes_an_outcome_and_one_that_is_full_does_not() {
    let rig = Rig::start().await;
    let stream = |name: &str| Config {
        name: name.into(),
        subjects: vec![format!("{name}.>")],
        max_messages: 1,
        discard: DiscardPolicy::New,
        ..Config::default()
    };
    for name in ["takes", "full"] {
        rig.nats().jetstream().create_stream(stream(name)).await.unwrap();
    }
    rig.nats().jetstream().publish("full.x", "first".into()).await.unwrap().await.unwrap();
    let _service = rig.serve(options()).await;
    let taken = to(&["nats:takes.outcomes".into()], "taken");
    rig.publish(&taken).await;
    rig.wait_until_let_go(&taken).await;
    let held = rig.newest("takes", "takes.outcomes").await.unwrap();
    let payload: Value = serde_json::from_slice(&held.payload).unwrap();
    assert_eq!(payload["delivery"]["id"], taken.event_id(0));
    assert!(matches!(rig.known(&taken).await.unwrap().of(0), WebhookState::Delivered { attempt: 1, .. }));

    let refused = to(&["nats:full.outcomes".into()], "refused");
    rig.publish(&refused).await;
    let letter = rig.wait_for_dead_letter(&refused, 0).await;
    let reason = letter.header(REASON).unwrap();
    assert!(reason.contains("declined: maximum messages exceeded"), "{reason}");
}

#[tokio::test]
async fn a_stream_stores_an_outcome_once_though_it_is_posted_twice() {
    let rig = Rig::start().await;
    let stream = Config { name: "orders".into(), subjects: vec!["orders.>".into()], ..Config::default() };
    let mut orders = rig.nats().jetstream().create_stream(stream).await.unwrap();
    let _service = rig.serve(options()).await;
    let result = to(&["nats:orders.done".into()], "k");
    // Handled twice by services that both died before the ack, as far as they can tell.
    rig.publish_as(&result, "first").await;
    rig.wait_until_let_go(&result).await;
    rig.publish_as(&result, "second").await;
    rig.wait_until_let_go(&result).await;
    assert_eq!(orders.info().await.unwrap().state.messages, 1);
}
