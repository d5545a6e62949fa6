//! A nats-server that enforces who may do what: every role and every tenant gets what it needs, and nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

mod rig;
mod roles;
