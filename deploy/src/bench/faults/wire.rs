//! What was on the wire when something was killed or stopped. Pure.
//!
//! Invariant: a request is sent again only after an answer that asks for it, or where it was on the wire at a fault.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::bench::fleet::Target;
use crate::scripted::Call;

/// How long after its last byte an answer may not be stored yet.
const SETTLING: Duration = Duration::from_millis(250);
/// How long after a fault a message may be in two hands. A nats-server that was killed hands out again what it forgot it had
/// given to somebody: what it wrote down of that was up to 100 ms old. What a stopped worker was being handed when it stopped
/// was handed out again meanwhile, and looks new to it. Either holder may be waiting for his slot.
const IN_TWO_HANDS: Duration = Duration::from_secs(5);
/// How long the bytes of a process that was killed may still be on their way.
const ON_ITS_WAY: Duration = Duration::from_millis(250);

/// When something was killed, or from when until when it was stopped or away.
#[derive(Clone, Debug)]
pub struct Fault {
    /// What it was done to.
    pub target: Target,
    /// What was done.
    pub kind: Kind,
    /// When it was decided: the same for what was killed together.
    pub moment: Instant,
    /// When it was done.
    pub from: Instant,
    /// When it was there again.
    pub until: Instant,
}

/// What is done to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Killed, and started again.
    Killed,
    /// Stopped, and continued; or cut off, and connected again.
    Stopped,
}

/// How a request ended, as its receiver saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Not yet.
    Open,
    /// The whole answer went out.
    Answered(Instant),
    /// The sender left, or the connection was closed.
    Broken(Instant),
}

/// One request as its receiver saw it.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// What names it: requests of one key are the same one again.
    pub key: String,
    /// When it arrived.
    pub at: Instant,
    /// How it ended.
    pub end: End,
    /// The status it was answered with.
    pub status: Option<u16>,
}

impl Exchange {
    /// A call that is named by this header.
    #[must_use]
    pub fn of(call: &Call, header: &str) -> Self {
        let broken = call.dropped_at.or(call.closed_at).map(End::Broken);
        let end = call.completed_at.map(End::Answered).or(broken).unwrap_or(End::Open);
        Self { key: call.header(header).unwrap_or_default().to_owned(), at: call.at, end, status: call.status }
    }

    /// Whether it was on the wire at one of the faults, or had only just left it.
    #[must_use]
    pub fn on_wire(&self, faults: &[&Fault]) -> bool {
        faults.iter().any(|fault| self.on_wire_at(fault))
    }

    /// A killed sender's connections break: a request that is answered later was another's. A sender that was stopped, or
    /// one whose broker is away, keeps its requests on the wire.
    fn on_wire_at(&self, fault: &Fault) -> bool {
        let breaks = fault.kind == Kind::Killed && !matches!(fault.target, Target::Server(_));
        let last = if breaks { fault.from + ON_ITS_WAY } else { fault.until };
        let over = match self.end {
            End::Open => true,
            End::Broken(at) => at >= fault.from,
            End::Answered(at) => at + SETTLING >= fault.from && (!breaks || at <= last),
        };
        self.at <= last && over
    }

    /// Whether it may be made twice though it was not on the wire: its message was in two hands, because a nats-server was
    /// killed, or a worker stopped.
    #[must_use]
    pub fn may_be_repeated(&self, faults: &[&Fault]) -> bool {
        let doubles = |fault: &&&Fault| match (fault.kind, fault.target) {
            (Kind::Killed, Target::Server(_)) | (Kind::Stopped, Target::Worker(_)) => true,
            (Kind::Killed | Kind::Stopped, _) => false,
        };
        faults.iter().filter(doubles).any(|fault| self.at >= fault.from && self.at <= fault.until + IN_TWO_HANDS)
    }

    /// Whether its answer asks for another try.
    #[must_use]
    pub fn asks_again(&self) -> bool {
        matches!(self.status, Some(429 | 500..))
    }
}

