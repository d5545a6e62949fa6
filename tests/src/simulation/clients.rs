//! Who asks for things: clients that submit, cancel and retry, ask again while they get no answer, and come back when they
//! have died, or do not.

use std::rc::Rc;
use std::time::Duration;

use sluice_shared::domain::id::{JobId, Tenant};
use sluice_shared::domain::job::Job;
use sluice_shared::domain::outcome::Status;

use super::clockwork::{BROKER, Process};
use super::scenario::Scenario;
use super::submit::Failed;
use super::world::{Node, World};

const KEY: &str = "the key";

/// What a client wants.
#[derive(Clone)]
enum Wish {
    Submit(Rc<Job>),
    Cancel,
    Retry,
}

impl World {
    /// Starts all clients of a scenario.
    pub(super) fn start_clients(self: &Rc<Self>, scenario: &Scenario) {
        let job = Rc::new(scenario.job.clone());
        for at in &scenario.submitters {
            self.start_client(*at, Wish::Submit(Rc::clone(&job)));
        }
        if let Some(at) = scenario.cancel {
            self.start_client(at, Wish::Cancel);
        }
        for _ in 0..scenario.retries {
            self.start_client(0, Wish::Retry);
        }
    }

    /// A client in a process of its own; whoever died may come back with the same wish.
    fn start_client(self: &Rc<Self>, at: u64, wish: Wish) {
        let world = Rc::clone(self);
        self.spawn(BROKER, async move {
            world.sleep(at).await;
            loop {
                world.processes_made.set(world.processes_made.get() + 1);
                let client = Node::new(&world, Process(200 + world.processes_made.get()));
                let (this, wish) = (client.clone(), wish.clone());
                let task = client.spawn(async move { this.wants(wish).await });
                while world.clockwork.is_alive(task) {
                    world.sleep(5_000).await;
                }
                let died = world.checks.borrow().has_died(client.process);
                if !died || world.chance.percent(40) {
                    return;
                }
            }
        });
    }

    fn has_failed(&self, job: &JobId) -> bool {
        let broker = self.broker.borrow();
        let outcome = broker.records.get(job).and_then(|kept| kept.record.outcome.as_ref());
        outcome.is_some_and(|outcome| outcome.status == Status::Failed)
    }
}

impl Node {
    async fn wants(&self, wish: Wish) {
        let job = JobId::derive(&Tenant::default(), KEY);
        if let Wish::Retry = wish {
            self.wait_for_failure(&job).await;
        }
        loop {
            let asked = match &wish {
                Wish::Submit(job) => self.submit(KEY, job).await.map(|job| self.is_told(&job)),
                Wish::Cancel => self.cancel(&job).await,
                Wish::Retry => self.retry(&job).await,
            };
            // Who gives up leaves the rest to the sweep.
            if !matches!(asked, Err(Failed::AskAgain)) || self.world.chance.percent(20) {
                return;
            }
            self.sleep(Duration::from_secs(2)).await;
        }
    }

    fn is_told(&self, job: &JobId) {
        self.tell(|| "is told that the job is taken".into());
        self.world.checks.borrow_mut().must_end(job);
    }

    async fn wait_for_failure(&self, job: &JobId) {
        for _ in 0..1_000 {
            self.sleep(Duration::from_millis(100)).await;
            if self.world.has_failed(job) {
                break;
            }
        }
        if self.world.chance.percent(50) {
            self.world.sleep(self.world.chance.between(0, 20_000)).await;
        }
    }
}
