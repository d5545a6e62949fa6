//! The text of an API key, `sluice_<id>_<secret>`, and what is kept of it.
//!
//! The secret is 256 random bits, so a plain SHA-256 of it cannot be guessed from: what makes hashes of passwords slow has
//! nothing to protect here. Hashes are compared in constant time.

use std::fmt;

use data_encoding::BASE32_DNSSEC as BASE32; // lower case, no padding, no `_`
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::domain::id::KeyId;

/// How every key begins, so that it is known for what it is wherever it turns up.
pub const PREFIX: &str = "sluice";

/// The secret of a key. Not shown by `Debug`.
#[derive(Clone)]
pub struct Secret([u8; 32]);

/// What is kept of a secret. Not shown by `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretHash(bytes::Bytes);

/// A key as its owner has it. Not shown by `Debug`.
#[derive(Clone)]
pub struct ApiKey {
    /// What names it.
    pub id: KeyId,
    /// What proves it.
    pub secret: Secret,
}

impl Secret {
    /// A secret from 256 random bits.
    #[must_use]
    pub fn from_random(bits: [u8; 32]) -> Self {
        Self(bits)
    }

    /// What is kept of it.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        SecretHash(bytes::Bytes::copy_from_slice(&Sha256::digest(self.0)))
    }
}

impl SecretHash {
    /// Whether this is the hash of that secret, found out in the same time whatever it is.
    #[must_use]
    pub fn is_of(&self, secret: &Secret) -> bool {
        self.0.ct_eq(&secret.hash().0).into()
    }
}

impl ApiKey {
    /// Reads a key; `None` where the text is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('_');
        let (PREFIX, id, secret, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
            return None;
        };
        let secret = BASE32.decode(secret.as_bytes()).ok()?.try_into().ok()?;
        Some(Self { id: id.parse().ok()?, secret: Secret(secret) })
    }

    /// The key as its owner keeps it: the only place where the secret becomes text.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{PREFIX}_{}_{}", self.id, BASE32.encode(&self.secret.0))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(not shown)")
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(not shown)")
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({}, secret not shown)", self.id)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a key that cannot be read fails the test")]

    use super::*;

    fn key(byte: u8) -> ApiKey {
        ApiKey { id: KeyId::from_random([7; 10]), secret: Secret::from_random([byte; 32]) }
    }

    #[test]
    fn a_key_reads_back_as_what_it_was() {
        let text = key(1).reveal();
        assert!(text.starts_with("sluice_") && text.len() == 7 + 16 + 1 + 52, "{text}");
        let read = ApiKey::parse(&text).unwrap();
        assert_eq!(read.id, key(1).id);
        assert!(key(1).secret.hash().is_of(&read.secret) && !key(2).secret.hash().is_of(&read.secret));
    }

    #[test]
    fn what_is_no_key_is_none() {
        let good = key(1).reveal();
        let (short, long) = (&good[..good.len() - 1], format!("{good}0"));
        let other = good.replace("sluice_", "sk_");
        for text in
            ["", "sluice", "sluice__", "sluice_a_b", short, &long, &other, &format!("{good}_"), &good.to_uppercase()]
        {
            assert!(ApiKey::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn neither_the_secret_nor_its_hash_is_shown() {
        let key = key(1);
        let shown = format!("{key:?} {:?} {:?}", key.secret, key.secret.hash());
        assert!(!shown.contains(key.reveal().rsplit('_').next().unwrap()) && !shown.contains("[1"), "{shown}");
    }
}
