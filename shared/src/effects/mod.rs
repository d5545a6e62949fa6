//! Doing what was decided: swaps, demands, submissions, cancels. The way from a decision to the broker, for every role.

mod aside;
mod cancel;
mod caps;
mod carrier;
mod handle;
mod held;
mod open;
mod perform;
mod post_anew;
mod redrive;
mod retry;
mod submit;
mod swap;
mod tell;

use std::sync::Arc;
use std::time::Duration;

pub use cancel::{CancelError, Cancelled};
pub use caps::{Caps, LOSER_BODY};
pub use carrier::Carrier;
pub use handle::{Handled, JobMessage, Seen, Unfinished, handle};
pub use perform::{AGAIN, NotDone};
pub use post_anew::NotPostedAnew;
pub use redrive::NotRedriven;
pub use retry::RetryError;
pub use submit::{Receipt, Submission, SubmitError};
pub use tell::Untold;

use crate::domain::access::TenantQuotas;
use crate::gate_settings::GateSettings;
use crate::nats::Nats;
use crate::nats::records::Records;
use crate::queues::Queues;
use crate::seal::Sealing;
use crate::telemetry::Metrics;

/// What it takes to act on jobs. Cheap to clone.
#[derive(Clone)]
pub struct Effects {
    nats: Nats,
    records: Records,
    queues: Queues,
    caps: Caps,
    settled_ttl: Duration,
    metrics: Metrics,
    sealing: Sealing,
    quotas: Arc<TenantQuotas>,
    gates: Arc<GateSettings>,
}

impl Effects {
    /// Acts through this connection; a settled record is kept for `settled_ttl`.
    #[must_use]
    pub fn new(nats: &Nats, queues: &Queues, caps: Caps, settled_ttl: Duration) -> Self {
        let (queues, metrics) = (queues.clone(), Metrics::new());
        let (sealing, gates, quotas) = (Sealing::default(), Arc::default(), Arc::default());
        let (nats, records) = (nats.clone(), nats.records());
        Self { nats, records, queues, caps, settled_ttl, metrics, sealing, gates, quotas }
    }

    /// The same, with secrets sealed by this before they enter the broker.
    #[must_use]
    pub fn sealed_by(self, sealing: Sealing) -> Self {
        Self { sealing, ..self }
    }

    /// The same, with follow-ups counted among the open jobs of tenants that may have only so many.
    #[must_use]
    pub fn within(self, quotas: TenantQuotas) -> Self {
        Self { quotas: Arc::new(quotas), ..self }
    }

    /// How much tenants may submit.
    #[must_use]
    pub fn quotas(&self) -> &TenantQuotas {
        &self.quotas
    }

    /// The same, with accounts told apart as is configured for their destinations.
    #[must_use]
    pub fn gated_by(self, gates: GateSettings) -> Self {
        Self { gates: Arc::new(gates), ..self }
    }

    /// What seals and opens the secrets of callers.
    #[must_use]
    pub fn sealing(&self) -> &Sealing {
        &self.sealing
    }

    /// The same, with what becomes a dead letter counted here.
    #[must_use]
    pub fn counted_by(self, metrics: &Metrics) -> Self {
        Self { metrics: metrics.clone(), ..self }
    }

    /// The connection.
    #[must_use]
    pub fn nats(&self) -> &Nats {
        &self.nats
    }

    /// The records.
    #[must_use]
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// The queues.
    #[must_use]
    pub fn queues(&self) -> &Queues {
        &self.queues
    }

    /// How much fits where.
    #[must_use]
    pub fn caps(&self) -> Caps {
        self.caps
    }

    /// How long a settled record is kept.
    #[must_use]
    pub fn settled_ttl(&self) -> Duration {
        self.settled_ttl
    }
}
