//! How messages reach processes and come back: timers that fire, consumers that hand out, acks, and what is handed out
//! again.

use std::rc::Rc;
use std::time::Duration;

use sluice_shared::clock::Millis;
use sluice_shared::domain::decide::{Kind, SHORTEST_TIMER};
use sluice_shared::domain::id::Token;
use sluice_shared::effects::JobMessage;
use sluice_shared::nats::publish::PublishError;
use sluice_shared::topology::Stage;

use super::broker::{Added, Chain, Consumer, Hold, Load, Message, name};
use super::checks::Sight;
use super::clockwork::{BROKER, TaskId};
use super::rules::Rule;
use super::timeline;
use super::world::{Node, World};

/// How long a message may be in hand without a sign of life.
const ACK_WAIT: u64 = 30_000;

/// A message that was handed out to a process.
pub(super) struct InHand {
    pub(super) message: Message,
    hand: u64,
}

impl InHand {
    pub(super) fn sequence(&self) -> u64 {
        self.message.sequence
    }

    /// As handlers see it, if it is a job's.
    pub(super) fn of_job(&self) -> Option<JobMessage> {
        let (Chain::Job(address), Load::Pointer(attempt)) = (&self.message.chain, &self.message.load) else {
            return None;
        };
        let kind = if self.message.stage == Stage::Work { Kind::Work } else { Kind::Due };
        Some(JobMessage {
            address: address.clone(),
            kind,
            attempt: *attempt,
            sequence: self.message.sequence,
            published: self.message.stored,
        })
    }
}

impl World {
    /// Stores a message, and lets happen what follows from it.
    pub(super) fn publish(
        self: &Rc<Self>,
        (stage, chain): (Stage, &Chain),
        load: Load,
        at: Option<Millis>,
        expected: Option<u64>,
    ) -> Result<u64, PublishError> {
        let now = self.now();
        let named = || name(stage, chain, &load);
        let stored = self.broker.borrow_mut().publish((stage, chain), load.clone(), at, expected, now);
        self.tell(BROKER, || {
            let expects = expected.map_or(String::new(), |expected| format!(", expecting #{expected}"));
            match &stored {
                Ok(added) => format!("stores {} as #{}{expects}", named(), added.sequence),
                Err(why) => format!("refuses {}{expects}: {why}", named()),
            }
        });
        if stored.as_ref().is_err_and(|why| *why == PublishError::Behind) {
            self.checks.borrow_mut().met(Sight::FurtherOn);
        }
        let added = stored?;
        let sequence = added.sequence;
        self.added(added);
        Ok(sequence)
    }

    /// What follows from a message that is there now.
    pub(super) fn added(self: &Rc<Self>, added: Added) {
        let broker = self.broker.borrow();
        let message = broker.message(added.sequence).unwrap().clone();
        self.checks.borrow_mut().stored(&broker, &message, added.evicted.as_ref());
        drop(broker);
        match message.at {
            Some(at) => self.start_timer(message.sequence, at),
            None => self.offer(message.sequence),
        }
    }

    fn start_timer(self: &Rc<Self>, sequence: u64, at: Millis) {
        if self.mishap(self.faults.swallowed) {
            return self.tell(BROKER, || format!("#{sequence} will not fire"));
        }
        let now = self.now();
        let late =
            if self.mishap(self.faults.slow) { self.chance.between(0, 30_000) } else { self.chance.between(0, 2) };
        let wait = at.since(now).max(SHORTEST_TIMER).as_millis();
        let world = Rc::clone(self);
        self.spawn(BROKER, async move {
            world.sleep(u64::try_from(wait).unwrap() + late).await;
            while world.broker.borrow().is_away(world.now()) {
                world.sleep(500).await;
            }
            // A schedule that comes due without room is not fired, also after there is room again.
            if !world.broker.borrow().is_full(world.now()) {
                world.fire(sequence);
            }
        });
    }

    fn fire(self: &Rc<Self>, sequence: u64) {
        let stage = if self.rules.keep(Rule::TimersFireIntoDue) { Stage::Due } else { Stage::Work };
        if stage == Stage::Work {
            self.make_work_of_a_start(sequence);
        }
        let fired = self.broker.borrow_mut().fire(sequence, stage, self.now());
        if let Some(added) = fired {
            self.tell(BROKER, || format!("#{sequence} fires as #{}", added.sequence));
            self.added(added);
        }
    }

    /// Where timers fire into work queues, a fallback's start timer is its work message.
    fn make_work_of_a_start(&self, sequence: u64) {
        let mut broker = self.broker.borrow_mut();
        let timer = broker.messages.iter_mut().find(|message| message.sequence == sequence);
        if let Some(Message { chain: Chain::Job(address), load, .. }) = timer
            && let Token::Start(branch) = address.token
        {
            (address.token, *load) = (Token::Branch(branch), Load::Pointer(1));
        }
    }

