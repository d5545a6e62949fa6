//! `/v1/queues`: what is shown, what an operator changes, and what is refused. No worker runs: what waits stays.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sluice_shared::domain::gate::{GateState, Heard, Pacing, learn};
use sluice_shared::domain::id::{Destination, GateName, JobId, QueueName, Tenant};
use sluice_shared::gate_settings::GateSettings;
use sluice_shared::queues::QueueEntry;

use crate::rig::{Answer, Rig, job};
use crate::settle::{again_in, now};

fn to(host: &str) -> Destination {
    Destination::of(&format!("http://{host}/").parse().unwrap()).unwrap()
}

fn queue(host: &str) -> QueueName {
    QueueName::of(&Tenant::default(), &to(host), None)
}

fn path(host: &str, rest: &str) -> String {
    format!("/v1/queues/{}{rest}", queue(host))
}

impl Rig {
    async fn submit_to(&self, host: &str) -> JobId {
        self.submit(json!({"url": format!("http://{host}/")})).await
    }

    async fn patch(&self, host: &str, body: &Value) -> Answer {
        Answer::to(self.gateway.request(Method::PATCH, &path(host, "")).json(body)).await
    }

    async fn do_to(&self, host: &str, what: &str) -> Value {
        let answer = self.gateway.post(&path(host, what), &json!({})).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// The queue as it is shown.
    async fn queue(&self, host: &str) -> Value {
        let answer = self.gateway.get(&path(host, "")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// The names of the queues on a page, and where the next one begins.
    async fn page(&self, query: &str) -> (Vec<String>, Option<String>) {
        let answer = self.gateway.get(&format!("/v1/queues{query}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let json = answer.json();
        let name = |queue: &Value| queue["queue"].as_str().unwrap().to_owned();
        let names = json["queues"].as_array().unwrap().iter().map(name).collect();
        (names, json["cursor"].as_str().map(str::to_owned))
    }

    async fn gate_learns(&self, host: &str, rate: f64) {
        let gates = self.nats().bucket::<GateState>(&self.nats().topology().gates_bucket());
        let name = GateName::of(&to(host), None);
        let pacing = Pacing { rate: Some(rate), concurrency: None, source: "x-ezthrottle-rps".into(), valid_for: None };
        let there = gates.get(name.as_str()).await.unwrap();
        let (state, revision) =
            there.map_or((GateState::new(to(host), None), 0), |there| (there.value, there.revision));
        let heard = Heard { pacing: Some(pacing), ..Heard::default() };
        let configured = GateSettings::default().limits(&state.destination);
        let learned = learn(&state, configured, &heard, now().into()).unwrap();
        gates.swap(name.as_str(), &learned, revision).await.unwrap();
    }

    async fn outcome(&self, job: &JobId) -> Value {
        self.show(job).await["outcome"]["status"].clone()
    }
}

#[tokio::test]
async fn a_queue_shows_what_waits_in_it_and_what_its_gate_lets_through() {
    let rig = Rig::start().await;
    rig.submit_to("a.example").await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    rig.submit_to("a.example").await;
    let shown = rig.queue("a.example").await;
    assert_eq!((&shown["tenant"], &shown["destination"]), (&json!("default"), &json!("a.example")));
    assert_eq!((&shown["state"], &shown["depth"], &shown["in_flight"]), (&json!("active"), &json!(2), &json!(0)));
    assert!(shown["oldest_age_ms"].as_u64().unwrap() >= 5, "{shown}");
    let gate = &shown["gates"][0];
    assert_eq!(gate["rate"], json!({"value": 2.0, "source": "configured"}));
    assert_eq!(gate["concurrency"], json!({"value": 64, "source": "configured"}));
    assert_eq!((&gate["open"], &gate["in_flight"]), (&json!(true), &json!(0)));
    assert!(gate.get("operator").is_none() && gate.get("learned").is_none(), "{gate}");
}

#[tokio::test]
async fn queues_are_listed_page_by_page_each_once_and_found_by_destination_and_tenant() {
    let rig = Rig::start().await;
    let hosts = ["a.example", "b.example", "c.example", "d.example", "e.example"];
    for host in hosts {
        rig.submit_to(host).await;
    }
    let mut names: Vec<String> = hosts.iter().map(|host| queue(host).to_string()).collect();
    names.sort();
    assert_eq!(rig.page("").await, (names.clone(), None));
    let (mut seen, mut query) = (Vec::new(), "?limit=2".to_owned());
    loop {
        let (page, cursor) = rig.page(&query).await;
        assert!((1..=2).contains(&page.len()), "{page:?}");
        seen.extend(page);
        let Some(cursor) = cursor else { break };
        query = format!("?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, names);
    let one = vec![queue("c.example").to_string()];
    assert_eq!(rig.page("?destination=C.example").await, (one.clone(), None));
    assert_eq!(rig.page("?destination=c.example&tenant=default&limit=1").await, (one, None));
    assert_eq!(rig.page("?tenant=other").await, (Vec::new(), None));
    assert_eq!(rig.page("?destination=elsewhere.example").await, (Vec::new(), None));
}

#[tokio::test]
async fn what_is_no_queue_is_not_found_whatever_is_asked_of_it() {
    let rig = Rig::start().await;
    for name in [queue("a.example").to_string(), "no.queue%20at*all".into(), "_topology".into(), "%ff".into()] {
        let path = format!("/v1/queues/{name}");
        rig.gateway.get(&path).await.problem(404, "no_such_queue");
        for rest in ["/pause", "/resume", "/purge"] {
            rig.gateway.post(&format!("{path}{rest}"), &json!({})).await.problem(404, "no_such_queue");
        }
    }
    rig.patch("a.example", &json!({"rate": 1})).await.problem(404, "no_such_queue");
}

#[tokio::test]
async fn what_cannot_be_understood_is_refused_and_changes_nothing() {
    let rig = Rig::start().await;
    rig.submit_to("a.example").await;
    for query in ["?limit=0", "?limit=1001", "?limit=x", "?page=2", "?cursor=%20", "?tenant=a.b", "?limit=1&limit=2"] {
        rig.gateway.get(&format!("/v1/queues{query}")).await.problem(400, "bad_query");
    }
    for query in ["?limit=1001", "?cursor=x", "?from=1"] {
        rig.gateway.post(&path("a.example", &format!("/purge{query}")), &json!({})).await.problem(400, "bad_query");
    }
    let problem =
        rig.patch("a.example", &json!({"rate": 0, "burst": "3", "rps": 5})).await.problem(422, "invalid_limits");
    let paths: Vec<&Value> = problem["faults"].as_array().unwrap().iter().map(|fault| &fault["path"]).collect();
    assert_eq!(paths.len(), 3, "{problem}");
    assert!(["rate", "burst", "rps"].iter().all(|path| paths.contains(&&json!(path))), "{problem}");
    rig.patch("a.example", &json!({})).await.problem(422, "invalid_limits");
    let broken = rig.gateway.request(Method::PATCH, &path("a.example", "")).body("{");
    Answer::to(broken).await.problem(400, "not_json");
    assert!(rig.queue("a.example").await["gates"][0].get("operator").is_none());
}

#[tokio::test]
async fn an_operators_limits_are_a_ceiling_over_what_is_learned_until_they_are_taken_back() {
    let rig = Rig::start().await;
    rig.submit_to("a.example").await;
    let answer = rig.patch("a.example", &json!({"rate": 0.5, "burst": 3, "concurrency": 4})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let gate = rig.queue("a.example").await["gates"][0].clone();
    assert_eq!(gate, answer.json()["gates"][0]);
    assert_eq!(gate["rate"], json!({"value": 0.5, "source": "operator"}));
    assert_eq!(gate["burst"], json!({"value": 3, "source": "operator"}));
    assert_eq!((&gate["operator"]["rate"], &gate["operator"]["concurrency"]), (&json!(0.5), &json!(4)));
    rig.gate_learns("a.example", 100.0).await;
    let gate = rig.queue("a.example").await["gates"][0].clone();
    assert_eq!(gate["rate"], json!({"value": 0.5, "source": "operator"}));
    assert_eq!(
        (&gate["learned"][0]["rate"], &gate["learned"][0]["source"]),
        (&json!(100.0), &json!("x-ezthrottle-rps"))
    );
    rig.gate_learns("a.example", 0.25).await;
    assert_eq!(rig.queue("a.example").await["gates"][0]["rate"], json!({"value": 0.25, "source": "learned"}));
    rig.patch("a.example", &json!({"rate": null, "burst": null})).await;
    let gate = rig.queue("a.example").await["gates"][0].clone();
    assert_eq!(gate["burst"], json!({"value": 1, "source": "configured"}));
    assert_eq!(gate["concurrency"], json!({"value": 4, "source": "operator"}));
    rig.patch("a.example", &json!({"concurrency": null})).await;
    assert!(rig.queue("a.example").await["gates"][0].get("operator").is_none());
}

#[tokio::test]
async fn a_queue_is_paused_and_resumed_and_doing_it_twice_is_as_good_as_once() {
    let rig = Rig::start().await;
    rig.submit_to("a.example").await;
    let paused = rig.do_to("a.example", "/pause").await;
    assert_eq!(paused["state"], "paused");
    assert_eq!(rig.do_to("a.example", "/pause").await["paused_since"], paused["paused_since"]);
    // Whoever publishes work extends the entry and leaves it paused.
    rig.submit_to("a.example").await;
    let shown = rig.queue("a.example").await;
    assert_eq!((&shown["state"], &shown["depth"]), (&json!("paused"), &json!(2)));
    for _ in 0..2 {
        let resumed = rig.do_to("a.example", "/resume").await;
        assert!(resumed["state"] == "active" && resumed.get("paused_since").is_none(), "{resumed}");
    }
}

#[tokio::test]
async fn a_queue_that_is_being_removed_says_so_and_is_kept_by_a_pause() {
    let rig = Rig::start().await;
    rig.submit_to("a.example").await;
    let (bucket, name) = (rig.effects.queues().bucket(), queue("a.example"));
    let there = bucket.get(name.as_str()).await.unwrap().unwrap();
    let closing = QueueEntry { closing_since: Some(now()), keep_until: now(), ..there.value };
    bucket.swap(name.as_str(), &closing, there.revision).await.unwrap();
    assert_eq!(rig.queue("a.example").await["state"], "closing");
    assert_eq!(rig.do_to("a.example", "/pause").await["state"], "paused");
    let kept = bucket.get(name.as_str()).await.unwrap().unwrap().value;
    assert!(kept.closing_since.is_none() && kept.keep_until > now(), "{kept:?}");
}

#[tokio::test]
async fn a_purge_cancels_the_jobs_that_wait_and_leaves_alone_what_goes_on_elsewhere() {
    let rig = Rig::start().await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(rig.submit_to("a.example").await);
    }
    // A fallback that has not started is no reason to spare its job; one that contends is.
    waiting.push(rig.submit(job(json!({"fallback_job": {"url": "http://b.example/"}}))).await);
    let racing = rig.submit(job(json!({"fallback_job": {"url": "http://b.example/"}}))).await;
    rig.conclude(&racing, 0, 503, again_in(Duration::ZERO)).await;
    let elsewhere = rig.submit_to("b.example").await;
    let ended = rig.submit_to("a.example").await;
    rig.succeed_in_silence(&ended).await;
    let purged = rig.do_to("a.example", "/purge").await;
    assert_eq!(purged, json!({"cancelled": 4, "kept": 1, "more": false}));
    for job in &waiting {
        assert_eq!(rig.outcome(job).await, "cancelled");
    }
    assert!(rig.outcome(&racing).await.is_null() && rig.outcome(&elsewhere).await.is_null());
    assert_eq!(rig.outcome(&ended).await, "success");
    // The race's message, and that of the job that has ended by it: its winner's message brings the result.
    assert_eq!(rig.queue("a.example").await["depth"], 2);
    let again = rig.do_to("a.example", "/purge").await;
    assert_eq!(again, json!({"cancelled": 0, "kept": 1, "more": false}));
    let behind_all = rig.do_to("a.example", &format!("/purge?cursor={}", u64::MAX)).await;
    assert_eq!(behind_all, json!({"cancelled": 0, "kept": 0, "more": false}));
}

#[tokio::test]
async fn a_purge_is_bounded_and_goes_on_where_it_stopped() {
    let rig = Rig::start().await;
    let racing = rig.submit(job(json!({"fallback_job": {"url": "http://b.example/"}}))).await;
    rig.conclude(&racing, 0, 503, again_in(Duration::ZERO)).await;
    for _ in 0..6 {
        rig.submit_to("a.example").await;
    }
    let (mut cancelled, mut rounds, mut query) = (0, 0, "/purge?limit=2".to_owned());
    loop {
        let purged = rig.do_to("a.example", &query).await;
        let now = purged["cancelled"].as_u64().unwrap();
        assert!(now <= 2 && rounds < 10, "{purged}");
        (cancelled, rounds) = (cancelled + now, rounds + 1);
        if purged["more"] == false {
            assert!(purged.get("cursor").is_none(), "{purged}");
            break;
        }
        query = format!("/purge?limit=2&cursor={}", purged["cursor"].as_str().unwrap());
    }
    assert_eq!((cancelled, rounds), (6, 4));
}
