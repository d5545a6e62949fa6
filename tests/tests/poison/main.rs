//! What cannot be handled, whatever is tried: it ends, it is set aside with the reason, and everything else goes on.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

mod panics;
mod sizes;
