//! Secrets: webhooks that are signed, headers that are sealed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

mod canary;
mod command;
mod named;
mod receiver;
mod sealed;
mod signed;
mod signing;
