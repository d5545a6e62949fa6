//! Secrets that a request names, filled in where it is sent and nowhere else.
//!
//! Invariant: a value is in what goes on the wire alone; what is said of one that cannot be filled in is its name.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use sluice_shared::config;
use sluice_shared::domain::id::Tenant;
use sluice_shared::domain::named_secret::{Name, SecretValue, Style, fill, names};
use sluice_shared::domain::outcome::{Content, ErrorKind};
use sluice_shared::effects::{Effects, Unfinished};
use sluice_shared::nats::bucket::BucketError;
use sluice_shared::nats::read::ReadError;
use sluice_shared::secrets::{NotKept, SecretName, SecretsStore, WatchedSecrets};

use crate::send::error;

/// The secrets of all tenants: what they set themselves, then what is configured for them.
#[derive(Clone)]
pub(crate) struct Secrets {
    watched: WatchedSecrets<SecretName>,
    store: SecretsStore<SecretName>,
    configured: Arc<HashMap<SecretName, Arc<SecretValue>>>,
}

/// Headers and body as they are sent.
pub(crate) type Filled = (Vec<(String, String)>, Bytes);

/// Why a request cannot be sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotFilled {
    /// There are no such secrets.
    #[error("the request names secrets that there are not: `{}`", .0.iter().map(Name::as_str).collect::<Vec<_>>().join("`, `"))]
    Missing(BTreeSet<Name>),
    /// There is one that cannot be opened.
    #[error("the secret `{name}` cannot be used: {why}")]
    Closed { name: Name, why: String },
    /// Nobody knows: this may pass.
    #[error(transparent)]
    Unread(#[from] ReadError),
}

impl Secrets {
    /// Follows what tenants set, beside what is configured.
    pub(crate) fn start(effects: &Effects, configured: &config::Secrets) -> Self {
        let watched = WatchedSecrets::start(effects.nats(), effects.sealing().seal());
        let of_tenant = |(tenant, secrets): (&String, &BTreeMap<String, String>)| {
            let tenant: Option<Tenant> = tenant.parse().ok();
            let secrets = secrets.iter().filter_map(|(name, value)| {
                let value = SecretValue::parse(value).ok()?;
                Some((Name::parse(name)?, Arc::new(value)))
            });
            let secrets: Vec<_> = secrets.collect();
            secrets
                .into_iter()
                .filter_map(move |(name, value)| Some((SecretName { tenant: tenant.clone()?, name }, value)))
        };
        Self {
            watched,
            store: SecretsStore::of(effects),
            configured: Arc::new(configured.fixed.iter().flat_map(of_tenant).collect()),
        }
    }

    /// The request with its secrets filled in. Waits, if it names any, until all are known.
    pub(crate) async fn fill(
        &self,
        tenant: &Tenant,
        mut headers: Vec<(String, String)>,
        body: Bytes,
    ) -> Result<Filled, NotFilled> {
        let mut wanted = names(&body);
        wanted.extend(headers.iter().flat_map(|(_, value)| names(value.as_bytes())));
        if wanted.is_empty() {
            return Ok((headers, body));
        }
        let values = self.values(tenant, wanted).await?;
        let value = |name: &Name| values.get(name).map(AsRef::as_ref);
        let style = if is_json(&headers) { Style::Json } else { Style::Plain };
        for (_, text) in &mut headers {
            *text = String::from_utf8_lossy(&fill(text.as_bytes(), Style::Plain, value)).into_owned();
        }
        let filled = fill(&body, style, value).into_owned();
        Ok((headers, filled.into()))
    }

    async fn values(
        &self,
        tenant: &Tenant,
        wanted: BTreeSet<Name>,
    ) -> Result<HashMap<Name, Arc<SecretValue>>, NotFilled> {
        let (mut values, mut missing) = (HashMap::new(), BTreeSet::new());
        for name in wanted {
            let key = SecretName { tenant: tenant.clone(), name: name.clone() };
            let set = self.watched.of(&key).await;
            let set = set.map_err(|why| NotFilled::Closed { name: name.clone(), why: why.to_string() })?;
            let known = set.or_else(|| self.configured.get(&key).cloned());
            match if known.is_some() { known } else { self.just_set(&key).await? } {
                Some(value) => drop(values.insert(name, value)),
                None => drop(missing.insert(name)),
            }
        }
        if missing.is_empty() { Ok(values) } else { Err(NotFilled::Missing(missing)) }
    }

    /// One that the copy does not know may have been set a moment ago: a job would fail for good.
    async fn just_set(&self, key: &SecretName) -> Result<Option<Arc<SecretValue>>, NotFilled> {
        match self.store.get(key).await {
            Ok(found) => Ok(found.map(|(value, _)| Arc::new(value))),
            Err(NotKept::Bucket(BucketError::Read(error))) => Err(error.into()),
            Err(error) => Err(NotFilled::Closed { name: key.name.clone(), why: error.to_string() }),
        }
    }
}

/// An answer that says why nothing was sent; none where that may pass.
pub(crate) fn unfilled(why: NotFilled) -> Result<Content, Unfinished> {
    let kind = match why {
        NotFilled::Missing(_) => ErrorKind::SecretMissing,
        NotFilled::Closed { .. } => ErrorKind::Unopened,
        NotFilled::Unread(error) => return Err(error.into()),
    };
    Ok(error(kind, why.to_string()))
}

fn is_json(headers: &[(String, String)]) -> bool {
    let declared = headers.iter().find(|(name, _)| name == "content-type");
    declared.is_some_and(|(_, value)| value.split(';').next().unwrap_or_default().to_ascii_lowercase().contains("json"))
}
