//! How much may be submitted with a key, over two gateways.

use std::time::Instant;

use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};
use sluice_shared::domain::access::{Quotas, Wish};
use sluice_shared::domain::id::JobId;
use sluice_tests::client::{Answer, Client};
use sluice_tests::eventually;

use crate::rig::{Rig, admin, later, problem, user};

fn limited(quotas: Quotas) -> Wish {
    Wish { quotas, ..user("acme") }
}

fn per_day(jobs: u64) -> Quotas {
    Quotas { jobs_per_day: Some(jobs), ..Quotas::default() }
}

/// Two clients of two gateways with one key.
async fn two(rig: &Rig, quotas: Quotas) -> [Client; 2] {
    let key = rig.key(limited(quotas)).await.text;
    [rig.at(0, &key), rig.at(1, &key)]
}

/// Submits as many jobs at once, by turns to each of the clients.
async fn flood(clients: &[Client], jobs: usize, name: &str) -> Vec<Answer> {
    let each = (0..jobs).map(|number| {
        let client = &clients[number % clients.len()];
        async move { client.post(&later(&format!("{name}-{number}"))).await }
    });
    join_all(each).await
}

fn of_status(answers: &[Answer], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status == status).count()
}

#[tokio::test]
async fn a_day_has_exactly_its_jobs_over_all_gateways() {
    let rig = Rig::start(2, 0).await;
    let clients = two(&rig, per_day(30)).await;
    let answers = flood(&clients, 100, "a").await;
    assert_eq!((of_status(&answers, 202), of_status(&answers, 429)), (30, 70));
    let refused = answers.iter().find(|answer| answer.status == 429).unwrap();
    problem(refused, 429, "over_quota");
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=86_400).contains(&seconds) && refused.body["retry_after"] == seconds, "{refused:#?}");
    assert_eq!(refused.header("ratelimit-policy"), r#""day";q=30;w=86400"#);
    assert!(refused.header("ratelimit").starts_with(r#""day";r=0;t="#), "{refused:#?}");
}

#[tokio::test]
async fn a_second_has_its_jobs_over_all_gateways() {
    let rig = Rig::start(2, 0).await;
    let clients = two(&rig, Quotas { jobs_per_second: Some(10), ..Quotas::default() }).await;
    let (since, mut taken, mut refused) = (Instant::now(), 0, 0);
    for round in 0..8 {
        let answers = flood(&clients, 20, &format!("r{round}")).await;
        taken += of_status(&answers, 202);
        refused += of_status(&answers, 429);
    }
    let most = 10.0 + 10.0 * since.elapsed().as_secs_f64() + 1.0;
    assert_eq!(taken + refused, 160);
    assert!(taken >= 10 && (taken as f64) < most, "{taken} in {:?}", since.elapsed());
}

#[tokio::test]
async fn an_answer_says_what_is_left() {
    let rig = Rig::start(2, 0).await;
    let [client, other] = two(&rig, Quotas { jobs_per_second: Some(100), ..per_day(50) }).await;
    let answer = client.post(&later("a")).await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.header("ratelimit-policy"), r#""second";q=100;w=1, "day";q=50;w=86400"#);
    assert!(answer.header("ratelimit").starts_with(r#""second";r=99;t=1, "day";r=49;t="#), "{answer:#?}");
    assert!(other.post(&later("b")).await.header("ratelimit").contains(r#""day";r=48"#));
    let foreign = client.send(Method::POST, "/api/v1/jobs", &[], Some(later("d").to_string().into_bytes())).await;
    assert!(foreign.status == 201 && foreign.header("ratelimit").contains(r#""day";r=47"#), "{foreign:#?}");
    let unlimited = rig.client(user("acme")).await.post(&later("c")).await;
    assert_eq!((unlimited.status, unlimited.header("ratelimit")), (202, ""));
}

#[tokio::test]
async fn what_is_there_already_or_is_no_job_does_not_count() {
    let rig = Rig::start(2, 0).await;
    let clients = two(&rig, per_day(3)).await;
    let job = later("a");
    assert_eq!(clients[0].post(&job).await.status, 202);
    for client in clients.iter().cycle().take(10) {
        assert_eq!(client.post(&job).await.status, 200);
        assert_eq!(client.post(&json!({"url": "no url"})).await.status, 422);
        assert_eq!(client.post(&json!({"url": "http://b.example/", "idempotent_key": "a"})).await.status, 409);
    }
    assert_eq!(of_status(&flood(&clients, 5, "new").await, 202), 2);
    // Over the quota, what is there already is still answered.
    assert_eq!(clients[1].post(&job).await.status, 200);
    problem(&clients[1].post(&later("b")).await, 429, "over_quota");
}

#[tokio::test]
async fn each_job_of_a_batch_counts_for_itself() {
    let rig = Rig::start(2, 0).await;
    let clients = two(&rig, per_day(40)).await;
    let jobs: Vec<Value> = (0..100).map(|number| later(&number.to_string())).collect();
    let items = clients[0].batch(&jobs).await;
    let count = |status: u16| items.iter().filter(|item| item["status"] == status).count();
    assert_eq!((count(202), count(429)), (40, 60));
    let refused = items.iter().find(|item| item["status"] == 429).unwrap();
    assert_eq!(refused["problem"]["code"], "over_quota");
    assert!(refused["problem"]["retry_after"].is_u64());
}

#[tokio::test]
async fn a_job_may_be_as_large_as_its_key_allows() {
    let rig = Rig::start(2, 0).await;
    let [client, _] = two(&rig, Quotas { body_bytes: Some(1000), ..Quotas::default() }).await;
    let of = |length: usize| {
        let mut job = later(&length.to_string());
        let more = length - job.to_string().len() - r#","body":"""#.len();
        job["body"] = json!("a".repeat(more));
        assert_eq!(job.to_string().len(), length);
        job
    };
    assert_eq!(client.post(&of(1000)).await.status, 202);
    problem(&client.post(&of(1001)).await, 413, "too_large");
    let items = client.batch(&[of(999), of(1002)]).await;
    assert_eq!((&items[0]["status"], &items[1]["problem"]["code"]), (&json!(202), &json!("too_large")));
}

/// Swaps whose answer is lost, gateways that die between the count and the job: whatever becomes of the jobs, there are never
/// more of them than the quota.
#[tokio::test]
async fn whatever_is_killed_there_are_no_more_jobs_than_the_quota() {
    const QUOTA: u64 = 120;
    let mut rig = Rig::start(2, 0).await;
    let key = rig.key(limited(per_day(QUOTA))).await.text;
    let operator = rig.key(admin(None)).await.text;
    let mut names = 0..;
    let mut taken = Vec::new();
    for round in 0..6 {
        let clients = [rig.at(0, &key), rig.at(1, &key)];
        let jobs: Vec<_> = names.by_ref().take(30).map(|number| later(&number.to_string())).collect();
        let sending = tokio::spawn(async move {
            let each = jobs.iter().enumerate().map(|(number, job)| {
                let client = &clients[number % 2];
                client.try_send(Method::POST, "/v1/jobs", &[], Some(job.to_string().into()))
            });
            join_all(each).await
        });
        tokio::time::sleep(std::time::Duration::from_millis(rand::random_range(0..15))).await;
        match round {
            0 | 2 => rig.scene.system.gateways[round / 2].restart_killed().await,
            1 | 3 => {
                rig.scene.system.broker.broker.kill().await;
                rig.scene.system.broker.broker.restart().await.unwrap();
            }
            _ => {}
        }
        let answers = sending.await.unwrap().into_iter().flatten().filter(|answer| answer.status == 202);
        taken.extend(answers.map(|answer| answer.body["job_id"].as_str().unwrap().to_owned()));
    }
    // What was not answered may be there too.
    let tenant = "acme".parse().unwrap();
    let seen = rig.at(0, &operator);
    let (mut there, mut last) = (0, 0);
    for name in 0..names.start {
        let job = JobId::derive(&tenant, &name.to_string());
        let answer = eventually("an answer", async || {
            let answer = seen.look(job.as_str(), "").await;
            (answer.status != 503).then_some(answer)
        })
        .await;
        if answer.status == 200 {
            (there, last) = (there + 1, name);
        }
        assert!(answer.status == 200 || !taken.iter().any(|taken| taken == job.as_str()), "{name} is lost");
    }
    eprintln!("{there} of {QUOTA} are there, {} were answered, the last is {last} of {}", taken.len(), names.start);
    assert!((60..=QUOTA).contains(&there), "{there} of {QUOTA}");
}

/// More keys are not more room.
#[tokio::test]
async fn keys_made_with_a_tenants_key_share_its_quotas() {
    let rig = Rig::start(2, 0).await;
    let maker = rig.key(Wish { quotas: per_day(10), ..admin(Some("acme")) }).await;
    let mut clients = vec![rig.at(0, &maker.text)];
    for quotas in [json!({}), json!({"jobs_per_day": 1000}), json!({"jobs_per_day": 2})] {
        let wished = json!({"scopes": ["submit"], "quotas": quotas}).to_string();
        let made = clients[0].send(Method::POST, "/v1/keys", &[], Some(wished.into())).await;
        clients.push(rig.at(0, made.body["key"].as_str().unwrap()));
    }
    // The narrowest has two of its own, which count for all; what it is refused does not.
    let narrow = flood(&clients[3..], 9, "narrow").await;
    assert_eq!((of_status(&narrow, 202), of_status(&narrow, 429)), (2, 7));
    let answers = flood(&clients[..3], 60, "a").await;
    assert_eq!((of_status(&answers, 202), of_status(&answers, 429)), (8, 52));
}

#[tokio::test]
async fn tenants_do_not_count_against_each_other() {
    let rig = Rig::start(1, 0).await;
    let acme = rig.client(limited(per_day(3))).await;
    let other = rig.client(Wish { quotas: per_day(3), ..user("other") }).await;
    assert_eq!(of_status(&flood(&[acme], 9, "a").await, 202), 3);
    assert_eq!(of_status(&flood(&[other], 9, "a").await, 202), 3);
}
