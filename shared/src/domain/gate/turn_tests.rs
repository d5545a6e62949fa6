//! What holds for several workers at one gate, whatever the order of their looks, swaps and answers: each drives its [`Turn`], what
//! it knows may be old, its swap may come late or not be answered, its clock is its own, and it may die at any moment.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::domain::id::Destination;
use crate::domain::pace::{Budget, Policy, Unit};

const NOW: Nanos = Nanos(1_800_000_000_000_000_000);
const HORIZON: Duration = Duration::from_millis(100);
/// How far apart two clocks are at most.
const SKEW: Duration = Duration::from_secs(1);
/// How late a slot is used at most.
const LATE: Duration = Duration::from_millis(250);
/// Who has said nothing for so long is not let live on: no other may take it for dead while it is not.
const SILENT: Duration = Duration::from_secs(10);

/// What happens next; workers are named by their place.
#[derive(Clone, Debug)]
enum Step {
    Passes(u64),
    /// Looks, and sends a swap if there is one to be made.
    Look(usize, u32, f64),
    /// Its swap reaches the broker.
    Arrives(usize),
    /// It is answered, or nobody knows.
    Answered(usize, bool),
    /// The watch tells.
    Told(usize),
    /// Uses the slots whose time has come.
    Uses(usize),
    Ends(usize),
    Dies(usize),
    Learns(Heard),
}

fn heard() -> impl Strategy<Value = Heard> {
    let pacing = (0.1_f64..5_000.0, 1_u32..100).prop_map(|(rate, calls)| Heard {
        pacing: Some(Pacing { rate: Some(rate), concurrency: Some(calls), source: "pace".into(), valid_for: None }),
        ..Heard::default()
    });
    let policy = (1_u64..10_000, 1_u64..20).prop_map(|(quota, window)| {
        let window = Duration::from_secs(window);
        let policies = vec![Policy { source: "policy", name: None, unit: Unit::Requests, quota, window }];
        Heard { policies, ..Heard::default() }
    });
    let budget = (0_u64..500, 1_u64..10_000, any::<bool>()).prop_map(|(left, reset, refills)| {
        let reset = Some(NOW.after(Duration::from_millis(reset)).to_millis());
        let remaining = Some(left);
        let (source, name, unit, limit) = ("budget", None, Unit::Requests, Some(500));
        Heard { budgets: vec![Budget { source, name, unit, limit, remaining, reset, refills }], ..Heard::default() }
    });
    let refused = (0_u64..20_000).prop_map(|at| Heard {
        refused: true,
        sent_at: NOW.after(Duration::from_millis(at)),
        ..Heard::default()
    });
    prop_oneof![pacing, policy, budget, refused]
}

const WORKERS: usize = 4;

fn step() -> impl Strategy<Value = Step> {
    let worker = 0..WORKERS;
    prop_oneof![
        6 => prop_oneof![8 => 0_u64..40, 1 => 200_u64..3_000].prop_map(Step::Passes),
        8 => (worker.clone(), 1_u32..12, 0.0_f64..1.0).prop_map(|(worker, waiting, lot)| Step::Look(worker, waiting, lot)),
        8 => worker.clone().prop_map(Step::Arrives),
        8 => (worker.clone(), prop::bool::weighted(0.9)).prop_map(|(worker, known)| Step::Answered(worker, known)),
        5 => worker.clone().prop_map(Step::Told),
        5 => worker.clone().prop_map(Step::Uses),
        4 => worker.clone().prop_map(Step::Ends),
        1 => worker.prop_map(Step::Dies),
        1 => heard().prop_map(Step::Learns),
    ]
}

/// A swap on its way: what it is for, and whether it was written, once it was there.
struct Asked {
    what: What,
    revision: u64,
    asked_at: Nanos,
    written: Option<bool>,
}

enum What {
    Slots(Box<Offer>),
    States(Box<GateState>, u32),
}

struct Worker {
    name: String,
    ahead: Duration,
    turn: Turn,
    known: (GateState, u64),
    asked: Option<Asked>,
    slots: Vec<Nanos>,
    on_the_wire: u32,
    said_at: Nanos,
}

impl Worker {
    fn held(&self) -> u32 {
        self.on_the_wire + u32::try_from(self.slots.len()).unwrap()
    }
}

