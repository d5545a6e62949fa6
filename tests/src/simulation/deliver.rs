//! A delivery process: `sluice_workers::deliver`, step for step. Its decisions are the product's (`domain::delivery`).

use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, select, select_all};
use sluice_shared::domain::delivery::{
    Came, Deliveries, Delivery, Demand, InHand as Stands, SOONEST, Schedule, Try, WebhookState,
};
use sluice_shared::domain::id::{Incarnation, JobId};
use sluice_shared::domain::result::JobResult;
use sluice_shared::nats::guarded::NotMoved;
use sluice_shared::nats::publish::PublishError;
use sluice_shared::topology::Stage;

use super::broker::{Chain, Load};
use super::checks::Sight;
use super::hand_out::InHand;
use super::outside::Answers;
use super::rules::Rule;
use super::world::Node;

const TRIES: u32 = 12;
/// How long a post may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// By how much clocks may differ.
const CLOCKS_DIFFER: Duration = Duration::from_secs(5);
/// How long what came of a webhook waits for the others of its job before it is remembered without them.
const TOGETHER: Duration = Duration::from_millis(250);

/// A message as what it is about.
struct Hand {
    sequence: u64,
    result: JobResult,
    about: Vec<usize>,
    stands: Stands,
    newest: u64,
    postponed: u32,
}

/// What is remembered, and the revision that a swap compares.
#[derive(Clone)]
struct Known {
    state: Deliveries,
    revision: u64,
    remembered: bool,
}

#[derive(Clone)]
struct Made {
    webhook: usize,
    one: Try,
}

/// Something was not stored: the message is left to come again.
struct Undone;

impl From<NotMoved> for Undone {
    fn from(_: NotMoved) -> Self {
        Self
    }
}

impl Node {
    /// A result, from the follow-up to the ack.
    pub(super) async fn deliver_result(&self, in_hand: InHand, result: JobResult, again: bool) {
        if self.submit_result_follow_up(&result).await.is_err() {
            return self.leave(&in_hand);
        }
        let (message, sequence) = (&in_hand.message, in_hand.sequence());
        match if again { self.is_there_already(&result, sequence).await } else { Ok(false) } {
            Ok(false) => {}
            Ok(true) => return self.ack_confirmed(&in_hand).await,
            Err(Undone) => return self.leave(&in_hand),
        }
        let since = self.world.broker.borrow().results_since;
        let is_first = message.delivered == 1 && message.stored > since.after(CLOCKS_DIFFER);
        let known = if !is_first || again || result.is_late(message.stored) {
            self.recall(&result).await
        } else {
            Ok(nothing(&result))
        };
        if again && known.as_ref().is_ok_and(|known| known.state.webhooks.iter().any(is_delivered)) {
            self.world.checks.borrow_mut().met(Sight::CopyRecognised);
        }
        let about = (0..result.webhooks.len()).collect();
        let result = JobResult { follow_up: None, ..result };
        let hand = Hand { sequence, result, about, stands: Stands::Result, newest: 0, postponed: 0 };
        self.deliver(in_hand, hand, known).await;
    }

    /// `Handler::is_there_already`.
    async fn is_there_already(&self, result: &JobResult, sequence: u64) -> Result<bool, Undone> {
        for _ in 0..8 {
            let result = result.clone();
            match self.ask(move |world| world.broker.borrow().first_copy(&result)).await {
                Ok(first) => return Ok(first.is_some_and(|first| first < sequence)),
                Err(_) => self.sleep(Duration::from_millis(100)).await,
            }
        }
        Err(Undone)
    }

    /// A webhook whose time has come.
    pub(super) async fn deliver_due(&self, in_hand: InHand, delivery: Delivery) {
        let Delivery { result, webhook, attempt, postponed } = delivery;
        let known = self.recall(&result).await;
        let (stands, newest) = (Stands::Due { attempt }, in_hand.sequence());
        let hand = Hand { sequence: newest, result, about: vec![usize::from(webhook)], stands, newest, postponed };
        self.deliver(in_hand, hand, known).await;
    }

    async fn deliver(&self, in_hand: InHand, hand: Hand, known: Result<Known, Undone>) {
        let done = match known {
            Ok(known) => self.post_and_remember(&hand, known).await,
            Err(undone) => Err(undone),
        };
        match done {
            Ok(true) => self.ack(&in_hand),
            Ok(false) => self.ack_confirmed(&in_hand).await,
            Err(Undone) => self.leave(&in_hand),
        }
    }

