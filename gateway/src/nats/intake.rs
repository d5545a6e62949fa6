//! The durable intake: pulls submissions that clients have stored in the broker, and takes each in as a job.
//!
//! A submission is acknowledged after its job is stored, or after it has become a dead letter; its key is the same each
//! time it is handed out, so whatever happens twice is one job. Each lane is pulled by itself, so that one with a backlog holds
//! up no other. Invariant: never more in hand than there is room for, by number and by size: what is more would only wait for
//! its turn at the broker until that seems silent.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use sluice_shared::domain::access::Quota;
use sluice_shared::domain::id::Tenant;
use sluice_shared::domain::lane::Lane;
use sluice_shared::effects::SubmitError;
use sluice_shared::fault_points;
use sluice_shared::nats::ack::InHand;
use sluice_shared::nats::lane::{Came, LanePuller};
use sluice_shared::nats::pull::Generation;
use sluice_shared::nats::{Nats, broker_error};
use sluice_shared::panics::{Panicked, caught};
use sluice_shared::places::{Place, Places};
use sluice_shared::room::Room;
use sluice_shared::telemetry::{Metrics, Submitted, Via};
use sluice_shared::topology::{Laned, Topology};
use tokio_util::sync::CancellationToken;

use super::Options;
use super::beside;
use super::hands::{self, Hands};
use super::held::Held;
use super::refuse::{NotTold, Refused};
use crate::access::{Access, OverQuota};
use crate::jobs::{Jobs, Refusal, counted};

/// How often a submission is tried that is refused for a reason that may pass, be it the broker's or a quota: some minutes.
const PATIENCE: u64 = 12;
/// Submissions over a quota that wait in this gateway at a time, seven eighths of them for one tenant at most: all gateways
/// together keep far fewer than the consumer may have handed out.
const HELD_BACK: usize = 1024;
/// How often a submission is handed out that panics, before it is refused.
const TRIES_OF_WHAT_PANICS: u64 = 3;

/// Takes durable submissions in.
pub(super) struct Intake {
    pub(super) jobs: Jobs,
    access: Access,
    pub(super) metrics: Metrics,
    options: Options,
    /// Submissions over a quota that are tried again, of all tenants.
    held_back: Places,
}

/// Why pulling ended.
enum Ended {
    /// It was told to stop, and nothing is on its way any more.
    Stopped,
    /// The connection or the broker changed.
    Lost,
    /// The consumer is gone.
    Gone,
}

