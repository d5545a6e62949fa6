//! The project's own decisions under a simulated broker: thousands of seeded runs in seconds, in which everything goes
//! wrong that can.
//!
//! What decides is the product: `domain::decide`, `domain::delivery`, `domain::retry`, `domain::classify`, the sweep's
//! `needs`, and the loop that handles a message, `effects::handle`. What else carries decisions out is written here once
//! more, step for step as in the product, against a broker whose answers can be lost, late or doubled, in processes that
//! can die between any two steps. The time is simulated too. A run is its seed: it happens the same way each time.
//!
//! What a run must keep is in `checks`; what goes wrong in it, in `faults`. [`Rules`] can be broken one at a time, to show
//! that it is noticed. Not here: HTTP, encodings, the lives of queues, request bodies of their own.

mod attempt;
mod bend;
mod broker;
pub(crate) mod chance;
mod checks;
mod clients;
mod clockwork;
mod deliver;
mod faults;
mod gates;
mod hand_out;
mod handle;
mod mishaps;
mod nats;
mod net;
mod outside;
mod rules;
mod scenario;
pub mod search;
mod store;
mod submit;
mod sweep;
mod timeline;
mod worker;
mod world;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

pub use checks::{Invariant, Sight, Violation};
pub use gates::run_gate;
pub use rules::{Rule, Rules};

use broker::Broker;
use chance::Chance;
use checks::Checks;
use clockwork::{BROKER, Clockwork, Process};
use faults::Faults;
use outside::Outside;
use scenario::Scenario;
use timeline::Timeline;
use world::{BEGIN, World};

/// How long everything may take to end once nothing goes wrong any more.
const PATIENCE: Duration = Duration::from_secs(3 * 3600);
/// More steps than any run takes that ends.
const MOST_STEPS: u32 = 400_000;

/// How a run went.
#[derive(Debug)]
pub struct Run {
    /// What did not hold, if anything.
    pub violation: Option<Violation>,
    /// What happened, where it was to be told.
    pub timeline: Vec<String>,
    /// What it met.
    pub sights: BTreeSet<Sight>,
}

/// Runs once. `told`: with its timeline.
#[must_use]
pub fn run(seed: u64, rules: Rules, told: bool) -> Run {
    let world = begin(seed, rules, told);
    let mut steps = 0;
    while world.checks.borrow().violation.is_none() && !world.is_over.get() {
        steps += 1;
        if steps > MOST_STEPS || !world.clockwork.step() {
            world.checks.borrow_mut().never_ended(&world.broker.borrow());
        }
    }
    if world.is_over.get() {
        world.checks.borrow_mut().all_there(&world.broker.borrow());
    }
    world.end();
    let violation = world.checks.borrow_mut().violation.take();
    let sights = std::mem::take(&mut world.checks.borrow_mut().sights);
    Run { violation, timeline: world.timeline.lines(), sights }
}

fn begin(seed: u64, rules: Rules, told: bool) -> Rc<World> {
    let chance = Rc::new(Chance::new(seed));
    let mut outside = Outside::draw(&chance);
    let (scenario, faults) = (Scenario::draw(&chance, &mut outside), Faults::draw(&chance, BEGIN, rules));
    let checks = Checks::new(faults.are_none());
    let world = Rc::new(World {
        clockwork: Rc::new(Clockwork::new(&chance, BEGIN.0)),
        chance,
        broker: RefCell::<Broker>::default(),
        checks: RefCell::new(checks),
        outside: RefCell::new(outside),
        timeline: Timeline::new(BEGIN, told),
        faults,
        rules,
        max_age: scenario.max_age,
        nodes: RefCell::default(),
        ears: RefCell::default(),
        processes_made: Cell::new(0),
        closed_until: Cell::default(),
        is_over: Cell::new(false),
    });
    world.tell(BROKER, || scenario.picture());
    world.tell(BROKER, || format!("{:?}", world.faults));
    world.start_fleet(&scenario);
    world.start_clients(&scenario);
    world.start_mishaps();
    world.wait_for_the_end();
    world
}

impl World {
    /// Lets go of everything that holds on to the world.
    fn end(&self) {
        self.clockwork.clear();
        self.nodes.borrow_mut().clear();
        self.ears.borrow_mut().clear();
    }

    fn start_fleet(self: &Rc<Self>, scenario: &Scenario) {
        let workers = (1..=scenario.workers).map(Process);
        let deliveries = (1..=scenario.deliveries).map(|number| Process(100 + number));
        let late = scenario.workers_from;
        for process in workers.chain(deliveries) {
            let (world, late) = (Rc::clone(self), if process.0 < 100 { late } else { 0 });
            self.spawn(BROKER, async move {
                world.sleep(late).await;
                world.start_node(process);
                world.keep_up(process);
            });
        }
    }

    /// Looks from time to time whether everything has ended.
    fn wait_for_the_end(self: &Rc<Self>) {
        let world = Rc::clone(self);
        self.spawn(BROKER, async move {
            let latest = world.faults.until.after(PATIENCE);
            let mut quiet = 0;
            while quiet < 3 {
                world.sleep(5_000).await;
                let ended =
                    world.now() > BEGIN.after(Duration::from_secs(150)) && Checks::is_quiet(&world.broker.borrow());
                quiet = if ended { quiet + 1 } else { 0 };
                if world.now() > latest {
                    return world.checks.borrow_mut().never_ended(&world.broker.borrow());
                }
            }
            world.is_over.set(true);
        });
    }
}
