//! The pure core: what a job is, how its race goes on, when a gate lets a call through. No async, no clock, no I/O, no randomness.

pub mod id;
pub mod job;
pub mod outcome;
pub mod record;
pub mod decide;
pub mod demand;
pub mod result;
pub mod payload;
pub mod delivery;
pub mod event;
pub mod fingerprint;
pub mod submission;
pub mod gate;
