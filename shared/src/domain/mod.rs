//! The pure core: what a job is, how its race goes on, when a gate lets a call through. No async, no clock, no I/O, no randomness.

pub mod access;
pub mod classify;
mod cut;
pub mod decide;
pub mod delivery;
pub mod demand;
pub mod event;
pub mod fingerprint;
pub mod gate;
pub mod id;
pub mod job;
pub mod named_secret;
pub mod outcome;
pub mod pace;
pub mod payload;
pub mod quorum;
pub mod record;
pub mod region;
pub mod renew;
pub mod reroute;
pub mod result;
pub mod retry;
pub mod shares;
pub mod signature;
pub mod submission;
pub mod targets;
pub mod webhook_secrets;
