//! The worker role: pulls every queue, handles what comes due, sweeps; stops by finishing or giving back what it holds.

use std::sync::Arc;

use sluice_shared::config::Config;
use sluice_shared::domain::targets::Targets;
use sluice_shared::effects::Effects;
use sluice_shared::places::Places;
use sluice_shared::telemetry::Metrics;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::dispatch::{Dispatcher, Stop};
use crate::due::Due;
use crate::fill::Secrets;
use crate::fleet::Fleet;
use crate::gate::{GateSettings, Gates};
use crate::handler::Handler;
use crate::presence::Presence;
use crate::send::{NoClient, Sender};
use crate::settings::Settings;
use crate::settlements::Settlements;
use crate::sweep::{self, SweepOptions};

/// Consumers that are made at a time.
const MAKERS: usize = 16;

/// Works until told to stop; then begins nothing new, lets calls on the wire end within the configured grace, and gives back
/// the rest.
///
/// # Errors
/// Where the HTTP client cannot be made.
pub async fn run(
    effects: Effects,
    config: &Config,
    metrics: Metrics,
    shutdown: CancellationToken,
) -> Result<(), NoClient> {
    let stop = Stop { begun: shutdown, at_once: CancellationToken::new() };
    let worker = Worker::new(effects, config, metrics, stop.clone())?;
    // What calls on the wire need to the end.
    let last = CancellationToken::new();
    worker.start(config, &last);
    stop.begun.cancelled().await;
    let tasks = &worker.dispatcher.tasks;
    tasks.close();
    if tokio::time::timeout(config.worker.grace, tasks.wait()).await.is_err() {
        tracing::warn!(calls = tasks.len(), grace = ?config.worker.grace, "calls are still on the wire; they are given back");
        stop.at_once.cancel();
        tasks.wait().await;
    }
    last.cancel();
    if let Err(error) = worker.dispatcher.handler.effects().nats().client().flush().await {
        tracing::debug!(%error, "the last acks may not have been sent; what they were for is looked at again");
    }
    Ok(())
}

struct Worker {
    dispatcher: Arc<Dispatcher>,
}

impl Worker {
    fn new(effects: Effects, config: &Config, metrics: Metrics, stop: Stop) -> Result<Self, NoClient> {
        let dispatcher = Dispatcher {
            secrets: Secrets::start(&effects, &config.secrets),
            handler: Handler::new(effects.counted_by(&metrics), metrics),
            sender: Sender::new(Targets::from(&config.targets))?,
            settlements: Settlements::default(),
            settings: Settings::of(&config.worker, &config.retry),
            stop,
            tasks: TaskTracker::new(),
        };
        Ok(Self { dispatcher: Arc::new(dispatcher) })
    }

    fn start(&self, config: &Config, last: &CancellationToken) {
        let Dispatcher { handler, settlements, stop, tasks, .. } = &*self.dispatcher;
        let nats = handler.effects().nats();
        tokio::spawn(settlements.clone().follow(nats.clone(), last.clone()));
        for shard in 0..nats.topology().settings().shards {
            let due = Due { handler: handler.clone(), shard, tasks: tasks.clone(), stop: stop.begun.clone() };
            tasks.spawn(due.run());
        }
        if let Some(region) = config.worker.region.clone() {
            let (effects, alive) = (handler.effects().clone(), config.worker.region_timeout);
            tasks.spawn(Presence { effects, region, alive, stop: stop.begun.clone() }.run());
        }
        let settings = GateSettings::from(config.gate.clone());
        let gates = Gates::start(nats, settings, name(), last.clone());
        let (places, makers) = (Places::new(config.worker.slots), Places::new(MAKERS));
        tasks.spawn(Fleet { dispatcher: Arc::clone(&self.dispatcher), gates, places, makers }.run());
        let (interval, max_age) = (config.worker.sweep_interval, config.worker.max_age);
        let options = SweepOptions { interval, max_age, ..SweepOptions::default() };
        let metrics = handler.metrics().clone();
        tasks.spawn(sweep::run(handler.effects().clone(), options, metrics, stop.begun.clone()));
    }
}

/// What tells this worker from all others.
fn name() -> String {
    format!("{}-{:016x}", std::process::id(), rand::random::<u64>())
}
