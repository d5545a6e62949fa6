//! `sluice bench tenants`: one tenant asks for a job now and then, alone and beside another that floods. How much longer its jobs
//! take because of that, from submission to the call and to the webhook.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::document::{Report, lost_or_doubled, measured, rounded, table};
use super::load::{Door, Jobs, Pace, flood};
use super::monotonic::micros;
use super::stage::{Plan, Stage};
use super::windows::percentile;
use crate::cli::Failure;
use crate::cli::args::{TenantsArgs, Via};
use crate::show::Show;

/// Jobs before those that count.
const WARM: u32 = 30;
/// Numbers of the flood's jobs: it never comes to their end.
const FLOOD: std::ops::Range<u32> = 1_000_000..9_000_000;

/// Runs it to its end.
pub(crate) async fn run(args: TenantsArgs) -> Result<(), Failure> {
    let show = Show::new(args.json);
    measured(args.json, &show, measure(&args, &show)).await
}

/// What was measured.
struct Both {
    args: TenantsArgs,
    alone: Times,
    beside: Times,
    /// Webhooks of the flood a second, while it counted.
    flood_per_s: f64,
    /// Durable submissions that were not taken in, before and after.
    waiting: [u64; 2],
    doubled: u32,
    nats_server: Option<String>,
}

/// Those of the quiet tenant's jobs, in microseconds.
#[derive(Default)]
struct Times {
    to_destination: Vec<u64>,
    to_webhook: Vec<u64>,
}

async fn measure(args: &TenantsArgs, show: &Show) -> Result<Both, Failure> {
    show.progress("starting a nats-server and the roles");
    let stage = Stage::start(&Plan { workers: 2, gate: args.gate, ..Plan::one_each(args.consumers) }).await?;
    let stage = Arc::new(stage);
    let door = stage.door(args.via).await?;
    let (quiet, flooding) = (door.clone().of_tenant("quiet"), door.of_tenant("flood"));
    // Where both have one gate the flood has one queue, that of the destination.
    let queues = if args.gate.is_some() { 1 } else { args.queues };
    ask(&stage, &quiet, args, 0..WARM).await?;
    let mut next = WARM..WARM + args.jobs;
    show.progress("alone");
    let alone = ask(&stage, &quiet, args, next.clone()).await?;
    next = next.end..next.end + args.jobs;
    let jobs = Jobs::new(&stage.audience, queues);
    let pace = args.flood_rate.map_or(Pace::Open(args.flood), |rate| Pace::Rate(f64::from(rate)));
    let measuring = async {
        show.progress("the flood rises");
        let before = stage.audience.count().await?.hooks;
        let risen = |count: &super::sink::Count| count.calls >= before.saturating_add(args.flood.min(RISEN));
        stage.audience.until(risen, |_| {}).await?;
        show.progress("beside the flood");
        let (since, from) = (Instant::now(), stage.audience.count().await?.hooks);
        let before = stage.not_taken_in().await?;
        let beside = ask(&stage, &quiet, args, next.clone()).await?;
        let hooks = stage.audience.count().await?.hooks.saturating_sub(from).saturating_sub(args.jobs);
        let flood_per_s = f64::from(hooks) / since.elapsed().as_secs_f64();
        anyhow::Ok((beside, flood_per_s, [before, stage.not_taken_in().await?]))
    };
    let (beside, flood_per_s, waiting) = tokio::select! {
        measured = measuring => measured?,
        flooded = flood(&jobs, &flooding, &stage.audience, FLOOD, pace) => {
            flooded?;
            return Err(anyhow!("the flood came to its end").into());
        }
    };
    let count = stage.audience.count().await?;
    let nats_server = stage.nats_version();
    drop(stage); // the rest of the flood is nobody's
    let doubled = count.doubled_calls + count.doubled_hooks;
    Ok(Both { args: args.clone(), alone, beside, flood_per_s, waiting, doubled, nats_server })
}

/// Calls of the flood before anything beside it counts, where that many are submitted at all.
const RISEN: u32 = 200;

