//! The worker fleet of Sluice: pulls queues under their gates, sends, settles, sweeps; delivers outcomes.
//!
//! `dispatch` is the file to open first: one branch from top to bottom.

mod attempt;
pub mod deliver;
mod dispatch;
mod due;
mod fill;
mod fleet;
pub mod gate;
mod handler;
mod message;
mod pause;
mod poison;
mod presence;
mod queue;
mod send;
mod settings;
mod settlements;
pub mod sweep;
pub mod targets;
mod worker;

pub use send::NoClient;
pub use worker::run;