/// All of it.
struct Run {
    limits: Limits,
    time: Nanos,
    entry: (GateState, u64),
    workers: Vec<Worker>,
    born: u64,
    /// Swaps of the dead that are on their way.
    of_the_dead: Vec<Asked>,
    slots: Vec<Nanos>,
    sent: Vec<Nanos>,
}

impl Run {
    fn new(limits: Limits) -> Self {
        let url = url::Url::parse("https://a.example/").unwrap();
        let entry = (GateState::new(Destination::of(&url).unwrap(), None), 1);
        let mut run = Self {
            limits,
            time: NOW,
            entry,
            workers: Vec::new(),
            born: 0,
            of_the_dead: Vec::new(),
            slots: Vec::new(),
            sent: Vec::new(),
        };
        run.workers = (0..WORKERS).map(|_| run.newborn()).collect();
        run
    }

    fn newborn(&mut self) -> Worker {
        self.born += 1;
        let ahead = SKEW / 4 * u32::try_from(self.born % 5).unwrap();
        let (name, turn, known) = (format!("w{}", self.born), Turn::default(), self.entry.clone());
        Worker { name, ahead, turn, known, asked: None, slots: Vec::new(), on_the_wire: 0, said_at: self.time }
    }

    fn dies(&mut self, number: usize) {
        let newborn = self.newborn();
        let dead = std::mem::replace(&mut self.workers[number], newborn);
        self.of_the_dead.extend(dead.asked);
    }

    fn look(&mut self, number: usize, waiting: u32, lot: f64) {
        let (time, configured) = (self.time, self.limits);
        let worker = &mut self.workers[number];
        if worker.asked.is_some() {
            return;
        }
        let (state, revision) = worker.known.clone();
        let now = time.after(worker.ahead);
        let limits = effective(configured, &state, now);
        let held = worker.held();
        let sight = Sight { worker: &worker.name, state: &state, limits, horizon: HORIZON, held, waiting, now };
        let mut ask = |what| worker.asked = Some(Asked { what, revision, asked_at: now, written: None });
        match worker.turn.reserve(sight, lot) {
            Move::Swap(offer) => ask(What::Slots(offer)),
            Move::Look(_) if worker.turn.must_restate(sight) => {
                ask(What::States(Box::new(restate(state.clone(), &worker.name, held, now)), held));
            }
            Move::Look(_) => {}
        }
    }

    fn write(entry: &mut (GateState, u64), asked: &mut Asked) {
        if asked.written.is_none() {
            let written = entry.1 == asked.revision;
            asked.written = Some(written);
            if written {
                let state = match &asked.what {
                    What::Slots(offer) => offer.state.clone(),
                    What::States(state, _) => GateState::clone(state),
                };
                *entry = (state, entry.1 + 1);
            }
        }
    }

    fn answered(&mut self, number: usize, known: bool) {
        let worker = &mut self.workers[number];
        let Some(asked) = worker.asked.take_if(|asked| asked.written.is_some()) else { return };
        let now = self.time.after(worker.ahead);
        worker.turn.took(now.since(asked.asked_at));
        let won = known && asked.written == Some(true);
        if won {
            // What it said counts from when it said it.
            worker.said_at = asked.asked_at.before(worker.ahead);
        }
        match asked.what {
            What::Slots(offer) if won => {
                let slots = worker.turn.won(&offer, now);
                self.slots.extend(&slots);
                worker.slots.extend(&slots);
            }
            What::Slots(_) => drop(worker.turn.lost(now, 0.5)),
            What::States(_, held) if won => worker.turn.restated(held, now),
            What::States(..) => {}
        }
        // Whoever lost reads.
        worker.known = self.entry.clone();
    }

    /// At its time, or not at all.
    fn uses(&mut self, number: usize) {
        let worker = &mut self.workers[number];
        let now = self.time.after(worker.ahead);
        let due: Vec<Nanos> = worker.slots.iter().copied().filter(|slot| *slot <= now).collect();
        worker.slots.retain(|slot| *slot > now);
        for slot in due {
            if now.since(slot) <= LATE {
                worker.on_the_wire += 1;
                self.sent.push(self.time);
            }
        }
    }

