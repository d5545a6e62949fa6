//! What cannot be handled however often it is tried: its job ends of it, and it is set aside where an operator finds it.
//!
//! A branch dies of it, so that its fallbacks still contend; a deadline and a cancel, and a branch that cannot even die, end
//! the job as failed. Invariant: what panics is tried a few times and then once an hour at most, and the queue goes on.

use std::fmt::Display;
use std::time::Duration;

use sluice_shared::domain::decide::{Known, poisoned};
use sluice_shared::domain::demand::{Decision, Then};
use sluice_shared::domain::id::Token;
use sluice_shared::domain::outcome::ErrorKind;
use sluice_shared::domain::record::Record;
use sluice_shared::effects::{JobMessage, Unfinished};
use sluice_shared::fault_points;
use sluice_shared::nats::ack::InHand;
use sluice_shared::panics::caught;

use crate::handler::Handler;
use crate::message::{self, TRY_AGAIN};

/// How often a message is handed out whose handling panics, before it is given up.
const TRIES: u64 = 3;
/// How often it is tried to end a job, while the broker is silent or has no room.
const TRIES_TO_END: usize = 20;
/// How soon a message comes again whose job could not be ended. It stays in its stream, so that the sweep makes no other.
const MUCH_LATER: Duration = Duration::from_secs(60 * 60);

/// What became of a job that cannot be handled.
enum Fate {
    /// It has ended, or what contends beside the message goes on and ends it.
    Settled,
    /// It could not be ended, or its end not handed on: why.
    Pending(String),
    /// Nobody knows: the broker was silent or had no room all the time.
    Unknown,
}

impl Handler {
    /// Handles a message; where that panics it comes again, and after a few times its job ends of it.
    pub(crate) async fn unless_poisoned(&self, in_hand: &InHand, handling: impl Future<Output = ()>) {
        let Err(panicked) = caught(handling).await else { return };
        tracing::error!(subject = in_hand.subject(), tries = in_hand.delivered(), %panicked, "handling a message broke down");
        if in_hand.delivered() < TRIES {
            return in_hand.nak(Some(TRY_AGAIN)).await;
        }
        Box::pin(self.poisoned(in_hand, &panicked)).await;
    }

    /// Ends the job of a message that cannot be handled, as far as that can be, and sets the message aside. Where that
    /// stops on the way the message is not let go of, and comes again.
    pub(crate) async fn poisoned(&self, in_hand: &InHand, why: &impl Display) {
        let why = why.to_string();
        let fate = match caught(self.end(in_hand, &why)).await {
            Ok(fate) => fate,
            Err(panicked) => Fate::Pending(panicked.to_string()),
        };
        match fate {
            Fate::Settled => {
                if self.keep_letter(in_hand, &why).await {
                    in_hand.ack().await;
                }
            }
            Fate::Unknown => in_hand.nak(Some(TRY_AGAIN)).await,
            Fate::Pending(cause) => {
                let reason = format!("{why}; its job could not be ended, or its end not handed on: {cause}");
                if self.keep_letter(in_hand, &reason).await {
                    in_hand.nak(Some(MUCH_LATER)).await;
                }
            }
        }
    }

    /// Whether a message that comes again is of a job that could be ended: else what is sent would be sent each time.
    pub(crate) fn could_end(&self, in_hand: &InHand, record: &Record) -> Result<(), Unfinished> {
        if in_hand.delivered() == 1 {
            return Ok(());
        }
        Ok(self.effects().could_end(record)?)
    }

    async fn end(&self, in_hand: &InHand, why: &str) -> Fate {
        let message = match message::read(self.effects().nats().prefix(), in_hand) {
            Ok(message) => message,
            Err(strange) => return Fate::Pending(strange.to_string()),
        };
        let at_first = match message.address.token {
            Token::Branch(_) => caught(until_taken(|| self.branch_ends(&message, why))).await,
            Token::Deadline | Token::Cancel => Ok(Fate::Pending(String::new())),
            // What contends beside it ends the job.
            Token::Start(_) | Token::Overdue => return Fate::Pending("it goes on without this".to_owned()),
        };
        match at_first {
            Ok(fate @ (Fate::Settled | Fate::Unknown)) => fate,
            Ok(Fate::Pending(_)) | Err(_) => until_taken(|| self.job_ends(&message, why)).await,
        }
    }

    async fn branch_ends(&self, message: &JobMessage, why: &str) -> Result<(), Unfinished> {
        self.die(message, ErrorKind::Poisoned, why.to_owned()).await
    }

    async fn job_ends(&self, message: &JobMessage, why: &str) -> Result<(), Unfinished> {
        let decided = |known: Known<'_>, now| match known {
            Known::Record(record) => {
                fault_points::point("end", &record.key);
                poisoned(record, message.incoming(), why, now)
            }
            Known::Forgotten | Known::Lost | Known::Newer | Known::Unreadable => Decision::only(Then::Ack),
        };
        self.counted(self.effects().handle(message, None, decided).await).map(|_| ())
    }
}

/// Nothing is done about a broker that is silent or has no room, but to wait.
async fn until_taken<F: Future<Output = Result<(), Unfinished>>>(end: impl Fn() -> F) -> Fate {
    for _ in 0..TRIES_TO_END {
        match end().await {
            Ok(()) => return Fate::Settled,
            Err(unfinished) if unfinished.is_for_good() => return Fate::Pending(unfinished.to_string()),
            Err(unfinished) => tracing::warn!(%unfinished, "the end of a job waits until the broker takes it"),
        }
        tokio::time::sleep(TRY_AGAIN).await;
    }
    Fate::Unknown
}
