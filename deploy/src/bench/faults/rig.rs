//! A fleet under load, the faults done to it, and what everybody saw of it in the end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use nix::sys::signal::Signal;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::cast::Cast;
use super::load::{Accepted, Gateways, Load, client};
use super::quiet::quiet;
use super::verdict::{Posted, Seen};
use super::wire::{Exchange, Fault, Kind};
use crate::bench::fleet::{Fleet, FleetError, Setup, Target};
use crate::bench::link::State;

/// How long the last webhook may take after the last job was taken: longer than any wait for an ack and some retries.
const TOLD_WITHIN: Duration = Duration::from_secs(120);
/// How long the end of a timeline waits for one more event of a job that has not ended.
const EVENTS_WITHIN: Duration = Duration::from_secs(2);
/// How many jobs are asked about at a time.
const ASKED_AT_ONCE: usize = 16;

/// The fleet, whom it meets, and what was done to it.
pub struct Rig {
    /// The processes.
    pub fleet: Fleet,
    /// Whom they meet.
    pub cast: Arc<Cast>,
    /// The faults so far.
    pub faults: Vec<Fault>,
    /// What decides about moments and targets.
    pub random: StdRng,
    gateways: Gateways,
}

impl Rig {
    /// Starts everything. The seed decides what is done to it when.
    ///
    /// # Errors
    /// Where something does not start.
    pub async fn start(setup: &Setup, seed: u64) -> Result<Self, FleetError> {
        let cast = Cast::start().await.context("there is no free port")?;
        let fleet = Fleet::start(setup).await?;
        let gateways = Arc::new(Mutex::new(fleet.gateways()));
        let random = StdRng::seed_from_u64(seed);
        Ok(Self { fleet, cast: Arc::new(cast), faults: Vec::new(), random, gateways })
    }

    /// Begins to submit jobs.
    #[must_use]
    pub fn load(&self, per_second: f64, jobs: usize) -> Load {
        Load::start(Arc::clone(&self.cast), Arc::clone(&self.gateways), per_second, jobs)
    }

    /// Kills these one right after the other, and starts them again after this time; when it did.
    ///
    /// # Errors
    /// Where one does not run, or does not start again.
    pub async fn kill(&mut self, targets: &[Target], away: Duration) -> anyhow::Result<Instant> {
        let (moment, mut killed) = (Instant::now(), Vec::new());
        for &target in targets {
            killed.push((target, Instant::now()));
            self.fleet.kill(target).await?;
        }
        sleep(away).await;
        // The roles need the nats-server to start.
        killed.sort_by_key(|(target, _)| !matches!(target, Target::Server(_)));
        for (target, from) in killed {
            self.start_again(target).await?;
            self.faults.push(Fault { target, kind: Kind::Killed, moment, from, until: Instant::now() });
        }
        Ok(moment)
    }

    /// Tells it to stop, which it has to do in good order, and starts it again. No fault: it excuses nothing.
    ///
    /// # Errors
    /// Where it does not stop in good order, or does not start again.
    pub async fn restart(&mut self, target: Target) -> anyhow::Result<()> {
        let ended = self.fleet.of(target)?.stop().await?;
        ensure!(ended.code() == Some(0), "{target:?} did not stop in good order: {ended}");
        self.start_again(target).await
    }

    /// Stops it in its tracks (SIGSTOP), and lets it go on after this time.
    ///
    /// # Errors
    /// Where it does not run.
    pub async fn pause(&mut self, target: Target, time: Duration) -> anyhow::Result<()> {
        let from = Instant::now();
        self.fleet.of(target)?.signal(Signal::SIGSTOP)?;
        sleep(time).await;
        self.fleet.of(target)?.signal(Signal::SIGCONT)?;
        self.faults.push(Fault { target, kind: Kind::Stopped, moment: from, from, until: Instant::now() });
        Ok(())
    }

    /// Parts these from all nats-servers in this way, and makes their links whole again after this time.
    ///
    /// # Errors
    /// Where one has no link.
    pub async fn part(&mut self, targets: &[Target], state: State, time: Duration) -> anyhow::Result<()> {
        let from = Instant::now();
        for &target in targets {
            self.fleet.link(target)?.is_now(state);
        }
        sleep(time).await;
        for &target in targets {
            self.fleet.link(target)?.is_now(State::Whole);
            let until = Instant::now();
            self.faults.push(Fault { target, kind: Kind::Stopped, moment: from, from, until });
        }
        Ok(())
    }

