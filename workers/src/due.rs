//! What came due: timers that fired and signals, one consumer for each shard, never behind a gate.

use std::sync::Arc;
use std::time::Duration;

use sluice_shared::nats::ack::InHand;
use sluice_shared::nats::pull::{Generation, Pulled, Puller};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::handler::Handler;
use crate::message;

/// How many messages of one shard are handled at a time.
const AT_A_TIME: usize = 64;
/// How long a pull stands.
const EXPIRES: Duration = Duration::from_secs(30);

/// What comes due in one shard.
pub(crate) struct Due {
    pub(crate) handler: Handler,
    pub(crate) shard: u16,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
}

/// Why pulling ended.
enum End {
    Stopped,
    Gone,
    Lost,
}

impl Due {
    /// Handles what comes due until told to stop.
    pub(crate) async fn run(self) {
        let (room, generation) = (Arc::new(Semaphore::new(AT_A_TIME)), Generation::default());
        loop {
            match self.pull(&room, &generation).await {
                End::Stopped => return,
                End::Lost => {}
                End::Gone => self.make_consumer().await,
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(Duration::from_millis(rand::random_range(5..100))) => {}
            }
        }
    }

    async fn pull(&self, room: &Arc<Semaphore>, generation: &Generation) -> End {
        let nats = self.handler.effects().nats();
        let (stream, consumer) = (nats.topology().jobs_stream(self.shard), nats.topology().due_consumer());
        let Ok(mut puller) = Puller::open(nats, &stream, consumer, generation).await else { return End::Lost };
        loop {
            // One permit is waited for, the others are taken as far as they are free: nothing is pulled without room.
            let Ok(mut permits) = Arc::clone(room).acquire_owned().await else { return End::Lost };
            if let Ok(more) =
                Arc::clone(room).try_acquire_many_owned(u32::try_from(room.available_permits()).unwrap_or(0))
            {
                permits.merge(more);
            }
            if puller.request(permits.num_permits(), EXPIRES).await.is_err() {
                return End::Lost;
            }
            while puller.outstanding() > 0 {
                let pulled = tokio::select! {
                    biased;
                    () = self.stop.cancelled() => {
                        puller.close().await;
                        return End::Stopped;
                    }
                    pulled = puller.next() => pulled,
                };
                match pulled {
                    Pulled::Message(message) => {
                        let (handler, permit) = (self.handler.clone(), permits.split(1));
                        self.tasks.spawn(async move {
                            handler.unless_poisoned(&message, Box::pin(come_due(&handler, &message))).await;
                            drop(permit);
                        });
                    }
                    Pulled::Over => break,
                    // So many workers wait here already that one more is refused.
                    Pulled::Crowded => {
                        tokio::select! {
                            () = self.stop.cancelled() => return End::Stopped,
                            () = tokio::time::sleep(Duration::from_secs_f64(rand::random_range(2.0..6.0))) => break,
                        }
                    }
                    Pulled::Gone => return End::Gone,
                    Pulled::Lost => return End::Lost,
                }
            }
        }
    }

    /// A consumer can vanish with a broker that lost its state; the topology says what it was.
    async fn make_consumer(&self) {
        let nats = self.handler.effects().nats();
        if let Err(error) = nats.topology().create_due_consumer(nats, self.shard).await {
            tracing::warn!(%error, shard = self.shard, "the due consumer could not be made, trying again");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

async fn come_due(handler: &Handler, in_hand: &InHand) {
    match message::read(handler.effects().nats().prefix(), in_hand) {
        Ok(message) => match handler.guard(&message).await {
            Err(unfinished) if unfinished.is_for_good() => handler.poisoned(in_hand, &unfinished).await,
            guarded => handler.let_go(in_hand, guarded.map(|handled| handled.then)).await,
        },
        Err(strange) => handler.let_go_of(in_hand, strange).await,
    }
}
