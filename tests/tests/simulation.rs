//! The project's own decisions under a simulated broker: every rule holds in every run, and none could be left out.
//!
//! The runs of each test begin at a seed of its own, another one each time. What fails names its seed and tells what
//! happened; `SLUICE_SEED=<seed> cargo test -p sluice-tests --test simulation` runs that one again, `SLUICE_RUNS=<n>` as
//! many as that.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

use std::collections::BTreeSet;
use std::ops::Range;

use sluice_tests::simulation::search::{Plan, Reads, Tree, search};
use sluice_tests::simulation::{Invariant, Rule, Rules, Sight, run, run_gate};

/// Broken rules are looked for from this seed on, always the same, so that this is no matter of luck.
const FIRST: u64 = 1;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not `{text}`")))
}

/// The seeds of a test: the one that was asked for, else so many new ones.
fn seeds(runs: u64) -> Range<u64> {
    let (first, runs) = match number("SLUICE_SEED") {
        Some(seed) => (seed, 1),
        None => (rand::random::<u64>() >> 16, number("SLUICE_RUNS").unwrap_or(runs)),
    };
    eprintln!("seeds {first} to {}", first + runs - 1);
    first..first + runs
}

fn all_of_it(seed: u64) -> String {
    let told = run(seed, Rules::default(), true);
    format!("{}\nSLUICE_SEED={seed} cargo test -p sluice-tests --test simulation", told.timeline.join("\n"))
}

#[test]
fn every_rule_holds_in_every_run_and_the_runs_meet_all_that_can_happen() {
    let seeds = seeds(4_000);
    let (runs, mut met) = (seeds.end - seeds.start, BTreeSet::new());
    for seed in seeds {
        let run = run(seed, Rules::default(), false);
        met.extend(run.sights);
        if let Some(violation) = run.violation {
            panic!("{}: {}\n\n{}", violation.invariant, violation.detail, all_of_it(seed));
        }
    }
    let unmet: Vec<_> = Sight::ALL.into_iter().filter(|sight| !met.contains(sight)).collect();
    assert!(unmet.is_empty() || runs < 4_000, "no run met {unmet:?}");
}

#[test]
fn a_run_is_its_seed() {
    for seed in seeds(20) {
        assert_eq!(run(seed, Rules::default(), true).timeline, run(seed, Rules::default(), true).timeline);
    }
}

/// Which invariants notice that a rule is broken; any of them may be the first.
fn noticed_by(rule: Rule) -> &'static [Invariant] {
    use Invariant as I;
    match rule {
        Rule::AckLast => &[I::LiveBranchHasAMessage, I::CalledOnce, I::EverythingEnds],
        Rule::ReadBeforeActing => &[I::NoCallAfterTheEnd, I::LosersAreDropped],
        Rule::ExpectTheNewest => &[I::ChainGoesForward, I::CalledOnce, I::NoCallAfterTheEnd, I::LosersAreDropped],
        Rule::TimersFireIntoDue => &[I::CalledOnce, I::ChainGoesForward, I::LiveBranchHasAMessage],
        Rule::ActFromTheRecord => &[I::LiveBranchHasAMessage, I::EverythingEnds],
        Rule::LookAfterSwaps => {
            &[I::ResultIsTheOutcome, I::NothingOdd, I::LiveBranchHasAMessage, I::CalledOnce, I::TriggerHasCome]
        }
        Rule::SignalsApart | Rule::EnsureFallbacks => &[I::LiveBranchHasAMessage],
        Rule::AnnounceAfterTheSwap => &[I::LosersAreDropped],
        Rule::ChainBeforeRecord => &[I::ChainGoesForward],
        Rule::KeepTheAnswer | Rule::KeepTheCall => &[I::CalledOnce],
        Rule::FinishTheLook => &[I::NoCallAfterTheEnd, I::LosersAreDropped],
        Rule::OneResultOfACancel => &[I::OneResult, I::DeliveredOnce],
        Rule::ResultBeforeRetry => &[I::EverythingEnds],
        Rule::RememberDeliveries => &[I::DeliveredOnce],
        Rule::UnknownSlotsAreGivenUp => &[I::GateKeepsItsRate, I::GateKeepsItsConcurrency],
        Rule::MissedSlotsAreGivenUp => &[I::GateKeepsItsRate, I::GateKeepsItsConcurrency],
    }
}

#[test]
fn a_rule_that_is_broken_is_noticed() {
    for rule in Rule::ALL {
        let mut runs = FIRST..FIRST + 3_000;
        let noticed = runs.find_map(|seed| Some((seed, run(seed, Rules::without(rule), false).violation?)));
        let (seed, violation) = noticed.unwrap_or_else(|| panic!("nobody notices that {rule:?} is broken"));
        eprintln!("{rule:?}: {} at seed {seed}", violation.invariant);
        assert!(noticed_by(rule).contains(&violation.invariant), "{rule:?} is noticed by {violation:?}, seed {seed}");
    }
}

