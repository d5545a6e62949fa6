//! The HTTP interface against a real nats-server, with a gateway in this process and jobs that are settled by hand.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

mod admin;
mod batch;
mod cancel;
mod events;
mod get;
mod letters;
mod outage;
mod queues;
mod rig;
mod settle;
mod sse;
mod stop;
mod storage;
mod submit;
mod wait;
mod waiting;
mod webhooks;
