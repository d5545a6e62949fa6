//! The HTTP and NATS door of Sluice: submits jobs, answers about them.

pub mod http;
pub mod jobs;
