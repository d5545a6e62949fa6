//! One post of one webhook: where it goes, what is in it, and by which of the two ways.
//!
//! Invariant: what is said of a post names no URL, header or body.

use std::time::Duration;

use async_nats::HeaderMap;
use bytes::Bytes;
use sluice_shared::clock;
use sluice_shared::domain::delivery::Came;
use sluice_shared::domain::id::Tenant;
use sluice_shared::domain::payload::WebhookBody;
use sluice_shared::domain::result::JobResult;
use sluice_shared::domain::signature::Signed;
use sluice_shared::domain::webhook_secrets::WebhookSecrets;
use sluice_shared::effects::Effects;
use sluice_shared::nats::Nats;
use sluice_shared::nats::hand_over::NotTaken;
use sluice_shared::nats::publish::MESSAGE_ID;
use sluice_shared::secrets::WatchedSecrets;
use sluice_shared::telemetry::traceparent;
use url::Url;

use super::http;
use super::{DeliveryError, DeliveryOptions};
use crate::targets::Clients;

/// The header with the id of the event, the same each time it is posted.
pub(super) const ID: &str = "webhook-id";
/// The header with the time of this post, in seconds since the epoch.
pub(super) const TIMESTAMP: &str = "webhook-timestamp";
/// The header with the trace that the job belongs to.
pub(super) const TRACE: &str = "traceparent";
/// What the body is.
pub(super) const JSON: &str = "application/json";

/// How long a NATS subject may be silent.
const NATS_SILENCE: Duration = Duration::from_secs(5);

/// Where a webhook goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Over HTTP.
    Http(Url),
    /// To a NATS subject.
    Nats(String),
}

/// One post as it goes out.
pub(super) struct Post {
    pub(super) id: String,
    pub(super) timestamp: String,
    pub(super) traceparent: Option<String>,
    /// Headers that sign all of this.
    pub(super) signatures: Vec<(&'static str, String)>,
    pub(super) body: Bytes,
}

/// Posts by both ways.
pub(super) struct Poster {
    http: Clients,
    nats: Nats,
    timeout: Duration,
    secrets: WatchedSecrets<Tenant>,
}

impl Target {
    /// Where a URL of a webhook points; `None` where it is neither kind, which no accepted job has.
    pub(super) fn of(url: &str) -> Option<Self> {
        if let Some(subject) = url.strip_prefix("nats:") {
            return Some(Self::Nats(subject.to_owned()));
        }
        let url = Url::parse(url).ok()?;
        (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(Self::Http(url))
    }

    /// What posts share that cannot block each other: scheme, host and port, or the subject.
    pub(super) fn endpoint(&self) -> String {
        match self {
            Self::Http(url) => format!(
                "{}://{}:{}",
                url.scheme(),
                url.host_str().unwrap_or_default(),
                url.port_or_known_default().unwrap_or_default()
            ),
            Self::Nats(subject) => format!("nats:{subject}"),
        }
    }
}

impl Post {
    fn new(
        result: &JobResult,
        webhook: usize,
        attempt: u32,
        secrets: Option<&WebhookSecrets>,
    ) -> Result<Self, serde_json::Error> {
        let (id, timestamp) = (result.event_id(webhook), (clock::now().0 / 1_000).to_string());
        let body = Bytes::from(serde_json::to_vec(&WebhookBody::new(result, webhook, attempt))?);
        let signed = Signed { id: &id, timestamp: &timestamp, body: &body };
        let signatures = secrets.map(|secrets| secrets.sign(signed)).unwrap_or_default();
        let traceparent = result.traceparent.as_deref().and_then(traceparent::child);
        Ok(Self { id, timestamp, traceparent, signatures, body })
    }
}

impl Poster {
    pub(super) fn new(effects: &Effects, options: &DeliveryOptions) -> Result<Self, DeliveryError> {
        let http = http::clients(options.targets.clone(), options.per_endpoint)?;
        let nats = effects.nats().clone();
        let secrets = WatchedSecrets::start(&nats, effects.sealing().seal());
        Ok(Self { http, nats, timeout: options.timeout, secrets })
    }

