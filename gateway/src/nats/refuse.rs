//! Submissions that are refused for good: their webhooks are told, and they become dead letters.
//!
//! Invariant: both are certain before the message is let go of, and refusing the same submission twice is the same as
//! once: the result and the letter are named by the message.

use bytes::Bytes;
use sluice_shared::clock;
use sluice_shared::domain::id::{InvalidName, Tenant};
use sluice_shared::domain::result::{JobResult, RefusedSubmission};
use sluice_shared::domain::submission::{Limits, salvage_webhooks};
use sluice_shared::effects::NotDone;
use sluice_shared::nats::ack::InHand;
use sluice_shared::nats::dead::{DeadKind, DeadLetter};
use sluice_shared::nats::guarded::NotMoved;
use sluice_shared::seal::Place;
use sluice_shared::wire;

use super::beside;
use super::intake::Intake;
use crate::jobs::Refusal;
use crate::problem::Problem;

/// Stands for a tenant where the subject names none: a name of nobody, so that nothing of it reaches anybody's own
/// subjects.
const NOBODY: &str = "_";

/// A submission that is refused, and why.
pub(super) struct Refused<'a> {
    pub(super) message: &'a InHand,
    /// Its own name, the same each time it is handed out.
    pub(super) name: &'a str,
    /// Who submitted it, where that is known.
    pub(super) tenant: Option<&'a Tenant>,
    /// Why, for programs.
    pub(super) code: &'static str,
    /// Why, for people; names no header, body or URL.
    pub(super) why: String,
}

/// A refusal that nobody knows of for certain.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotTold {
    #[error(transparent)]
    Webhooks(#[from] NotDone),
    #[error(transparent)]
    DeadLetter(#[from] NotMoved),
    #[error(transparent)]
    Tenant(#[from] InvalidName),
}

impl<'a> Refused<'a> {
    pub(super) fn as_a_job(message: &'a InHand, name: &'a str, tenant: &'a Tenant, refusal: &Refusal) -> Self {
        let Problem { code, detail, .. } = refusal.into();
        Self { message, name, tenant: Some(tenant), code, why: detail }
    }
}

impl Intake {
    /// Tells its webhooks, and keeps it as a dead letter.
    pub(super) async fn refuse(&self, refused: &Refused<'_>) -> Result<(), NotTold> {
        let tenant = match refused.tenant {
            Some(tenant) => tenant.clone(),
            None => NOBODY.parse()?,
        };
        tracing::info!(%tenant, code = refused.code, name = refused.name, "a durable submission is refused");
        let result = self.result(refused, tenant.clone());
        if !result.webhooks.is_empty() {
            self.jobs.effects().hand_to_delivery(&result, refused.message.delivered() > 1).await?;
        }
        self.set_aside(refused).await
    }

    /// Keeps it as a dead letter.
    pub(super) async fn set_aside(&self, refused: &Refused<'_>) -> Result<(), NotTold> {
        let letter = DeadLetter {
            kind: DeadKind::Submission,
            tenant: refused.tenant.map_or(NOBODY, Tenant::as_str),
            name: refused.name.to_owned(),
            reason: &refused.why,
            payload: self.kept(refused),
        };
        self.jobs.effects().set_aside(letter).await?;
        Ok(())
    }

    /// What is kept of it: its JSON without credentials. What is none may hold some anywhere, and is sealed.
    fn kept(&self, refused: &Refused<'_>) -> Bytes {
        let (sealing, payload) = (self.jobs.effects().sealing(), refused.message.payload());
        let sealed = || sealing.seal().seal(payload, &Place::Refused { name: refused.name });
        let redacted = sealing.redacted(payload);
        redacted.or_else(|| sealed().map(|sealed| wire::encode(&sealed))).unwrap_or_else(|| payload.clone())
    }

    /// What its webhooks are told.
    fn result(&self, refused: &Refused<'_>, tenant: Tenant) -> JobResult {
        let (message, now) = (refused.message, clock::now());
        let max_payload = u64::try_from(self.nats().max_payload()).unwrap_or(u64::MAX);
        let limits = Limits::new(max_payload, now, self.nats().prefix(), &tenant).calling(self.jobs.targets());
        let salvage = salvage_webhooks(message.payload(), &limits);
        let key = beside::key(message.headers(), message.payload(), Some(refused.name)).unwrap_or(refused.name);
        JobResult::refused(RefusedSubmission {
            name: refused.name.to_owned(),
            key: key.to_owned(),
            submitted_at: message.published(),
            refused_at: now,
            why: refused.why.clone(),
            salvage,
            tenant,
        })
    }
}
