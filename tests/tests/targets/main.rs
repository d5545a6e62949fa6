//! Targets that may not be called: refused at the doors where that is known then, at the call otherwise.
//!
//! All of it plays on this machine: `127.0.0.1` is allowed and stands for the public internet, `127.0.0.2` is not and stands
//! for a private network. Both have a destination on the same port.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

mod calls;
mod doors;
mod naive;
mod names;
mod rig;
mod tenants;
mod webhooks;
