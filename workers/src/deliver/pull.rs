//! One consumer: pulls as much as there is room for, keeps what is in hand alive, lets go of it.
//!
//! A reconnect, and silence, are a new start; a consumer that is gone is made again. Invariant: no message is held without
//! a task that lets go of it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use sluice_shared::nats::Nats;
use sluice_shared::nats::ack::InHand;
use sluice_shared::nats::pull::{Generation, PullError, Pulled, Puller};
use tokio::time::{Instant, sleep};

use super::hand::Kind;
use super::handle::{Handler, LetGo};
use super::hands::Hands;
use super::{DeliveryOptions, Stop};

/// How long a request for messages stands. One that a broker forgot at an election is made again after this time; there are
/// two consumers for each process, so a short one costs next to nothing.
const REQUEST: Duration = Duration::from_secs(5);
/// The pause after what cannot be helped at once.
const PAUSE: Duration = Duration::from_millis(500);

/// One of the two consumers, and who handles its messages.
pub(super) struct Source {
    kind: Kind,
    nats: Nats,
    handler: Arc<Handler>,
    stop: Stop,
    most: usize,
    per_endpoint: usize,
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
            most,
            per_endpoint: options.per_endpoint,
            ack_wait: options.ack_wait,
        };
        let (results, due) = options.shares();
        (source(Kind::Result, results), source(Kind::Due, due))
    }

    /// Handles messages until told to stop, then hands back what still comes and ends what is in hand.
    ///
    /// # Errors
    /// Where the connection is closed for good.
    pub(super) async fn run(self) -> Result<(), PullError> {
        let mut hands = Hands::new(self.most, self.per_endpoint, self.nats.max_payload());
        let generation = Generation::default();
        while !self.stop.stopping.is_cancelled() {
            let mut puller = Puller::open(&self.nats, &self.stream(), self.consumer(), &generation).await?;
            match self.pull(&mut puller, &mut hands).await? {
                Ended::Stopped => {
                    puller.close().await;
                    break;
                }
                Ended::Lost => sleep(soon()).await,
                Ended::Gone => self.make_again().await,
            }
        }
        hands.all_ended().await;
        Ok(())
    }

    fn stream(&self) -> String {
        self.kind.stream(self.nats.topology())
    }

    fn consumer(&self) -> &'static str {
        match self.kind {
            Kind::Result => self.nats.topology().results_consumer(),
            Kind::Due => self.nats.topology().deliveries_consumer(),
        }
    }

    async fn pull(&self, puller: &mut Puller, hands: &mut Hands) -> Result<Ended, PullError> {
        let (mut asked, mut brought) = (Instant::now(), false);
        loop {
            if puller.outstanding() == 0
                && let Some((messages, bytes)) = hands.room()
            {
                puller.request_within(messages, bytes, REQUEST).await?;
                (asked, brought) = (Instant::now(), false);
            }
            tokio::select! {
                biased;
                () = self.stop.stopping.cancelled() => return Ok(Ended::Stopped),
                pulled = puller.next(), if puller.outstanding() > 0 => match pulled {
                    Pulled::Message(message) => {
                        brought = true;
                        hands.take(message.payload().len(), self.hold(message));
                    }
                    Pulled::Crowded => sleep(PAUSE).await,
                    // Nothing, and not for want of messages.
                    Pulled::Over if !brought && asked.elapsed() < REQUEST / 2 => sleep(PAUSE).await,
                    Pulled::Over => {}
                    Pulled::Gone => return Ok(Ended::Gone),
                    Pulled::Lost => return Ok(Ended::Lost),
                },
                () = hands.one_ended() => {}
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
    async fn make_again(&self) {
        let topology = self.nats.topology();
        while !self.stop.stopping.is_cancelled() {
            tokio::select! {
                () = self.stop.stopping.cancelled() => return,
                () = sleep(PAUSE + soon()) => {}
            }
            match topology.create_fixed_consumers(&self.nats, self.ack_wait).await {
                Ok(()) => {
                    return tracing::warn!(stream = self.stream(), "the broker had lost a consumer; it is there again");
                }
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
