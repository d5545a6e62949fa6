//! The first try: what is posted, and what is left behind.

use serde_json::json;
use sluice::scripted::{Call, Script};
use sluice_shared::clock;
use sluice_shared::domain::delivery::WebhookState;
use sluice_shared::domain::id::{JobId, Tenant};
use sluice_shared::domain::outcome::{Outcome, Reason, Status};
use sluice_shared::domain::result::FollowUp;
use sluice_shared::domain::submission::{Limits, read};
use sluice_shared::effects::Submission;
use sluice_shared::nats::records::Found;

use crate::rig::{DEADLINE, Rig, TRACE, options, to, until, with_body};

#[tokio::test]
async fn an_outcome_is_posted_whole_with_its_headers_and_is_remembered() {
    let rig = Rig::start().await;
    let service = rig.serve(options()).await;
    let result = rig.result("k");
    rig.publish(&result).await;
    let post = rig.receiver.wait_for_job(result.job.as_str(), DEADLINE).await.unwrap();
    let id = format!("{}.{}.0", result.job, result.incarnation);
    let payload = json!({
        "job_id": result.job.as_str(), "idempotent_key": "k", "status": "success", "winner": 0,
        "settled_at": result.outcome.at,
        "response": {"status_code": 200, "headers": {"content-type": "text/plain"}, "body": "hello"},
        "metadata": {"order": 12}, "delivery": {"id": id, "attempt": 1},
    });
    assert_eq!((post.payload, post.call.method.as_str()), (payload, "POST"));
    let header = |name| post.call.header(name).unwrap_or_default().to_owned();
    assert_eq!((header("content-type"), header("webhook-id")), ("application/json".to_owned(), id));
    assert_eq!(header("user-agent"), concat!("sluice/", env!("CARGO_PKG_VERSION")));
    let posted_at: u64 = header("webhook-timestamp").parse().unwrap();
    assert!(posted_at.abs_diff(clock::now().0 / 1_000) < 60);
    let trace = header("traceparent");
    assert!(trace.starts_with(&TRACE[..36]) && trace != TRACE, "{trace}");

    rig.wait_until_let_go(&result).await;
    let known = rig.known(&result).await.expect("what went through at once is remembered too");
    assert!(matches!(known.of(0), WebhookState::Delivered { attempt: 1, .. }), "{known:?}");
    assert!(service.counts("sluice_webhooks_total{result=\"delivered\"} 1"));
    service.stop().await;
}

#[tokio::test]
async fn each_webhook_of_a_job_gets_the_outcome_under_an_id_of_its_own() {
    let rig = Rig::start().await;
    let _service = rig.serve(options()).await;
    let mut result = to(&[rig.receiver.at("/a"), rig.receiver.at("/b?token=secret")], "k");
    result.outcome = Outcome { status: Status::Failed, reason: Some(Reason::Deadline), ..result.outcome };
    rig.publish(&result).await;
    let mut posts = rig.receiver.wait_for_posts(result.job.as_str(), 2, DEADLINE).await.unwrap();
    posts.sort_by_key(|post| post.call.path.clone());
    for (number, post) in posts.iter().enumerate() {
        assert_eq!(post.payload["delivery"]["id"], result.event_id(number));
        assert_eq!((&post.payload["status"], &post.payload["reason"]), (&json!("failed"), &json!("deadline")));
    }
    assert_eq!(posts[1].call.query.as_deref(), Some("token=secret"));
    rig.wait_until_let_go(&result).await;
}

#[tokio::test]
async fn of_an_endless_answer_only_a_little_is_read_and_its_status_counts() {
    let rig = Rig::start().await;
    rig.receiver.answer([Script::answer(200).filled(1 << 40)]);
    let mut options = options();
    options.timeout = 4 * DEADLINE;
    let _service = rig.serve(options).await;
    let result = rig.result("k");
    rig.publish(&result).await;
    rig.wait_until_let_go(&result).await;
    let left = |calls: &[Call]| calls.len() == 1 && calls[0].dropped_at.is_some();
    rig.receiver.destination().wait_for(left, DEADLINE).await.unwrap();
}

#[tokio::test]
async fn a_result_of_several_mebibytes_arrives_whole() {
    let rig = Rig::start().await;
    let _service = rig.serve(options()).await;
    let long = "x".repeat(4 << 20);
    let result = with_body(rig.result("k"), long.clone().into_bytes());
    rig.publish(&result).await;
    let post = rig.receiver.wait_for_job(result.job.as_str(), DEADLINE).await.unwrap();
    assert!(post.payload["response"]["body"] == long, "another body");
    rig.wait_until_let_go(&result).await;
}

#[tokio::test]
async fn a_follow_up_is_submitted_once_though_its_result_is_handled_twice() {
    let rig = Rig::start().await;
    let tenant = Tenant::default();
    let text = br#"{"url":"http://a.example/","idempotent_key":"parent","on_success":{"url":"http://b.example/"}}"#;
    let job = read(text, &Limits::new(1 << 20, clock::now(), "sluice", &tenant)).unwrap();
    let follow_up = job.on_success.clone().unwrap();
    let parent = Submission { tenant: tenant.clone(), key: "parent".into(), job, traceparent: None };
    let parent = rig.effects.submit(parent).await.unwrap();

    let mut result = to(&[], "parent");
    result.follow_up = Some((FollowUp::OnSuccess, follow_up));
    let service = rig.serve(options()).await;
    rig.publish_as(&result, "first").await;
    rig.publish_as(&result, "second").await;
    rig.wait_until_let_go(&result).await;
    let submitted =
        |outcome| service.counts(&format!("sluice_jobs_submitted_total{{via=\"follow_up\",outcome=\"{outcome}\"}} 1"));
    until("both handlings", async || (submitted("accepted") && submitted("duplicate")).then_some(())).await;

    let key = format!("{}:{}:on_success", result.job, result.incarnation);
    let child = JobId::derive(&tenant, &key);
    let Found::Record(record, _) = rig.effects.records().read(&child).await.unwrap() else { panic!("not submitted") };
    assert_eq!((record.key.as_str(), record.traceparent.as_deref()), (key.as_str(), Some(TRACE)));
    let held = rig.nats().held(&rig.nats().topology().jobs_stream(0)).await.unwrap();
    assert_eq!(held, 2, "the work of the parent and of one follow-up");
    assert_ne!(parent.job, child);
    service.stop().await;
}
