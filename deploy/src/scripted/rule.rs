//! Which script a call gets: always the same, one after the other, by the limit, or as a closure says.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::call::Call;
use super::limit::RateLimit;
use super::script::Script;

/// Gets the call, and how many came before it.
type Choose = dyn Fn(&Call, usize) -> Script + Send + Sync;

/// Chooses the script of a call. Made from a `Script`, a list of them (the last one stays), or a `RateLimit`.
#[derive(Clone)]
pub struct Rule {
    choose: Arc<Choose>,
    seen: Arc<AtomicUsize>,
}

impl Rule {
    /// Asks a closure, which gets the call and how many came to this rule before it.
    #[must_use]
    pub fn choose(choose: impl Fn(&Call, usize) -> Script + Send + Sync + 'static) -> Self {
        Self { choose: Arc::new(choose), seen: Arc::default() }
    }

    pub(super) fn script(&self, call: &Call) -> Script {
        (self.choose)(call, self.seen.fetch_add(1, Ordering::Relaxed))
    }
}

impl From<Script> for Rule {
    fn from(script: Script) -> Self {
        Self::choose(move |_, _| script.clone())
    }
}

impl From<Vec<Script>> for Rule {
    /// The first for the first call, and so on; the last for all that follow. An empty list answers 200.
    fn from(scripts: Vec<Script>) -> Self {
        Self::choose(move |_, before| nth(&scripts, before))
    }
}

impl<const N: usize> From<[Script; N]> for Rule {
    fn from(scripts: [Script; N]) -> Self {
        Self::from(Vec::from(scripts))
    }
}

impl From<RateLimit> for Rule {
    fn from(limit: RateLimit) -> Self {
        let window = Mutex::new(limit.window());
        Self::choose(move |_, _| {
            let mut window = window.lock().unwrap_or_else(PoisonError::into_inner);
            // Read under the lock, so that the window sees times in order.
            let allowed = window.allows(Instant::now());
            if allowed { limit.within.clone() } else { limit.above.clone() }
        })
    }
}

/// The script after `before` others; the last one stays.
pub(super) fn nth(scripts: &[Script], before: usize) -> Script {
    scripts.get(before).or(scripts.last()).cloned().unwrap_or_else(|| Script::answer(200))
}