    fn leave(&self, in_hand: &InHand) {
        self.tell(|| format!("leaves #{} to come again", in_hand.sequence()));
    }

    /// Says whether it is remembered.
    async fn post_and_remember(&self, hand: &Hand, known: Known) -> Result<bool, Undone> {
        let (made, known) = self.make(hand, known).await;
        let Known { state, remembered, .. } = self.write_down(&hand.result, known, &made).await?;
        for &webhook in &hand.about {
            self.meet(hand, webhook, state.of(webhook).demand(), &made).await?;
        }
        Ok(remembered)
    }

    /// `Handler::make`. (Futures are polled by turns here: nothing in this world wakes one of several.)
    async fn make(&self, hand: &Hand, mut known: Known) -> (Vec<Made>, Known) {
        let posts = hand.about.iter().filter_map(|&webhook| match hand.stands.demand(known.state.of(webhook)) {
            Demand::Post { attempt } => Some(Box::pin(self.attempt(hand, webhook, attempt))),
            Demand::Timer { .. } | Demand::DeadLetter { .. } | Demand::Nothing => None,
        });
        let mut posts: Vec<_> = posts.collect();
        let (mut made, mut remembered): (Vec<Made>, _) = (Vec::new(), 0);
        while !posts.is_empty() {
            if made.len() == remembered {
                let (one, _, others) = select_all(posts).await;
                made.push(one);
                posts = others;
                continue;
            }
            match select(select_all(posts), self.sleep(TOGETHER)).await {
                Either::Left(((one, _, others), _)) => {
                    made.push(one);
                    posts = others;
                }
                Either::Right(((), go_on)) => {
                    posts = go_on.into_inner();
                    remembered = made.len();
                    if let Ok(now) = self.write_down(&hand.result, known.clone(), &made).await {
                        self.world.checks.borrow_mut().met(Sight::RememberedBetween);
                        known = now;
                    }
                }
            }
        }
        (made, known)
    }

    /// One try: a post, unless the endpoint is busy.
    async fn attempt(&self, hand: &Hand, webhook: usize, attempt: u32) -> Made {
        self.may_die().await;
        let world = &self.world;
        let busy = hand.postponed < 3 && world.chance.once_in(15);
        let came = if busy {
            Came::Postponed { by: Duration::from_millis(world.chance.between(500, 3_000)) }
        } else {
            self.post(hand, webhook, attempt).await
        };
        self.may_die().await;
        Made { webhook, one: Try { attempt, at: self.now(), came, share: world.chance.share() } }
    }

    async fn post(&self, hand: &Hand, webhook: usize, attempt: u32) -> Came {
        let (world, task) = (&self.world, self.world.clockwork.current());
        let copy = (hand.stands == Stands::Result).then_some(hand.sequence);
        world.checks.borrow_mut().posts(task, &hand.result, webhook, copy);
        self.tell(|| format!("POSTS webhook {webhook} try {attempt}"));
        let answer = world.outside.borrow_mut().answer(&hand.result.webhooks[webhook].url);
        self.sleep(answer.takes().min(TIMEOUT)).await;
        let came = match answer {
            Answers::Success(_) => Came::Delivered,
            Answers::Limited(millis) => failed("limited", Some(Duration::from_millis(millis))),
            Answers::Unavailable => failed("unavailable", None),
            Answers::Unreachable => failed("unreachable", None),
            Answers::Hangs => failed("no answer", None),
            Answers::Never => Came::Refused { reason: "gone".into() },
        };
        self.tell(|| format!("webhook {webhook} try {attempt}: {came:?}"));
        world.checks.borrow_mut().posted(&hand.result, webhook, &came, hand.sequence);
        if attempt > 1 && came == Came::Delivered {
            world.checks.borrow_mut().met(Sight::DeliveredLater);
        }
        came
    }

    /// `Memory::read`.
    async fn recall(&self, result: &JobResult) -> Result<Known, Undone> {
        for _ in 0..8 {
            let life = life(result);
            if let Ok(found) = self.ask(move |world| world.remembered(&life)).await {
                let known =
                    found.map(|(state, revision)| Known { state: (*state).clone(), revision, remembered: true });
                let known = known.unwrap_or_else(|| nothing(result));
                self.recalled(&known.state);
                return Ok(known);
            }
            self.sleep(Duration::from_millis(100)).await;
        }
        Err(Undone)
    }

