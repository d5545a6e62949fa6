//! A store that is really too small: jobs are refused in time, accepted ones end, and what a full store keeps from being
//! written is written once there is room.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

mod fill;
mod full;
mod timers;
mod up;
