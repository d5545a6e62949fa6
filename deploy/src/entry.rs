//! The entry points of the roles, one function each. Nothing else knows where they are.
//!
//! A role whose crate has no entry point is refused before anything says that it runs.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use sluice_gateway::access::Access;
use sluice_gateway::jobs::Jobs;
use sluice_gateway::{http, nats};
use sluice_shared::config::Auth;
use sluice_shared::domain::id::Tenant;
use sluice_shared::domain::targets::Targets;
use sluice_shared::gate_settings::GateSettings;
use sluice_shared::secrets::{SecretName, SecretsStore};
use sluice_workers::deliver::{self, DeliveryOptions};
use tokio::net::TcpListener;

use crate::roles::Ground;

/// How long the keys are waited for at the start; without them nobody is let in.
const KEYS_WITHIN: Duration = Duration::from_secs(10);

/// A role at work. It ends when it was told to, or failed.
pub(crate) type AtWork = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// The gateway on this listener, once requests find it over NATS too.
pub(crate) async fn gateway(ground: Ground, listener: TcpListener) -> anyhow::Result<AtWork> {
    let (config, metrics, stop) = (Arc::clone(&ground.config), ground.metrics.clone(), ground.shutdown.clone());
    let gates = GateSettings::from(config.gate.clone());
    let jobs = Jobs::start(ground.effects().await, ground.room(), &stop).gated_by(gates);
    let jobs = jobs.calling(Targets::from(&config.targets));
    tokio::spawn(SecretsStore::<Tenant>::of(jobs.effects()).seal_anew());
    tokio::spawn(SecretsStore::<SecretName>::of(jobs.effects()).seal_anew());
    let options = nats::Options::new(&config.gateway, config.worker.ack_wait);
    let access = access(&ground).await.within(jobs.effects().quotas(), &ground.nats, &stop);
    let by_nats = nats::Interface::start(jobs.clone(), access.clone(), options, metrics.clone(), stop.clone());
    let by_nats = Box::pin(by_nats).await?;
    Ok(Box::pin(async move {
        let by_nats = async { anyhow::Ok(by_nats.run().await?) };
        let by_http = http::serve(listener, jobs, access, &config.gateway, metrics, stop);
        tokio::try_join!(by_nats, async { anyhow::Ok(by_http.await?) })?;
        Ok(())
    }))
}

/// Whom the gateway lets in.
async fn access(ground: &Ground) -> Access {
    match ground.config.gateway.auth {
        Auth::Open => Access::open(),
        Auth::Keys => {
            let access = Access::by_keys(&ground.nats, &ground.shutdown);
            if let Some(keyring) = access.keyring() {
                keyring.loaded(KEYS_WITHIN).await;
            }
            access
        }
    }
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
        let targets = Targets::from(&ground.config.targets);
        let options = DeliveryOptions::new(&ground.config.delivery, targets, ground.config.worker.ack_wait);
        Ok(Box::pin(deliver::run(effects, options, ground.metrics, ground.shutdown)).await?)
    }))
}