/// The requests of each key, in the order of their arrival.
#[must_use]
pub fn by_key(mut exchanges: Vec<Exchange>) -> BTreeMap<String, Vec<Exchange>> {
    exchanges.sort_by_key(|exchange| exchange.at);
    let mut keys: BTreeMap<String, Vec<Exchange>> = BTreeMap::new();
    for exchange in exchanges {
        keys.entry(exchange.key.clone()).or_default().push(exchange);
    }
    keys
}

/// How many of one key's requests were made again although no answer asked for it.
#[must_use]
pub fn unasked(exchanges: &[Exchange]) -> usize {
    let before = exchanges.split_last().map_or(&[][..], |(_, before)| before);
    before.iter().filter(|exchange| !exchange.asks_again()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(start: Instant, from: u64, end: impl Fn(Instant) -> End, to: u64, status: u16) -> Exchange {
        let at = |ms| start + Duration::from_millis(ms);
        Exchange { key: "k".into(), at: at(from), end: end(at(to)), status: Some(status) }
    }

    fn fault(start: Instant, target: Target, kind: Kind, from: u64, until: u64) -> Fault {
        let at = |ms| start + Duration::from_millis(ms);
        Fault { target, kind, moment: at(from), from: at(from), until: at(until) }
    }

    #[test]
    fn a_request_is_on_the_wire_of_a_killed_sender_when_its_connection_breaks_then_or_its_answer_has_just_come() {
        let start = Instant::now();
        let killed = fault(start, Target::Worker(0), Kind::Killed, 5000, 6000);
        let on_wire = |exchange: Exchange| exchange.on_wire(&[&killed]);
        assert!(on_wire(sent(start, 4900, End::Broken, 5010, 200)));
        assert!(on_wire(sent(start, 4900, End::Answered, 4990, 200)));
        assert!(!on_wire(sent(start, 4900, End::Answered, 5900, 200)), "another sender's");
        assert!(!on_wire(sent(start, 3000, End::Answered, 3900, 200)), "long over");
        assert!(!on_wire(sent(start, 5500, End::Answered, 5600, 200)), "sent after it");
    }

    #[test]
    fn while_a_sender_is_stopped_or_the_broker_is_away_all_that_is_on_the_wire_counts() {
        let start = Instant::now();
        let away = [
            fault(start, Target::Server(0), Kind::Killed, 5000, 6000),
            fault(start, Target::Worker(0), Kind::Stopped, 5000, 6000),
        ];
        for fault in &away {
            assert!(sent(start, 4900, End::Answered, 5900, 200).on_wire(&[fault]));
            assert!(sent(start, 5500, End::Answered, 9000, 200).on_wire(&[fault]));
            assert!(!sent(start, 6100, End::Answered, 6200, 200).on_wire(&[fault]));
        }
    }

    #[test]
    fn soon_after_a_killed_nats_server_or_a_stopped_worker_is_back_a_message_may_be_in_two_hands() {
        let start = Instant::now();
        let call = sent(start, 7000, End::Answered, 7010, 200);
        let may = |target, kind, until| call.may_be_repeated(&[&fault(start, target, kind, 1000, until)]);
        assert!(may(Target::Server(0), Kind::Killed, 3000));
        assert!(!may(Target::Server(0), Kind::Killed, 1500), "long ago");
        assert!(may(Target::Worker(0), Kind::Stopped, 3000) && !may(Target::Worker(0), Kind::Killed, 3000));
        assert!(!may(Target::Delivery(0), Kind::Stopped, 3000) && !may(Target::Server(0), Kind::Stopped, 3000));
    }

    #[test]
    fn only_an_answer_that_asks_for_it_leads_to_another_request() {
        let start = Instant::now();
        let good = sent(start, 0, End::Answered, 10, 200);
        let bad = sent(start, 0, End::Answered, 10, 500);
        assert_eq!(unasked(&[bad.clone(), good.clone()]), 0);
        assert_eq!(unasked(&[good.clone(), good.clone(), bad]), 2);
        assert_eq!(unasked(&[good]), 0);
    }
}
