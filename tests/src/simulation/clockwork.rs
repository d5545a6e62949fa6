//! Simulated time and the tasks that live in it: one thread, no timers, no waiting. What happens next is what is due next;
//! what is due at the same moment happens in an order left to chance.
//!
//! A task belongs to a process. A process that is killed loses its tasks wherever they are; one that stalls does nothing
//! until it goes on.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::chance::Chance;

/// A process: a worker, a delivery, a client, or the broker itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Process(pub(super) u32);

/// The broker, which is not killed: what happens to it is told to it.
pub(super) const BROKER: Process = Process(0);

/// A task, as long as the run lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TaskId(u64);

type Work = Pin<Box<dyn Future<Output = ()>>>;

struct Task {
    process: Process,
    /// Taken out while it runs.
    work: Option<Work>,
}

/// The time in ticks, and who does what when.
pub(super) struct Clockwork {
    chance: Rc<Chance>,
    now: Cell<u64>,
    tasks_made: Cell<u64>,
    running: Cell<TaskId>,
    due: RefCell<BinaryHeap<Reverse<(u64, u64, TaskId)>>>,
    tasks: RefCell<BTreeMap<TaskId, Task>>,
    stalled: RefCell<BTreeMap<Process, u64>>,
}

impl Clockwork {
    pub(super) fn new(chance: &Rc<Chance>, start: u64) -> Self {
        Self {
            chance: Rc::clone(chance),
            now: Cell::new(start),
            tasks_made: Cell::new(0),
            running: Cell::new(TaskId(0)),
            due: RefCell::default(),
            tasks: RefCell::default(),
            stalled: RefCell::default(),
        }
    }

    /// The true time, which is the broker's.
    pub(super) fn now(&self) -> u64 {
        self.now.get()
    }

    /// The task that runs.
    pub(super) fn current(&self) -> TaskId {
        self.running.get()
    }

    pub(super) fn spawn(&self, process: Process, work: impl Future<Output = ()> + 'static) -> TaskId {
        let task = TaskId(self.tasks_made.get() + 1);
        self.tasks_made.set(task.0);
        self.tasks.borrow_mut().insert(task, Task { process, work: Some(Box::pin(work)) });
        self.wake(self.now(), task);
        task
    }

    /// The task looks around at this moment.
    pub(super) fn wake(&self, at: u64, task: TaskId) {
        self.due.borrow_mut().push(Reverse((at, self.chance.bits(), task)));
    }

    pub(super) fn is_alive(&self, task: TaskId) -> bool {
        self.tasks.borrow().contains_key(&task)
    }

    /// Ends every task of a process, the one that runs included: it gets no further than its next wait.
    pub(super) fn kill(&self, process: Process) {
        self.stalled.borrow_mut().remove(&process);
        let mut tasks = self.tasks.borrow_mut();
        let (gone, left) = std::mem::take(&mut *tasks).into_iter().partition(|(_, task)| task.process == process);
        *tasks = left;
        drop(tasks);
        drop::<BTreeMap<_, _>>(gone); // what is dropped looks at the tasks
    }

    /// The process does nothing until then, at least.
    pub(super) fn stall(&self, process: Process, until: u64) {
        let mut stalled = self.stalled.borrow_mut();
        let latest = stalled.entry(process).or_insert(until);
        *latest = until.max(*latest);
    }

    pub(super) fn is_stalled(&self, task: TaskId) -> bool {
        let process = self.tasks.borrow().get(&task).map(|task| task.process);
        process.is_some_and(|process| self.stalled_until(process).is_some())
    }

    fn stalled_until(&self, process: Process) -> Option<u64> {
        self.stalled.borrow().get(&process).copied().filter(|until| *until > self.now.get())
    }

    /// Lets happen what is due next; says whether there was anything.
    pub(super) fn step(&self) -> bool {
        let Some(Reverse((at, _, task))) = self.due.borrow_mut().pop() else { return false };
        self.now.set(at.max(self.now.get()));
        let (process, mut work) = match self.tasks.borrow_mut().get_mut(&task) {
            Some(Task { process, work }) => (*process, work.take()),
            None => return true,
        };
        if let Some(until) = self.stalled_until(process) {
            self.put_back(task, work);
            self.wake(until, task);
            return true;
        }
        self.running.set(task);
        let ended = work
            .as_mut()
            .is_none_or(|work| work.as_mut().poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(()));
        if ended {
            self.tasks.borrow_mut().remove(&task);
        } else {
            self.put_back(task, work);
        }
        true
    }

    /// A task that was killed while it ran is not there any more: its work ends here.
    fn put_back(&self, task: TaskId, work: Option<Work>) {
        if let Some(task) = self.tasks.borrow_mut().get_mut(&task) {
            task.work = work;
        }
    }

    /// Ends everything.
    pub(super) fn clear(&self) {
        let tasks = std::mem::take(&mut *self.tasks.borrow_mut());
        drop(tasks);
    }
}

/// Resolves when its time has come.
pub(super) struct Sleep {
    clockwork: Rc<Clockwork>,
    until: u64,
    asked: bool,
}

impl Sleep {
    /// Until so many ticks have passed.
    pub(super) fn new(clockwork: &Rc<Clockwork>, ticks: u64) -> Self {
        Self { clockwork: Rc::clone(clockwork), until: clockwork.now().saturating_add(ticks), asked: false }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.clockwork.now() >= self.until {
            return Poll::Ready(());
        }
        if !self.asked {
            self.asked = true;
            self.clockwork.wake(self.until, self.clockwork.current());
        }
        Poll::Pending
    }
}
