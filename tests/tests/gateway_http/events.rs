//! `GET /v1/jobs/{id}/events`: history, then live, then the outcome.

use std::time::Duration;

use http::StatusCode;
use reqwest::Method;
use serde_json::json;
use sluice_shared::clock;
use sluice_shared::domain::decide::Verdict;
use sluice_shared::domain::delivery::WebhookState;
use sluice_shared::domain::event;
use sluice_shared::domain::id::JobId;

use crate::rig::{Answer, Rig, job};
use crate::settle::again_in;
use crate::sse::{Event, names};
use crate::webhooks::remember;

const LONG: Duration = Duration::from_secs(600);

/// A job whose first attempt was sent and answered, and is to be repeated.
async fn begun(rig: &Rig) -> JobId {
    let id = rig.submit(job(json!({}))).await;
    rig.send(&id, 0).await;
    rig.conclude(&id, 0, 503, again_in(LONG)).await;
    id
}

async fn whole(rig: &Rig, job: &JobId, last: Option<&str>) -> Vec<Event> {
    rig.gateway.follow(job, last).await.rest().await
}

#[tokio::test]
async fn what_happened_is_told_then_what_happens_then_the_outcome() {
    let rig = Rig::start().await;
    let id = begun(&rig).await;
    let mut events = rig.gateway.follow(&id, None).await;
    let mut history = Vec::new();
    for _ in 0..3 {
        history.push(events.next().await.unwrap());
    }
    assert_eq!(names(&history), ["accepted", "sent", "answered"]);
    assert_eq!((&history[2].data["status_code"], &history[2].data["branch"]), (&json!(503), &json!(0)));
    rig.send(&id, 0).await;
    assert_eq!(events.next().await.unwrap().name, "sent");
    rig.succeed(&id).await;
    let end = events.rest().await;
    assert_eq!(names(&end), ["settled", "outcome"]);
    assert_eq!((&end[1].data["status"], &end[1].data["winner"]), (&json!("success"), &json!(0)));
    assert_eq!(end[1].data["response"]["status_code"], 200);
    assert!(history[1..].iter().chain(&end).all(|event| event.id.is_some()), "{history:?} {end:?}");
    assert_eq!(history[0].id, None, "that it was accepted the record says");
}

#[tokio::test]
async fn a_client_that_was_cut_off_goes_on_where_it_was() {
    let rig = Rig::start().await;
    let id = begun(&rig).await;
    let mut events = rig.gateway.follow(&id, None).await;
    events.next().await.unwrap();
    let sent = events.next().await.unwrap().id.unwrap();
    drop(events);
    rig.succeed(&id).await;
    let rest = ["answered", "settled", "outcome"];
    assert_eq!(names(&whole(&rig, &id, Some(&sent)).await), rest);
    let path = format!("/v1/jobs/{id}/events?last_event_id={sent}");
    let asked = rig.gateway.get(&path).await.text;
    assert_eq!(asked.matches("event:").count(), rest.len(), "{asked}");
}

#[tokio::test]
async fn of_what_one_message_tells_a_client_goes_on_between() {
    let rig = Rig::start().await;
    let id = rig.submit(job(json!({}))).await;
    rig.succeed_as_soon_as_sent(&id).await;
    let all = whole(&rig, &id, None).await;
    assert_eq!(names(&all), ["accepted", "sent", "settled", "outcome"]);
    assert_eq!(all[1].id, all[2].id.as_ref().map(|settled| format!("{settled}.1")));
    for seen in 1..=2 {
        assert_eq!(whole(&rig, &id, all[seen].id.as_deref()).await, all[seen + 1..], "behind {}", all[seen].name);
    }
}

/// A worker tells of a call together with its answer, once the record says so: whoever looks in between waits for it.
#[tokio::test]
async fn what_is_told_a_moment_after_it_was_written_down_is_told_in_its_order() {
    let rig = Rig::start().await;
    let id = begun(&rig).await;
    let nats = rig.nats();
    let (stream, subject) = (nats.topology().events_stream(), format!("sluice.events.*.{id}.>"));
    let (mut told, mut last) = (Vec::new(), None);
    while let Some(held) = nats.next_from(&stream, &subject, last.as_ref().map_or(1, |(_, at)| at + 1)).await.unwrap() {
        told.extend(event::read(&held.payload));
        last = Some((held.subject.to_string(), held.sequence));
    }
    nats.jetstream().get_stream(&stream).await.unwrap().purge().await.unwrap();
    let (client, (subject, _)) = (nats.client().clone(), last.unwrap());
    let telling = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        client.publish(subject, event::write(&told).unwrap().into()).await.unwrap();
    };
    let following = async {
        let mut events = rig.gateway.follow(&id, None).await;
        [events.next().await.unwrap(), events.next().await.unwrap(), events.next().await.unwrap()]
    };
    let (first, ()) = tokio::join!(following, telling);
    assert_eq!(names(&first), ["accepted", "sent", "answered"]);
}

