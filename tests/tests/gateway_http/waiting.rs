//! Why a job waits, where in its queue it is, and when its turn is expected. No worker runs: what waits stays.

use std::time::Duration;

use serde_json::{Value, json};
use sluice_shared::domain::gate::{Closing, GateState, Lease};
use sluice_shared::domain::id::{Destination, GateName, JobId, QueueName, Tenant};

use crate::rig::{Rig, job};
use crate::settle::{again_in, now};

const LONG: Duration = Duration::from_secs(600);

fn to() -> Destination {
    Destination::of(&"http://a.example/".parse().unwrap()).unwrap()
}

fn queue() -> QueueName {
    QueueName::of(&Tenant::default(), &to(), None)
}

impl Rig {
    /// Makes the gate's entry, changed like this.
    async fn gate(&self, change: impl FnOnce(&mut GateState)) {
        let mut state = GateState::new(to(), None);
        change(&mut state);
        let gates = self.nats().bucket::<GateState>(&self.nats().topology().gates_bucket());
        gates.create(GateName::of(&to(), None).as_str(), &state).await.unwrap();
    }

    /// What a job waits for; its branches say the same.
    async fn waiting(&self, job: &JobId) -> Value {
        let shown = self.show(job).await;
        assert_eq!(shown["waiting"], shown["branches"][0]["waiting"]);
        shown["waiting"].clone()
    }

    /// Submits so many jobs, one after the other.
    async fn submit_many(&self, jobs: usize) -> Vec<JobId> {
        let batch: Vec<Value> = (0..jobs).map(|_| job(json!({}))).collect();
        let mut ids = Vec::new();
        for one in batch {
            ids.push(self.submit(one).await);
        }
        ids
    }
}

/// Whether a moment that is shown is this one, or later by what has passed since.
fn is_about(shown: &Value, moment: u64) -> bool {
    shown.as_u64().is_some_and(|shown| (moment..moment + 20_000).contains(&shown))
}

#[tokio::test]
async fn a_job_that_is_not_to_run_yet_waits_for_its_moment() {
    let rig = Rig::start().await;
    let at = now().after(LONG).0;
    let id = rig.submit(job(json!({"retry_at": at}))).await;
    assert_eq!(rig.waiting(&id).await, json!({"reason": "retry_at", "queue": queue().as_str(), "expected_at": at}));
}

#[tokio::test]
async fn a_job_waits_for_a_worker_then_for_its_next_attempt_then_not_at_all() {
    let rig = Rig::start().await;
    let id = rig.submit(job(json!({}))).await;
    let first = rig.waiting(&id).await;
    assert_eq!((&first["reason"], &first["position"]), (&json!("worker"), &json!(1)), "{first}");
    rig.send(&id, 0).await;
    assert!(rig.waiting(&id).await.is_null());
    rig.conclude(&id, 0, 503, again_in(LONG)).await;
    let later = rig.waiting(&id).await;
    assert_eq!((&later["reason"], &later["position"]), (&json!("backing_off"), &Value::Null), "{later}");
    rig.succeed(&id).await;
    assert!(rig.waiting(&id).await.is_null());
}

#[tokio::test]
async fn jobs_behind_each_other_have_their_places_and_are_expected_one_after_the_other() {
    let rig = Rig::start().await;
    let elsewhere = json!({"url": "http://b.example/", "deadline_ms": 600_000});
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(rig.submit(job(json!({}))).await);
        // What else is in the stream does not count.
        rig.submit(elsewhere.clone()).await;
    }
    let began = now().0;
    for (ahead, id) in (0_u64..).zip(&ids) {
        let waiting = rig.waiting(id).await;
        assert_eq!(waiting["position"], ahead + 1, "{waiting}");
        assert_eq!(waiting["reason"], if ahead == 0 { "worker" } else { "rate" }, "{waiting}");
        // Two calls a second.
        let is_next = ahead == 0 && waiting.get("expected_at").is_none();
        assert!(is_next || is_about(&waiting["expected_at"], began + 500 * ahead), "{waiting} from {began}");
    }
    // Those that have ended without having been sent are still in the queue, and are passed over without waiting.
    rig.gateway.delete(&format!("/v1/jobs/{}", ids[0])).await;
    assert_eq!(rig.waiting(&ids[5]).await["position"], 6);
}

