//! Two tenants under load: whatever one floods, the other neither sees it nor waits for it, nor is it counted against them.
//!
//! Nothing here is about speed. What is held against the system is an order, as destinations and receivers see it: what the
//! quiet tenant asked for is done while the flood is far from its end, or hangs for good.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

mod apart;
mod gates;
mod hands;
mod lanes;
mod mixed;
mod nats;
mod quotas;
mod rig;
mod webhooks;
