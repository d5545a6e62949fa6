//! What `bench faults` says: the table for people, the document for programs. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::verdict::Verdict;
use crate::bench::fleet::{Setup, Target};
use crate::bench::machine::Machine;
use crate::show::millis;

/// Everything that was measured.
pub(super) struct Report {
    pub(super) seed: u64,
    /// Jobs submitted each second.
    pub(super) rate: u32,
    pub(super) setup: Setup,
    /// Its version.
    pub(super) nats_server: Option<String>,
    pub(super) verdict: Verdict,
    pub(super) kills: Vec<Kill>,
}

/// One kill, and how it went on.
pub(super) struct Kill {
    /// Since the start.
    pub(super) at: Duration,
    pub(super) targets: Vec<Target>,
    /// Calls on the wire.
    pub(super) on_wire: usize,
    /// To the next webhook.
    pub(super) first: Option<Duration>,
    /// To the last of the jobs that were open.
    pub(super) all: Duration,
}

impl Report {
    /// What `--json` prints.
    pub(super) fn document(&self) -> Value {
        let verdict = &self.verdict;
        let kill = |kill: &Kill| {
            json!({
                "at_ms": millis(kill.at), "killed": named(&kill.targets), "on_wire": kill.on_wire,
                "recovery_ms": { "first": kill.first.map(millis), "all": millis(kill.all) },
            })
        };
        json!({
            "accepted": verdict.accepted, "outcomes": verdict.outcomes, "webhooks": verdict.webhooks,
            "kills": self.kills.len(), "lost": verdict.lost, "double_outcomes": verdict.double_outcomes,
            "double_webhooks": verdict.double_webhooks, "posts_on_wire_at_kill": verdict.posts_on_wire_at_kill,
            "repeated_calls": verdict.repeated_calls, "on_wire_at_kill": verdict.on_wire_at_kill,
            "recovery_ms": { "first": self.first().map(millis), "all": millis(self.all()) },
            "each_kill": self.kills.iter().map(kill).collect::<Vec<_>>(),
            "wrong": verdict.wrong.iter().map(|wrong| json!({"job": wrong.job, "why": wrong.why})).collect::<Vec<_>>(),
            "seed": self.seed, "jobs_per_s": self.rate,
            "processes": { "nats_servers": self.setup.servers, "gateways": self.setup.gateways, "workers": self.setup.workers, "deliveries": self.setup.deliveries },
            "machine": Machine::this(), "nats_server": self.nats_server,
        })
    }

    /// What people see.
    pub(super) fn table(&self) -> String {
        let verdict = &self.verdict;
        let mut text = format!(
            "{} jobs at {}/s, {} kills, seed {}\n{}, nats-server {}\n{} nats-servers, {} gateways, {} workers, {} deliveries\n\n",
            verdict.accepted,
            self.rate,
            self.kills.len(),
            self.seed,
            Machine::this(),
            self.nats_server.as_deref().unwrap_or("?"),
            self.setup.servers,
            self.setup.gateways,
            self.setup.workers,
            self.setup.deliveries,
        );
        let rows: [(&str, String); 7] = [
            ("accepted", verdict.accepted.to_string()),
            ("ended", format!("{}, {} with two outcomes", verdict.outcomes, verdict.double_outcomes)),
            ("webhook taken", verdict.webhooks.to_string()),
            ("lost", verdict.lost.to_string()),
            (
                "calls repeated",
                format!("{} of {} on the wire at a kill", verdict.repeated_calls, verdict.on_wire_at_kill),
            ),
            (
                "webhooks repeated",
                format!("{} of {} on the wire at a kill", verdict.double_webhooks, verdict.posts_on_wire_at_kill),
            ),
            (
                "recovery, at worst",
                format!(
                    "{} ms to the next webhook, {} ms to the last open job",
                    self.first().map_or_else(|| "?".into(), |first| millis(first).to_string()),
                    millis(self.all())
                ),
            ),
        ];
        for (name, value) in rows {
            let _ = writeln!(text, "{name:<20}{value}");
        }
        let _ = writeln!(text, "\n{:>8}  {:>9}  {:>9}  {:>9}  killed", "at s", "on wire", "next ms", "all ms");
        for kill in &self.kills {
            let first = kill.first.map_or_else(|| "-".to_owned(), |first| millis(first).to_string());
            let (at, all, killed) = (kill.at.as_secs_f64(), millis(kill.all), named(&kill.targets));
            let _ = writeln!(text, "{at:>8.1}  {:>9}  {first:>9}  {all:>9}  {killed}", kill.on_wire);
        }
        text.trim_end().to_owned()
    }

    fn first(&self) -> Option<Duration> {
        self.kills.iter().filter_map(|kill| kill.first).max()
    }

    fn all(&self) -> Duration {
        self.kills.iter().map(|kill| kill.all).max().unwrap_or_default()
    }
}

/// What was killed, for people.
pub(super) fn named(targets: &[Target]) -> String {
    let name = |target: &Target| match target {
        Target::Gateway(number) => format!("gateway {number}"),
        Target::Worker(number) => format!("worker {number}"),
        Target::Delivery(number) => format!("delivery {number}"),
        Target::Server(number) => format!("nats-server {number}"),
    };
    targets.iter().map(name).collect::<Vec<_>>().join(", ")
}
