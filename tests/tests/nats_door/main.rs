//! NATS in: durable submissions and the request service of a gateway, on a real nats-server, from Rust and from Python.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

mod intake;
mod python;
mod refused;
mod rig;
mod service;
mod trouble;
