//! A key: 32 bytes from the configuration, and the id by which what it sealed names it.

use std::fmt;

use chacha20poly1305::{Key, KeyInit as _, XChaCha20Poly1305};
use data_encoding::{BASE64, HEXLOWER, HEXLOWER_PERMISSIVE};
use ring::hmac;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A key that seals and opens.
pub struct SealKey {
    id: KeyId,
    cipher: XChaCha20Poly1305,
    /// For names of what must not be known: a key of its own, so that neither use tells anything of the other.
    naming: hmac::Key,
}

/// Which key: half of a hash of it, which tells nothing of the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(String);

/// What is written is no key. It is not quoted.
#[derive(Debug, thiserror::Error)]
#[error("must be 32 random bytes in base64 or hexadecimal: make one with `openssl rand -base64 32`")]
pub struct InvalidKey;

impl SealKey {
    /// A key as it is written: 32 bytes in base64 or hexadecimal.
    ///
    /// # Errors
    /// Where it is neither.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        let text = text.trim().as_bytes();
        let bytes = match text.len() {
            64 => HEXLOWER_PERMISSIVE.decode(text),
            _ => BASE64.decode(text),
        };
        let bytes = bytes.ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        bytes.map(Self::of_bytes).ok_or(InvalidKey)
    }

    /// A new key, as `parse` reads it.
    #[must_use]
    pub fn generate() -> String {
        BASE64.encode(&rand::random::<[u8; 32]>())
    }

    /// The key of these bytes.
    #[must_use]
    pub fn of_bytes(bytes: [u8; 32]) -> Self {
        let hash = Sha256::new().chain_update(b"sluice key id").chain_update(bytes).finalize();
        let naming = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &bytes), b"sluice naming key");
        Self {
            id: KeyId(HEXLOWER.encode(&hash[..8])),
            cipher: XChaCha20Poly1305::new(&Key::from(bytes)),
            naming: hmac::Key::new(hmac::HMAC_SHA256, naming.as_ref()),
        }
    }

    /// What names it.
    #[must_use]
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    pub(super) fn naming(&self) -> &hmac::Key {
        &self.naming
    }

    pub(super) fn cipher(&self) -> &XChaCha20Poly1305 {
        &self.cipher
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealKey({})", self.id)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a key that is refused fails the test")]

    use super::*;

    #[test]
    fn a_key_is_read_in_base64_and_in_hexadecimal_and_the_same_key_has_the_same_id() {
        let [base64, hex] = [BASE64.encode(&[7; 32]), HEXLOWER.encode(&[7; 32])];
        let id = SealKey::of_bytes([7; 32]).id().clone();
        for text in [&base64, &hex, &hex.to_uppercase(), &format!("{base64}\n")] {
            assert_eq!(*SealKey::parse(text).unwrap().id(), id);
        }
        assert_ne!(*SealKey::parse(&SealKey::generate()).unwrap().id(), id);
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_quoted() {
        for text in ["", "hunter2-hunter2", &BASE64.encode(&[7; 31]), &"zz".repeat(32)] {
            let refused = SealKey::parse(text).unwrap_err().to_string();
            assert!(text.is_empty() || !refused.contains(text), "{refused}");
        }
    }
}
