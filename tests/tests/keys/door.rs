//! Who is let in at all.

use std::time::Duration;

use http::Method;
use sluice_gateway::access::Access;
use sluice_gateway::http::{routes, serve};
use sluice_gateway::jobs::Jobs;
use sluice_shared::clock;
use sluice_shared::config::Config;
use sluice_shared::domain::access::{ApiKey, Secret};
use sluice_shared::domain::id::KeyId;
use sluice_shared::keys::Keys;
use sluice_shared::telemetry::Metrics;
use sluice_tests::broker::TestBroker;
use sluice_tests::client::Client;
use sluice_tests::eventually;
use sluice_tests::scene::Scene;
use sluice_tests::system::Setup;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::rig::{Rig, admin, problem, setup, wish};
use crate::scopes::path_of;

#[tokio::test]
async fn nobody_gets_anywhere_without_a_key_that_is_taken() {
    let rig = Rig::start(1, 0).await;
    let (good, revoked) = (rig.key(admin(None)).await, rig.key(admin(None)).await);
    rig.keys.revoke(&revoked.id.parse().unwrap(), None).await.unwrap();
    let expires_at = Some(clock::now().after(Duration::from_millis(100)));
    let (expired, _) =
        rig.keys.create(sluice_shared::domain::access::Wish { expires_at, ..admin(None) }, None).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let real = ApiKey::parse(&good.text).unwrap();
    let wrong = ApiKey { secret: Secret::from_random([7; 32]), id: real.id };
    let unknown = ApiKey { id: KeyId::from_random([7; 10]), secret: real.secret };
    let bearer = |key: &str| format!("Bearer {key}");
    let cases = [
        (None, "no_api_key"),
        (Some("Basic dTpw".to_owned()), "no_api_key"),
        (Some(good.text.clone()), "no_api_key"),
        (Some(bearer("sk_123")), "unknown_api_key"),
        (Some(bearer(&wrong.reveal())), "unknown_api_key"),
        (Some(bearer(&unknown.reveal())), "unknown_api_key"),
        (Some(bearer(&revoked.text)), "unknown_api_key"),
        (Some(bearer(&expired.reveal())), "expired_api_key"),
    ];
    let stranger = rig.stranger();
    assert!(routes().len() >= 20, "{}", routes().len());
    for route in routes() {
        for (authorization, code) in &cases {
            let headers: Vec<_> = authorization.iter().map(|value| ("authorization", value.as_str())).collect();
            let answer = stranger.send(route.method.clone(), &path_of(route.path), &headers, None).await;
            problem(&answer, 401, code);
            let challenge = if *code == "no_api_key" { "" } else { ", error=\"invalid_token\"" };
            assert_eq!(answer.header("www-authenticate"), format!("Bearer realm=\"sluice\"{challenge}"));
        }
    }
    let head = stranger.send(Method::HEAD, "/v1/queues", &[], None).await;
    assert_eq!(head.status, 401, "{head:#?}");
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(stranger.send(Method::GET, path, &[], None).await.status, 200, "{path}");
    }
}

/// By a name that leads to loopback, or by a form, a page of the web has a browser call what listens there.
#[tokio::test]
async fn a_page_of_the_web_does_not_get_in_at_an_open_door() {
    let scene = Scene::with(Setup { workers: 0, deliveries: 0, ..Setup::default() }).await;
    let ask = async |headers: &[(&str, &str)]| scene.client.send(Method::GET, "/v1/queues", headers, None).await;
    for header in [("host", "evil.example:8080"), ("origin", "https://evil.example"), ("origin", "null")] {
        problem(&ask(&[header]).await, 403, "not_local");
    }
    for header in [("host", "localhost:8080"), ("origin", "http://127.0.0.1:3000")] {
        assert_eq!(ask(&[header]).await.status, 200, "{header:?}");
    }
}

/// A client that is still sending gets its answer.
#[tokio::test]
async fn a_large_job_without_a_key_is_answered_too() {
    let rig = Rig::start(1, 0).await;
    let answer = rig.stranger().send(Method::POST, "/v1/jobs", &[], Some(vec![b' '; 6 << 20])).await;
    problem(&answer, 401, "no_api_key");
}

#[tokio::test]
async fn a_gateway_that_does_not_know_the_keys_yet_turns_nobody_away() {
    let broker = TestBroker::start().await;
    let effects = broker.effects().await;
    let nats = effects.nats().clone();
    let (made, _) = Keys::new(&nats).create(admin(None), None).await.unwrap();
    let stream = sluice_shared::topology::Topology::stream_of(&nats.topology().keys_bucket());
    let config = nats.jetstream().get_stream(&stream).await.unwrap().cached_info().config.clone();
    nats.jetstream().delete_stream(&stream).await.unwrap();
    let (listener, stop) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), CancellationToken::new());
    let base = format!("http://{}", listener.local_addr().unwrap());
    let client = Client::with_key(&base, &made.reveal());
    let (jobs, access, settings) = (Jobs::new(effects), Access::by_keys(&nats, &stop), Config::default().gateway);
    let serving = tokio::spawn(serve_until(listener, jobs, access, settings, stop.clone()));
    let answer = client.send(Method::GET, "/v1/queues", &[], None).await;
    problem(&answer, 503, "unavailable");
    assert_eq!(answer.header("retry-after"), "1");
    let readiness = Client::new(&base).send(Method::GET, "/readyz", &[], None).await;
    assert_eq!((readiness.status, readiness.body.as_str()), (503, Some("the API keys are not known yet\n")));
    nats.jetstream().create_stream(config).await.unwrap();
    // Now it knows: there are none.
    eventually("keys that are known", async || {
        let answer = client.send(Method::GET, "/v1/queues", &[], None).await;
        (answer.status == 401).then_some(())
    })
    .await;
    stop.cancel();
    serving.await.unwrap();
}

async fn serve_until(
    listener: TcpListener,
    jobs: Jobs,
    access: Access,
    settings: sluice_shared::config::Gateway,
    stop: CancellationToken,
) {
    serve(listener, jobs, access, &settings, Metrics::new(), stop).await.unwrap();
}

#[tokio::test]
async fn a_gateway_that_lost_nats_goes_by_the_last_keys() {
    let mut rig = Rig::with(setup(1, 0)).await;
    let key = rig.key(wish(None, &[sluice_shared::domain::access::Scope::Admin])).await;
    let (client, stranger) = (rig.at(0, &key.text), rig.stranger());
    rig.scene.system.broker.broker.kill().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(client.send(Method::GET, "/v1/keys", &[], None).await.status, 200);
    problem(&stranger.send(Method::GET, "/v1/keys", &[], None).await, 401, "no_api_key");
}
