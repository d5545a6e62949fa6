//! What every role of Sluice relies on: the domain, the wire, the topology, the broker, and the one way a job enters.

pub mod clock;
pub mod config;
pub mod domain;
pub mod effects;
pub mod fault_points;
pub mod gate_settings;
pub mod keys;
pub mod nats;
pub mod panics;
pub mod places;
pub mod queues;
pub mod regions;
pub mod room;
pub mod seal;
pub mod secrets;
pub mod telemetry;
pub mod topology;
pub mod wire;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed step fails the test")]
mod golden;
