//! Many workers at one gate, in simulated time: how much of its limit they use, how evenly, and what that costs the broker.
//!
//! What decides is the product: `domain::gate`, and of it `Turn`, which the task of a gate drives in every worker. What is
//! around it is written here once more: hands that are filled again, the compare-and-swap, the watch. A broker takes its time
//! for each swap, for each read, and for each worker that it tells of a change; messages are on their way for a while. A run is
//! its seed.
//!
//! Nobody dies here and no answer is lost: what must hold then is looked for in `simulation::gates`.

mod broker;
mod events;
mod figures;
mod gate;
mod worker;

pub use broker::Costs;
pub use figures::Figures;

use std::rc::Rc;
use std::time::Duration;

use sluice_shared::domain::gate::{GateState, Interval, Limits, Nanos};
use sluice_shared::domain::id::Destination;

use gate::Gate;

/// When every run begins.
const BEGIN: Nanos = Nanos(1_800_000_000_000_000_000);

/// What is run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Workers, all of which always have something to send.
    pub workers: usize,
    /// Calls a second.
    pub rate: f64,
    /// Calls in flight, over all workers.
    pub concurrency: u32,
    /// How long a call takes on average; each takes half of it to half as much again.
    pub calls_last: Duration,
    /// What is measured; what comes before it, while everybody starts, is not.
    pub lasts: Duration,
    /// What the broker takes its time for.
    pub costs: Costs,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            workers: 1,
            rate: 500.0,
            concurrency: u32::MAX,
            calls_last: Duration::from_millis(200),
            lasts: Duration::from_secs(10),
            costs: Costs::default(),
        }
    }
}

impl Plan {
    fn limits(&self) -> Limits {
        let interval = Interval::of_rate(self.rate).unwrap();
        Limits { interval, burst: 1, concurrency: self.concurrency, ceiling: true }
    }
}

fn fresh() -> GateState {
    GateState::new(Destination::of(&url::Url::parse("http://a.example/").unwrap()).unwrap(), None)
}

/// Runs it once.
#[must_use]
pub fn run(plan: &Plan, seed: u64) -> Figures {
    let mut gate = Gate::new(plan, seed, Rc::new((fresh(), 1)));
    gate.run_until(BEGIN.after(figures::SETTLING).after(plan.lasts));
    gate.figures()
}
