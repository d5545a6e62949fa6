//! Mishaps that come by themselves: processes that stand still, stop and start, a broker that forgets, is away, is full.

use std::rc::Rc;
use std::time::Duration;

use super::broker::{Consumer, Hold, Message};
use super::checks::may_be_lost;
use super::clockwork::{BROKER, Process};
use super::world::{Node, World};

/// How long a worker's calls may take to end when it is told to stop.
const GRACE: Duration = Duration::from_secs(5);

impl World {
    /// A process of the fleet begins.
    pub(super) fn start_node(self: &Rc<Self>, process: Process) {
        let node = Node::new(self, process);
        self.tell(process, || "starts".into());
        if process.0 < 100 {
            node.spawn(node.clone().sweep());
        }
        self.nodes.borrow_mut().push(node);
    }

    /// Whoever died comes back after a while.
    pub(super) fn keep_up(self: &Rc<Self>, process: Process) {
        let world = Rc::clone(self);
        self.spawn(BROKER, async move {
            loop {
                world.sleep(world.chance.between(200, 20_000)).await;
                let there = world.nodes.borrow().iter().any(|node| node.process == process);
                if !there {
                    world.start_node(process);
                }
            }
        });
    }

    /// Lets everything that the faults of this run name happen again and again.
    pub(super) fn start_mishaps(self: &Rc<Self>) {
        let faults = self.faults.clone();
        self.every(faults.stall, |world| world.stall_one());
        self.every(faults.restart, |world| world.stop_one());
        self.every(faults.forgotten, |world| {
            world.forget(world.chance.one_of(&[Consumer::Queue, Consumer::Due, Consumer::Results, Consumer::Webhooks]));
        });
        self.every(faults.away, |world| world.restart_broker());
        self.every(faults.full, |world| {
            let until = world.now().after(Duration::from_secs(world.chance.between(1, 20)));
            world.tell(BROKER, || "has no room".into());
            world.broker.borrow_mut().full_until = until;
        });
        self.every(faults.closed, |world| world.close_gates());
        self.every(faults.lost, |world| world.lose_one());
    }

    fn every(self: &Rc<Self>, seconds: u64, what: impl Fn(&Rc<Self>) + 'static) {
        if seconds == 0 {
            return;
        }
        let world = Rc::clone(self);
        self.spawn(BROKER, async move {
            loop {
                world.sleep(world.chance.between(0, seconds * 2_000)).await;
                if world.now() >= world.faults.until {
                    return;
                }
                what(&world);
            }
        });
    }

    fn anybody(&self) -> Option<Node> {
        let nodes = self.nodes.borrow();
        let nodes: Vec<&Node> = nodes.iter().collect();
        (!nodes.is_empty()).then(|| self.chance.one_of(&nodes).clone())
    }

    fn stall_one(self: &Rc<Self>) {
        let Some(node) = self.anybody() else { return };
        let time = Duration::from_millis(self.chance.one_of(&[300, 5_000, 40_000, 100_000]));
        node.tell(|| format!("STANDS STILL for {time:?}"));
        self.clockwork.stall(node.process, self.now().after(time).0);
    }

    /// Told to stop: nothing new, then what is on the wire is given back.
    fn stop_one(self: &Rc<Self>) {
        let Some(node) = self.anybody() else { return };
        node.tell(|| "is told to stop".into());
        node.stop(false);
        let world = Rc::clone(self);
        self.spawn(BROKER, async move {
            world.sleep(u64::try_from(GRACE.as_millis()).unwrap()).await;
            node.stop(true);
            world.sleep(100).await;
            world.kill(node.process);
        });
    }

    /// A consumer is lost with all that it knew, and made again.
    fn forget(self: &Rc<Self>, consumer: Consumer) {
        self.tell(BROKER, || format!("loses the consumer {consumer:?}"));
        let again = self.broker.borrow_mut().forget(consumer);
        if consumer == Consumer::Results {
            self.broker.borrow_mut().results_since = self.now();
        }
        for sequence in again {
            self.checks.borrow_mut().taken_away(sequence);
            self.offer(sequence);
        }
    }

    /// Killed and started again on its store.
    fn restart_broker(self: &Rc<Self>) {
        if self.broker.borrow().is_away(self.now()) {
            return;
        }
        let away = Duration::from_millis(self.chance.one_of(&[200, 3_000, 15_000, 60_000]));
        self.tell(BROKER, || format!("IS AWAY for {away:?}"));
        self.broker.borrow_mut().away_until = self.now().after(away);
        let (world, in_memory) = (Rc::clone(self), self.chance.percent(50));
        self.spawn(BROKER, async move {
            world.sleep(u64::try_from(away.as_millis()).unwrap()).await;
            let elects = Duration::from_millis(world.chance.one_of(&[0, 0, 2_000, 10_000]));
            world.tell(BROKER, || format!("is back, without a leader for {elects:?}"));
            world.broker.borrow_mut().no_leader_until = world.now().after(elects);
            world.broker.borrow_mut().restarted();
            world.broker.borrow_mut().results_since = world.now();
            if in_memory {
                world.forget(Consumer::Queue);
            }
            for node in world.nodes.borrow().iter() {
                world.ring(node.process, None);
            }
        });
    }

    /// Nobody pulls from queues for a while.
    fn close_gates(&self) {
        let time = Duration::from_secs(self.chance.one_of(&[5, 40, 70, 200]));
        self.tell(BROKER, || format!("gates are closed for {time:?}"));
        self.closed_until.set(self.now().after(time));
    }

    /// A message that nobody has in hand is lost.
    fn lose_one(self: &Rc<Self>) {
        let mut broker = self.broker.borrow_mut();
        let lost = |message: &&Message| message.hold == Hold::Nobody && may_be_lost(&broker, message);
        let lost: Vec<&Message> = broker.messages.iter().filter(lost).collect();
        if lost.is_empty() {
            return;
        }
        let lost = self.chance.one_of(&lost).clone();
        self.tell(BROKER, || format!("LOSES #{} {}", lost.sequence, lost.name()));
        self.checks.borrow_mut().lost(&lost);
        broker.remove(lost.sequence);
    }
}
