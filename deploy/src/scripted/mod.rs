//! An HTTP/1.1 destination and a webhook receiver on loopback that answer as they are told and remember who called.
//!
//! Owns the scripts (what is answered, when, whether at all), the record of every call, and the waiting for calls. Does
//! not own any judgement about them: who uses it says what should have happened. Invariant: a call is recorded before it
//! is answered, and a client that goes away before its answer is complete is seen as `dropped_at`.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use std::time::Duration;
//! use sluice::scripted::{Destination, Script};
//!
//! let dest = Destination::start().await?;
//! dest.on("/v1/chat", [Script::answer(429), Script::answer(200).after(Duration::from_millis(50)).body("hello")]);
//! // … something calls dest.at("/v1/chat") …
//! let calls = dest.wait_for(|calls| calls.len() == 2, Duration::from_secs(5)).await;
//! # Ok(()) }
//! ```

mod call;
mod content;
mod destination;
mod limit;
mod quota;
mod rule;
mod script;
mod webhook;

#[cfg(test)]
mod tests;

pub use call::{Call, NotSeen};
pub use destination::Destination;
pub use limit::RateLimit;
pub use quota::Quota;
pub use rule::Rule;
pub use script::Script;
pub use webhook::{Post, WebhookReceiver};
