//! What is outside: destinations and webhook endpoints, which answer as their scripts say and remember what they saw.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use sluice_shared::domain::id::{BranchId, Incarnation, JobId};
use sluice_shared::domain::outcome::{Content, ErrorKind, Response};
use sluice_shared::domain::record::Record;

use super::chance::Chance;
use super::world::{Node, World};

/// How a destination, or an endpoint, answers once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answers {
    /// 200, after this many milliseconds.
    Success(u64),
    /// 429, which closes the gate for this many milliseconds.
    Limited(u64),
    /// 503.
    Unavailable,
    /// 400, and 410 of an endpoint.
    Never,
    /// No connection.
    Unreachable,
    /// No answer.
    Hangs,
}

/// All destinations and endpoints, by URL.
pub(super) struct Outside {
    pub(super) scripts: BTreeMap<String, VecDeque<Answers>>,
    /// How all of them answer after the end of their scripts.
    pub(super) fails: bool,
}

/// Which attempt of what a call is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) job: JobId,
    pub(super) incarnation: Incarnation,
    pub(super) branch: BranchId,
    pub(super) attempt: u32,
}

/// A call on the wire; dropped there where nobody waits for its answer any more.
pub(super) struct OnTheWire {
    world: Rc<World>,
    call: usize,
}

impl Answers {
    /// One that comes as often as it should in tests.
    pub(super) fn draw(chance: &Chance) -> Self {
        match chance.between(1, 16) {
            1..=4 => Self::Success(chance.between(1, 80)),
            5 => Self::Success(chance.between(1_000, 9_000)),
            6..=8 => Self::Limited(chance.between(200, 3_000)),
            9..=11 => Self::Unavailable,
            12 | 13 => Self::Never,
            14 => Self::Unreachable,
            _ => Self::Hangs,
        }
    }

    pub(super) fn takes(self) -> Duration {
        Duration::from_millis(match self {
            Self::Success(millis) => millis,
            Self::Limited(_) | Self::Never | Self::Unreachable => 5,
            Self::Unavailable => 40,
            Self::Hangs => u64::MAX,
        })
    }

    pub(super) fn closes(self) -> Option<Duration> {
        match self {
            Self::Limited(millis) => Some(Duration::from_millis(millis)),
            Self::Success(_) | Self::Unavailable | Self::Never | Self::Unreachable | Self::Hangs => None,
        }
    }

    pub(super) fn content(self) -> Content {
        let status = match self {
            Self::Success(_) => 200,
            Self::Limited(_) => 429,
            Self::Unavailable => 503,
            Self::Never => 400,
            Self::Unreachable => {
                return Content::Error { kind: ErrorKind::Connect, message: "no connection".into() };
            }
            Self::Hangs => return Self::timeout(),
        };
        Content::Response(Response { status, headers: Vec::new(), body: Bytes::new(), truncated: false })
    }

    pub(super) fn timeout() -> Content {
        Content::Error { kind: ErrorKind::Timeout, message: "no answer".into() }
    }
}

impl Outside {
    pub(super) fn draw(chance: &Chance) -> Self {
        Self { scripts: BTreeMap::new(), fails: chance.percent(40) }
    }

    /// How the next call is answered.
    pub(super) fn answer(&mut self, url: &str) -> Answers {
        let scripted = self.scripts.get_mut(url).and_then(VecDeque::pop_front);
        scripted.unwrap_or(if self.fails { Answers::Never } else { Answers::Success(10) })
    }
}

impl Node {
    /// A call goes out.
    pub(super) fn call(&self, place: &Place, record: &Record) -> OnTheWire {
        let (world, task) = (&self.world, self.world.clockwork.current());
        self.tell(|| format!("CALLS for branch {} attempt {}", place.branch, place.attempt));
        let call = world.checks.borrow_mut().called(place, record, (self.process, task));
        OnTheWire { world: Rc::clone(world), call }
    }
}

impl OnTheWire {
    pub(super) fn answered(self, content: &Content) {
        let what = match content {
            Content::Response(response) => response.status.to_string(),
            Content::Error { kind, .. } => format!("{kind:?}"),
        };
        self.world.tell(super::clockwork::BROKER, || format!("(the destination answers call {}: {what})", self.call));
        self.world.checks.borrow_mut().answered(self.call, self.world.now());
    }
}

impl Drop for OnTheWire {
    fn drop(&mut self) {
        self.world.checks.borrow_mut().off_the_wire(self.call, self.world.now());
    }
}
