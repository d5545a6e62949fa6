//! Pulling one lane of what all tenants share: as much as there is room for, and never without a standing request.
//!
//! A lane that stood idle asks for one message, for which nothing is kept; one that was used up asks for twice as many, which
//! are kept for it as long as the request stands. So a message in an idle lane is handed out at once, and a lane with a backlog
//! takes what it may have in few requests.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Nats;
use super::ack::InHand;
use super::pull::{Generation, PullError, Pulled, Puller};
use crate::domain::lane::{Lane, appetite};
use crate::room::{Ask, Room, Taken};
use crate::topology::Laned;

/// How long a request for one message stands. One that a broker forgot at an election is made again after this time.
const STANDS: Duration = Duration::from_secs(5);
/// How long one for several stands, for which room is kept that others lack.
const SEVERAL_STAND: Duration = Duration::from_millis(500);
/// The pause after what cannot be helped at once.
const PAUSE: Duration = Duration::from_millis(500);

/// Pulls one lane.
pub struct LanePuller {
    puller: Puller,
    room: Room,
    lane: Lane,
    wanted: usize,
    standing: Option<Standing>,
}

/// A request for messages.
struct Standing {
    ask: Ask,
    since: Instant,
    brought: usize,
}

/// What came of waiting.
#[derive(Debug)]
pub enum Came {
    /// A message, and the room that it takes as long as that lives.
    Message(Box<InHand>, Taken),
    /// The consumer is gone: create it.
    Gone,
    /// The connection or the broker changed, or has been silent: open a new puller.
    Lost,
}

impl LanePuller {
    /// Opens a puller on a lane. All pullers of one lane in this process share its `generation`, all of one work its `room`.
    ///
    /// # Errors
    /// Where the connection is closed for good.
    pub async fn open(
        nats: &Nats,
        what: Laned,
        lane: Lane,
        room: &Room,
        generation: &Generation,
    ) -> Result<Self, PullError> {
        let consumer = nats.topology().lane(what, lane);
        let puller = Puller::open(nats, &consumer.stream, &consumer.name, generation).await?;
        Ok(Self { puller, room: room.clone(), lane, wanted: 1, standing: None })
    }

    /// Waits for the next message. Safe to drop and call again.
    ///
    /// # Errors
    /// Where the connection is closed for good.
    pub async fn next(&mut self) -> Result<Came, PullError> {
        loop {
            if self.puller.outstanding() == 0 {
                self.ask().await?;
            }
            match self.puller.next().await {
                Pulled::Message(message) => {
                    let bytes = message.payload().len();
                    if let Some(standing) = &mut self.standing {
                        standing.brought += 1;
                        return Ok(Came::Message(message, standing.ask.take(bytes)));
                    }
                }
                Pulled::Over => {
                    if self.has_ended_for_nothing() {
                        sleep(PAUSE).await;
                    }
                }
                // So many processes wait here already that one more is refused.
                Pulled::Crowded => sleep(PAUSE).await,
                Pulled::Gone => return Ok(Came::Gone),
                Pulled::Lost => return Ok(Came::Lost),
            }
        }
    }

    async fn ask(&mut self) -> Result<(), PullError> {
        if let Some(Standing { ask, brought, .. }) = self.standing.take() {
            self.wanted = appetite(ask.messages(), brought, self.room.alone());
        }
        let ask = self.room.ask(self.lane, self.wanted).await;
        match ask.messages() {
            1 => self.puller.request(1, STANDS).await?,
            several => self.puller.request_within(several, ask.bytes(), SEVERAL_STAND).await?,
        }
        self.standing = Some(Standing { ask, since: Instant::now(), brought: 0 });
        Ok(())
    }

    /// Nothing came, and not for want of messages.
    fn has_ended_for_nothing(&self) -> bool {
        self.standing.as_ref().is_some_and(|Standing { ask, since, brought }| {
            let stands = if ask.messages() == 1 { STANDS } else { SEVERAL_STAND };
            *brought == 0 && since.elapsed() < stands / 2
        })
    }

    /// Asks for nothing more, and gives back at once what is under way already.
    pub async fn close(self) {
        self.puller.close().await;
    }
}
