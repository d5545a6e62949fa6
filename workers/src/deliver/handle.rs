//! One message from top to bottom: read, post, remember, publish, let go.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use sluice_shared::clock;
use sluice_shared::domain::delivery::{Came, Demand, SOONEST, Try};
use sluice_shared::domain::result::JobResult;
use sluice_shared::effects::{self, AGAIN, Effects};
use sluice_shared::fault_points;
use sluice_shared::nats::ack::InHand;
use sluice_shared::nats::bucket::BucketError;
use sluice_shared::nats::guarded::NotMoved;
use sluice_shared::nats::read::ReadError;
use sluice_shared::panics::caught;
use sluice_shared::telemetry::{Metrics, Via};
use sluice_shared::wire::{self, Unreadable};
use tokio::time::{Instant, timeout};

use super::endpoints::{Endpoints, put_off};
use super::hall::Halls;
use super::hand::{Hand, Kind, Made};
use super::memory::{Known, Memory, NotRemembered, may_be_known};
use super::post::{Poster, Target};
use super::seats::{Seat, Seats};
use super::{DeliveryError, DeliveryOptions, Stop};

/// When a message that somebody newer wrote is handed out again.
const LEFT_TO_NEWER: Duration = Duration::from_secs(5);
/// How long what came of a webhook waits for the others of its job before it is remembered without them.
const TOGETHER: Duration = Duration::from_millis(250);

/// What is done with the message in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LetGo {
    /// All that it asked for is stored, and what was done is remembered: should the ack be lost, it comes again, and nothing is
    /// done.
    Ack,
    /// All that it asked for is stored, and nothing is remembered: were it to come again, what was done would be done again.
    AckForSure,
    /// Somebody else is to have it, after this time.
    HandBack(Duration),
    /// The broker did not take something: it comes again when its time in hand is over.
    Leave,
}

