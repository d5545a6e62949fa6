//! What is held against what destinations and receivers recorded. Pure.
//!
//! Invariant: a request is sent again only after an answer that asks for it, or where it was on the wire at a fault.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sluice::scripted::Call;

/// How long after its last byte a request may still be unknown to the broker.
const SETTLING: Duration = Duration::from_secs(1);

/// When something was killed, or from when until when it was stopped or away.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) what: String,
    pub(crate) from: Instant,
    pub(crate) until: Instant,
}

/// One request as its receiver saw it.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) key: String,
    pub(crate) at: Instant,
    /// When it ended, however it did; `None` while it is open.
    pub(crate) end: Option<Instant>,
    pub(crate) status: Option<u16>,
}

impl Exchange {
    pub(crate) fn of(call: &Call, key: &str) -> Self {
        let end = call.completed_at.or(call.dropped_at).or(call.closed_at);
        let key = call.header(key).unwrap_or_default().to_owned();
        Self { key, at: call.at, end, status: call.status }
    }

    /// Whether it was on the wire at one of the faults, or had only just left it.
    pub(crate) fn on_wire(&self, faults: &[Fault]) -> bool {
        let over = self.end.map(|end| end + SETTLING);
        faults.iter().any(|fault| self.at <= fault.until && over.is_none_or(|over| over >= fault.from))
    }

    /// Whether its answer asks for another try.
    fn asks_again(&self) -> bool {
        matches!(self.status, Some(429 | 500..))
    }
}

/// The requests of each key, in the order of their arrival.
pub(crate) fn by_key(mut exchanges: Vec<Exchange>) -> BTreeMap<String, Vec<Exchange>> {
    exchanges.sort_by_key(|exchange| exchange.at);
    let mut keys: BTreeMap<String, Vec<Exchange>> = BTreeMap::new();
    for exchange in exchanges {
        keys.entry(exchange.key.clone()).or_default().push(exchange);
    }
    keys
}

/// How many of one key's requests were made again although no answer asked for it.
pub(crate) fn repeated(exchanges: &[Exchange]) -> usize {
    let before = exchanges.split_last().map_or(&[][..], |(_, before)| before);
    before.iter().filter(|exchange| !exchange.asks_again()).count()
}

/// Keys with more repetitions than requests on the wire at the faults.
pub(crate) fn repeated_without_reason(exchanges: Vec<Exchange>, faults: &[Fault]) -> Vec<String> {
    let keys = by_key(exchanges).into_iter();
    let excused = |of: &[Exchange]| of.iter().filter(|exchange| exchange.on_wire(faults)).count();
    keys.filter(|(_, of)| repeated(of) > excused(of)).map(|(key, _)| key).collect()
}

#[test]
fn a_repetition_is_excused_by_an_answer_that_asks_for_it_or_by_a_fault_and_by_nothing_else() {
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let sent = |from, to, status| Exchange { key: "k".into(), at: at(from), end: Some(at(to)), status: Some(status) };
    let fault = [Fault { what: "worker killed".into(), from: at(5000), until: at(5000) }];
    let wrong = |exchanges: &[Exchange]| repeated_without_reason(exchanges.to_vec(), &fault);
    assert!(wrong(&[sent(0, 10, 500), sent(20, 30, 200)]).is_empty());
    assert_eq!(wrong(&[sent(0, 10, 200), sent(20, 30, 200)]), ["k"]);
    assert!(wrong(&[sent(4900, 5100, 200), sent(7000, 7010, 200)]).is_empty());
    assert_eq!(wrong(&[sent(4900, 5100, 200), sent(7000, 7010, 200), sent(8000, 8010, 200)]), ["k"]);
}
