//! All of it at once: over HTTP and NATS, to the same destination and to others, large bodies, many queues, webhooks that hang.

use serde_json::{Value, json};
use sluice::scripted::{Destination, Script, WebhookReceiver};
use sluice_shared::domain::access::Quotas;
use sluice_tests::configuration::Configuration;
use sluice_tests::scene::Scene;

use crate::rig::{Two, setup, submit_all};

const OVER_HTTP: usize = 1_500;
const OVER_NATS: usize = 1_500;

#[tokio::test]
async fn a_flood_of_everything_keeps_nobody_elses_jobs_from_their_way() {
    let destination = Destination::start().await.unwrap();
    let configuration = Configuration::default().limit(&destination, 50.0, 1).set("delivery.timeout", "60s");
    let two =
        Two::in_scene(Scene::at(destination, setup(configuration)).await, Quotas::default(), Quotas::default()).await;
    let (hooks, slow) = (Destination::start().await.unwrap(), Destination::start().await.unwrap());
    hooks.on("/*", [Script::hang()]);
    slow.on("/*", [Script::hang()]);
    let large = "x".repeat(100 * 1024);
    let of_flood = |number: usize| -> Value {
        let hook = json!([{"url": hooks.at("/hook")}]);
        match number % 5 {
            0 => two.job("/flood", json!({"webhooks": hook})),
            1 => json!({"url": slow.at("/slow"), "account": format!("s{}", number % 40)}),
            2 => two.job("/flood", json!({"account": format!("a{}", number % 100)})),
            3 if number % 50 == 3 => two.job("/flood", json!({"method": "POST", "body": large})),
            3 => json!({"url": hooks.at("/nobody"), "timeout_ms": 500, "webhooks": hook}),
            _ => two.job("/flood", json!({})),
        }
    };
    let nats = two.scene.system.broker.connect().await.client().clone();
    let durable = two.scene.system.broker.topology().submit(Some(&"flood".parse().unwrap()));
    let flooding = async {
        for number in 0..OVER_NATS {
            nats.publish(durable.clone(), of_flood(number).to_string().into()).await.unwrap();
        }
        nats.flush().await.unwrap();
        submit_all(&two.flood, (0..OVER_HTTP).map(of_flood)).await;
    };
    let asking = async {
        let mut done = Vec::new();
        for number in 0..6 {
            let path = format!("/quiet/{number}");
            done.push(two.asks(&path, json!({"method": "POST", "body": {"number": number}})).await);
        }
        done
    };
    let ((), asked) = tokio::join!(flooding, asking);
    let other = WebhookReceiver::start().await.unwrap();
    let last = json!({"url": two.scene.destination.at("/last"), "webhooks": [{"url": other.url()}]});
    let last = two.quiet.submit(&last).await.job_id;
    other.wait_for_job(&last, sluice_tests::DEADLINE).await.unwrap();
    // The flood's own gate lets 50 a second through, and there are some 1,800 behind it.
    assert!(two.calls("/flood").len() < 1_500, "the flood was at its end");
    for job in &asked {
        assert_eq!(two.hooks.all_posts().iter().filter(|post| post.payload["job_id"] == json!(job)).count(), 1);
    }
}