    fn happens(&mut self, step: Step) {
        match step {
            Step::Passes(millis) => self.time = self.time.after(Duration::from_millis(millis)),
            Step::Look(number, waiting, lot) => self.look(number, waiting, lot),
            Step::Arrives(number) => {
                if let Some(asked) = &mut self.workers[number].asked {
                    Self::write(&mut self.entry, asked);
                }
                // So do those of the dead, at some time.
                if let Some(mut asked) = self.of_the_dead.pop() {
                    Self::write(&mut self.entry, &mut asked);
                }
            }
            Step::Answered(number, known) => self.answered(number, known),
            Step::Told(number) => self.workers[number].known = self.entry.clone(),
            Step::Uses(number) => self.uses(number),
            Step::Ends(number) => {
                let worker = &mut self.workers[number];
                worker.on_the_wire = worker.on_the_wire.saturating_sub(1);
            }
            Step::Dies(number) => self.dies(number),
            Step::Learns(heard) => {
                if let Some(state) = learn(&self.entry.0, self.limits, &heard, self.time) {
                    self.entry = (state, self.entry.1 + 1);
                }
            }
        }
        for number in 0..WORKERS {
            let worker = &self.workers[number];
            if worker.held() > 0 && self.time.since(worker.said_at) >= SILENT {
                self.dies(number);
            }
        }
    }

    fn in_flight(&self) -> u32 {
        self.workers.iter().map(|worker| worker.on_the_wire).sum()
    }
}

/// Whether there is no window, stretched by `slack`, in which there are more than the rate and the burst allow.
fn keeps(at: &[Nanos], limits: Limits, slack: Duration) -> bool {
    let mut at = at.to_vec();
    at.sort_unstable();
    let most = |window: Duration| {
        u64::try_from((window + slack).as_nanos()).unwrap() / limits.interval.nanos() + u64::from(limits.burst)
    };
    (0..at.len())
        .all(|from| (from..at.len()).all(|to| u64::try_from(to - from + 1).unwrap() <= most(at[to].since(at[from]))))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_workers_do_and_hear_the_rate_the_burst_and_the_places_are_never_exceeded(
        rate in prop_oneof![0.5_f64..20.0, 20.0_f64..1_000.0],
        burst in 1_u32..5,
        concurrency in prop_oneof![1_u32..6, Just(1_000)],
        steps in prop::collection::vec(step(), 1..400),
    ) {
        let interval = Interval::of_rate(rate).unwrap();
        // A ceiling: whatever is learned can only be slower.
        let limits = Limits { interval, burst, concurrency, ceiling: true };
        let mut run = Run::new(limits);
        for step in steps {
            run.happens(step);
            prop_assert!(run.in_flight() <= concurrency, "{} in flight of {concurrency}", run.in_flight());
        }
        prop_assert!(keeps(&run.slots, limits, Duration::ZERO), "{:?}", run.slots);
        prop_assert!(keeps(&run.sent, limits, LATE + SKEW));
    }
}

fn limits(rate: f64, concurrency: u32) -> Limits {
    Limits { interval: Interval::of_rate(rate).unwrap(), burst: 1, concurrency, ceiling: true }
}

fn at(millis: u64) -> Nanos {
    NOW.after(Duration::from_millis(millis))
}

/// A look at `run`'s entry by a worker that knows it.
fn looks(turn: &mut Turn, state: &GateState, limits: Limits, held: u32, now: Nanos, lot: f64) -> Move {
    turn.reserve(Sight { worker: "a", state, limits, horizon: HORIZON, held, waiting: 1, now }, lot)
}

fn state() -> GateState {
    Run::new(limits(1.0, 1)).entry.0
}

#[test]
fn an_idle_gate_is_asked_at_once() {
    let Move::Swap(offer) = looks(&mut Turn::default(), &state(), limits(2.0, 64), 0, NOW, 0.9) else {
        panic!("it waits for nothing")
    };
    assert_eq!(Turn::default().won(&offer, NOW), [NOW]);
}

#[test]
fn a_call_whose_time_has_come_goes_when_the_swap_is_answered_which_is_not_late_as_long_as_it_takes_what_it_did() {
    let mut turn = Turn::default();
    turn.took(Duration::from_millis(8));
    let Move::Swap(offer) = looks(&mut turn, &state(), limits(500.0, 64), 0, NOW, 0.5) else { panic!("it waits") };
    for (answered, used) in [(3, 3), (8, 8), (30, 8)] {
        assert_eq!(turn.won(&offer, at(answered)), [at(used)], "answered after {answered} ms");
    }
    assert!(next_slot(&offer.state, limits(500.0, 64), NOW) > at(8), "those after it keep their distance");
}

