//! Asking the broker for the time.

use std::time::Duration;

use async_nats::Request;
use bytes::Bytes;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::{Nats, REQUEST_TIMEOUT};
use crate::clock;
use crate::domain::gate::Nanos;

/// How often it is asked.
const EVERY: Duration = Duration::from_secs(10);
/// How often it is asked at the start: what came the shortest way counts.
const AT_FIRST: usize = 5;
/// From how much on a wrong clock is worth a warning, in milliseconds.
const WORTH_TELLING: i64 = 1_000;

/// What is read of the answer about a stream.
#[derive(Deserialize)]
struct Answer {
    ts: Option<String>,
}

impl Nats {
    /// Learns the broker's time now, and keeps it from now on. Before this, times are those of this
    /// machine. The topology has to be there: it is asked of whoever leads the stream of results.
    pub async fn keep_time(&self) {
        for _ in 0..AT_FIRST {
            self.ask_the_time().await;
        }
        let ahead = clock::broker_is_ahead_by();
        if ahead.abs() >= WORTH_TELLING {
            tracing::warn!(ahead_ms = ahead, "the broker's clock differs from this machine's; the broker's is used");
        }
        let nats = self.clone();
        tokio::spawn(async move {
            let mut ticks = interval_at(Instant::now() + EVERY, EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                nats.ask_the_time().await;
            }
        });
    }

    /// Without an answer what is known holds.
    async fn ask_the_time(&self) {
        let subject = format!("$JS.API.STREAM.INFO.{}", self.topology().results_stream());
        let request = Request::new().payload(Bytes::new()).timeout(Some(REQUEST_TIMEOUT));
        let Ok(answer) = self.client().send_request(subject, request).await else { return };
        let said = serde_json::from_slice::<Answer>(&answer.payload).ok().and_then(|answer| answer.ts);
        match said.as_deref().and_then(nanos) {
            Some(time) => clock::heard(time),
            None => tracing::debug!("the broker did not say what time it is"),
        }
    }
}

fn nanos(text: &str) -> Option<Nanos> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(time.unix_timestamp_nanos()).ok().map(Nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_an_answer_is_read_to_the_nanosecond() {
        let answer =
            br#"{"type":"io.nats.jetstream.api.v1.stream_info_response","ts":"2026-01-02T03:04:05.000000007Z"}"#;
        let said = serde_json::from_slice::<Answer>(answer).ok().and_then(|answer| answer.ts);
        assert_eq!(said.as_deref().and_then(nanos), Some(Nanos(1_767_323_045_000_000_007)));
        assert_eq!(nanos("yesterday"), None);
    }
}
