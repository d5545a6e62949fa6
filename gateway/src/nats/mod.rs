//! The NATS interface, beside HTTP: the durable intake of submissions, and a service that answers requests.
//!
//! Owns no operation on jobs: both call `jobs`, and their answers are the same JSON as over HTTP. Invariant: a durable
//! submission that the broker has acknowledged becomes a job, or a dead letter that its webhooks are told of.

mod answer;
mod ask;
mod beside;
mod desk;
mod error;
mod hands;
mod held;
mod intake;
mod refuse;
mod service;

use std::time::Duration;

use sluice_shared::config::Gateway;
use sluice_shared::telemetry::Metrics;
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::jobs::Jobs;
use desk::Desk;
use intake::Intake;
use service::Service;
pub use service::ServiceError;

/// What a gateway may have in hand, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Durable submissions taken in at a time.
    pub intake: usize,
    /// The longest that a request may wait for the end of a job.
    pub max_wait: Duration,
    /// How long what is in hand may take to end at a stop.
    pub grace: Duration,
    /// How long a submission may be in hand without a sign of life, where its consumer must be made again.
    pub ack_wait: Duration,
}

impl Options {
    /// As configured; `ack_wait` is the same for all consumers.
    #[must_use]
    pub fn new(gateway: &Gateway, ack_wait: Duration) -> Self {
        Self { intake: gateway.intake, max_wait: gateway.max_wait, grace: gateway.grace, ack_wait }
    }
}

/// The NATS interface of this process: requests find it from its start on.
pub struct Interface {
    service: Service,
    intake: Intake,
    grace: Duration,
    shutdown: CancellationToken,
}

impl Interface {
    /// Makes it known.
    ///
    /// # Errors
    /// Where the service cannot be started.
    pub async fn start(
        jobs: Jobs,
        access: Access,
        options: Options,
        metrics: Metrics,
        shutdown: CancellationToken,
    ) -> Result<Self, ServiceError> {
        let desk = Desk::new(jobs.clone(), access.clone(), metrics.clone(), options.max_wait, shutdown.clone());
        let service = Service::start(desk).await?;
        Ok(Self { service, intake: Intake::new(jobs, access, metrics, options), grace: options.grace, shutdown })
    }

    /// Takes durable submissions in and answers requests until told to stop; then lets what is in hand end, and hands back
    /// the rest.
    ///
    /// # Errors
    /// Where its connection is closed for good.
    pub async fn run(self) -> Result<(), ServiceError> {
        let Self { service, intake, grace, shutdown } = self;
        // Whatever ends the service ends the intake too.
        let stop = shutdown.child_token();
        let served = async {
            let served = service.run(grace).await;
            stop.cancel();
            served
        };
        let ((), served) = tokio::join!(intake.run(&stop), served);
        served
    }
}
