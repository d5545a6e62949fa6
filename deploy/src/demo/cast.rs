//! Everybody whom Sluice meets in the demo, scripted, on loopback: three providers, a webhook receiver, and two equal
//! destinations with a limit, one for Sluice and one for the plain clients.
//!
//! Decides what they answer and which configuration fits them. Judges nothing that they see.

use std::io;
use std::time::Duration;

use serde_json::json;
use sluice_shared::config::{Config, DestinationGate};

use crate::scripted::{Destination, RateLimit, Script, WebhookReceiver};

/// The providers of the race in the order of its branches: each is the fallback of the one before.
pub(super) const PROVIDERS: [&str; 3] = ["openrouter", "openai", "anthropic"];
/// How long openrouter takes to say 429, and anthropic to answer.
const QUICK: Duration = Duration::from_millis(100);
/// How long openai would take.
const SLOW: Duration = Duration::from_secs(20);
/// What openrouter says about the next try, in seconds.
pub(super) const RETRY_AFTER: u64 = 2;

/// How many calls a second the destinations of the storm allow.
pub(super) const ALLOWED: u16 = 20;
/// Calls that keep this rate exactly arrive a little early or late, most of all while 200 clients start at once on the
/// same machine: the time of two calls is forgiven, to Sluice and to plain clients alike.
const FORGIVEN: Duration = Duration::from_millis(100);

/// How long a role waits for what is in flight when the demo is stopped: nobody will miss it.
const GRACE: Duration = Duration::from_millis(300);

/// Everybody but Sluice.
pub(super) struct Cast {
    /// As `PROVIDERS`.
    pub(super) providers: [Destination; 3],
    /// Where outcomes go.
    pub(super) receiver: WebhookReceiver,
    /// The destination with a limit that Sluice calls.
    pub(super) limited: Destination,
    /// Its equal, which plain clients call.
    pub(super) twin: Destination,
}

impl Cast {
    /// Starts all of them.
    pub(super) async fn start() -> io::Result<Self> {
        let [openrouter, openai, anthropic] = [start().await?, start().await?, start().await?];
        openrouter.on("*", Script::answer(429).after(QUICK).header("retry-after", RETRY_AFTER));
        openai.on("*", hello("openai").after(SLOW));
        anthropic.on("*", hello("anthropic").after(QUICK));
        let (limited, twin) = (start().await?, start().await?);
        for destination in [&limited, &twin] {
            destination.on("*", RateLimit::per_second(usize::from(ALLOWED)).tolerance(FORGIVEN));
        }
        let receiver = WebhookReceiver::start().await?;
        Ok(Self { providers: [openrouter, openai, anthropic], receiver, limited, twin })
    }

    /// The defaults, with the limit of the one destination that has one, quiet and quick to stop. No file and no
    /// environment changes it: the demo is the same everywhere.
    pub(super) fn config(&self) -> Config {
        let mut config = Config::default().with_loopback_targets();
        "error".clone_into(&mut config.log.filter);
        for grace in [&mut config.worker.grace, &mut config.delivery.grace, &mut config.gateway.grace] {
            *grace = GRACE;
        }
        let limit = DestinationGate { rate: Some(f64::from(ALLOWED)), burst: Some(1), ..DestinationGate::default() };
        config.gate.destinations.insert(self.limited.address().to_string(), limit);
        config
    }
}

async fn start() -> io::Result<Destination> {
    Destination::start().await
}

fn hello(provider: &str) -> Script {
    Script::answer(200).json(&json!({ "answer": format!("hello from {provider}") }))
}
