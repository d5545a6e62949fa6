//! Who asks for things: clients that submit, cancel and retry, and ask again while they get no answer.

use std::rc::Rc;
use std::time::Duration;

use sluice_shared::domain::id::{JobId, Tenant};
use sluice_shared::domain::outcome::Status;

use super::clockwork::Process;
use super::scenario::Scenario;
use super::submit::Failed;
use super::world::{Node, World};

const KEY: &str = "the key";

impl World {
    /// A process of its own for a client.
    fn client(self: &Rc<Self>) -> Node {
        self.processes_made.set(self.processes_made.get() + 1);
        Node::new(self, Process(200 + self.processes_made.get()))
    }

    /// Starts all clients of a scenario.
    pub(super) fn start_clients(self: &Rc<Self>, scenario: &Scenario) {
        let job = JobId::derive(&Tenant::default(), KEY);
        let asked_for = Rc::new(scenario.job.clone());
        for at in scenario.submitters.clone() {
            let (client, asked_for) = (self.client(), Rc::clone(&asked_for));
            let this = client.clone();
            client.spawn(async move {
                this.world.sleep(at).await;
                while let Err(Failed::AskAgain) = this.acknowledged_submit(&asked_for).await {
                    if this.world.chance.percent(30) {
                        return; // it gives up: the sweep completes what there is
                    }
                    this.sleep(Duration::from_secs(2)).await;
                }
            });
        }
        if let Some(at) = scenario.cancel {
            let (client, job) = (self.client(), job.clone());
            let this = client.clone();
            client.spawn(async move {
                this.world.sleep(at).await;
                while let Err(Failed::AskAgain) = this.cancel(&job).await {
                    this.sleep(Duration::from_secs(2)).await;
                }
            });
        }
        if scenario.retries > 0 {
            let client = self.client();
            let this = client.clone();
            client.spawn(async move { this.retry_when_failed(&job).await });
        }
    }

    /// Whether a client still waits for the job to fail.
    pub(super) fn has_failed(&self, job: &JobId) -> bool {
        let broker = self.broker.borrow();
        let outcome = broker.records.get(job).and_then(|kept| kept.record.outcome.as_ref());
        outcome.is_some_and(|outcome| outcome.status == Status::Failed)
    }
}

impl Node {
    async fn acknowledged_submit(&self, asked_for: &sluice_shared::domain::job::Job) -> Result<(), Failed> {
        let job = self.submit(KEY, asked_for).await?;
        self.tell(|| "is told that the job is taken".into());
        self.world.checks.borrow_mut().must_end(&job);
        Ok(())
    }

    async fn retry_when_failed(&self, job: &JobId) {
        for _ in 0..1_000 {
            self.sleep(Duration::from_millis(100)).await;
            if self.world.has_failed(job) {
                break;
            }
        }
        if self.world.chance.percent(50) {
            self.world.sleep(self.world.chance.between(0, 20_000)).await;
        }
        while let Err(Failed::AskAgain) = self.retry(job).await {
            self.sleep(Duration::from_secs(2)).await;
        }
    }
}
