//! A key that somebody wishes for, and whether they may have it.
//!
//! Whoever reaches NATS itself (the command line) makes any key. A key of the operator makes any key. A key of a tenant makes
//! keys of its tenant that live no longer than it does, and what is submitted with them counts against its own quotas too.

use super::key::Key;
use super::quotas::Quotas;
use super::scope::Scopes;
use super::secret::SecretHash;
use crate::clock::Millis;
use crate::domain::id::{KeyId, Tenant};
use crate::domain::submission::{Code, Fault};

/// The longest label, in characters.
const LONGEST_LABEL: usize = 100;
/// How many keys with quotas may stand above one.
const DEEPEST: usize = 4;

/// What a key is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish {
    /// Whose it is to be; the operator's where absent.
    pub tenant: Option<Tenant>,
    /// What is to be allowed.
    pub scopes: Scopes,
    /// What its owner calls it.
    pub label: String,
    /// From when on it is not to be taken any more.
    pub expires_at: Option<Millis>,
    /// How much may be submitted with it.
    pub quotas: Quotas,
}

/// Why there is no such key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MayNot {
    /// It is for somebody else.
    #[error("a key of a tenant makes keys of this tenant only")]
    Reach,
    /// Keys were made with keys too often.
    #[error("this key was made by too many others in turn: make keys with one that stands above it")]
    TooDeep,
    /// It makes no sense: everything that is wrong.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<Fault>),
}

impl Wish {
    /// The key, where whoever asks may have it; `maker` is the key that it is asked for with, if it is by one.
    ///
    /// # Errors
    /// Where it is for somebody else, or makes no sense.
    pub fn grant(self, maker: Option<(&KeyId, &Key)>, hash: SecretHash, now: Millis) -> Result<Key, MayNot> {
        let faults = self.faults(now);
        if !faults.is_empty() {
            return Err(MayNot::Invalid(faults));
        }
        let key = Key {
            tenant: self.tenant,
            scopes: self.scopes,
            label: self.label,
            created_at: now,
            created_by: maker.map(|(id, _)| id.clone()),
            expires_at: self.expires_at,
            quotas: self.quotas,
            ceilings: Vec::new(),
            hash,
        };
        match maker {
            Some((id, maker)) if !maker.is_operators() => key.below(id, maker),
            Some(_) | None => Ok(key),
        }
    }

    fn faults(&self, now: Millis) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut unless = |allowed: bool, path: &str, code, message: &str| {
            if !allowed {
                faults.push(Fault { path: path.to_owned(), code, message: message.to_owned() });
            }
        };
        // What belongs to nobody is kept under `_`.
        let named = self.tenant.as_ref().is_none_or(|tenant| !tenant.as_str().starts_with('_'));
        unless(named, "tenant", Code::InvalidValue, "must not begin with `_`");
        unless(!self.scopes.is_empty(), "scopes", Code::Missing, "must have at least one scope");
        let label = self.label.chars().take(LONGEST_LABEL + 1).count() <= LONGEST_LABEL;
        unless(label, "label", Code::TooLarge, "must have at most 100 characters");
        let printable = !self.label.chars().any(char::is_control);
        unless(printable, "label", Code::InvalidValue, "must have printable characters only");
        let ahead = self.expires_at.is_none_or(|end| end > now);
        unless(ahead, "expires_at", Code::OutOfRange, "must be in the future, in milliseconds since the epoch");
        for (name, value) in self.quotas.each() {
            let range = (1..=Quotas::MOST).contains(&value);
            unless(range, &format!("quotas.{name}"), Code::OutOfRange, "must be a whole number from 1 to 1000000000");
        }
        faults
    }
}

impl Key {
    /// The same key as one that is made with a tenant's key.
    fn below(self, id: &KeyId, maker: &Self) -> Result<Self, MayNot> {
        if self.tenant != maker.tenant {
            return Err(MayNot::Reach);
        }
        let ceilings = maker.ceilings_for_others(id);
        if ceilings.len() > DEEPEST {
            return Err(MayNot::TooDeep);
        }
        let expires_at = self.expires_at.into_iter().chain(maker.expires_at).min();
        Ok(Self { expires_at, ceilings, ..self })
    }
}

#[cfg(test)]
#[path = "wish_tests.rs"]
mod tests;
