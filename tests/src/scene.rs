//! Where most tests play: a system, one scripted destination, one receiver of webhooks.

use serde_json::{Value, json};
use sluice::scripted::{Call, Destination, WebhookReceiver};

use crate::DEADLINE;
use crate::broker::TestBroker;
use crate::client::Client;
use crate::system::{Setup, System};

/// A system with a destination and a receiver.
pub struct Scene {
    /// The system.
    pub system: System,
    /// What its jobs call.
    pub destination: Destination,
    /// Where their outcomes go.
    pub hooks: WebhookReceiver,
    /// A client of its first gateway.
    pub client: Client,
}

impl Scene {
    /// One of each role, with the defaults for tests.
    ///
    /// # Panics
    /// Where something does not start.
    pub async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    /// Roles and configuration as set up.
    ///
    /// # Panics
    /// Where something does not start.
    pub async fn with(setup: impl Into<Setup>) -> Self {
        Self::at(Destination::start().await.unwrap(), setup).await
    }

    /// The same with a destination that the configuration knows of already.
    ///
    /// # Panics
    /// Where something does not start.
    pub async fn at(destination: Destination, setup: impl Into<Setup>) -> Self {
        Self::of(System::start(setup.into()).await, destination).await
    }

    /// The same on a broker that is there, with the topology of the setup.
    ///
    /// # Panics
    /// Where something does not start.
    pub async fn on(broker: TestBroker, setup: impl Into<Setup>) -> Self {
        Self::of(System::on(broker, setup.into()).await, Destination::start().await.unwrap()).await
    }

    async fn of(system: System, destination: Destination) -> Self {
        let client = system.client();
        Self { system, destination, hooks: WebhookReceiver::start().await.unwrap(), client }
    }

    /// A job that gets a path of the destination, and whose outcome goes to the receiver. `more` are fields on top.
    ///
    /// # Panics
    /// Where `more` is no object.
    #[must_use]
    pub fn job(&self, path: &str, more: Value) -> Value {
        let mut job = json!({"url": self.destination.at(path), "webhooks": [{"url": self.hooks.url()}]});
        let Value::Object(more) = more else { panic!("fields are an object") };
        job.as_object_mut().unwrap().extend(more);
        job
    }

    /// Submits such a job; its id.
    ///
    /// # Panics
    /// Where it is not taken.
    pub async fn submit(&self, path: &str, more: Value) -> String {
        self.client.submit(&self.job(path, more)).await.job_id
    }

    /// Waits for the first webhook of a job; its payload.
    ///
    /// # Panics
    /// Where none comes.
    pub async fn outcome(&self, job: &str) -> Value {
        self.hooks.wait_for_job(job, DEADLINE).await.unwrap().payload
    }

    /// Submits such a job and waits for its webhook.
    ///
    /// # Panics
    /// Where either fails.
    pub async fn run(&self, path: &str, more: Value) -> Value {
        let job = self.submit(path, more).await;
        self.outcome(&job).await
    }

    /// Waits until there are so many calls to a path, and gives them.
    ///
    /// # Panics
    /// Where there are fewer at the deadline.
    pub async fn calls(&self, path: &str, count: usize) -> Vec<Call> {
        calls(&self.destination, path, count).await
    }

    /// Waits until nothing is on its way any more.
    ///
    /// # Panics
    /// Where something is left.
    pub async fn nothing_left(&self) {
        self.system.broker.nothing_left().await;
    }
}

/// Waits until there are so many calls to a path of a destination, and gives them.
///
/// # Panics
/// Where there are fewer at the deadline.
pub async fn calls(destination: &Destination, path: &str, count: usize) -> Vec<Call> {
    let enough = |calls: &[Call]| calls.iter().filter(|call| call.path == path).count() >= count;
    destination.wait_for(enough, DEADLINE).await.unwrap();
    destination.calls(path)
}

/// Waits until the client of a call has gone before it was answered, and gives the call as it is then.
///
/// # Panics
/// Where it stays, or gets its answer.
pub async fn dropped(destination: &Destination, number: usize) -> Call {
    let gone = |calls: &[Call]| calls.get(number).filter(|call| !call.is_open()).cloned();
    let call = destination.wait_until(gone, DEADLINE).await.unwrap();
    assert!(call.dropped_at.is_some(), "{call:?}");
    call
}