#[tokio::test]
async fn webhooks_that_took_the_outcome_are_told_from_what_is_remembered_of_them() {
    let rig = Rig::start().await;
    let webhooks = json!([{"url": "https://one.example/"}, {"url": "https://two.example/"}]);
    let id = rig.submit(job(json!({"webhooks": webhooks}))).await;
    rig.succeed_as_soon_as_sent(&id).await;
    let settled = whole(&rig, &id, None).await[2].id.clone();
    let delivered = WebhookState::Delivered { at: clock::now(), attempt: 2 };
    remember(&rig, &id, vec![WebhookState::Untried, delivered]).await;
    let all = whole(&rig, &id, None).await;
    assert_eq!(names(&all), ["accepted", "sent", "settled", "delivered", "outcome"]);
    assert_eq!((&all[3].data["webhook"], &all[3].data["attempt"], &all[3].id), (&json!(1), &json!(2), &None));
    assert_eq!(whole(&rig, &id, settled.as_deref()).await, all[3..]);
}

#[tokio::test]
async fn whoever_has_the_outcome_is_told_that_there_is_no_more() {
    let rig = Rig::start().await;
    let id = begun(&rig).await;
    rig.succeed(&id).await;
    let all = whole(&rig, &id, None).await;
    assert_eq!(names(&all), ["accepted", "sent", "answered", "settled", "outcome"]);
    let last = all[4].id.as_deref().unwrap();
    let request = rig.gateway.request(Method::GET, &format!("/v1/jobs/{id}/events")).header("last-event-id", last);
    assert_eq!(Answer::to(request).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn an_id_that_is_not_known_is_answered_from_the_beginning() {
    let rig = Rig::start().await;
    let id = begun(&rig).await;
    rig.succeed(&id).await;
    let all = whole(&rig, &id, None).await;
    let known = all[1].id.as_deref().unwrap();
    let (created, sequence) = known.split_once('-').unwrap();
    let older = format!("{}-{sequence}", created.parse::<u64>().unwrap() - 1);
    for unknown in ["nonsense", "other-outcome", &older, &format!("{created}-1000000")] {
        assert_eq!(whole(&rig, &id, Some(unknown)).await, all, "{unknown}");
    }
}

#[tokio::test]
async fn events_that_were_lost_are_told_from_the_record() {
    let rig = Rig::start().await;
    let id = rig.submit(job(json!({"fallback_job": {"url": "https://b.example/"}}))).await;
    rig.conclude(&id, 0, 503, again_in(LONG)).await;
    let stream = rig.nats().topology().events_stream();
    rig.nats().jetstream().get_stream(&stream).await.unwrap().purge().await.unwrap();
    rig.conclude(&id, 1, 500, again_in(LONG)).await;
    let mut events = rig.gateway.follow(&id, None).await;
    let mut history = Vec::new();
    for _ in 0..4 {
        history.push(events.next().await.unwrap());
    }
    let mut sorted = names(&history);
    sorted[1..3].sort_unstable(); // the same swap made both happen
    assert_eq!(sorted, ["accepted", "answered", "started", "answered"]);
    let held: Vec<bool> = history.iter().map(|event| event.id.is_some()).collect();
    assert_eq!(held, [false, false, false, true]);
    rig.conclude(&id, 1, 200, Verdict::Success).await;
    assert_eq!(names(&events.rest().await), ["settled", "outcome"]);
    rig.nats().jetstream().delete_stream(&stream).await.unwrap();
    let names = whole(&rig, &id, None).await;
    let names: Vec<&str> = names.iter().map(|event| event.name.as_str()).collect();
    assert_eq!((names.first(), names.last()), (Some(&"accepted"), Some(&"outcome")), "{names:?}");
    assert!(names.contains(&"settled"));
}

#[tokio::test]
async fn an_end_that_no_event_told_of_ends_the_stream_all_the_same() {
    let rig = Rig::start().await;
    let id = rig.submit(job(json!({}))).await;
    let mut events = rig.gateway.follow(&id, None).await;
    assert_eq!(events.next().await.unwrap().name, "accepted");
    rig.succeed_in_silence(&id).await;
    assert_eq!(names(&events.rest().await), ["settled", "outcome"]);
}

#[tokio::test]
async fn a_broker_that_loses_its_memory_while_a_job_is_followed_costs_no_outcome() {
    let mut rig = Rig::start().await;
    let id = begun(&rig).await;
    let mut events = rig.gateway.follow(&id, None).await;
    assert_eq!(events.next().await.unwrap().id, None);
    let first = events.next().await.unwrap().id.unwrap();
    rig.broker.broker.kill().await;
    rig.broker.broker.restart().await.unwrap();
    crate::rig::until("the stream of events", async || {
        rig.nats().jetstream().get_stream(rig.nats().topology().events_stream()).await.ok()
    })
    .await;
    rig.send(&id, 0).await;
    rig.succeed(&id).await;
    let rest = events.rest().await;
    assert_eq!(rest[0].name, "answered", "{rest:?}");
    assert_eq!(names(&rest[rest.len() - 2..]), ["settled", "outcome"], "{rest:?}");
    assert_eq!(names(&whole(&rig, &id, Some(&first)).await).first(), Some(&"accepted"));
}

#[tokio::test]
async fn what_is_not_known_behind_the_question_mark_is_refused() {
    let rig = Rig::start().await;
    let id = rig.submit(job(json!({}))).await;
    rig.gateway.get(&format!("/v1/jobs/{id}/events?after=3")).await.problem(400, "bad_query");
}
