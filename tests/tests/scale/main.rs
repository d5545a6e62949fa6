//! What many workers and many queues cost, measured at a real nats-server and simulated where no machine is large enough.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

mod broker_costs;
mod gate;
