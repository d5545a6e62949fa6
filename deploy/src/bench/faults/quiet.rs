//! When nothing is on its way in a broker any more: no job, timer, signal, result, webhook or submission.

use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use futures_util::StreamExt as _;
use sluice_shared::nats::{ConnectOptions, Nats};
use sluice_shared::topology::Topology;
use tokio::time::sleep;

/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Waits until nothing is on its way: nothing is done from then on that nobody asks for.
///
/// # Errors
/// Where something is left after this time; it says how much is left where.
pub async fn quiet(url: &str, topology: &Topology, within: Duration) -> anyhow::Result<()> {
    let options = ConnectOptions { url: url.to_owned(), name: "sluice bench".to_owned(), ..ConnectOptions::default() };
    let nats = Nats::connect(options, topology.clone()).await?;
    let jobs = (0..topology.settings().shards).map(|shard| topology.jobs_stream(shard));
    let others = [topology.results_stream(), topology.deliveries_stream(), topology.submit_stream()];
    let until = Instant::now() + within;
    for stream in jobs.chain(others) {
        loop {
            let left = nats.held(&stream).await.map_err(|error| anyhow!("{stream} cannot be looked at: {error}"))?;
            if left == 0 {
                break;
            }
            if Instant::now() > until {
                let consumers = consumers(&nats, &stream).await;
                bail!("{left} messages are left in {stream} after {within:?}; {consumers}");
            }
            sleep(LOOK_EVERY).await;
        }
    }
    Ok(())
}

/// How far the consumers of a stream are, for whoever has to find out why.
async fn consumers(nats: &Nats, stream: &str) -> String {
    let Ok(stream) = nats.jetstream().get_stream(stream).await else { return "it cannot be looked at".to_owned() };
    let (state, mut all) = (stream.cached_info().state.clone(), stream.consumers());
    let mut text = format!("sequences {} to {}", state.first_sequence, state.last_sequence);
    while let Some(Ok(one)) = all.next().await {
        text += &format!(
            ", consumer {}: handed out to {}, all acked to {}, {} pending, {} in hand, {} handed out again, {} ask",
            one.name,
            one.delivered.stream_sequence,
            one.ack_floor.stream_sequence,
            one.num_pending,
            one.num_ack_pending,
            one.num_redelivered,
            one.num_waiting
        );
    }
    text
}