    /// Waits until it is known what posts are signed with: before a seat is taken, which others could use meanwhile.
    pub(super) async fn ready(&self) {
        self.secrets.whole().await;
    }

    /// Posts, signed where its tenant asked for it, and says what came of it. What cannot be signed is not posted.
    pub(super) async fn post(&self, target: Target, result: &JobResult, webhook: usize, attempt: u32) -> Came {
        match self.secrets.of(&result.tenant).await {
            Ok(secrets) => self.post_signed(target, result, webhook, attempt, secrets.as_deref()).await,
            Err(error) => {
                Came::Failed { error: format!("its webhook secrets cannot be used: {error}"), retry_after: None }
            }
        }
    }

    async fn post_signed(
        &self,
        target: Target,
        result: &JobResult,
        webhook: usize,
        attempt: u32,
        secrets: Option<&WebhookSecrets>,
    ) -> Came {
        let mut less: Option<JobResult> = None;
        loop {
            let result = less.as_ref().unwrap_or(result);
            let post = match Post::new(result, webhook, attempt, secrets) {
                Ok(post) => post,
                Err(error) => return Came::Refused { reason: format!("its payload cannot be written: {error}") },
            };
            let subject = match &target {
                Target::Http(url) => {
                    return match self.http.client(&result.tenant, url) {
                        Ok(client) => http::post(client, url.clone(), post, self.timeout).await,
                        Err(refused) => http::not_posted(refused),
                    };
                }
                Target::Nats(subject) => subject.clone(),
            };
            // What is more than the broker takes is posted with less of its answers, and says so.
            less = match self.request(subject, post).await {
                Err(error @ NotTaken::TooLarge { .. }) => match result.smaller() {
                    Some(smaller) => Some(smaller),
                    None => return came(Err(error)),
                },
                taken => return came(taken),
            };
        }
    }

    async fn request(&self, subject: String, post: Post) -> Result<(), NotTaken> {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", JSON);
        // A stream that takes the subject stores the event once, however often it is posted within its window.
        headers.insert(MESSAGE_ID, post.id.as_str());
        headers.insert(ID, post.id);
        headers.insert(TIMESTAMP, post.timestamp);
        if let Some(trace) = post.traceparent {
            headers.insert(TRACE, trace);
        }
        for (name, signature) in post.signatures {
            headers.insert(name, signature);
        }
        self.nats.hand_over(subject, headers, post.body, NATS_SILENCE).await
    }
}

/// What the answer of a subject means.
fn came(taken: Result<(), NotTaken>) -> Came {
    match taken {
        Ok(()) => Came::Delivered,
        Err(
            error @ (NotTaken::Nobody
            | NotTaken::Silence(_)
            | NotTaken::Declined(_)
            | NotTaken::NotAllowed
            | NotTaken::Broken),
        ) => Came::Failed { error: error.to_string(), retry_after: None },
        Err(error @ (NotTaken::TooLarge { .. } | NotTaken::NoSubject)) => Came::Refused { reason: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a target that is refused fails the test")]

    use super::*;

    #[test]
    fn posts_to_one_scheme_host_and_port_share_an_endpoint_whatever_else_differs() {
        let endpoint = |url: &str| Target::of(url).unwrap().endpoint();
        assert_eq!(endpoint("https://a.example/x?token=1"), "https://a.example:443");
        assert_eq!(endpoint("https://A.example:443/y"), "https://a.example:443");
        assert_eq!(endpoint("http://[::1]:8080/"), "http://[::1]:8080");
        assert_eq!(endpoint("nats:orders.done"), "nats:orders.done");
    }

    #[test]
    fn what_is_no_webhook_is_told_apart() {
        for url in ["", "ftp://a.example/", "file:///etc/passwd", "http:", "not a url"] {
            assert_eq!(Target::of(url), None, "{url}");
        }
    }
}