/// Submits jobs of the quiet tenant at its rate, and waits for the webhook of each.
async fn ask(
    stage: &Arc<Stage>,
    door: &Door,
    args: &TenantsArgs,
    numbers: std::ops::Range<u32>,
) -> anyhow::Result<Times> {
    let (jobs, start, first) = (Jobs::new(&stage.audience, 1), Instant::now(), numbers.start);
    let mut asked = JoinSet::new();
    for number in numbers {
        sleep_until(start + Duration::from_secs_f64(f64::from(number - first) / f64::from(args.rate))).await;
        let (stage, door, jobs) = (Arc::clone(stage), door.clone(), jobs.clone());
        asked.spawn(async move {
            let began = micros();
            door.submit(&jobs, number).await?;
            let seen = stage.audience.wait(number).await?;
            anyhow::Ok((seen.call_us.saturating_sub(began), seen.hook_us.saturating_sub(began)))
        });
    }
    let mut times = Times::default();
    while let Some(one) = asked.join_next().await {
        let (to_destination, to_webhook) = one??;
        times.to_destination.push(to_destination);
        times.to_webhook.push(to_webhook);
    }
    Ok(times)
}

impl Both {
    fn entry(&self, what: &str, of: impl Fn(&Times) -> &Vec<u64>) -> Value {
        let hundredths = |micros: Option<u64>| micros.map(|micros| rounded(micros as f64 / 1000.0, 2));
        let times = |times: &Times| {
            let at = |share: f64| hundredths(percentile(of(times), share));
            json!({ "p50": at(0.5), "p99": at(0.99) })
        };
        let ratio = |share: f64| {
            let (alone, beside) = (percentile(of(&self.alone), share)?, percentile(of(&self.beside), share)?);
            Some(rounded(beside as f64 / alone.max(1) as f64, 2))
        };
        json!({
            "to": what, "alone_ms": times(&self.alone), "beside_ms": times(&self.beside),
            "ratio": { "p50": ratio(0.5), "p99": ratio(0.99) },
        })
    }

    fn entries(&self) -> [Value; 2] {
        [self.entry("destination", |times| &times.to_destination), self.entry("webhook", |times| &times.to_webhook)]
    }
}

impl Report for Both {
    fn document(&self) -> Value {
        let [to_destination, to_webhook] = self.entries();
        json!({
            "jobs": self.args.jobs, "rate": self.args.rate, "via": self.args.via.as_str(), "gate": self.args.gate,
            "flood_open": self.args.flood_rate.is_none().then_some(self.args.flood), "flood_rate": self.args.flood_rate,
            "flood_per_s": rounded(self.flood_per_s, 0), "not_taken_in": self.waiting,
            "submit_to_destination": to_destination, "submit_to_webhook": to_webhook, "doubled": self.doubled,
        })
    }

    fn table(&self) -> String {
        let head = format!(
            "{} jobs, {} a second, alone and beside a flood{} ({:.0} a second), over {}\n",
            self.args.jobs,
            self.args.rate,
            if self.args.flood_rate.is_none() { format!(" of {} open jobs", self.args.flood) } else { String::new() },
            self.flood_per_s,
            self.args.via.as_str()
        );
        let [before, after] = self.waiting;
        let waiting = match self.args.via {
            Via::Durable => format!("Durable submissions of the flood that lay before them: {before}, then {after}\n"),
            Via::Nats | Via::Http => String::new(),
        };
        let fields =
            [("submit to", "to"), ("alone p50/p99", "alone_ms"), ("beside it", "beside_ms"), ("ratio", "ratio")];
        format!("{head}{waiting}\n{}", table(&self.entries(), &fields))
    }

    fn wrong(&self) -> Option<String> {
        lost_or_doubled(0, self.doubled)
    }

    fn nats_server(&self) -> Option<&str> {
        self.nats_server.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::Consumers;

    #[test]
    fn the_document_sets_what_was_beside_the_flood_against_what_was_alone() {
        let args = TenantsArgs {
            jobs: 3,
            rate: 10,
            flood: 100,
            flood_rate: None,
            queues: 2,
            gate: None,
            via: Via::Nats,
            consumers: Consumers::File,
            json: true,
        };
        let times =
            |by: u64| Times { to_destination: vec![by, 2 * by, 3 * by], to_webhook: vec![2 * by, 4 * by, 6 * by] };
        let (alone, beside) = (times(1_000), times(3_000));
        let both = Both { args, alone, beside, flood_per_s: 99.6, waiting: [7, 9], doubled: 0, nats_server: None };
        let document = both.document();
        assert_eq!(document["submit_to_destination"]["alone_ms"], json!({"p50": 2.0, "p99": 3.0}));
        assert_eq!(document["submit_to_webhook"]["beside_ms"], json!({"p50": 12.0, "p99": 18.0}));
        assert_eq!(
            (&document["submit_to_webhook"]["ratio"]["p50"], &document["flood_per_s"]),
            (&json!(3.0), &json!(100.0))
        );
        assert!(both.wrong().is_none() && Both { doubled: 1, ..both }.wrong().is_some());
    }
}
