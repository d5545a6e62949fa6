//! One job at a time, as its submitter, its destination and its webhook see it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

mod anew;
mod calls;
mod endings;
mod follow_ups;
mod limits;
mod queues;
mod quorum;
mod retries;
