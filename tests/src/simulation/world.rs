//! One run's world: the time, the broker, the processes, and those who watch that the rules hold.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use sluice_shared::clock::Millis;
use sluice_shared::domain::id::JobId;

use super::broker::Broker;
use super::chance::Chance;
use super::checks::{Checks, Invariant};
use super::clockwork::{Clockwork, Process, Sleep, TaskId};
use super::faults::Faults;
use super::outside::Outside;
use super::rules::Rules;
use super::timeline::Timeline;

/// When every run begins.
pub(super) const BEGIN: Millis = Millis(1_800_000_000_000);

/// All that there is.
pub(super) struct World {
    pub(super) clockwork: Rc<Clockwork>,
    pub(super) chance: Rc<Chance>,
    pub(super) broker: RefCell<Broker>,
    pub(super) checks: RefCell<Checks>,
    pub(super) outside: RefCell<Outside>,
    pub(super) timeline: Timeline,
    pub(super) faults: Faults,
    pub(super) rules: Rules,
    pub(super) max_age: Duration,
    /// Processes that take work on.
    pub(super) nodes: RefCell<Vec<Node>>,
    pub(super) ears: RefCell<Vec<Rc<Ear>>>,
    pub(super) processes_made: Cell<u32>,
    /// Nobody pulls from queues until then.
    pub(super) closed_until: Cell<Millis>,
    /// Everything has ended.
    pub(super) is_over: Cell<bool>,
}

/// A process in the world: what its tasks act through, as the product's act through their effects.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) world: Rc<World>,
    pub(super) process: Process,
    /// By how much its clock is ahead, in milliseconds, plus what no clock is behind.
    skew: u64,
    pub(super) stop: Rc<Stop>,
}

/// No clock is behind by more than this, nor ahead.
pub(super) const SKEW: Duration = Duration::from_secs(5);

/// The two steps of a stop.
#[derive(Default)]
pub(super) struct Stop {
    pub(super) begun: Cell<bool>,
    pub(super) at_once: Cell<bool>,
    waiting: RefCell<Vec<TaskId>>,
}

/// The wish of a task to be told of the end of a job.
pub(super) struct Ear {
    pub(super) process: Process,
    pub(super) job: JobId,
    task: TaskId,
    told: Cell<bool>,
}

impl World {
    pub(super) fn now(&self) -> Millis {
        Millis(self.clockwork.now())
    }

    pub(super) fn spawn(&self, process: Process, work: impl Future<Output = ()> + 'static) -> TaskId {
        self.clockwork.spawn(process, work)
    }

    pub(super) fn tell(&self, who: Process, what: impl FnOnce() -> String) {
        self.timeline.tell(self.now(), who, what);
    }

    pub(super) fn broken(&self, invariant: Invariant, detail: impl FnOnce() -> String) {
        self.checks.borrow_mut().broken(invariant, detail);
    }

    /// Whether something that goes wrong once in so many times goes wrong now.
    pub(super) fn mishap(&self, once_in: u64) -> bool {
        once_in > 0 && self.now() < self.faults.until && self.chance.once_in(once_in)
    }

    /// Some time of true time.
    pub(super) fn sleep(&self, millis: u64) -> Sleep {
        Sleep::new(&self.clockwork, millis)
    }

    /// How long a message is under way.
    pub(super) fn way(&self) -> u64 {
        if self.mishap(self.faults.slow) {
            self.chance.between(100, 4_000)
        } else {
            self.chance.between(0, self.faults.way)
        }
    }

    /// A process dies: all that it was at ends where it is.
    pub(super) fn kill(&self, process: Process) {
        self.tell(process, || "DIES".into());
        self.nodes.borrow_mut().retain(|node| node.process != process);
        self.ears.borrow_mut().retain(|ear| ear.process != process);
        self.checks.borrow_mut().died(process);
        self.clockwork.kill(process);
    }

    /// Tells those who listen for the end of a job; of any job where none is named.
    pub(super) fn ring(&self, process: Process, job: Option<&JobId>) {
        for ear in self.ears.borrow().iter().filter(|ear| ear.process == process) {
            if job.is_none_or(|job| *job == ear.job) {
                ear.told.set(true);
                self.clockwork.wake(self.clockwork.now(), ear.task);
            }
        }
    }
}

impl Node {
    pub(super) fn new(world: &Rc<World>, process: Process) -> Self {
        let most = if world.chance.percent(30) { 2 * u64::try_from(SKEW.as_millis()).unwrap() } else { 0 };
        let skew = if most > 0 { world.chance.between(0, most) } else { u64::try_from(SKEW.as_millis()).unwrap() };
        Self { world: Rc::clone(world), process, skew, stop: Rc::default() }
    }

    /// The time by this process's clock.
    pub(super) fn now(&self) -> Millis {
        Millis(self.world.now().0 + self.skew).before(SKEW)
    }

    pub(super) fn tell(&self, what: impl FnOnce() -> String) {
        self.world.tell(self.process, what);
    }

    pub(super) fn sleep(&self, time: Duration) -> Sleep {
        self.world.sleep(u64::try_from(time.as_millis()).unwrap())
    }

    pub(super) fn spawn(&self, work: impl Future<Output = ()> + 'static) -> TaskId {
        self.world.spawn(self.process, work)
    }

    /// Registers interest in the end of a job, for the task that runs.
    pub(super) fn listen(&self, job: &JobId) -> Rc<Ear> {
        let task = self.world.clockwork.current();
        let ear = Rc::new(Ear { process: self.process, job: job.clone(), task, told: Cell::new(false) });
        let mut ears = self.world.ears.borrow_mut();
        ears.retain(|ear| self.world.clockwork.is_alive(ear.task));
        ears.push(Rc::clone(&ear));
        ear
    }

    /// Tells all tasks of this process how far its stop is.
    pub(super) fn stop(&self, at_once: bool) {
        self.stop.begun.set(true);
        self.stop.at_once.set(at_once);
        for task in self.stop.waiting.borrow_mut().drain(..) {
            self.world.clockwork.wake(self.world.clockwork.now(), task);
        }
    }
}

impl Ear {
    /// Resolves when the job may have ended: whoever is told so is not told again.
    pub(super) async fn told(&self, world: &World) {
        std::future::poll_fn(|_| if self.told.replace(false) { Poll::Ready(()) } else { Poll::Pending }).await;
        world.checks.borrow_mut().told(self.task);
    }
}

impl Stop {
    /// Resolves when the stop is so far.
    pub(super) async fn when(&self, at_once: bool, world: &World) {
        std::future::poll_fn(|_| {
            let is_so_far = if at_once { &self.at_once } else { &self.begun };
            if is_so_far.get() {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push(world.clockwork.current());
            Poll::Pending
        })
        .await;
    }
}
