//! Delivery against a real nats-server and real receivers: what is posted, tried again, remembered, given up, handed back.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

mod again;
mod copies;
mod crowd;
mod death;
mod first;
mod lost;
mod memory;
mod rig;
mod signed;
mod stop;
mod subject;
