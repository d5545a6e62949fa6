//! The benchmark's end of the sink: starts it, and asks what it has seen.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use reqwest::Client;
use tokio::time::{Instant, sleep};

use super::process::{Process, Start};
use super::sink::{Count, SUBCOMMAND, Times};

/// How often the sink is asked how much has come.
const ASK_EVERY: Duration = Duration::from_millis(5);
/// How long nothing may come before what is missing counts as lost: longer than any message is in hand.
const PATIENCE: Duration = Duration::from_secs(45);

/// A sink in a process of its own. Dropped, it is killed.
pub(super) struct Audience {
    process: Process,
    url: String,
    client: Client,
}

impl Audience {
    /// Starts one; `/limited` answers 429 above `limit` calls in a second.
    pub(super) async fn start(program: &Path, dir: &Path, limit: Option<u32>) -> anyhow::Result<Self> {
        let mut arguments = vec![SUBCOMMAND.into()];
        arguments.extend(limit.into_iter().flat_map(|limit| ["--limit".into(), limit.to_string().into()]));
        let process = Process::start(Start {
            name: "sink".to_owned(),
            program: PathBuf::from(program),
            arguments,
            environment: Vec::new(),
            log: dir.join("sink.log"),
        });
        let process = process.await?;
        let url = process.announced()["http"].as_str().context("the sink says not where it is")?.to_owned();
        let client = Client::builder().no_proxy().build().context("there is no HTTP client")?;
        Ok(Self { process, url, client })
    }

    /// Its base URL.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Its name as a destination.
    pub(super) fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// What has come so far.
    pub(super) async fn count(&self) -> anyhow::Result<Count> {
        Ok(self.client.get(format!("{}/count", self.url)).send().await?.json().await?)
    }

    /// When each call that was taken came, in order.
    pub(super) async fn arrivals(&self) -> anyhow::Result<Vec<u64>> {
        let bytes = self.client.get(format!("{}/arrivals", self.url)).send().await?.bytes().await?;
        let mut arrivals: Vec<u64> =
            bytes.chunks_exact(8).filter_map(|eight| eight.try_into().ok().map(u64::from_le_bytes)).collect();
        // Two threads may have noted them the other way round.
        arrivals.sort_unstable();
        Ok(arrivals)
    }

    /// When a job was called and told of, once it was.
    pub(super) async fn wait(&self, number: u32) -> anyhow::Result<Times> {
        let asked = self.client.get(format!("{}/wait/{number}", self.url)).timeout(PATIENCE).send().await;
        asked.with_context(|| format!("the webhook of job {number} did not come"))?.json().await.map_err(Into::into)
    }

    /// One call by this process, straight.
    pub(super) async fn call(&self, number: u32, body: &str) -> anyhow::Result<()> {
        let answer = self.client.post(format!("{}/call/{number}", self.url)).body(body.to_owned()).send().await?;
        ensure!(answer.status().is_success(), "the sink answered {}", answer.status());
        answer.bytes().await?;
        Ok(())
    }

    /// Looks until enough has come, or nothing came for long, and says what has come; tells each look.
    pub(super) async fn until(
        &self,
        enough: impl Fn(&Count) -> bool,
        mut tell: impl FnMut(&Count),
    ) -> anyhow::Result<Count> {
        let (mut before, mut since) = (Count::default(), Instant::now());
        loop {
            let count = self.count().await?;
            tell(&count);
            if count != before {
                (before, since) = (count, Instant::now());
            }
            if enough(&count) || since.elapsed() > PATIENCE {
                return Ok(count);
            }
            sleep(ASK_EVERY).await;
        }
    }

    /// Ends it.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        self.process.stop().await.map(drop)
    }
}
