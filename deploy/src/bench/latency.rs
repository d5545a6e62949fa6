//! `sluice bench latency`: one job at a time on an idle system, from its submission to the call and to the webhook.

use serde_json::{Value, json};

use super::document::{Report, lost_or_doubled, measured, ms, text};
use super::load::{BODY, Jobs};
use super::monotonic::micros;
use super::stage::{Plan, Stage};
use super::windows::percentile;
use crate::cli::Failure;
use crate::cli::args::{LatencyArgs, Via};
use crate::show::Show;

/// Jobs before those that count: connections are opened, code and data are warm.
const WARM: u32 = 50;

/// Runs it to its end.
pub(crate) async fn run(args: LatencyArgs) -> Result<(), Failure> {
    let show = Show::new(args.json);
    measured(args.json, &show, measure(&args, &show)).await
}

/// All times in microseconds.
#[derive(Default)]
struct Times {
    via: Via,
    to_destination: Vec<u64>,
    to_webhook: Vec<u64>,
    direct: Vec<u64>,
    lost: u32,
    doubled: u32,
    nats_server: Option<String>,
}

async fn measure(args: &LatencyArgs, show: &Show) -> Result<Times, Failure> {
    show.progress("starting a nats-server and the roles");
    let stage = Stage::start(&Plan::one_each(args.consumers)).await?;
    let (door, jobs) = (stage.door(args.via).await?, Jobs::new(&stage.audience, 1));
    let mut times = Times { via: args.via, nats_server: stage.nats_version(), ..Times::default() };
    let (body, all) = ("x".repeat(BODY), WARM + args.jobs);
    for number in 0..all {
        let began = micros();
        door.submit(&jobs, number).await?;
        let seen = stage.audience.wait(number).await?;
        if number >= WARM {
            times.to_destination.push(seen.call_us.saturating_sub(began));
            times.to_webhook.push(seen.hook_us.saturating_sub(began));
        }
        if number % 50 == 0 {
            show.progress(&format!("{number} of {all} jobs"));
        }
    }
    let count = stage.audience.count().await?;
    (times.lost, times.doubled) = (all - count.hooks.min(all), count.doubled_calls + count.doubled_hooks);
    for number in all..all + all {
        let began = micros();
        stage.audience.call(number, &body).await?;
        if number >= all + WARM {
            times.direct.push(micros().saturating_sub(began));
        }
    }
    stage.stop().await?;
    Ok(times)
}

impl Report for Times {
    fn document(&self) -> Value {
        let of = |times: &[u64]| json!({ "p50": ms(percentile(times, 0.5)), "p99": ms(percentile(times, 0.99)) });
        json!({
            "jobs": self.to_webhook.len(), "via": self.via.as_str(), "lost": self.lost, "doubled": self.doubled,
            "submit_to_destination_ms": of(&self.to_destination), "submit_to_webhook_ms": of(&self.to_webhook),
            "direct_ms": of(&self.direct),
        })
    }

    fn table(&self) -> String {
        let document = self.document();
        let line = |name: &str, field: &str| {
            let of = &document[field];
            format!("{name:<26}{:>8}{:>10}", text(&of["p50"]), text(&of["p99"]))
        };
        let head = format!("{} jobs, one at a time, over {}\n", self.to_webhook.len(), self.via.as_str());
        [
            head,
            format!("{:<26}{:>8}{:>10}", "", "p50 ms", "p99 ms"),
            line("submit to destination", "submit_to_destination_ms"),
            line("submit to webhook", "submit_to_webhook_ms"),
            line("a call without Sluice", "direct_ms"),
        ]
        .join("\n")
    }

    fn wrong(&self) -> Option<String> {
        lost_or_doubled(self.lost, self.doubled)
    }

    fn nats_server(&self) -> Option<&str> {
        self.nats_server.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_the_percentiles_in_milliseconds() {
        let times = Times {
            to_destination: vec![500, 700, 900],
            to_webhook: vec![1000, 1500, 9000],
            direct: vec![100],
            ..Times::default()
        };
        let document = times.document();
        assert_eq!(document["submit_to_destination_ms"], json!({"p50": 0.7, "p99": 0.9}));
        assert_eq!(document["submit_to_webhook_ms"], json!({"p50": 1.5, "p99": 9.0}));
        assert_eq!((&document["direct_ms"]["p50"], &document["jobs"]), (&json!(0.1), &json!(3)));
        assert!(times.wrong().is_none() && Times { doubled: 1, ..times }.wrong().is_some());
    }
}
