//! A key as it is shown: the JSON shape of `/v1/keys`, and of `sluice keys … --json`.

use schemars::JsonSchema;
use serde::Serialize;
use sluice_shared::clock::Millis;
use sluice_shared::domain::access::{ApiKey, Key, Quotas, Scope};
use sluice_shared::domain::id::KeyId;

/// All keys that whoever asks reaches, the oldest first.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Keys")]
pub struct KeyList {
    /// The keys.
    pub keys: Vec<KeyBody>,
}

/// A key that was just made. The only thing that ever shows a secret.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "NewKey")]
pub struct CreatedBody {
    /// The key itself.
    pub key: String,
    /// What it allows.
    #[serde(flatten)]
    pub about: KeyBody,
}

/// A key, without its secret.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Key")]
pub struct KeyBody {
    /// What names it.
    pub id: String,
    /// Whose it is; absent for the operator's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Whether it reaches all tenants.
    pub operator: bool,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// What its owner calls it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// When it was made, milliseconds since the epoch.
    pub created_at: Millis,
    /// The key that it was made with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// From when on it is not taken any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Millis>,
    /// Whether that is so by now.
    pub expired: bool,
    /// How much may be submitted with it.
    #[serde(skip_serializing_if = "Quotas::is_none")]
    pub quotas: Quotas,
    /// What it shares with other keys that were made with the same one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shared_quotas: Vec<CeilingBody>,
}

/// Quotas of a key that count for those that were made with it, together.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SharedQuotas")]
pub struct CeilingBody {
    /// The key whose they are.
    pub key: String,
    /// How much.
    pub quotas: Quotas,
}

impl KeyBody {
    /// As it is at this moment.
    #[must_use]
    pub fn new(id: &KeyId, key: &Key, now: Millis) -> Self {
        let shared = key.ceilings.iter();
        Self {
            id: id.to_string(),
            tenant: key.tenant.as_ref().map(ToString::to_string),
            operator: key.is_operators(),
            scopes: key.scopes.iter().copied().collect(),
            label: key.label.clone(),
            created_at: key.created_at,
            created_by: key.created_by.as_ref().map(ToString::to_string),
            expires_at: key.expires_at,
            expired: key.has_expired(now),
            quotas: key.quotas,
            shared_quotas: shared
                .map(|ceiling| CeilingBody { key: ceiling.key.to_string(), quotas: ceiling.quotas })
                .collect(),
        }
    }
}

impl CreatedBody {
    /// With the key itself.
    #[must_use]
    pub fn new(api_key: &ApiKey, key: &Key, now: Millis) -> Self {
        Self { key: api_key.reveal(), about: KeyBody::new(&api_key.id, key, now) }
    }
}
