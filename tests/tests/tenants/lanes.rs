//! What lies before a tenant in the streams that all share: a backlog of another tenant, in another lane, is passed by.

use async_nats::HeaderMap;
use serde_json::json;
use sluice_shared::clock;
use sluice_shared::domain::access::Quotas;
use sluice_shared::domain::id::{JobId, Tenant};
use sluice_shared::nats::Nats;
use sluice_shared::nats::records::Found;
use sluice_tests::DEADLINE;
use sluice_tests::broker::{TestBroker, small};
use sluice_tests::configuration::Configuration;
use sluice_tests::eventually;
use sluice_tests::scene::Scene;
use sluice_tests::system::Setup;

use crate::rig::{Two, setup, submit_all};

/// Submissions that lie before the gateway starts.
const SUBMISSIONS: u64 = 4_000;
/// Results that lie before delivery starts.
const RESULTS: u64 = 2_000;

fn tenant(name: &str) -> Tenant {
    name.parse().unwrap()
}

async fn messages(nats: &Nats, stream: &str) -> u64 {
    nats.held(stream).await.unwrap()
}

#[tokio::test]
async fn the_broker_puts_submissions_of_a_tenant_in_the_lane_where_all_else_of_it_is() {
    let broker = TestBroker::with(small()).await;
    let (nats, topology) = (broker.connect().await, broker.topology());
    let tenants: Vec<Option<Tenant>> = (0..40).map(|number| tenant(&format!("tenant-{number}"))).map(Some).collect();
    for who in tenants.iter().chain([&None]) {
        let published = topology.submit(who.as_ref());
        let stored = nats.publish(published.clone(), HeaderMap::new(), "{}".into()).await.unwrap();
        let held = nats.next_from(&topology.submit_stream(), ">", stored.sequence).await.unwrap().unwrap();
        let lane = topology.lane_of_submissions(who.as_ref());
        assert_eq!(held.subject, published.replacen('.', &format!(".submitted.{lane}."), 1));
        assert_eq!(topology.submitted_to(&held.subject), Some(published));
    }
}

#[tokio::test]
async fn a_submission_is_taken_in_beside_thousands_of_another_tenant_that_lay_before_it() {
    let broker = TestBroker::with(small()).await;
    let (nats, topology) = (broker.connect().await, broker.topology().clone());
    let (flood, quiet) = (tenant("flood"), tenant("quiet"));
    assert_ne!(topology.lane_of(&flood), topology.lane_of(&quiet));
    let later = |key: String| {
        json!({"url": "http://a.example/", "idempotent_key": key, "retry_at": clock::now().0 + 3_600_000}).to_string()
    };
    for number in 0..SUBMISSIONS {
        nats.client().publish(topology.submit(Some(&flood)), later(format!("k{number}")).into()).await.unwrap();
    }
    nats.client().flush().await.unwrap();
    eventually("all of the flood's", async || {
        (messages(&nats, &topology.submit_stream()).await == SUBMISSIONS).then_some(())
    })
    .await;
    nats.publish(topology.submit(Some(&quiet)), HeaderMap::new(), later("mine".into()).into()).await.unwrap();

    let few = Configuration::default().set("gateway.intake", 16);
    let scene = Scene::on(broker, Setup { workers: 0, deliveries: 0, ..Setup::from(few) }).await;
    let (effects, mine) = (scene.system.broker.effects().await, JobId::derive(&quiet, "mine"));
    eventually("the quiet tenant's job", async || {
        matches!(effects.records().read(&mine).await.unwrap(), Found::Record(..)).then_some(())
    })
    .await;
    let left = messages(&nats, &topology.submit_stream()).await;
    assert!(left > SUBMISSIONS / 2, "{left} of {SUBMISSIONS} lie there still");
    // Nothing is lost of what lay before it.
    eventually("all to be taken in", async || (messages(&nats, &topology.submit_stream()).await == 0).then_some(()))
        .await;
    let records = messages(&nats, "KV_sluice_records_0").await;
    assert_eq!(records, SUBMISSIONS + 1);
}

#[tokio::test]
async fn a_webhook_is_posted_beside_thousands_of_another_tenants_results_that_lay_before_it() {
    let few = Configuration::default().set("delivery.concurrency", 16);
    let scene = Scene::with(Setup { workers: 1, deliveries: 0, ..setup(few) }).await;
    let mut two = Two::in_scene(scene, Quotas::default(), Quotas::default()).await;
    let (nats, topology) = (two.scene.system.broker.connect().await, two.scene.system.broker.topology().clone());
    let hook = json!([{"url": two.scene.hooks.url()}]);
    submit_all(&two.flood, (0..RESULTS).map(|_| two.job("/flood", json!({"webhooks": hook})))).await;
    let lie = async |results: u64| {
        eventually("results", async || (messages(&nats, &topology.results_stream()).await == results).then_some(()))
            .await;
    };
    lie(RESULTS).await;
    let job = two.job("/quiet", json!({"webhooks": [{"url": two.hooks.url()}]}));
    let job = two.quiet.submit(&job).await.job_id;
    lie(RESULTS + 1).await;

    two.scene.system.add_delivery().await;
    two.hooks.wait_for_job(&job, DEADLINE).await.unwrap();
    let left = messages(&nats, &topology.results_stream()).await;
    assert!(left > RESULTS / 2, "{left} of {RESULTS} lie there still");
    lie(0).await;
    assert_eq!(two.hooks.all_posts().len(), 1);
}
