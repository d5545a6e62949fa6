//! The entry points of the roles, one function each. Nothing else knows where they are.
//!
//! A role whose crate has no entry point is refused before anything says that it runs.

use std::future::Future;
use std::pin::Pin;

use anyhow::bail;
use sluice_gateway::jobs::Jobs;
use tokio::net::TcpListener;

use crate::roles::Ground;

/// A role at work. It ends when it was told to, or failed.
pub(crate) type AtWork = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// The gateway on this listener.
pub(crate) fn gateway(ground: Ground, listener: TcpListener) -> anyhow::Result<AtWork> {
    Ok(Box::pin(async move {
        let (settings, stop) = (&ground.config.gateway, ground.shutdown.clone());
        let jobs = Jobs::start(ground.effects().await, settings.storage_watermark, &stop);
        sluice_gateway::http::serve(listener, jobs, settings, ground.metrics.clone(), stop).await?;
        Ok(())
    }))
}

/// The worker.
pub(crate) fn worker(_ground: Ground) -> anyhow::Result<AtWork> {
    bail!("this build has no worker")
}

/// The delivery service.
pub(crate) fn delivery(_ground: Ground) -> anyhow::Result<AtWork> {
    bail!("this build has no delivery")
}