/// Why a submission is not done with.
#[derive(Debug, thiserror::Error)]
enum NotYet {
    #[error(transparent)]
    NotStored(#[from] Refusal),
    /// Its place is kept until it comes again.
    #[error("{0}")]
    OverQuota(Refusal, Place),
    #[error(transparent)]
    NotTold(#[from] NotTold),
    #[error("{0}")]
    Panicked(Panicked),
}

impl Intake {
    pub(super) fn new(jobs: Jobs, access: Access, metrics: Metrics, options: Options) -> Self {
        Self { jobs, access, metrics, options, held_back: Places::new(HELD_BACK) }
    }

    pub(super) fn nats(&self) -> &Nats {
        self.jobs.effects().nats()
    }

    /// Takes submissions in, of all lanes, until told to stop; then lets what is in hand end.
    pub(super) async fn run(self, stop: &CancellationToken) {
        let intake = Arc::new(self);
        let room = hands::room(intake.options.intake, intake.nats().max_payload());
        let lanes = intake.nats().topology().lanes();
        join_all(lanes.map(|lane| Arc::clone(&intake).run_lane(lane, room.clone(), stop))).await;
    }

    async fn run_lane(self: Arc<Self>, lane: Lane, room: Room, stop: &CancellationToken) {
        let (mut hands, generation) = (Hands::default(), Generation::default());
        loop {
            let pulled = match LanePuller::open(self.nats(), Laned::Submissions, lane, &room, &generation).await {
                Ok(puller) => self.pull(puller, &mut hands, stop).await,
                Err(closed) => Err(closed.to_string()),
            };
            let pulled = match pulled {
                Ok(Ended::Stopped) => break,
                Ok(Ended::Lost) => Ok(()),
                Ok(Ended::Gone) => self.make_consumer(lane).await,
                Err(why) => Err(why),
            };
            if let Err(why) = &pulled {
                tracing::warn!(%lane, why, "durable submissions cannot be pulled at the moment; trying again");
            }
            let millis = if pulled.is_ok() { 20..200 } else { 500..1_500 };
            let pause = tokio::time::sleep(Duration::from_millis(rand::random_range(millis)));
            if stop.run_until_cancelled(pause).await.is_none() {
                break;
            }
        }
        hands.finish(self.options.grace).await;
    }

    /// Pulls over one subscription until it is of no use any more.
    async fn pull(
        self: &Arc<Self>,
        mut puller: LanePuller,
        hands: &mut Hands,
        stop: &CancellationToken,
    ) -> Result<Ended, String> {
        let stream = self.nats().jetstream().get_stream(self.nats().topology().submit_stream()).await;
        let created = stream.map_err(|e| broker_error(&e))?.cached_info().created;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    puller.close().await;
                    return Ok(Ended::Stopped);
                }
                came = puller.next() => match came.map_err(|e| e.to_string())? {
                    Came::Message(message, taken) => {
                        let name = format!("submit-{}-{}", created.unix_timestamp_nanos(), message.sequence());
                        hands.take(Arc::clone(self), Held(*message), taken, name);
                    }
                    Came::Lost => return Ok(Ended::Lost),
                    Came::Gone => return Ok(Ended::Gone),
                },
            }
        }
    }

    async fn make_consumer(&self, lane: Lane) -> Result<(), String> {
        let (nats, ack_wait) = (self.nats(), self.options.ack_wait);
        let made = nats.topology().create_lane_consumer(nats, Laned::Submissions, lane, ack_wait).await;
        made.map_err(|error| error.to_string())?;
        tracing::info!(%lane, "the consumer of durable submissions was gone and is made again");
        Ok(())
    }

    /// Takes one submission in and lets go of it. `name` is its own, the same each time it is handed out.
    pub(super) async fn take_in(&self, held: &Held, name: &str) {
        let settled = match caught(Box::pin(held.while_alive(self.settle(&held.0, name)))).await {
            Ok(settled) => settled,
            Err(panicked) => Box::pin(held.while_alive(self.panicked(&held.0, name, &panicked))).await,
        };
        match settled {
            Ok(()) => held.done().await,
            Err(why) => {
                tracing::debug!(%why, name, "a durable submission is tried again later");
                let pause = held.again().await;
                if let NotYet::OverQuota(_, place) = why {
                    tokio::spawn(async move {
                        tokio::time::sleep(pause).await;
                        drop(place);
                    });
                }
            }
        }
    }

    /// What panics is tried a few times, then it is refused: its webhooks are told, where it does not panic over that too.
    async fn panicked(&self, message: &InHand, name: &str, panicked: &Panicked) -> Result<(), NotYet> {
        let (tries, why) = (message.delivered(), panicked.to_string());
        tracing::error!(name, tries, why, "taking a durable submission in broke down");
        if tries < TRIES_OF_WHAT_PANICS {
            return Err(NotYet::Panicked(panicked.clone()));
        }
        let tenant = self.tenant_of(message.subject()).ok();
        let refused = Refused { message, name, tenant: tenant.as_ref(), code: "internal", why };
        self.metrics.submitted(Via::Nats, Submitted::Refused);
        match caught(Box::pin(self.refuse(&refused))).await {
            Ok(told) => Ok(told?),
            Err(again) => {
                let why = format!("{}; its webhooks are not told: {again}", refused.why);
                Ok(self.set_aside(&Refused { why, ..refused }).await?)
            }
        }
    }

    /// Makes a job of it, or a dead letter.
    async fn settle(&self, message: &InHand, name: &str) -> Result<(), NotYet> {
        let tenant = match self.tenant_of(message.subject()) {
            Ok(tenant) => tenant,
            Err(why) => {
                self.metrics.submitted(Via::Nats, Submitted::Refused);
                return Ok(self.refuse(&Refused { message, name, tenant: None, code: "invalid_tenant", why }).await?);
            }
        };
        let key = beside::key(message.headers(), message.payload(), Some(name));
        fault_points::point("intake", key.unwrap_or_default());
        let traceparent = beside::traceparent(message.headers());
        let budget = self.access.budget_of(&tenant);
        let submitted = self.jobs.submit_within(budget.as_ref(), &tenant, message.payload(), key, traceparent).await;
        self.metrics.submitted(Via::Nats, counted(&submitted));
        match submitted {
            Ok(_) => Ok(()),
            Err(refusal) if is_final(&refusal, message.delivered()) => {
                Ok(self.refuse(&Refused::as_a_job(message, name, &tenant, &refusal)).await?)
            }
            // What waits until its tenant may submit more has a place for that, or the consumer would have no room for others.
            Err(refusal @ Refusal::OverQuota(OverQuota::Exceeded(_))) => match self.held_back.try_take(&tenant) {
                Some(place) => Err(NotYet::OverQuota(refusal, place)),
                None => Ok(self.refuse(&Refused::as_a_job(message, name, &tenant, &refusal)).await?),
            },
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// Whose submission it is by the subject that it was published to, or what is wrong with that.
    fn tenant_of(&self, stored: &str) -> Result<Tenant, String> {
        let topology = self.nats().topology();
        let subject = topology.submitted_to(stored).unwrap_or_else(|| stored.to_owned());
        let Some(token) = Topology::tenant_in(&subject, &topology.submit(None)) else {
            return Ok(Tenant::default());
        };
        token.parse().map_err(|error| format!("the subject `{subject}` names no tenant: {error}"))
    }
}

/// Whether trying again is of no use.
fn is_final(refusal: &Refusal, tries: u64) -> bool {
    match refusal {
        Refusal::Invalid(_) | Refusal::InvalidKey | Refusal::TwoKeys => true,
        Refusal::NotTaken(SubmitError::Conflict { .. } | SubmitError::TooLarge | SubmitError::BodyTooLarge { .. }) => {
            true
        }
        Refusal::OverQuota(OverQuota::TooLarge(_)) => true,
        Refusal::OverQuota(OverQuota::Exceeded(exceeded)) => exceeded.quota == Quota::Day || tries >= PATIENCE,
        Refusal::StorageFull
        | Refusal::OverQuota(OverQuota::Unavailable)
        | Refusal::NotTaken(SubmitError::NoRoom | SubmitError::Unknown { .. }) => false,
        // A record of a newer version, a broker that is being changed: this may pass.
        Refusal::NotTaken(SubmitError::Refused(_)) => tries >= PATIENCE,
    }
}

#[cfg(test)]
mod tests {
    use sluice_shared::domain::access::Exceeded;

    use super::*;

    #[test]
    fn what_may_pass_is_tried_again_and_what_cannot_is_refused() {
        let key = || "k".to_owned();
        let over = |quota| OverQuota::from(Exceeded { quota, again_in: Duration::ZERO });
        let table = [
            (Refusal::TwoKeys, true),
            (Refusal::StorageFull, false),
            (over(Quota::Second).into(), false),
            (over(Quota::Open).into(), false),
            (over(Quota::Day).into(), true),
            (OverQuota::TooLarge(9).into(), true),
            (OverQuota::Unavailable.into(), false),
            (Refusal::NotTaken(SubmitError::TooLarge), true),
            (Refusal::NotTaken(SubmitError::NoRoom), false),
            (Refusal::NotTaken(SubmitError::Unknown { key: key() }), false),
            (Refusal::NotTaken(SubmitError::Refused(key())), false),
        ];
        for (refusal, expected) in table {
            assert_eq!(is_final(&refusal, PATIENCE - 1), expected, "{refusal}");
        }
        assert!(is_final(&Refusal::NotTaken(SubmitError::Refused(key())), PATIENCE));
        assert!(is_final(&over(Quota::Second).into(), PATIENCE) && is_final(&over(Quota::Open).into(), PATIENCE));
        assert!(!is_final(&Refusal::NotTaken(SubmitError::NoRoom), PATIENCE));
    }
}
