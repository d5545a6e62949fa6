//! One queue: asks its gates how much may be in hand, pulls exactly that much, hands each message to the dispatcher. Nothing
//! while it is paused.

use std::sync::Arc;
use std::time::Duration;

use sluice_shared::domain::id::QueueName;
use sluice_shared::nats::ack::InHand;
use sluice_shared::nats::pull::{Generation, Pulled, Puller};
use sluice_shared::queues::QueueEntry;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::dispatch::Dispatcher;
use crate::gate::{GateSet, Hold};
use crate::pause::Pause;

/// How long a pull stands.
const EXPIRES: Duration = Duration::from_secs(30);
/// How soon a message comes back that came when the worker had its hands full.
const HANDS_FULL: Duration = Duration::from_millis(200);

/// How soon a consumer that could not be made is tried again.
const AGAIN: Duration = Duration::from_millis(500);

/// A queue that this worker pulls.
pub(crate) struct Pull {
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) name: QueueName,
    pub(crate) entry: QueueEntry,
    pub(crate) gates: GateSet,
    pub(crate) pause: Pause,
    /// Places for all that this worker may have in hand.
    pub(crate) places: Arc<Semaphore>,
    pub(crate) stop: CancellationToken,
}

/// Why pulling ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// It was told to.
    Stopped,
    /// The queue is paused.
    Paused,
    /// The consumer is not there any more.
    Gone,
    /// The connection changed, or the broker was silent.
    Lost,
}

impl Pull {
    /// Pulls until told to stop. The consumer is made when it is found missing: most are there.
    pub(crate) async fn run(self) {
        let generation = Generation::default();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.pause.off() => {}
            }
            match self.pull(&generation).await {
                End::Stopped => return,
                End::Paused => continue,
                // A queue that is new waits for nothing else.
                End::Gone if self.make_consumer().await => continue,
                End::Gone | End::Lost => {}
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(Duration::from_millis(rand::random_range(5..100))) => {}
            }
        }
    }

    async fn pull(&self, generation: &Generation) -> End {
        let nats = self.dispatcher.handler.effects().nats();
        let stream = nats.topology().jobs_stream(self.entry.shard);
        let Ok(mut puller) = Puller::open(nats, &stream, self.name.as_str(), generation).await else {
            return End::Lost;
        };
        let mut wanted = 1;
        loop {
            let mut holds = tokio::select! {
                () = self.pause.on() => return End::Paused,
                () = self.stop.cancelled() => return End::Stopped,
                holds = self.room(wanted) => holds,
            };
            let asked = holds.len();
            if puller.request(asked, EXPIRES).await.is_err() {
                return End::Lost;
            }
            while puller.outstanding() > 0 {
                let pulled = tokio::select! {
                    biased;
                    () = self.stop.cancelled() => {
                        puller.close().await;
                        return End::Stopped;
                    }
                    () = self.pause.on() => {
                        puller.close().await;
                        return End::Paused;
                    }
                    pulled = puller.next() => pulled,
                };
                match pulled {
                    Pulled::Message(message) => self.take_on(*message, holds.pop()).await,
                    Pulled::Over => break,
                    Pulled::Gone => return End::Gone,
                    Pulled::Lost => return End::Lost,
                }
            }
            // A request that was used up doubles the next one; one that stood idle begins small again.
            wanted = if holds.is_empty() { asked * 2 } else { 1 };
        }
    }

    /// Room for messages: at the gates, and in the worker's hands.
    async fn room(&self, wanted: usize) -> Vec<Hold> {
        let places = loop {
            match self.places.available_permits() {
                // Somebody gives a place back sooner or later; nothing is kept, for what comes may be another queue's.
                0 => drop(self.places.acquire().await),
                free => break free,
            }
        };
        self.gates.admit(wanted.min(places)).await
    }

    async fn take_on(&self, message: InHand, hold: Option<Hold>) {
        match (Arc::clone(&self.places).try_acquire_owned(), hold) {
            (Ok(place), Some(hold)) => self.dispatcher.spawn(message, hold, place),
            (Ok(_) | Err(_), _) => message.nak(Some(HANDS_FULL)).await,
        }
    }

    /// Makes the consumer; says whether it is there now. Not where the queue is being removed: what slipped in gets its entry
    /// back from the sweep.
    async fn make_consumer(&self) -> bool {
        let effects = self.dispatcher.handler.effects();
        let entry = effects.queues().get(&self.name).filter(|entry| entry.value.closing_since.is_none());
        let (nats, ack_wait) = (effects.nats(), self.dispatcher.settings.ack_wait);
        let made = match entry {
            Some(entry) => nats.topology().create_queue_consumer(nats, &self.name, &entry.value, ack_wait).await,
            None => {
                tokio::time::sleep(AGAIN).await;
                return false;
            }
        };
        if let Err(error) = made {
            tracing::warn!(queue = %self.name, %error, "the queue's consumer could not be made, trying again");
            tokio::time::sleep(AGAIN).await;
            return false;
        }
        true
    }
}
