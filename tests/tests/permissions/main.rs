//! A nats-server that enforces who may do what: every role and every tenant gets what it needs, and nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

mod certificates;
mod credentials;
mod operator;
mod rig;
mod roles;
mod tenants;
mod tls;
