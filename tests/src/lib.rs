//! What the suites stand on: real servers and real processes, started and ended by the test that needs them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

pub mod broker;
pub mod check;
pub mod client;
pub mod configuration;
pub mod events;
pub mod guarded;
pub mod process;
pub mod python;
pub mod scale;
pub mod scenario;
pub mod scene;
pub mod simulation;
pub mod system;
pub mod up;

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long anything may take to come about that has to. Long, because the machine may be busy; only failures wait for it.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// How often something is looked at that cannot tell of its changes.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The `sluice` program under test, built beside the tests.
///
/// # Panics
/// Where it was not built.
#[must_use]
pub fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().unwrap().parent().unwrap().join("sluice-under-test");
    assert!(program.exists(), "{} is not there: build the whole package `sluice-tests`", program.display());
    program
}

/// Looks until there is something, and gives it.
///
/// # Panics
/// Where there is nothing within the deadline.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < until, "not within {DEADLINE:?}: {what}");
        sleep(LOOK_EVERY).await;
    }
}
