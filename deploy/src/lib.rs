//! The `sluice` command as a library: the embedded broker, and the command line that starts every role.

mod accounts;
pub mod bench;
pub mod broker;
pub mod cli;
mod demo;
mod entry;
mod roles;
pub mod scripted;
mod sealing;
mod show;
