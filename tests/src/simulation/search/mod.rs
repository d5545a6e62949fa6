//! An exhaustive search over the project's own decisions: every order of every step, with a bounded number of things that
//! go wrong, for one job.
//!
//! Merged without loss: read, decide and swap are one step, because the swap that holds has read the record as it is, and
//! one that does not reads again. Every publish, the start of a call, its answer with its swap, and every ack after an
//! effect is a step of its own, and a death fits between any two. A timer may fire at any time.

mod core;
mod hands;
mod judge;
mod plan;
mod reduce;
mod state;
mod steps;

use std::collections::HashMap;
use std::rc::Rc;

use self::core::Core;
use self::state::State;
use self::steps::{Next, Steps};

pub use plan::{Plan, Reads, Tree};

/// How a search went.
#[derive(Debug)]
pub struct Searched {
    /// States that were reached.
    pub states: usize,
    /// What does not hold, and the shortest way to it, if anything.
    pub broken: Option<(&'static str, Vec<String>)>,
}

/// Searches all states that a plan reaches.
///
/// # Panics
/// Where there are more than are worth waiting for.
#[must_use]
pub fn search(plan: &Plan) -> Searched {
    let mut steps = Steps::new(plan.clone(), Core::default());
    let begin = Rc::new(steps.begin());
    let mut numbers = HashMap::from([(Rc::clone(&begin), 0_usize)]);
    let mut states = vec![(begin, 0_usize)];
    let mut place = 0;
    while place < states.len() {
        let state = Rc::clone(&states[place].0);
        let next = steps.after(&state, false);
        let broken = steps.at_rest(&state, &next).or_else(|| next.iter().find_map(|next| next.state.broken));
        if let Some(what) = broken {
            return Searched { states: states.len(), broken: Some((what, way(&mut steps, &states, place))) };
        }
        for Next { state, .. } in next {
            let state = Rc::new(state);
            if !numbers.contains_key(&state) {
                numbers.insert(Rc::clone(&state), states.len());
                states.push((state, place));
            }
        }
        assert!(states.len() < plan.most_states, "more than {} states", plan.most_states);
        place += 1;
    }
    Searched { states: states.len(), broken: None }
}

/// The steps from the beginning to a state, and the one that breaks something, if it is one.
fn way(steps: &mut Steps, states: &[(Rc<State>, usize)], last: usize) -> Vec<String> {
    let mut places = vec![last];
    while let Some(&place) = places.last().filter(|place| **place != 0) {
        places.push(states[place].1);
    }
    places.reverse();
    let mut told: Vec<String> = places
        .windows(2)
        .map(|two| {
            let next = steps.after(&states[two[0]].0, true);
            next.into_iter().find(|next| next.state == *states[two[1]].0).map(|next| next.what).unwrap_or_default()
        })
        .collect();
    let last = steps.after(&states[last].0, true).into_iter().find(|next| next.state.broken.is_some());
    told.extend(last.map(|next| next.what));
    told
}
