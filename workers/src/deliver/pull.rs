//! One work, results or what came due: pulls each of its lanes, keeps what is in hand alive, lets go of it.
//!
//! A reconnect, and silence, are a new start; a consumer that is gone is made again. Invariant: no message is held without
//! a task that lets go of it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use sluice_shared::domain::lane::Lane;
use sluice_shared::nats::Nats;
use sluice_shared::nats::ack::InHand;
use sluice_shared::nats::lane::{Came, LanePuller};
use sluice_shared::nats::pull::{Generation, PullError};
use sluice_shared::room::Room;
use tokio::time::sleep;

use super::hand::Kind;
use super::handle::{Handler, LetGo};
use super::hands::{self, Hands};
use super::{DeliveryOptions, Stop};

/// The pause after what cannot be helped at once.
const PAUSE: Duration = Duration::from_millis(500);

/// One of the two kinds of work, and who handles its messages.
pub(super) struct Source {
    kind: Kind,
    nats: Nats,
    handler: Arc<Handler>,
    stop: Stop,
    room: Room,
    ack_wait: Duration,
}

/// Why pulling ended.
enum Ended {
    Stopped,
    Gone,
    Lost,
}

impl Source {
    /// The results, and what came due.
    pub(super) fn both(nats: &Nats, options: &DeliveryOptions, handler: &Arc<Handler>, stop: &Stop) -> (Self, Self) {
        let source = |kind, most| Self {
            kind,
            nats: nats.clone(),
            handler: Arc::clone(handler),
            stop: stop.clone(),
            room: hands::room(most, options.per_endpoint, nats.max_payload()),
            ack_wait: options.ack_wait,
        };
        let (results, due) = options.shares();
        (source(Kind::Result, results), source(Kind::Due, due))
    }

    /// Handles messages of all lanes until told to stop, then hands back what still comes and ends what is in hand.
    ///
    /// # Errors
    /// Where the connection is closed for good.
    pub(super) async fn run(self) -> Result<(), PullError> {
        let lanes = self.nats.topology().lanes();
        try_join_all(lanes.map(|lane| self.run_lane(lane))).await.map(|_| ())
    }

    async fn run_lane(&self, lane: Lane) -> Result<(), PullError> {
        let (mut hands, generation) = (Hands::default(), Generation::default());
        while !self.stop.stopping.is_cancelled() {
            let mut puller = LanePuller::open(&self.nats, self.kind.laned(), lane, &self.room, &generation).await?;
            match self.pull(&mut puller, &mut hands).await? {
                Ended::Stopped => {
                    puller.close().await;
                    break;
                }
                Ended::Lost => sleep(soon()).await,
                Ended::Gone => self.make_again(lane).await,
            }
        }
        hands.all_ended().await;
        Ok(())
    }

    async fn pull(&self, puller: &mut LanePuller, hands: &mut Hands) -> Result<Ended, PullError> {
        loop {
            tokio::select! {
                biased;
                () = self.stop.stopping.cancelled() => return Ok(Ended::Stopped),
                came = puller.next() => match came? {
                    Came::Message(message, taken) => hands.take(taken, self.hold(message)),
                    Came::Gone => return Ok(Ended::Gone),
                    Came::Lost => return Ok(Ended::Lost),
                },
            }
        }
    }

    /// Handles a message, keeps it alive meanwhile, and lets go of it.
    fn hold(&self, message: Box<InHand>) -> impl Future<Output = ()> + use<> {
        let (handler, kind, every) = (Arc::clone(&self.handler), self.kind, self.ack_wait / 3);
        async move {
            let handled = Box::pin(handler.handle(kind, &message));
            let done = tokio::select! {
                done = handled => done,
                never = keep_alive(&message, every) => match never {},
            };
            match done {
                LetGo::Ack => message.ack().await,
                LetGo::AckForSure => {
                    if !message.ack_confirmed().await {
                        tracing::debug!("an ack was not taken; the message comes again");
                    }
                }
                LetGo::HandBack(after) => message.nak(Some(after)).await,
                LetGo::Leave => {}
            }
        }
    }

    /// Makes the consumer that the broker lost, after a pause: one that is made within milliseconds of the removal of
    /// the old one loses its directory to that. Another process may be first: it is the same.
    async fn make_again(&self, lane: Lane) {
        let (topology, what) = (self.nats.topology(), self.kind.laned());
        while !self.stop.stopping.is_cancelled() {
            tokio::select! {
                () = self.stop.stopping.cancelled() => return,
                () = sleep(PAUSE + soon()) => {}
            }
            match topology.create_lane_consumer(&self.nats, what, lane, self.ack_wait).await {
                Ok(()) => return tracing::warn!(?what, %lane, "the broker had lost a consumer; it is there again"),
                Err(error) => tracing::warn!(%error, "a consumer that the broker lost could not be made again yet"),
            }
        }
    }
}

/// All processes begin anew at the same moment.
fn soon() -> Duration {
    Duration::from_millis(rand::random_range(5..100))
}

async fn keep_alive(message: &InHand, every: Duration) -> Infallible {
    loop {
        sleep(every).await;
        message.progress().await;
    }
}