    /// `Memory::remember`.
    async fn write_down(&self, result: &JobResult, mut known: Known, made: &[Made]) -> Result<Known, Undone> {
        for _ in 0..TRIES {
            let next = known.state.after(made.iter().map(|made| (made.webhook, &made.one)), result, &schedule());
            let at_once = |state: &WebhookState| matches!(state, WebhookState::Delivered { attempt: 1, .. });
            let spared = known.revision == 0
                && next.webhooks.iter().all(at_once)
                && !self.world.rules.keep(Rule::RememberDeliveries);
            if next == known.state || spared {
                return Ok(Known { state: next, ..known });
            }
            let (life, state, revision) = (life(result), next.clone(), known.revision);
            match self.ask(move |world| world.remember(&life, &state, revision)).await {
                Ok(Ok(revision)) => {
                    self.recalled(&next);
                    return Ok(Known { state: next, revision, remembered: true });
                }
                Ok(Err(PublishError::NoRoom(_))) if next.is_delivered() => {
                    self.world.checks.borrow_mut().not_remembered(result);
                    return Ok(Known { state: next, remembered: false, ..known });
                }
                Ok(Err(PublishError::Behind)) | Err(_) => self.sleep(Duration::from_millis(5)).await,
                Ok(Err(_)) => return Err(Undone),
            }
            known = self.recall(result).await?;
        }
        Err(Undone)
    }

    /// The task knows the state as it was read or written.
    fn recalled(&self, state: &Deliveries) {
        self.world.checks.borrow_mut().recalled(self.world.clockwork.current(), state.clone());
    }

    /// Publishes what the state of a webhook asks for.
    async fn meet(&self, hand: &Hand, webhook: usize, demand: Demand, made: &[Made]) -> Result<(), Undone> {
        match demand {
            Demand::Nothing | Demand::Post { .. } => Ok(()),
            Demand::Timer { attempt, at } => {
                let put_off =
                    made.iter().any(|made| made.webhook == webhook && matches!(made.one.came, Came::Postponed { .. }));
                let postponed = if put_off { hand.postponed + 1 } else { 0 };
                let number = u16::try_from(webhook).unwrap();
                let next = Delivery { result: hand.result.clone(), webhook: number, attempt, postponed };
                let at = at.max(self.now().after(SOONEST));
                let (chain, load) = (chain(&hand.result, webhook), Load::Delivery(Rc::new(next)));
                self.publish_until_certain(Stage::Later, &chain, &load, Some(at), Some(hand.newest)).await?;
                Ok(())
            }
            Demand::DeadLetter { .. } => self.give_up(&hand.result, webhook).await,
        }
    }

    async fn give_up(&self, result: &JobResult, webhook: usize) -> Result<(), Undone> {
        for _ in 0..10 {
            let result = result.clone();
            let asked = self.ask(move |world| {
                if world.broker.borrow().is_full(world.now()) {
                    return false;
                }
                world.broker.borrow_mut().dead.insert(result.event_id(webhook));
                world.checks.borrow_mut().webhook_ended(&result, webhook);
                world.checks.borrow_mut().met(Sight::GivenUp);
                true
            });
            match asked.await {
                Ok(true) => return Ok(()),
                Ok(false) => return Err(Undone),
                Err(_) => self.sleep(Duration::from_millis(100)).await,
            }
        }
        Err(Undone)
    }
}

fn is_delivered(state: &WebhookState) -> bool {
    matches!(state, WebhookState::Delivered { .. })
}

fn nothing(result: &JobResult) -> Known {
    Known { state: Deliveries::untried(result), revision: 0, remembered: false }
}

fn life(result: &JobResult) -> (JobId, Incarnation) {
    (result.job.clone(), result.incarnation.clone())
}

fn chain(result: &JobResult, webhook: usize) -> Chain {
    Chain::Webhook(result.job.clone(), result.incarnation.clone(), webhook)
}

fn schedule() -> Schedule {
    Schedule { pauses: [5, 60, 300].map(Duration::from_secs).into(), jitter: 0.1 }
}

fn failed(error: &str, retry_after: Option<Duration>) -> Came {
    Came::Failed { error: error.into(), retry_after }
}
