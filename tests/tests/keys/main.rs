//! API keys: who is let in, what they reach, how much they may submit. Real gateways on a real nats-server.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

mod admin;
mod command;
mod door;
mod open_jobs;
mod quotas;
mod revoked;
mod rig;
mod scopes;
mod secrets;
mod tenants;
