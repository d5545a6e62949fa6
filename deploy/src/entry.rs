//! The entry points of the roles, one function each. Nothing else knows where they are.
//!
//! A role whose crate has no entry point is refused before anything says that it runs.

use std::future::Future;
use std::pin::Pin;

use sluice_gateway::jobs::Jobs;
use sluice_gateway::{http, nats};
use sluice_shared::gate_settings::GateSettings;
use sluice_workers::deliver::{self, DeliveryOptions};
use tokio::net::TcpListener;

use crate::roles::Ground;

/// A role at work. It ends when it was told to, or failed.
pub(crate) type AtWork = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// The gateway on this listener.
pub(crate) fn gateway(ground: Ground, listener: TcpListener) -> anyhow::Result<AtWork> {
    Ok(Box::pin(async move {
        let (settings, stop) = (&ground.config.gateway, ground.shutdown.clone());
        let gates = GateSettings::from(ground.config.gate.clone());
        let jobs = Jobs::start(ground.effects().await, ground.room(), &stop).gated_by(gates);
        let options = nats::Options::new(settings, ground.config.worker.ack_wait);
        let by_nats = nats::run(jobs.clone(), options, ground.metrics.clone(), stop.clone());
        let by_nats = async { anyhow::Ok(by_nats.await?) };
        let by_http = async { anyhow::Ok(http::serve(listener, jobs, settings, ground.metrics.clone(), stop).await?) };
        tokio::try_join!(by_nats, by_http)?;
        Ok(())
    }))
}

/// The worker.
pub(crate) fn worker(ground: Ground) -> anyhow::Result<AtWork> {
    Ok(Box::pin(async move {
        let effects = ground.effects().await;
        Ok(sluice_workers::run(effects, &ground.config, ground.metrics, ground.shutdown).await?)
    }))
}

/// The delivery service.
pub(crate) fn delivery(ground: Ground) -> anyhow::Result<AtWork> {
    Ok(Box::pin(async move {
        let effects = ground.effects().await;
        let options = DeliveryOptions::new(&ground.config.delivery, ground.config.worker.ack_wait);
        Ok(Box::pin(deliver::run(effects, options, ground.metrics, ground.shutdown)).await?)
    }))
}
