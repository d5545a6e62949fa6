//! What each route does, as the OpenAPI document says it: one resource a file, as the handlers are.
//!
//! A test holds the problems that are named here against the sources and `gateway/HTTP.md`; schemathesis holds all of it against
//! a gateway.

mod about;
mod foreign;
mod jobs;
mod keys;
mod letters;
mod queues;
mod secrets;

pub(super) use about::{document, health, metrics, page, readiness};
pub(super) use foreign::{foreign_job, foreign_proxy, foreign_secrets, forget_foreign_secrets, set_foreign_secrets};
pub(super) use jobs::{cancel, events, job, replay, retry, submit, submit_batch};
pub(super) use keys::{create_key, keys, revoke_key};
pub(super) use letters::{forget_all, forget_letter, letter, letters, redrive, redrive_all};
pub(super) use queues::{adjust, pause, purge, queue, queues, resume};
pub(super) use secrets::{
    forget_secret, forget_webhook_secrets, secrets, set_secret, set_webhook_secrets, webhook_secrets,
};
