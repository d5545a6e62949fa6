//! Signatures where a whole system is not needed: over NATS, and before the secrets are known.

use futures_util::StreamExt as _;
use sluice_shared::clock;
use sluice_shared::domain::id::Tenant;
use sluice_shared::domain::signature::Signed;
use sluice_shared::domain::webhook_secrets::{Scheme, WebhookSecret, WebhookSecrets};
use sluice_shared::secrets::SecretsStore;
use sluice_shared::topology::{LaneConsumer, Laned, Topology};

use crate::rig::{DEADLINE, Rig, options, to, until};

fn secrets() -> WebhookSecrets {
    let primary = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    WebhookSecrets { primary, secondary: None, schemes: [Scheme::Standard].into() }
}

async fn set(rig: &Rig) {
    SecretsStore::of(&rig.effects).set(&Tenant::default(), &secrets(), clock::now()).await.unwrap();
}

#[tokio::test]
async fn a_webhook_to_a_nats_subject_is_signed_too() {
    let rig = Rig::start().await;
    set(&rig).await;
    let mut outcomes = rig.nats().client().subscribe("my.outcomes").await.unwrap();
    let _service = rig.serve(options()).await;
    rig.publish(&to(&["nats:my.outcomes".into()], "k")).await;
    let message = outcomes.next().await.unwrap();
    rig.nats().client().publish(message.reply.unwrap(), "".into()).await.unwrap();
    let headers = message.headers.unwrap();
    let header = |name: &str| headers.get(name).unwrap().as_str();
    let signed = Signed { id: header("webhook-id"), timestamp: header("webhook-timestamp"), body: &message.payload };
    assert_eq!(secrets().sign(signed), [("webhook-signature", header("webhook-signature").to_owned())]);
}

#[tokio::test]
async fn a_service_that_does_not_know_the_secrets_yet_posts_nothing_until_it_does() {
    let rig = Rig::start().await;
    let (topology, jetstream) = (rig.nats().topology(), rig.nats().jetstream());
    let bucket = jetstream.get_stream(Topology::stream_of(&topology.webhook_secrets_bucket())).await.unwrap();
    jetstream.delete_stream(&bucket.cached_info().config.name).await.unwrap();
    let service = rig.serve(options()).await;
    let result = rig.result("k");
    rig.publish(&result).await;
    until("a result in hand", async || {
        let LaneConsumer { name, stream, .. } = rig.lane(Laned::Results);
        let info = jetstream.get_stream(stream).await.ok()?.consumer_info(name).await.ok()?;
        (info.num_ack_pending == 1).then_some(())
    })
    .await;
    // The bucket alone, and the secret at once: one that is seen empty says that there is none.
    jetstream.create_stream(bucket.cached_info().config.clone()).await.unwrap();
    set(&rig).await;
    let post = rig.receiver.wait_for_job(result.job.as_str(), DEADLINE).await.unwrap();
    let header = |name: &str| post.call.header(name).unwrap_or_default();
    let signed = Signed { id: header("webhook-id"), timestamp: header("webhook-timestamp"), body: &post.call.body };
    assert_eq!(header("webhook-signature"), secrets().sign(signed)[0].1);
    rig.wait_until_let_go(&result).await;
    service.stop().await;
}