/// Why a message was not dealt with.
#[derive(Debug, thiserror::Error)]
pub(super) enum Undone {
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error(transparent)]
    FollowUp(#[from] effects::NotDone),
    #[error(transparent)]
    NotMoved(#[from] NotMoved),
    #[error("whether it is a copy: {0}")]
    Copy(#[from] ReadError),
    #[error("what is remembered of the webhooks: {0}")]
    NotRemembered(NotRemembered),
}

impl From<NotRemembered> for Undone {
    /// An entry that is not for this program is as a message that is not.
    fn from(error: NotRemembered) -> Self {
        match error {
            NotRemembered::Bucket(BucketError::Unreadable { why, .. }) => Self::Unreadable(why),
            NotRemembered::Bucket(BucketError::Read(_) | BucketError::Refused(_)) | NotRemembered::Contended => {
                Self::NotRemembered(error)
            }
        }
    }
}

/// Handles messages of both kinds.
pub(super) struct Handler {
    pub(super) effects: Effects,
    pub(super) metrics: Metrics,
    pub(super) memory: Memory,
    endpoints: Endpoints,
    halls: Halls,
    poster: Poster,
    stop: Stop,
}

impl Handler {
    pub(super) fn new(
        effects: Effects,
        options: &DeliveryOptions,
        metrics: Metrics,
        stop: Stop,
    ) -> Result<Self, DeliveryError> {
        Ok(Self {
            memory: Memory::new(effects.nats(), options.schedule.clone(), effects.settled_ttl()),
            endpoints: Endpoints::new(options.per_endpoint, stop.stopping.clone()),
            halls: Halls::new(options, effects.nats().max_payload()),
            poster: Poster::new(&effects, options)?,
            effects: effects.counted_by(&metrics),
            metrics,
            stop,
        })
    }

    /// Does all that a message asks for, and says how to let go of it; also where that panics.
    pub(super) async fn handle(&self, kind: Kind, message: &InHand) -> LetGo {
        match caught(self.try_to_handle(kind, message)).await {
            Ok(let_go) => let_go,
            Err(panicked) => self.panicked(kind, message, &panicked).await,
        }
    }

    /// The one place where a failure becomes a way to let go.
    async fn try_to_handle(&self, kind: Kind, message: &InHand) -> LetGo {
        if self.stop.stopping.is_cancelled() {
            return LetGo::HandBack(Duration::ZERO);
        }
        let done = match kind {
            Kind::Result => self.result(message).await,
            Kind::Due => self.due(message).await,
        };
        match done {
            Ok(let_go) => let_go,
            Err(Undone::Unreadable(Unreadable::Newer(_))) => LetGo::HandBack(LEFT_TO_NEWER),
            Err(Undone::Unreadable(Unreadable::Malformed(why))) => self.bury(message, &why).await,
            Err(error @ (Undone::FollowUp(_) | Undone::Copy(_) | Undone::NotMoved(_) | Undone::NotRemembered(_))) => {
                tracing::warn!(%error, "a webhook's message is left to come again");
                LetGo::Leave
            }
        }
    }

    async fn result(&self, message: &InHand) -> Result<LetGo, Undone> {
        let result: JobResult = wire::decode(message.payload())?;
        if message.header(AGAIN).is_some() && self.is_there_already(message, &result).await? {
            self.metrics.dropped();
            return Ok(LetGo::AckForSure);
        }
        if let Some(submitted) = Box::pin(self.effects.submit_result_follow_up(&result)).await? {
            self.metrics.submitted(Via::FollowUp, submitted);
        }
        let known =
            if may_be_known(message, &result) { self.memory.read(&result).await? } else { Known::nothing(&result) };
        let weight = self.halls.weight(Kind::Result, message.payload().len());
        self.deliver(&Hand::of_result(result).weighing(weight), known).await
    }

    /// Whether the result that this is a copy of is in the stream still: then whoever has that deals with it.
    async fn is_there_already(&self, message: &InHand, result: &JobResult) -> Result<bool, ReadError> {
        Ok(self.effects.held_result(result).await?.is_some_and(|first| first < message.sequence()))
    }

    async fn due(&self, message: &InHand) -> Result<LetGo, Undone> {
        let weight = self.halls.weight(Kind::Due, message.payload().len());
        let hand = Hand::of_due(message.payload(), message.sequence())?.weighing(weight);
        let known = self.memory.read(&hand.result).await?;
        self.deliver(&hand, known).await
    }

    /// Posts what the state asks for, remembers what came of it, and publishes what the state asks for then.
    async fn deliver(&self, hand: &Hand, known: Known) -> Result<LetGo, Undone> {
        let (made, known) = self.make(hand, known).await;
        let known = self.memory.remember(&hand.result, known, &made).await?;
        let (let_go, state) = (if known.is_remembered() { LetGo::Ack } else { LetGo::AckForSure }, known.state);
        self.tell(hand, &made, &state).await;
        for &webhook in &hand.about {
            self.meet(hand, webhook, state.of(webhook).demand(), &made).await?;
        }
        if made.is_empty() && !hand.about.is_empty() {
            self.metrics.dropped();
        }
        Ok(let_go)
    }

    /// All tries that the state asks for, at once. One endpoint can be silent for long: what came of the others is
    /// remembered meanwhile, so that a death in between does not post them again.
    async fn make(&self, hand: &Hand, mut known: Known) -> (Vec<Made>, Known) {
        let posts = hand.about.iter().filter_map(|&webhook| match hand.stands.demand(known.state.of(webhook)) {
            Demand::Post { attempt } => Some(self.attempt(hand, webhook, attempt)),
            Demand::Timer { .. } | Demand::DeadLetter { .. } | Demand::Nothing => None,
        });
        let mut posts: FuturesUnordered<_> = posts.collect();
        let (mut made, mut remembered): (Vec<Made>, _) = (Vec::new(), 0);
        loop {
            let patience = if made.len() > remembered { TOGETHER } else { Duration::MAX };
            match timeout(patience, posts.next()).await {
                Ok(Some(one)) => made.push(one),
                Ok(None) => return (made, known),
                Err(_) => {
                    let so_far = made.clone();
                    remembered = so_far.len();
                    let remembering = self.memory.remember(&hand.result, known.clone(), &so_far);
                    match while_they_go_on(&mut posts, &mut made, remembering).await {
                        Ok(now) => known = now,
                        Err(error) => tracing::debug!(%error, "what came of a webhook is not remembered yet"),
                    }
                }
            }
        }
    }

    /// One try: a post, unless the endpoint is busy, its tenant has as many on the wire as it may, or we are stopping.
    async fn attempt(&self, hand: &Hand, webhook: usize, attempt: u32) -> Made {
        fault_points::point("delivery", &hand.result.key);
        let (came, took) = match Target::of(&hand.result.webhooks[webhook].url) {
            None => (Came::Refused { reason: "its URL is none that can be posted to".into() }, Duration::ZERO),
            Some(target) => self.post(hand, target, webhook, attempt).await,
        };
        let one = Try { attempt, at: clock::now(), came, share: rand::random() };
        Made { webhook, one, took }
    }

    async fn post(&self, hand: &Hand, target: Target, webhook: usize, attempt: u32) -> (Came, Duration) {
        tokio::select! {
            () = self.poster.ready() => {}
            () = self.stop.cut.cancelled() => return (Came::Postponed { by: SOONEST }, Duration::ZERO),
        }
        let Some(_seats) = self.seats(hand, &target).await else {
            return (Came::Postponed { by: put_off(hand.postponed(), rand::random()) }, Duration::ZERO);
        };
        let begin = Instant::now();
        let came = tokio::select! {
            came = self.poster.post(target, &hand.result, webhook, attempt) => came,
            // Somebody else tries again, under the same id. What came of the other webhooks is remembered.
            () = self.stop.cut.cancelled() => Came::Postponed { by: SOONEST },
        };
        (came, begin.elapsed())
    }
}

impl Handler {
    /// What a post takes: a seat at its endpoint, and one among all that this process has on the wire.
    async fn seats(&self, hand: &Hand, target: &Target) -> Option<(Seat, Seat)> {
        let tenant = &hand.result.tenant;
        let seat = self.endpoints.enter(&target.endpoint(), tenant).await?;
        let hall = self.halls.of(hand.kind());
        Some((seat, Seats::enter(hall, tenant, hand.weight, &self.stop.stopping).await?))
    }
}

/// Waits for something while posts go on; what is made of them meanwhile is added to `made`.
async fn while_they_go_on<T>(
    posts: &mut FuturesUnordered<impl Future<Output = Made>>,
    made: &mut Vec<Made>,
    something: impl Future<Output = T>,
) -> T {
    tokio::pin!(something);
    loop {
        tokio::select! {
            done = &mut something => return done,
            Some(one) = posts.next() => made.push(one),
        }
    }
}
