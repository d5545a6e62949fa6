//! Webhooks that are signed, verified as their receivers do it.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::json;
use sluice::scripted::{Post, Script};
use sluice_shared::clock;
use sluice_shared::domain::id::Tenant;
use sluice_shared::domain::signature::Signed;
use sluice_shared::domain::webhook_secrets::{Scheme, WebhookSecret, WebhookSecrets};
use sluice_shared::seal::{Seal, SealKey};
use sluice_shared::secrets::SecretsStore;
use sluice_tests::configuration::KEY;
use sluice_tests::scene::Scene;
use sluice_tests::{DEADLINE, eventually};

use crate::receiver::Receiver;
use crate::signing::{ask, set};

const ONE: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const TWO: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const TEXT: &str = "a secret of some length";

/// Runs a job; its first webhook.
async fn posted(scene: &Scene) -> Post {
    let job = scene.submit("/a", json!({})).await;
    scene.hooks.wait_for_job(&job, DEADLINE).await.unwrap()
}

/// Runs jobs until a webhook is as wanted, within a few seconds: what was set counts at once.
async fn soon(scene: &Scene, wanted: impl Fn(&Post) -> bool) -> Post {
    let since = Instant::now();
    loop {
        let post = posted(scene).await;
        if wanted(&post) {
            return post;
        }
        assert!(since.elapsed() < Duration::from_secs(5), "{:?}", post.call.headers);
    }
}

fn signatures(post: &Post) -> usize {
    post.call.header("webhook-signature").map_or(0, |value| value.split(' ').count())
}

#[tokio::test]
async fn a_webhook_is_signed_so_that_the_published_library_verifies_it_and_not_before_that_is_asked_for() {
    let (receiver, scene) = (Receiver::start().await, Scene::start().await);
    let unsigned = posted(&scene).await;
    assert_eq!((signatures(&unsigned), unsigned.call.header("x-ezthrottle-signature")), (0, None));

    set(&scene.client, &json!({"primary_secret": ONE})).await;
    let post = soon(&scene, |post| signatures(post) == 1).await;
    assert_eq!(receiver.verify("standard", ONE, &post).await, "valid");
    assert!(receiver.verify("standard", TWO, &post).await.starts_with("invalid"));
    assert_eq!(post.call.header("x-ezthrottle-signature"), None);
    let mut changed = post.clone();
    changed.call.body = String::from_utf8(post.call.body.to_vec()).unwrap().replace("success", "failed").into();
    assert!(receiver.verify("standard", ONE, &changed).await.starts_with("invalid"));

    assert_eq!(ask(&scene.client, Method::DELETE, None).await.status, 204);
    soon(&scene, |post| signatures(post) == 0).await;
}

#[tokio::test]
async fn while_secrets_are_rotated_both_verify_and_afterwards_the_new_one_alone() {
    let (receiver, scene) = (Receiver::start().await, Scene::start().await);
    set(&scene.client, &json!({"primary_secret": TWO, "secondary_secret": ONE})).await;
    let post = soon(&scene, |post| signatures(post) == 2).await;
    for secret in [ONE, TWO] {
        assert_eq!(receiver.verify("standard", secret, &post).await, "valid");
    }
    set(&scene.client, &json!({"primary_secret": TWO})).await;
    let post = soon(&scene, |post| signatures(post) == 1).await;
    assert_eq!(receiver.verify("standard", TWO, &post).await, "valid");
    assert!(receiver.verify("standard", ONE, &post).await.starts_with("invalid"));
}

#[tokio::test]
async fn the_signature_of_ezthrottle_is_there_where_it_is_asked_for_and_its_client_verifies_it() {
    let (receiver, scene) = (Receiver::start().await, Scene::start().await);
    set(&scene.client, &json!({"primary_secret": TEXT, "secondary_secret": ONE, "schemes": ["ezthrottle"]})).await;
    let post = soon(&scene, |post| post.call.header("x-ezthrottle-signature").is_some()).await;
    assert_eq!((receiver.verify("ezthrottle", TEXT, &post).await.as_str(), signatures(&post)), ("valid", 0));
    assert!(receiver.verify("ezthrottle", ONE, &post).await.starts_with("invalid"));
    set(&scene.client, &json!({"primary_secret": TEXT, "schemes": ["ezthrottle", "standard"]})).await;
    let post = soon(&scene, |post| signatures(post) == 1).await;
    for scheme in ["standard", "ezthrottle"] {
        assert_eq!(receiver.verify(scheme, TEXT, &post).await, "valid", "{scheme}");
    }
}

