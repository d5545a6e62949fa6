//! The delivery service: every outcome is posted to its job's webhooks, at least once, until it is taken or given up.
//!
//! A result is about all webhooks of a job, what came due is about one. Both are handled the same way, redelivered or not:
//! *read* what is remembered → *post* what the state asks for → *remember* → *publish* the timers and dead letters that
//! the state now asks for → *ack*. No step relies on what was done before it, only on what is stored. So, if the process
//! dies:
//!
//! | after | then the message comes again and |
//! | --- | --- |
//! | the follow-up | submits it again: its key makes it the same job |
//! | a post that was taken | it is posted once more, under the same id: only the receiver can tell |
//! | remembering | nothing is posted again; the state says which timers and dead letters there must be |
//! | the ack, which the broker did not get | all is remembered: nothing is posted |
//! | a timer or a dead letter | they are refused as being there, which is as good |
//!
//! Not here: when a webhook is tried again and what it demands (`domain::delivery`). Invariant: nothing that the state
//! shows as delivered, dead or waiting for a later time is posted.

mod endpoints;
mod hall;
mod hand;
mod handle;
mod hands;
mod http;
mod meet;
mod memory;
mod options;
mod poison;
mod post;
mod pull;
mod seats;

use std::sync::Arc;
use std::time::Duration;

use sluice_shared::effects::Effects;
use sluice_shared::nats::pull::PullError;
use sluice_shared::telemetry::Metrics;
use tokio_util::sync::CancellationToken;

use handle::Handler;
pub use options::DeliveryOptions;
use pull::Source;

/// How long the last words to the broker may take at a stop.
const FLUSH: Duration = Duration::from_secs(1);

/// Why there is no delivery.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The HTTP client could not be made, for example because no certificate authorities were found.
    #[error("webhooks cannot be posted: {0}")]
    Client(String),
    /// The connection to the broker is closed for good.
    #[error(transparent)]
    Closed(#[from] PullError),
}

/// How a stop goes: nothing new is posted, and after the grace what is on the wire is cut.
#[derive(Clone)]
struct Stop {
    stopping: CancellationToken,
    cut: CancellationToken,
}

/// Delivers until told to stop; then ends the posts on the wire within the grace, and hands back all else.
///
/// # Errors
/// Where it cannot start, or the connection is closed for good.
///
/// # Panics
/// Where the process has no default provider of rustls installed.
pub async fn run(
    effects: Effects,
    options: DeliveryOptions,
    metrics: Metrics,
    shutdown: CancellationToken,
) -> Result<(), DeliveryError> {
    let stop = Stop { stopping: shutdown, cut: CancellationToken::new() };
    let nats = effects.nats().clone();
    let handler = Arc::new(Handler::new(effects, &options, metrics, stop.clone())?);
    let (results, due) = Source::both(&nats, &options, &handler, &stop);
    let working = async { tokio::try_join!(results.run(), due.run()) };
    let cutting = async {
        stop.stopping.cancelled().await;
        tokio::time::sleep(options.grace).await;
        stop.cut.cancel();
        std::future::pending().await
    };
    let ended = tokio::select! {
        ended = working => ended,
        ended = cutting => ended,
    };
    // What was handed back is not handed back before the broker has it.
    let _ = tokio::time::timeout(FLUSH, nats.client().flush()).await;
    Ok(ended.map(|_| ())?)
}
