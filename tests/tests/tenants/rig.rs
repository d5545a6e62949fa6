//! Two tenants of a system with two workers, each with a key.

use std::collections::HashSet;

use futures_util::StreamExt;
use serde_json::{Value, json};
use sluice::scripted::{Call, WebhookReceiver};
use sluice_shared::domain::access::{Quotas, Scope, Wish};
use sluice_shared::keys::Keys;
use sluice_tests::DEADLINE;
use sluice_tests::client::Client;
use sluice_tests::configuration::Configuration;
use sluice_tests::eventually;
use sluice_tests::scene::Scene;
use sluice_tests::system::Setup;

/// How many submit for the flood at a time.
const AT_ONCE: usize = 64;

pub(crate) struct Two {
    pub(crate) scene: Scene,
    /// Whoever floods.
    pub(crate) flood: Client,
    /// Whoever asks for something now and then.
    pub(crate) quiet: Client,
    /// Where outcomes of the quiet tenant go; those of the flood have `scene.hooks`.
    pub(crate) hooks: WebhookReceiver,
}

/// Two workers, one of each other role, and a gateway that asks for keys.
pub(crate) fn setup(configuration: Configuration) -> Setup {
    Setup { workers: 2, ..Setup::from(configuration.set("gateway.auth", "keys")) }
}

impl Two {
    pub(crate) async fn start(configuration: Configuration) -> Self {
        Self::in_scene(Scene::with(setup(configuration)).await, Quotas::default(), Quotas::default()).await
    }

    /// Both have a key with these quotas: the flood's, and the quiet tenant's.
    pub(crate) async fn in_scene(scene: Scene, flood: Quotas, quiet: Quotas) -> Self {
        let [flood, quiet] = [key(&scene, "flood", flood).await, key(&scene, "quiet", quiet).await];
        Self { scene, flood, quiet, hooks: WebhookReceiver::start().await.unwrap() }
    }

    /// A job for a path of the destination, without webhooks.
    pub(crate) fn job(&self, path: &str, more: Value) -> Value {
        let mut job = json!({"url": self.scene.destination.at(path)});
        let Value::Object(more) = more else { panic!("fields are an object") };
        job.as_object_mut().unwrap().extend(more);
        job
    }

    /// Submits a job of the quiet tenant to this path and waits for its webhook; its id.
    pub(crate) async fn asks(&self, path: &str, more: Value) -> String {
        let mut job = self.job(path, more);
        job["webhooks"] = json!([{"url": self.hooks.url()}]);
        let job = self.quiet.submit(&job).await.job_id;
        let post = self.hooks.wait_for_job(&job, DEADLINE).await.unwrap();
        assert_eq!(post.payload["status"], "success", "{:#}", post.payload);
        job
    }

    /// Calls to a path of the destination.
    pub(crate) fn calls(&self, path: &str) -> Vec<Call> {
        self.scene.destination.calls(path)
    }
}

/// Submits all of these, many at a time; each must be taken.
pub(crate) async fn submit_all(client: &Client, jobs: impl IntoIterator<Item = Value>) -> HashSet<String> {
    let submitted = jobs.into_iter().map(|job| async move { client.submit(&job).await.job_id });
    futures_util::stream::iter(submitted).buffer_unordered(AT_ONCE).collect().await
}

/// A client with a key of a tenant, once it is taken.
pub(crate) async fn key(scene: &Scene, tenant: &str, quotas: Quotas) -> Client {
    let keys = Keys::new(&scene.system.broker.connect().await);
    let scopes = [Scope::Submit, Scope::Read, Scope::Operate].into_iter().collect();
    let tenant = Some(tenant.parse().unwrap());
    let wish = Wish { tenant, scopes, label: String::new(), expires_at: None, quotas };
    let (made, _) = keys.create(wish, None).await.unwrap();
    let client = Client::with_key(scene.system.gateways[0].http(), &made.reveal());
    eventually("a key that is taken", async || {
        let answer = client.send(http::Method::GET, "/v1/queues", &[], None).await;
        (answer.status == 200).then_some(())
    })
    .await;
    client
}
