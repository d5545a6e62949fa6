//! The way to the broker and back, and what goes wrong on it.

use std::rc::Rc;
use std::time::Duration;

use super::clockwork::BROKER;
use super::world::{Node, World};

/// How long an answer is waited for.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// Nobody is there to take the request: nothing was done.
    Nobody,
    /// None came in time: it was done, or not, or will be.
    Silence,
}

/// What becomes of a request.
enum Fate {
    Answered,
    AnswerLost,
    Lost,
    Late,
    DieBefore,
    DieAfter,
}

impl Node {
    /// Asks the broker to do something.
    pub(super) async fn ask<T: 'static>(&self, what: impl FnOnce(&Rc<World>) -> T + 'static) -> Result<T, NoAnswer> {
        if self.world.broker.borrow().has_no_leader(self.world.now()) {
            self.world.sleep(self.world.way()).await;
            self.tell(|| "is told that nobody is there".into());
            return Err(NoAnswer::Nobody);
        }
        match self.fate() {
            Fate::Answered => {
                let (way, back) = (self.world.way(), self.world.way());
                if way + back >= u64::try_from(TIMEOUT.as_millis()).unwrap() {
                    return self.late(way, what).await;
                }
                self.world.sleep(way).await;
                if self.is_broker_away() {
                    return self.in_vain("the broker is away").await;
                }
                let done = what(&self.world);
                self.world.sleep(back).await;
                Ok(done)
            }
            Fate::AnswerLost => {
                self.world.sleep(self.world.way()).await;
                if !self.is_broker_away() {
                    what(&self.world);
                }
                self.in_vain("the answer is lost").await
            }
            Fate::Lost => self.in_vain("the request is lost").await,
            Fate::Late => self.late(self.world.chance.between(1_000, 20_000), what).await,
            Fate::DieBefore => self.die().await,
            Fate::DieAfter => {
                self.world.sleep(self.world.way()).await;
                if !self.is_broker_away() {
                    what(&self.world);
                }
                self.die().await
            }
        }
    }

    /// What is asked for is done when nobody waits for it any more.
    async fn late<T: 'static>(&self, way: u64, what: impl FnOnce(&Rc<World>) -> T + 'static) -> Result<T, NoAnswer> {
        let world = Rc::clone(&self.world);
        self.world.spawn(BROKER, async move {
            world.sleep(way).await;
            if !world.broker.borrow().is_away(world.now()) {
                world.tell(BROKER, || "what was asked for some time ago is done now:".into());
                what(&world);
            }
        });
        self.in_vain("the request is late").await
    }

    /// Sends something to the broker that is not answered.
    pub(super) fn send(&self, what: impl FnOnce(&Rc<World>) + 'static) {
        if self.world.mishap(self.world.faults.sent_in_vain) {
            return self.tell(|| "what is sent now is lost".into());
        }
        let world = Rc::clone(&self.world);
        self.world.spawn(BROKER, async move {
            world.sleep(world.way()).await;
            if !world.broker.borrow().is_away(world.now()) {
                what(&world);
            }
        });
    }

    /// Between two steps that are not requests, a process may die too.
    pub(super) async fn may_die(&self) {
        if self.world.mishap(self.world.faults.crash) {
            self.die::<()>().await;
        }
    }

    fn fate(&self) -> Fate {
        let faults = &self.world.faults;
        if self.world.mishap(faults.crash) {
            return if self.world.chance.percent(50) { Fate::DieBefore } else { Fate::DieAfter };
        }
        let fates =
            [(faults.answer_lost, Fate::AnswerLost), (faults.request_lost, Fate::Lost), (faults.late, Fate::Late)];
        let fate = fates.into_iter().find(|(once_in, _)| self.world.mishap(*once_in));
        fate.map_or(Fate::Answered, |(_, fate)| fate)
    }

    fn is_broker_away(&self) -> bool {
        self.world.broker.borrow().is_away(self.world.now())
    }

    async fn in_vain<T>(&self, why: &'static str) -> Result<T, NoAnswer> {
        self.tell(|| why.into());
        self.sleep(TIMEOUT).await;
        Err(NoAnswer::Silence)
    }

    async fn die<T>(&self) -> T {
        self.world.kill(self.process);
        std::future::pending().await
    }
}
