//! What every role of Sluice relies on: the domain, the wire, the topology, the broker, and the one way a job enters.

pub mod clock;
pub mod domain;
pub mod nats;
pub mod topology;
pub mod wire;
pub mod effects;
pub mod queues;
pub mod config;
pub mod telemetry;