#[tokio::test]
async fn a_place_is_exact_near_the_front_and_where_nothing_else_is_in_the_stream_and_bounded_elsewhere() {
    let rig = Rig::start().await;
    let ids = rig.submit_many(100).await;
    for place in [1, 2, 64, 65, 66, 99, 100] {
        assert_eq!(rig.waiting(&ids[place - 1]).await["position"], place);
    }
    // Much that is not this queue's, and more that is: the front is still exact, the middle and the end are within bounds.
    for _ in 0..40 {
        rig.submit(json!({"url": "http://b.example/", "deadline_ms": 600_000})).await;
    }
    let more = rig.submit_many(100).await;
    assert_eq!(rig.waiting(&ids[29]).await["position"], 30);
    let middle = rig.waiting(&more[0]).await["position"].as_u64().unwrap();
    // It is the 101st; two messages of each of the forty others lie before it.
    assert!((101..=181).contains(&middle), "{middle}");
    assert_eq!(rig.waiting(&more[99]).await["position"], 200);
}

#[tokio::test]
async fn before_a_closed_gate_a_job_is_expected_when_it_opens_and_those_behind_it_later() {
    let rig = Rig::start().await;
    let ids = rig.submit_many(3).await;
    let until = now().after(LONG);
    rig.gate(|gate| gate.closing = Some(Closing { until: until.into(), consecutive: 1 })).await;
    let (first, third) = (rig.waiting(&ids[0]).await, rig.waiting(&ids[2]).await);
    assert_eq!((&first["reason"], &first["expected_at"]), (&json!("gate_closed"), &json!(until.0)), "{first}");
    assert_eq!((&third["reason"], &third["position"]), (&json!("gate_closed"), &json!(3)), "{third}");
    assert!(third["expected_at"].as_u64() > Some(until.0 + 1_000), "{third}");
}

#[tokio::test]
async fn where_as_many_calls_are_in_flight_as_may_be_a_job_waits_for_their_end() {
    let rig = Rig::start().await;
    let id = rig.submit(job(json!({}))).await;
    let others = Lease { count: 64, until: now().after(LONG).into() };
    rig.gate(|gate| gate.leases = [("w".into(), others)].into()).await;
    assert_eq!(rig.waiting(&id).await["reason"], "concurrency");
}

#[tokio::test]
async fn a_job_in_a_paused_queue_says_so_and_has_its_place() {
    let rig = Rig::start().await;
    let ids = rig.submit_many(3).await;
    rig.gateway.post(&format!("/v1/queues/{}/pause", queue()), &json!({})).await;
    crate::rig::until("the pause in the watched copy", async || {
        (rig.waiting(&ids[2]).await["reason"] == "paused").then_some(())
    })
    .await;
    let expected = json!({"reason": "paused", "queue": queue().as_str(), "position": 3});
    assert_eq!(rig.waiting(&ids[2]).await, expected);
    assert_eq!(rig.show(&ids[2]).await["status"], "queued");
}

#[tokio::test]
async fn a_race_waits_for_what_is_expected_first_and_not_while_a_branch_is_on_the_wire() {
    let rig = Rig::start().await;
    let id = rig.submit(job(json!({"fallback_job": {"url": "http://b.example/"}}))).await;
    rig.conclude(&id, 0, 503, again_in(LONG)).await;
    let shown = rig.show(&id).await;
    assert_eq!(shown["waiting"], shown["branches"][1]["waiting"]);
    assert_eq!(shown["branches"][0]["waiting"]["reason"], "backing_off");
    rig.send(&id, 1).await;
    let shown = rig.show(&id).await;
    assert!(shown.get("waiting").is_none() && shown["branches"][1].get("waiting").is_none(), "{shown}");
}
