//! The service as others find it: its name, its endpoints, and how many requests it handles at a time.
//!
//! Any number of gateways share the requests: their endpoints are in one queue group. Every request is a task of its own,
//! so a slow one holds up no other; tenants take turns, so many of one hold up no other's. At a stop the endpoints are gone first; what has come in by then is answered.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::service::endpoint::Endpoint;
use async_nats::service::{Request, Service as Micro, ServiceExt};
use futures_util::StreamExt;
use futures_util::future::join_all;
use sluice_shared::places::{Place, Places};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::answer;
use super::desk::{Desk, Operation};
use super::error::RequestError;

/// Requests of one operation that are handled at a time; more of them wait for their turn.
const AT_ONCE: usize = 256;
/// Requests of one operation that are here at a time, or wait for the end of a job; more of them are sent away. No tenant has
/// more than seven eighths of either.
const IN_TURN: usize = 16_384;
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
    /// Shared by the endpoints of an operation: to be here, and to be handled.
    places: Places,
    turns: Places,
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
            let (most, at_once) = room(operation);
            let (places, turns) = (Places::new(most), Places::new(at_once));
            let of_tenant = (format!("{name}-for-tenant"), topology.api(name, Some("*")));
            for (name, subject) in [(name.to_owned(), topology.api(name, None)), of_tenant] {
                let about = HashMap::from(operation.about().map(|(key, text)| (key.to_owned(), text.to_owned())));
                let endpoint = micro.endpoint_builder().name(name).metadata(about).add(subject).await;
                let endpoint = endpoint.map_err(ServiceError::NotStarted)?;
                endpoints.push(Serving { operation, endpoint, places: places.clone(), turns: turns.clone() });
            }
        }
        desk.nats().has_taken_in().await.map_err(ServiceError::NotStarted)?;
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
            match self.places.try_take(&desk.whose(self.operation, &request.message.subject)) {
                Some(place) => {
                    drop(hands.spawn(handle(Arc::clone(&desk), self.operation, request, self.turns.clone(), place)));
                }
                None => {
                    let refusal = Err(RequestError::TooManyWaiting(room(self.operation).0));
                    answer::send(desk.nats(), request, refusal).await;
                }
            }
        }
        while let Some(ended) = hands.join_next().await {
            log_broken(ended);
        }
    }
}

/// How many requests of an operation are here at a time, and how many of these are handled: one that waits for the end of a
/// job keeps nobody busy.
fn room(operation: Operation) -> (usize, usize) {
    match operation {
        Operation::Wait => (WAITING, WAITING),
        Operation::Submit | Operation::Get | Operation::Cancel => (IN_TURN, AT_ONCE),
    }
}

async fn handle(desk: Arc<Desk>, operation: Operation, request: Request, turns: Places, _place: Place) {
    let _turn = turns.take(&desk.whose(operation, &request.message.subject)).await;
    let answer = Box::pin(desk.handle(operation, &request.message)).await;
    answer::send(desk.nats(), request, answer).await;
}

fn log_broken(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a request over NATS broke off without an answer");
    }
}