#[test]
fn who_had_the_last_slot_asks_later_than_anybody_else_and_still_in_time() {
    let limits = limits(2.0, 64);
    let (mut first, mut other) = (Turn::default(), Turn::default());
    let Move::Swap(offer) = looks(&mut first, &state(), limits, 0, NOW, 0.5) else { panic!("it waits") };
    let _ = first.won(&offer, NOW);
    let when = |turn: &mut Turn, lot: f64| match looks(turn, &offer.state, limits, 0, NOW, lot) {
        Move::Look(at) => at,
        Move::Swap(_) => panic!("the next slot is half a second ahead"),
    };
    let its = when(&mut first, 0.0);
    for lot in [0.0, 0.001, 0.5, 1.0] {
        assert!(when(&mut other.clone(), lot) < its, "with {lot}");
    }
    assert!(when(&mut other, 1.0) > at(400), "no slot is asked for before the horizon reaches it");
    assert!(its < at(460), "there is time for the swap: {its:?}");
}

#[test]
fn the_first_of_many_who_choose_a_moment_is_likely_alone() {
    let limits = limits(2.0, 64);
    let Move::Swap(offer) = looks(&mut Turn::default(), &state(), limits, 0, NOW, 0.5) else { panic!("it waits") };
    for many in [2_u32, 10, 100, 1_000] {
        let mut gaps = Vec::new();
        for round in 0..50_u32 {
            // A low-discrepancy sequence stands for chance.
            let lot = |n: u32| (f64::from(n) * 0.618_034 + f64::from(round) * 0.754_878).fract();
            let mut moments: Vec<Nanos> = (0..many)
                .map(|n| match looks(&mut Turn::default(), &offer.state, limits, 0, NOW, lot(n)) {
                    Move::Look(at) => at,
                    Move::Swap(_) => panic!("too soon"),
                })
                .collect();
            moments.sort_unstable();
            gaps.push(moments[1].since(moments[0]));
        }
        gaps.sort_unstable();
        assert!(gaps[25] >= Duration::from_micros(500), "{many}: {:?} in the median", gaps[25]);
    }
}

#[test]
fn after_each_lost_swap_it_waits_longer_and_a_change_does_not_wake_it_sooner() {
    let (mut turn, mut now, mut before) = (Turn::default(), NOW, Duration::ZERO);
    for _ in 0..5 {
        let again = turn.lost(now, 1.0);
        assert!(again.since(now) > before);
        assert!(matches!(looks(&mut turn, &state(), limits(2.0, 64), 0, now, 0.5), Move::Look(at) if at == again));
        (before, now) = (again.since(now), again);
    }
    assert!(before <= Duration::from_millis(40), "{before:?} after five");
    assert!(matches!(looks(&mut turn, &state(), limits(2.0, 64), 0, now, 0.5), Move::Swap(_)));
}

#[test]
fn a_place_of_its_own_is_passed_on_at_first_and_rarely_where_nobody_takes_it() {
    let (limits, worker) = (limits(1_000.0, 1), "a");
    let (mut turn, mut now, mut passed) = (Turn::default(), NOW, 0);
    let mut state = restate(state(), worker, 1, now);
    // Its only call is over again and again.
    for _ in 0..2_000 {
        now = now.after(Duration::from_millis(10));
        match looks(&mut turn, &state, limits, 0, now, 0.5) {
            Move::Swap(offer) => {
                let _ = turn.won(&offer, now);
                state = offer.state;
            }
            Move::Look(_) => passed += 1,
        }
    }
    assert!((2..=60).contains(&passed), "{passed} looks of 2,000 in 20 s left the place to others");
}

#[test]
fn a_statement_from_before_the_clock_was_set_back_is_made_again() {
    let mut turn = Turn::default();
    turn.restated(1, at(3_600_000));
    let state = state();
    let sight =
        Sight { worker: "a", state: &state, limits: limits(2.0, 4), horizon: HORIZON, held: 1, waiting: 0, now: NOW };
    assert!(turn.must_restate(sight));
}
