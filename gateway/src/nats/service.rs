//! The service as others find it: its name, its endpoints, and how many requests it handles at a time.
//!
//! Any number of gateways share the requests: their endpoints are in one queue group. Every request is a task of its own,
//! so a slow one holds up no other. At a stop the endpoints are gone first; what has come in by then is answered.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::service::endpoint::Endpoint;
use async_nats::service::{Request, Service as Micro, ServiceExt};
use futures_util::StreamExt;
use futures_util::future::join_all;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::answer;
use super::desk::{Desk, Operation};
use super::error::RequestError;

/// Requests of one operation that are handled at a time; more of them wait for their turn.
const AT_ONCE: usize = 256;
/// Requests that wait for the end of a job at a time; more of them are sent away.
const WAITING: usize = 4096;

/// The service is not there.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// It could not be started.
    #[error("the NATS service could not be started: {0}")]
    NotStarted(#[source] async_nats::Error),
    /// The connection was closed for good.
    #[error("the NATS service ended because its connection was closed")]
    Closed,
}

/// The service of this process.
pub(super) struct Service {
    desk: Arc<Desk>,
    micro: Micro,
    endpoints: Vec<Serving>,
}

/// One endpoint.
struct Serving {
    operation: Operation,
    endpoint: Endpoint,
    /// Shared by the endpoints of an operation.
    places: Arc<Semaphore>,
}

impl Service {
    /// Makes it known: named by the prefix of the deployment, with two endpoints for each operation, one with a place for
    /// the tenant in its subject and one without.
    pub(super) async fn start(desk: Desk) -> Result<Self, ServiceError> {
        let topology = desk.nats().topology();
        let micro = desk.nats().client().service_builder().description("Runs outbound HTTP calls as durable jobs");
        let micro =
            micro.start(desk.nats().prefix(), env!("CARGO_PKG_VERSION")).await.map_err(ServiceError::NotStarted)?;
        let mut endpoints = Vec::new();
        for operation in Operation::ALL {
            let name = operation.as_str();
            let places = Arc::new(Semaphore::new(if operation == Operation::Wait { WAITING } else { AT_ONCE }));
            let of_tenant = (format!("{name}-for-tenant"), topology.api(name, Some("*")));
            for (name, subject) in [(name.to_owned(), topology.api(name, None)), of_tenant] {
                let about = HashMap::from(operation.about().map(|(key, text)| (key.to_owned(), text.to_owned())));
                let endpoint = micro.endpoint_builder().name(name).metadata(about).add(subject).await;
                let endpoint = endpoint.map_err(ServiceError::NotStarted)?;
                endpoints.push(Serving { operation, endpoint, places: Arc::clone(&places) });
            }
        }
        // Once the broker knows the subscriptions, requests find them.
        desk.nats().client().flush().await.map_err(|error| ServiceError::NotStarted(error.into()))?;
        Ok(Self { desk: Arc::new(desk), micro, endpoints })
    }

    /// Answers until told to stop; what is being done then may take `grace` to end.
    pub(super) async fn run(self, grace: Duration) -> Result<(), ServiceError> {
        let Self { desk, micro, endpoints } = self;
        let too_late = async {
            desk.stop().cancelled().await;
            sleep(grace).await;
        };
        tokio::select! {
            _ = join_all(endpoints.into_iter().map(|one| one.serve(Arc::clone(&desk)))) => {}
            () = too_late => tracing::warn!("requests over NATS were not all answered within {grace:?}"),
        }
        let told_to_stop = desk.stop().is_cancelled();
        micro.stop().await.map_err(|_| ServiceError::Closed)?;
        if told_to_stop { Ok(()) } else { Err(ServiceError::Closed) }
    }
}

impl Serving {
    async fn serve(mut self, desk: Arc<Desk>) {
        let (mut hands, mut open) = (JoinSet::new(), true);
        loop {
            let request = tokio::select! {
                request = self.endpoint.next() => request,
                () = desk.stop().cancelled(), if open => {
                    open = false;
                    if self.endpoint.stop().await.is_ok() { continue } else { break }
                }
                Some(ended) = hands.join_next() => {
                    log_broken(ended);
                    continue;
                }
            };
            let Some(request) = request else { break };
            match self.place().await {
                Some(place) => drop(hands.spawn(handle(Arc::clone(&desk), self.operation, request, place))),
                None => answer::send(desk.nats(), request, Err(RequestError::TooManyWaiting(WAITING))).await,
            }
        }
        while let Some(ended) = hands.join_next().await {
            log_broken(ended);
        }
    }

    /// A place among those that are handled; nothing where too many wait already.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        let places = Arc::clone(&self.places);
        if self.operation == Operation::Wait {
            places.try_acquire_owned().ok()
        } else {
            places.acquire_owned().await.ok()
        }
    }
}

async fn handle(desk: Arc<Desk>, operation: Operation, request: Request, _place: OwnedSemaphorePermit) {
    let answer = Box::pin(desk.handle(operation, &request.message)).await;
    answer::send(desk.nats(), request, answer).await;
}

fn log_broken(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a request over NATS broke off without an answer");
    }
}
