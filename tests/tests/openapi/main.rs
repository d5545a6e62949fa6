//! The OpenAPI document: that it has everything that there is, and that a gateway keeps to it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

mod codes;
mod conforms;
mod document;
mod examples;
mod schemathesis;
mod submissions;
