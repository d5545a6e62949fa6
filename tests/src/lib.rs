//! What the suites stand on: real servers and real processes, started and ended by the test that needs them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

pub mod broker;
pub mod python;

use std::path::PathBuf;

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
