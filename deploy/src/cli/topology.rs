//! `sluice topology`: makes what the roles need in NATS, for those who may not.

use anyhow::Context as _;
use serde_json::json;
use sluice_shared::topology::{Party, Topology};

use super::args::CommonArgs;
use super::failure::Failure;
use super::stop::{self, unless_stopped};
use super::{configuration, say, start_log};
use crate::roles::Ground;

/// Makes every stream, bucket and consumer that is not there yet.
pub(crate) async fn topology(args: CommonArgs) -> Result<(), Failure> {
    let config = configuration::load(args.config.as_deref())?;
    start_log(&config)?;
    let shutdown = stop::on_signal().context("signals cannot be listened to")?;
    let url = args.nats.clone().unwrap_or_else(|| config.nats.url.clone());
    let topology = Topology::new(configuration::topology(&config));
    let mut options = configuration::connect_options(&config, &url, "sluice topology");
    options.party = Some(Party::Operator);
    let connecting = Ground::connect(options, config, shutdown.clone());
    let Some(ground) = unless_stopped(&shutdown, Box::pin(connecting)).await else { return Ok(()) };
    let missing = topology.missing(&ground?.nats).await;
    let missing = missing.map_err(|error| Failure::Broker(error.into()))?;
    if !missing.is_empty() {
        return Err(Failure::Broker(anyhow::anyhow!("not there, though it was made: {}", missing.join(", "))));
    }
    let settings = topology.settings();
    say(&if args.json {
        json!({ "topology": settings }).to_string()
    } else {
        let (shards, buckets) = (settings.shards, settings.record_buckets);
        format!("everything under `{}` is there: {shards} shards, {buckets} record buckets", topology.prefix())
    });
    Ok(())
}
