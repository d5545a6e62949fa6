//! The door of Sluice: what can be done with jobs and queues, over HTTP and over NATS.

pub mod access;
mod entries;
pub mod http;
pub mod jobs;
pub mod keys;
pub mod letters;
pub mod nats;
pub mod openapi;
pub mod problem;
pub mod queues;
pub mod secrets;
pub mod webhook_secrets;
