//! One queue: asks its gates how much may be in hand, pulls exactly that much, hands each message to the dispatcher. Nothing
//! while it is paused.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use sluice_shared::domain::id::{QueueName, Tenant};
use sluice_shared::nats::ack::InHand;
use sluice_shared::nats::pull::{Generation, Pulled, Puller};
use sluice_shared::places::{Place, Places};
use tokio_util::sync::CancellationToken;

use crate::dispatch::Dispatcher;
use crate::gate::{GateSet, Hold};
use crate::pause::Pause;

/// How long a pull stands.
const EXPIRES: Duration = Duration::from_secs(30);
/// How long a place is kept for each message that was asked for: those that wait in the queue come at once.
const KEPT: Duration = Duration::from_millis(20);
/// How long a message that comes later waits for a place, and how soon it comes back where there is none.
const HANDS_FULL: Duration = Duration::from_millis(200);

/// How long a queue is left to others, at least and at most, where so many ask for its messages that one more is refused.
const LEFT_TO_OTHERS: Range<f64> = 2.0..6.0;

/// How soon a consumer that could not be made is tried again.
const AGAIN: Duration = Duration::from_millis(500);

/// A queue that this worker pulls. A worker has ten thousand of them, idle most of the time: what is seldom done has a place of
/// its own on the heap, and nothing of the entry is held that is in the watched copy.
pub(crate) struct Pull {
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) name: QueueName,
    pub(crate) tenant: Tenant,
    pub(crate) shard: u16,
    pub(crate) gates: GateSet,
    pub(crate) pause: Pause,
    /// Places for all that this worker may have in hand.
    pub(crate) places: Places,
    /// Places for consumers that are being made: whoever has a thousand new queues keeps nobody else's from being made.
    pub(crate) makers: Places,
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
                End::Gone if Box::pin(self.make_consumer()).await => continue,
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
        let stream = nats.topology().jobs_stream(self.shard);
        let Ok(mut puller) = Puller::open(nats, &stream, self.name.as_str(), generation).await else {
            return End::Lost;
        };
        let mut wanted = 1;
        'asking: loop {
            let (mut holds, mut kept) = tokio::select! {
                () = self.pause.on() => return End::Paused,
                () = self.stop.cancelled() => return End::Stopped,
                room = Box::pin(self.room(wanted)) => room,
            };
            let asked = holds.len();
            if puller.request(asked, EXPIRES).await.is_err() {
                return End::Lost;
            }
            while puller.outstanding() > 0 {
                let pulled = tokio::select! {
                    biased;
                    () = self.stop.cancelled() => {
                        Box::pin(puller.close()).await;
                        return End::Stopped;
                    }
                    () = self.pause.on() => {
                        Box::pin(puller.close()).await;
                        return End::Paused;
                    }
                    pulled = puller.next() => pulled,
                    // The queue was empty: what comes later finds a place then.
                    () = tokio::time::sleep(KEPT), if !kept.is_empty() => {
                        kept.clear();
                        continue;
                    }
                };
                match pulled {
                    Pulled::Message(message) => self.take_on(message, holds.pop(), &mut kept).await,
                    Pulled::Over => break,
                    Pulled::Crowded => {
                        drop((holds, kept));
                        Box::pin(self.leave_to_others()).await;
                        wanted = 1;
                        continue 'asking;
                    }
                    Pulled::Gone => return End::Gone,
                    Pulled::Lost => return End::Lost,
                }
            }
            // A request that was used up doubles the next one; one that stood idle begins small again.
            wanted = if holds.is_empty() { asked * 2 } else { 1 };
        }
    }

    async fn leave_to_others(&self) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = self.pause.on() => {}
            () = tokio::time::sleep(Duration::from_secs_f64(rand::random_range(LEFT_TO_OTHERS))) => {}
        }
    }

    /// Room for messages: at the gates, and in the worker's hands. Places are kept for what is asked for, or many queues
    /// together would be handed more than there are.
    async fn room(&self, wanted: usize) -> (Vec<Hold>, Vec<Place>) {
        let mut holds = self.gates.admit(wanted).await;
        let mut kept = vec![self.places.take(&self.tenant).await];
        let more = std::iter::from_fn(|| self.places.try_take(&self.tenant));
        kept.extend(more.take(holds.len().saturating_sub(1)));
        holds.truncate(kept.len());
        (holds, kept)
    }

    async fn take_on(&self, message: Box<InHand>, hold: Option<Hold>, kept: &mut Vec<Place>) {
        let place = match kept.pop() {
            Some(place) => Some(place),
            None => Box::pin(tokio::time::timeout(HANDS_FULL, self.places.take(&self.tenant))).await.ok(),
        };
        match (place, hold) {
            (Some(place), Some(hold)) => self.dispatcher.spawn(message, hold, place),
            (Some(_) | None, _) => Box::pin(message.nak(Some(HANDS_FULL))).await,
        }
    }

    /// Makes the consumer; says whether it is there now. Not where the queue is being removed: what slipped in gets its entry
    /// back from the sweep.
    async fn make_consumer(&self) -> bool {
        let effects = self.dispatcher.handler.effects();
        let entry = effects.queues().get(&self.name).filter(|entry| entry.value.closing_since.is_none());
        let (nats, ack_wait) = (effects.nats(), self.dispatcher.settings.ack_wait);
        let _maker = self.makers.take(&self.tenant).await;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn size<F>(_: impl FnOnce(Pull) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn ten_thousand_queues_are_pulled_in_little_memory() {
        let size = size(Pull::run);
        assert!(size <= 1536, "the task of each queue takes {size} bytes: box what is seldom done in it");
    }
}
