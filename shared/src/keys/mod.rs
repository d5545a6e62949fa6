//! The API keys that exist: made, listed and revoked in their bucket, by gateways and by the command line alike.
//!
//! A key exists if and only if its entry does; revoking removes it. Invariant: the secret is in none of what is stored.

mod keyring;

use std::time::Duration;

use tokio::time::timeout;

pub use keyring::{Keyring, NotTaken};

use crate::clock;
use crate::domain::access::{ApiKey, Key, MayNot, Secret, Wish};
use crate::domain::id::{KeyId, Tenant};
use crate::nats::Nats;
use crate::nats::bucket::{Bucket, BucketError, Written};
use crate::nats::watched::Watched;

/// How often a write whose fate is not known is looked into.
const TRIES: u32 = 10;
/// How long it may take to read all keys.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// Why something could not be done with keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Whoever asks may not have it.
    #[error(transparent)]
    MayNot(#[from] MayNot),
    /// There is no such key.
    #[error("there is no such key")]
    NotFound,
    /// Nobody knows whether it was done; for a key that was to be made: it may be there, and nobody has its secret.
    #[error("the broker did not answer in time: repeat the request, and revoke keys that nobody has")]
    Unknown,
    /// The bucket cannot be used.
    #[error(transparent)]
    Bucket(#[from] BucketError),
}

/// The keys as they are in the broker. Cheap to clone.
#[derive(Clone)]
pub struct Keys(Bucket<Key>);

impl Keys {
    /// Those of this deployment.
    #[must_use]
    pub fn new(nats: &Nats) -> Self {
        Self(nats.bucket(&nats.topology().keys_bucket()))
    }

    /// Makes a key, asked for with the key `maker` or, without one, by the operator. What it answers with is the only chance to
    /// see the secret.
    ///
    /// # Errors
    /// Where whoever asks may not have it, or the broker does not answer.
    pub async fn create(&self, wish: Wish, maker: Option<(&KeyId, &Key)>) -> Result<(ApiKey, Key), KeyError> {
        let api_key = ApiKey { id: KeyId::from_random(rand::random()), secret: Secret::from_random(rand::random()) };
        let key = wish.grant(maker, api_key.secret.hash(), clock::now())?;
        let id = api_key.id.as_str();
        for again in 0..TRIES {
            match self.0.create(id, &key).await? {
                Written::At(_) => return Ok((api_key, key)),
                // Nobody else makes this id: what is there is what an earlier try has left.
                Written::Changed => match self.0.get(id).await? {
                    Some(there) if there.value == key => return Ok((api_key, key)),
                    Some(_) | None => return Err(KeyError::Unknown),
                },
                Written::Unknown => tokio::time::sleep(Duration::from_millis(20 << again.min(5))).await,
            }
        }
        Err(KeyError::Unknown)
    }

    /// Revokes a key, of this tenant where one is given. Repeating it is harmless.
    ///
    /// # Errors
    /// Where there is no such key, or the broker does not answer.
    pub async fn revoke(&self, id: &KeyId, of: Option<&Tenant>) -> Result<(), KeyError> {
        let mut tried = false;
        for again in 0..TRIES {
            let there = match self.0.get(id.as_str()).await? {
                Some(there) if of.is_none() || there.value.tenant.as_ref() == of => there,
                None if tried => return Ok(()),
                Some(_) | None => return Err(KeyError::NotFound),
            };
            match self.0.remove(id.as_str(), there.revision).await? {
                Written::At(_) => return Ok(()),
                Written::Changed => {}
                Written::Unknown => {
                    tried = true;
                    tokio::time::sleep(Duration::from_millis(20 << again.min(5))).await;
                }
            }
        }
        Err(KeyError::Unknown)
    }

    /// All keys, the oldest first.
    ///
    /// # Errors
    /// Where the broker does not answer.
    pub async fn all(&self) -> Result<Vec<(KeyId, Key)>, KeyError> {
        let (mut changes, mut there) = (self.0.watch(), Watched::<KeyId, Key>::default());
        let told = timeout(READ_WITHIN, async {
            while let Some(change) = changes.recv().await {
                if there.take(change) {
                    return;
                }
            }
        });
        told.await.map_err(|_| KeyError::Unknown)?;
        let all = there.iter().map(|(id, entry)| (id.clone(), entry.value.clone()));
        Ok(by_age(all.collect()))
    }
}

/// In the order in which they were made.
fn by_age(mut keys: Vec<(KeyId, Key)>) -> Vec<(KeyId, Key)> {
    keys.sort_unstable_by(|(a, one), (b, other)| (one.created_at, a).cmp(&(other.created_at, b)));
    keys
}