#[test]
fn a_gate_keeps_its_rate_and_its_concurrency_whatever_its_workers_do() {
    for seed in seeds(800) {
        if let Some(violation) = run_gate(seed, Rules::default()) {
            panic!("{}: {}\nSLUICE_SEED={seed}", violation.invariant, violation.detail);
        }
    }
    for rule in Rule::OF_GATES {
        let mut runs = FIRST..FIRST + 500;
        let noticed = runs.find_map(|seed| run_gate(seed, Rules::without(rule)));
        let violation = noticed.unwrap_or_else(|| panic!("nobody notices that {rule:?} is broken"));
        assert!(noticed_by(rule).contains(&violation.invariant), "{rule:?} is noticed by {violation:?}");
    }
}

// ---- every order of every step

fn holds(plan: &Plan) {
    let searched = search(plan);
    eprintln!("{} states: {plan:?}", searched.states);
    if let Some((what, way)) = searched.broken {
        panic!("{what}: {plan:?}\n  {}", way.join("\n  "));
    }
}

fn breaks(plan: &Plan) -> (&'static str, Vec<String>) {
    search(plan).broken.unwrap_or_else(|| panic!("nothing breaks in {plan:?}"))
}

/// Without answers of 429, one attempt.
fn small(tree: Tree) -> Plan {
    Plan { tree, attempts: 1, limited: false, ..Plan::default() }
}

#[test]
fn an_overdue_job_submits_its_follow_up_in_every_order_of_every_step() {
    let overdue = Plan { overdue: true, ..Plan::default() };
    holds(&Plan { faults: 2, ..overdue.clone() });
    holds(&Plan { cancels: 1, ..overdue.clone() });
    holds(&Plan { deadline: true, ..overdue.clone() });
    holds(&Plan { submitters: 2, ..overdue.clone() });
    holds(&Plan { later: true, ..overdue });
    holds(&Plan { overdue: true, ..small(Tree::OnError) });
    holds(&Plan { overdue: true, ..small(Tree::OnTimeout) });
}

#[test]
fn a_race_over_regions_and_a_fanout_end_once_in_every_order_of_every_step() {
    for tree in [Tree::Race, Tree::Fanout] {
        holds(&small(tree));
        holds(&Plan { limited: true, faults: 0, ..small(tree) });
        holds(&Plan { attempts: 2, faults: 0, ..small(tree) });
        holds(&Plan { cancels: 1, faults: 0, ..small(tree) });
        holds(&Plan { submitters: 2, faults: 0, ..small(tree) });
        holds(&Plan { sweep: true, lost: true, ..small(tree) });
    }
}

#[test]
fn a_branch_that_moves_is_called_once_in_every_region_in_every_order_of_every_step() {
    let moves = |plan: Plan| Plan { moves: true, ..plan };
    holds(&moves(Plan { faults: 2, ..small(Tree::Alone) }));
    holds(&moves(Plan { attempts: 2, ..small(Tree::Alone) }));
    holds(&moves(Plan { sweep: true, lost: true, ..small(Tree::Alone) }));
    holds(&moves(Plan { cancels: 1, ..small(Tree::Alone) }));
    holds(&moves(small(Tree::OnError)));
    holds(&moves(small(Tree::OnTimeout)));
    holds(&moves(Plan { faults: 0, ..small(Tree::Fanout) }));
}

#[test]
fn the_sweep_heals_in_every_order_of_every_step_what_nobody_else_can() {
    let sweep = |plan: Plan| Plan { sweep: true, swallowed: true, lost: true, ..plan };
    holds(&sweep(Plan { faults: 2, ..Plan::default() }));
    holds(&sweep(Plan { later: true, ..Plan::default() }));
    holds(&sweep(Plan { overdue: true, ..small(Tree::Alone) }));
    holds(&sweep(small(Tree::OnError)));
    holds(&sweep(small(Tree::OnTimeout)));
}

#[test]
fn without_the_sweep_what_it_heals_stays_as_it_is() {
    for plan in [Plan { swallowed: true, ..Plan::default() }, Plan { lost: true, ..Plan::default() }] {
        assert!(breaks(&plan).0.starts_with("EverythingEnds"), "{plan:?}");
    }
}

/// The product reads from the leader. A replica that is behind may be read where it costs no more than a call.
#[test]
fn a_read_that_is_behind_loses_a_branch_unless_the_leader_is_asked_about_what_it_does_not_know() {
    let (what, _) = breaks(&Plan { reads: Reads::Behind, ..Plan::default() });
    assert_eq!(what, "NothingOdd", "a message of an attempt that the replica does not know is set aside");
    let asked = |plan: Plan| Plan { reads: Reads::BehindThenLeader, ..plan };
    holds(&asked(Plan::default()));
    holds(&asked(Plan { faults: 2, limited: false, ..Plan::default() }));
    holds(&asked(Plan { cancels: 1, ..small(Tree::Alone) }));
    holds(&asked(small(Tree::OnError)));
    holds(&asked(small(Tree::OnTimeout)));
}