    /// Lets the load go on for a random time within these milliseconds.
    pub async fn wait(&mut self, millis: std::ops::Range<u64>) {
        sleep(Duration::from_millis(self.random.random_range(millis))).await;
    }

    async fn start_again(&mut self, target: Target) -> anyhow::Result<()> {
        self.fleet.start_again(target).await?;
        *self.gateways.lock().unwrap_or_else(PoisonError::into_inner) = self.fleet.gateways();
        Ok(())
    }

    /// Waits until everything that was taken has ended and nothing is on its way any more, or for long enough, and gathers
    /// what was seen.
    ///
    /// # Errors
    /// Where a job cannot be asked about.
    pub async fn seen(&self, accepted: Vec<Accepted>) -> anyhow::Result<Seen> {
        let until = Instant::now() + TOLD_WITHIN;
        while self.cast.told_count() < accepted.len() && Instant::now() < until {
            sleep(Duration::from_millis(50)).await;
        }
        if self.cast.told_count() == accepted.len() {
            quiet(&self.fleet.servers().url(), self.fleet.topology(), TOLD_WITHIN).await?;
        }
        let jobs = self.ask(&accepted).await?;
        let calls = self.cast.calls().iter().map(|call| Exchange::of(call, "idempotency-key")).collect();
        let post = |post: crate::scripted::Post| Posted {
            exchange: Exchange::of(&post.call, "webhook-id"),
            payload: post.payload,
        };
        let posts = self.cast.receiver.all_posts().into_iter().map(post).collect();
        Ok(Seen { accepted, jobs, calls, posts, faults: self.faults.clone() })
    }

    /// Each job as a gateway shows it.
    async fn ask(&self, accepted: &[Accepted]) -> anyhow::Result<HashMap<String, Value>> {
        let (client, base) = (client(), self.fleet.gateways().into_iter().next().context("there is no gateway")?);
        let ask = |job: String| {
            let (client, url) = (client.clone(), format!("{base}/v1/jobs/{job}"));
            async move { anyhow::Ok((job, client.get(url).send().await?.json().await?)) }
        };
        let jobs = accepted.iter().map(|accepted| accepted.job.clone());
        stream::iter(jobs).map(ask).buffer_unordered(ASKED_AT_ONCE).try_collect().await
    }

    /// A job's calls and posts and the faults in their order, then its events.
    pub async fn timeline(&self, job: &str, key: &str) -> String {
        let start = self.cast.main.started();
        let mut lines: Vec<(Instant, String)> = Vec::new();
        let of_job = |seen: &str| seen == key || seen.starts_with(&format!("{key}:"));
        for call in self.cast.calls().iter().filter(|call| call.header("idempotency-key").is_some_and(of_job)) {
            lines.push((call.at, format!("call {call:?}")));
        }
        lines.extend(self.cast.receiver.posts(job).iter().map(|post| (post.call.at, format!("post {post:?}"))));
        for fault in &self.faults {
            lines.push((fault.from, format!("{:?} {:?}", fault.target, fault.kind)));
            lines.push((fault.until, format!("{:?} is there again", fault.target)));
        }
        lines.sort_by_key(|(at, _)| *at);
        let ms = |at: &Instant| at.saturating_duration_since(start).as_millis();
        let lines: Vec<String> = lines.iter().map(|(at, line)| format!("{:>7} ms {line}", ms(at))).collect();
        let events = self.events(job).await.unwrap_or_else(|error| format!("no events: {error:#}"));
        format!("{key}, {job}\n{}\n{events}", lines.join("\n"))
    }

    /// The job's events as text, as far as they come.
    async fn events(&self, job: &str) -> anyhow::Result<String> {
        let base = self.fleet.gateways().into_iter().next().context("there is no gateway")?;
        let mut pieces = client().get(format!("{base}/v1/jobs/{job}/events")).send().await?.bytes_stream();
        let mut text = String::new();
        while let Ok(Some(Ok(piece))) = timeout(EVENTS_WITHIN, pieces.next()).await {
            text.push_str(&String::from_utf8_lossy(&piece));
        }
        Ok(text)
    }
}