    /// Hands a message out to whoever is there, once it may be.
    pub(super) fn offer(self: &Rc<Self>, sequence: u64) {
        let world = Rc::clone(self);
        self.spawn(BROKER, async move {
            let mut wait = world.way();
            loop {
                world.sleep(wait).await;
                let free =
                    world.broker.borrow().message(sequence).filter(|message| is_free(message, world.now())).cloned();
                let Some(message) = free else { return };
                let away = world.broker.borrow().is_away(world.now());
                match (away, message.consumer().and_then(|consumer| world.somebody(consumer))) {
                    (false, Some(node)) => return world.hand_out(sequence, &node),
                    (_, _) => wait = 500,
                }
            }
        });
    }

    /// A process that pulls from this consumer.
    fn somebody(&self, consumer: Consumer) -> Option<Node> {
        if consumer == Consumer::Queue && self.closed_until.get() > self.now() {
            return None;
        }
        let nodes = self.nodes.borrow();
        let able: Vec<&Node> = nodes.iter().filter(|node| node.pulls(consumer)).collect();
        (!able.is_empty()).then(|| self.chance.one_of(&able).clone())
    }

    /// Hands a message out, whoever has it.
    fn hand_out(self: &Rc<Self>, sequence: u64, node: &Node) {
        let Some((hand, message)) = self.broker.borrow_mut().hand_out(sequence) else { return };
        self.tell(BROKER, || format!("hands #{sequence} {} to {}", message.name(), timeline::name(node.process)));
        let holder = node.take_on(InHand { message, hand });
        self.checks.borrow_mut().handed_out(sequence, holder);
        self.watch_hand(sequence, hand, holder);
        if self.mishap(self.faults.handed_out_twice) {
            let (world, soon) = (Rc::clone(self), self.chance.one_of(&[1, 20, 300, 5_000, 60_000]));
            self.spawn(BROKER, async move {
                world.sleep(world.chance.between(0, soon)).await;
                let held = world.broker.borrow().message(sequence).is_some_and(|one| one.hold == Hold::Holder(hand));
                let consumer = world.broker.borrow().message(sequence).and_then(Message::consumer);
                if held && let Some(other) = consumer.and_then(|consumer| world.somebody(consumer)) {
                    world.hand_out(sequence, &other);
                }
            });
        }
    }

    /// A holder that gives no sign of life loses the message.
    fn watch_hand(self: &Rc<Self>, sequence: u64, hand: u64, holder: TaskId) {
        let world = Rc::clone(self);
        self.spawn(BROKER, async move {
            loop {
                world.sleep(ACK_WAIT).await;
                let held = world.broker.borrow().message(sequence).is_some_and(|one| one.hold == Hold::Holder(hand));
                if !held {
                    return;
                }
                let lives = world.clockwork.is_alive(holder) && !world.clockwork.is_stalled(holder);
                if !lives && !world.broker.borrow().is_away(world.now()) {
                    world.tell(BROKER, || format!("#{sequence} has been in hand for too long"));
                    world.broker.borrow_mut().take_back(sequence, None);
                    world.checks.borrow_mut().taken_away(sequence);
                    return world.offer(sequence);
                }
            }
        });
    }

    /// Takes a message off its stream.
    pub(super) fn take_off(self: &Rc<Self>, sequence: u64, why: &str) {
        let removed = self.broker.borrow_mut().remove(sequence);
        if let Some(message) = removed {
            self.tell(BROKER, || format!("{why} #{sequence} {}", message.name()));
            let broker = self.broker.borrow();
            self.checks.borrow_mut().removed(&broker, &message);
        }
    }
}

impl Node {
    /// Lets go for good, without waiting.
    pub(super) fn ack(&self, in_hand: &InHand) {
        let sequence = in_hand.sequence();
        self.send(move |world| acked(world, sequence));
    }

    /// Lets go for good and waits until the broker has taken it.
    pub(super) async fn ack_confirmed(&self, in_hand: &InHand) {
        let sequence = in_hand.sequence();
        for _ in 0..5 {
            if self.ask(move |world| acked(world, sequence)).await.is_ok() {
                return;
            }
            self.sleep(Duration::from_millis(100)).await;
        }
    }

    /// Gives it back, to be handed out again after a time.
    pub(super) fn nak(&self, in_hand: &InHand, delay: Duration) {
        let (sequence, hand) = (in_hand.sequence(), in_hand.hand);
        self.tell(|| format!("gives #{sequence} back for {delay:?}"));
        self.send(move |world| {
            let hold = world.broker.borrow().message(sequence).map(|message| message.hold);
            if matches!(hold, Some(Hold::Holder(now)) if now >= hand) {
                let until = world.now().after(delay);
                world.broker.borrow_mut().take_back(sequence, Some(until));
                let again = Rc::clone(world);
                world.spawn(BROKER, async move {
                    again.sleep(u64::try_from(delay.as_millis()).unwrap()).await;
                    again.offer(sequence);
                });
            }
        });
    }
}

/// A consumer that was made again takes no ack for what it has not handed out itself.
fn acked(world: &Rc<World>, sequence: u64) {
    let known = world.broker.borrow().message(sequence).is_some_and(|message| message.delivered > 0);
    if known {
        world.take_off(sequence, "acked:");
    }
}

fn is_free(message: &Message, now: Millis) -> bool {
    match message.hold {
        Hold::Nobody => true,
        Hold::Holder(_) => false,
        Hold::Delayed(until) => until <= now,
    }
}