#[tokio::test]
async fn each_try_of_a_webhook_is_signed_anew_under_the_same_id() {
    let (receiver, scene) = (Receiver::start().await, Scene::start().await);
    set(&scene.client, &json!({"primary_secret": ONE})).await;
    soon(&scene, |post| signatures(post) == 1).await;
    scene.hooks.answer([Script::answer(500), Script::answer(500), Script::answer(200)]);
    let job = scene.submit("/a", json!({})).await;
    let posts = scene.hooks.wait_for_posts(&job, 3, DEADLINE).await.unwrap();
    for (post, attempt) in posts.iter().zip(1..) {
        assert_eq!(post.payload["delivery"]["attempt"], attempt);
        assert_eq!(post.call.header("webhook-id"), posts[0].call.header("webhook-id"));
        assert_eq!(receiver.verify("standard", ONE, post).await, "valid");
    }
}

#[tokio::test]
async fn each_tenant_has_secrets_of_its_own() {
    let (receiver, scene) = (Receiver::start().await, Scene::start().await);
    let (nats, acme): (_, Tenant) = (scene.system.broker.connect().await, "acme".parse().unwrap());
    set(&scene.client, &json!({"primary_secret": ONE})).await;
    store(&scene, KEY).await.set(&acme, &standard(TWO), clock::now()).await.unwrap();
    let submit = async |tenant: &str, key: &str| {
        let subject = format!("sluice.submit.{tenant}");
        let job = scene.job("/a", json!({"idempotent_key": key, "metadata": {"tenant": tenant}}));
        nats.jetstream().publish(subject, job.to_string().into()).await.unwrap().await.unwrap();
        let of_key = |posts: Vec<Post>| posts.into_iter().find(|post| post.payload["idempotent_key"] == key);
        eventually("a webhook", async || of_key(scene.hooks.all_posts())).await
    };
    assert_eq!(receiver.verify("standard", TWO, &submit("acme", "k").await).await, "valid");
    assert_eq!(signatures(&submit("nobody", "n").await), 0);
    soon(&scene, |post| signatures(post) == 1).await;
    assert_eq!(receiver.verify("standard", ONE, &posted(&scene).await).await, "valid");
}

#[tokio::test]
async fn what_cannot_be_signed_waits_until_it_can_and_is_never_posted_without() {
    let (receiver, scene) = (Receiver::start().await, Scene::start().await);
    let foreign = SealKey::generate();
    store(&scene, &foreign).await.set(&Tenant::default(), &standard(ONE), clock::now()).await.unwrap();
    assert_eq!(ask(&scene.client, Method::GET, None).await.body["code"], "not_opened");
    let job = scene.submit("/a", json!({})).await;
    eventually("a webhook that waits", async || {
        let shown = scene.client.get(&job).await;
        let error = shown["webhooks"][0]["last_error"].as_str()?.to_owned();
        error.contains("cannot be opened").then_some(())
    })
    .await;
    assert!(scene.hooks.posts(&job).is_empty());
    set(&scene.client, &json!({"primary_secret": TWO})).await;
    let post = scene.hooks.wait_for_job(&job, DEADLINE).await.unwrap();
    assert_eq!(receiver.verify("standard", TWO, &post).await, "valid");
}

#[tokio::test]
async fn after_the_broker_was_restarted_what_is_set_counts_as_before() {
    let mut scene = Scene::start().await;
    set(&scene.client, &json!({"primary_secret": ONE})).await;
    soon(&scene, |post| signed_by(post, ONE)).await;
    scene.system.broker.broker.restart().await.unwrap();
    eventually("a gateway that is back", async || {
        let answer = ask(&scene.client, Method::PUT, Some(&json!({"primary_secret": TWO}))).await;
        (answer.status == 200).then_some(())
    })
    .await;
    soon(&scene, |post| signed_by(post, TWO)).await;
}

/// Whether exactly this secret made its signature.
fn signed_by(post: &Post, secret: &str) -> bool {
    let header = |name| post.call.header(name).unwrap_or_default();
    let signed = Signed { id: header("webhook-id"), timestamp: header("webhook-timestamp"), body: &post.call.body };
    standard(secret).sign(signed)[0].1 == header("webhook-signature")
}

/// The bucket, as whoever has this key sees it.
async fn store(scene: &Scene, key: &str) -> SecretsStore<Tenant> {
    SecretsStore::new(&scene.system.broker.connect().await, &Seal::new(SealKey::parse(key).unwrap(), None))
}

fn standard(secret: &str) -> WebhookSecrets {
    let primary = WebhookSecret::parse(secret).unwrap();
    WebhookSecrets { primary, secondary: None, schemes: [Scheme::Standard].into() }
}
