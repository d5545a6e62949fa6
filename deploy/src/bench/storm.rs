//! `sluice bench storm`: a destination that has a limit and says so by 429 and Retry-After only. How many 429s it takes, and how
//! much of the limit is used.

use serde_json::{Value, json};

use super::document::{Report, lost_or_doubled, measured, rounded};
use super::load::{Jobs, Pace, submit};
use super::sink::Count;
use super::stage::{Plan, Stage};
use super::windows::{SECOND, within};
use crate::cli::Failure;
use crate::cli::args::{Consumers, StormArgs, Via};
use crate::show::Show;

/// Runs it to its end.
pub(crate) async fn run(args: StormArgs) -> Result<(), Failure> {
    let show = Show::new(args.json);
    measured(args.json, &show, measure(&args, &show)).await
}

struct Storm {
    args: StormArgs,
    jobs: u32,
    /// 429s.
    limited: u32,
    lost: u32,
    doubled: u32,
    /// The share of the limit that was used.
    used: f64,
    nats_server: Option<String>,
}

async fn measure(args: &StormArgs, show: &Show) -> Result<Storm, Failure> {
    show.progress("starting a nats-server and the roles");
    let plan = Plan {
        workers: 2,
        sink_limit: Some(args.limit),
        gate: Some(args.rate.unwrap_or(args.limit * 2)),
        ..Plan::one_each(Consumers::File)
    };
    let stage = Stage::start(&plan).await?;
    let (door, jobs) = (stage.door(Via::Nats).await?, Jobs::new(&stage.audience, 1).limited());
    let number = args.limit * args.seconds;
    let tell = |count: &Count| show.progress(&format!("{} of {number} jobs, {} times 429", count.calls, count.limited));
    let watching = stage.audience.until(|count| count.hooks >= number, tell);
    let (count, ()) = tokio::try_join!(watching, submit(&jobs, &door, 0..number, Pace::Free))?;
    let used = share(&stage.audience.arrivals().await?, args.limit);
    let nats_server = stage.nats_version();
    stage.stop().await?;
    Ok(Storm {
        args: args.clone(),
        jobs: number,
        limited: count.limited,
        lost: number - count.hooks.min(number),
        doubled: count.doubled_calls + count.doubled_hooks,
        used,
        nats_server,
    })
}

/// The share of the limit that these arrivals used between the first and the last. Pure.
fn share(arrivals: &[u64], limit: u32) -> f64 {
    let (Some(first), Some(last)) = (arrivals.first(), arrivals.last()) else { return 0.0 };
    let (count, seconds) = (within(arrivals, *first, *last).len() as f64, (last - first).max(1) as f64 / SECOND as f64);
    count / (f64::from(limit) * seconds)
}

impl Report for Storm {
    fn document(&self) -> Value {
        json!({
            "jobs": self.jobs, "limit_per_s": self.args.limit, "answers_429": self.limited,
            "limit_used": rounded(self.used, 3), "lost": self.lost, "doubled": self.doubled,
        })
    }

    fn table(&self) -> String {
        format!(
            "{} jobs for a destination that answers 429 above {} calls a second and says so by Retry-After only\n\n\
             {:<24}{}\n{:<24}{:.3}\n{:<24}{}",
            self.jobs,
            self.args.limit,
            "answered 429",
            self.limited,
            "share of the limit used",
            self.used,
            "lost",
            self.lost
        )
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
    fn a_destination_that_is_called_at_half_its_limit_is_half_used() {
        let arrivals: Vec<u64> = (0..=50).map(|n| 1 + n * SECOND / 10).collect();
        assert!((share(&arrivals, 20) - 0.5).abs() < 1e-9);
        assert!(share(&[], 20).abs() < 1e-9);
    }
}
