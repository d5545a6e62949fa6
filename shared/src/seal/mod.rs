//! Sealing: what of a caller's secrets is kept in the broker cannot be read there, nor moved to another place.
//!
//! XChaCha20-Poly1305 with a random nonce of 24 bytes for each sealing, so that no count of sealings wears a key out. The
//! place that something is sealed for is authenticated with it: a copy elsewhere does not open. Not here: where keys come
//! from (the configuration). Invariant: neither keys nor what is sealed are shown by `Debug` or in errors.

mod accounts;
mod headers;
mod key;
mod place;
mod redact;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use chacha20poly1305::XNonce;
use chacha20poly1305::aead::{Aead, Payload};
use data_encoding::BASE32_DNSSEC as BASE32; // lower case, no padding
use ring::hmac;
use serde::{Deserialize, Serialize};

pub use headers::Sealing;
pub use key::{InvalidKey, KeyId, SealKey};
pub use place::Place;

/// Bytes of a nonce, which stands before what is sealed.
const NONCE: usize = 24;

/// What is sealed, and under which key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// The key that opens it.
    pub key: KeyId,
    /// The nonce and, behind it, the text with its tag.
    text: Bytes,
}

/// What is kept: sealed where there was a key, as it is where there was none.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kept {
    /// It takes the key to read it.
    Sealed(Sealed),
    /// Whoever reads the broker reads it.
    Plain(Bytes),
}

/// The keys of this process. Cheap to clone.
#[derive(Clone, Default)]
pub struct Seal(Arc<Keys>);

#[derive(Default)]
struct Keys {
    /// Seals and opens.
    current: Option<SealKey>,
    /// Opens what it sealed before.
    previous: Option<SealKey>,
}

/// Why something sealed stays closed. Nothing that a retry changes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOpened {
    /// This process does not have the key.
    #[error(
        "it was sealed with the key {0}, which is not configured here: set secrets.key or secrets.previous_key to it"
    )]
    NoSuchKey(KeyId),
    /// It was sealed for another place, or is damaged.
    #[error("it was not sealed for this place with the key {0}, or is damaged")]
    NotGenuine(KeyId),
}

#[cfg(test)]
impl Sealed {
    /// What looks like something sealed, for the form that it is written in.
    pub(crate) fn golden(key: KeyId, text: Bytes) -> Self {
        Self { key, text }
    }
}

impl Seal {
    /// Seals with the first key, and opens with both.
    #[must_use]
    pub fn new(current: SealKey, previous: Option<SealKey>) -> Self {
        Self(Arc::new(Keys { current: Some(current), previous }))
    }

    /// Without a key: nothing is sealed.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// The key that seals, if there is one.
    #[must_use]
    pub fn key(&self) -> Option<&KeyId> {
        self.0.current.as_ref().map(SealKey::id)
    }

    /// Seals something for a place; `None` without a key.
    #[must_use]
    pub fn seal(&self, text: &[u8], place: &Place<'_>) -> Option<Sealed> {
        let key = self.0.current.as_ref()?;
        let nonce: [u8; NONCE] = rand::random();
        let aad = place.bytes();
        // It fails for texts of more than 256 GiB alone.
        let sealed = key.cipher().encrypt(&XNonce::from(nonce), Payload { msg: text, aad: &aad }).ok()?;
        Some(Sealed { key: key.id().clone(), text: [&nonce[..], &sealed].concat().into() })
    }

    /// Opens what was sealed for this place.
    ///
    /// # Errors
    /// Where the key is not here, or it was sealed for another place.
    pub fn open(&self, sealed: &Sealed, place: &Place<'_>) -> Result<Vec<u8>, NotOpened> {
        let keys = [&self.0.current, &self.0.previous];
        let key = keys.into_iter().flatten().find(|key| *key.id() == sealed.key);
        let key = key.ok_or_else(|| NotOpened::NoSuchKey(sealed.key.clone()))?;
        let damaged = || NotOpened::NotGenuine(sealed.key.clone());
        let (nonce, text) = sealed.text.split_first_chunk::<NONCE>().ok_or_else(damaged)?;
        let aad = place.bytes();
        key.cipher().decrypt(&XNonce::from(*nonce), Payload { msg: text, aad: &aad }).map_err(|_| damaged())
    }

    /// A name for something secret, made of 80 bits that only the key makes of it: nobody without the key finds out by trying
    /// what it is of. The same parts have the same name as long as the key is the same; `None` without one.
    #[must_use]
    pub fn name(&self, parts: &[&[u8]]) -> Option<String> {
        let key = self.0.current.as_ref()?;
        let mut name = hmac::Context::with_key(key.naming());
        for part in parts {
            name.update(&part.len().to_be_bytes());
            name.update(part);
        }
        Some(BASE32.encode(&name.sign().as_ref()[..10]))
    }

    /// What is kept of something: sealed, where there is a key.
    #[must_use]
    pub fn keep(&self, text: Bytes, place: &Place<'_>) -> Kept {
        self.seal(&text, place).map_or(Kept::Plain(text), Kept::Sealed)
    }

    /// What was kept at this place.
    ///
    /// # Errors
    /// As `open`.
    pub fn read(&self, kept: &Kept, place: &Place<'_>) -> Result<Bytes, NotOpened> {
        match kept {
            Kept::Sealed(sealed) => self.open(sealed, place).map(Bytes::from),
            Kept::Plain(text) => Ok(text.clone()),
        }
    }

    /// Whether something is kept otherwise than it would be now: under another key, or under none.
    #[must_use]
    pub fn is_outdated(&self, kept: &Kept) -> bool {
        match kept {
            Kept::Sealed(sealed) => self.key().is_some_and(|key| *key != sealed.key),
            Kept::Plain(_) => self.key().is_some(),
        }
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seal").field("key", &self.key()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes with the key {})", self.text.len(), self.key)
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sealed(sealed) => sealed.fmt(f),
            Self::Plain(text) => write!(f, "Plain({} bytes)", text.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "what cannot be sealed fails the test")]

    use super::*;
    use crate::domain::id::Tenant;

    const TEXT: &[u8] = b"canary-7";

    fn seal(key: u8, previous: Option<u8>) -> Seal {
        Seal::new(SealKey::of_bytes([key; 32]), previous.map(|byte| SealKey::of_bytes([byte; 32])))
    }

    fn place(tenant: &Tenant) -> Place<'_> {
        Place::WebhookSecrets { tenant }
    }

    #[test]
    fn what_is_sealed_opens_where_it_was_sealed_for_and_nowhere_else() {
        let (a, b): (Tenant, Tenant) = ("a".parse().unwrap(), "b".parse().unwrap());
        let sealed = seal(1, None).seal(TEXT, &place(&a)).unwrap();
        assert_eq!(seal(1, None).open(&sealed, &place(&a)).unwrap(), TEXT);
        let elsewhere = seal(1, None).open(&sealed, &place(&b));
        assert_eq!(elsewhere, Err(NotOpened::NotGenuine(sealed.key.clone())));
        let of_a_header = Place::Headers { tenant: &a, method: "GET", url: "" };
        assert!(seal(1, None).open(&sealed, &of_a_header).is_err());
    }

    #[test]
    fn a_name_is_that_of_its_parts_and_its_key_and_there_is_none_without_a_key() {
        let name = |key, parts: &[&[u8]]| seal(key, None).name(parts).unwrap();
        let one = name(1, &[b"ab", b"c"]);
        assert_eq!((one.len(), &one), (16, &name(1, &[b"ab", b"c"])));
        assert_ne!(one, name(1, &[b"a", b"bc"]));
        assert_ne!(one, name(2, &[b"ab", b"c"]));
        assert_eq!(Seal::none().name(&[TEXT]), None);
    }

    #[test]
    fn what_was_changed_or_cut_does_not_open() {
        let tenant = Tenant::default();
        let sealed = seal(1, None).seal(TEXT, &place(&tenant)).unwrap();
        for at in 0..sealed.text.len() {
            let mut text = sealed.text.to_vec();
            text[at] ^= 1;
            let changed = Sealed { text: text.into(), ..sealed.clone() };
            assert!(seal(1, None).open(&changed, &place(&tenant)).is_err(), "byte {at}");
            let cut = Sealed { text: sealed.text.slice(..at), ..sealed.clone() };
            assert!(seal(1, None).open(&cut, &place(&tenant)).is_err(), "{at} bytes");
        }
    }

    #[test]
    fn after_a_rotation_both_keys_open_and_the_new_one_seals() {
        let tenant = Tenant::default();
        let (before, during, after) = (seal(1, None), seal(2, Some(1)), seal(2, None));
        let old = before.keep(Bytes::from_static(TEXT), &place(&tenant));
        assert_eq!(during.read(&old, &place(&tenant)).unwrap(), TEXT);
        assert!(during.is_outdated(&old) && !before.is_outdated(&old));
        assert!(matches!(after.read(&old, &place(&tenant)), Err(NotOpened::NoSuchKey(_))));
        let new = during.keep(Bytes::from_static(TEXT), &place(&tenant));
        assert_eq!(after.read(&new, &place(&tenant)).unwrap(), TEXT);
        assert!(!during.is_outdated(&new));
    }

    #[test]
    fn without_a_key_things_are_kept_as_they_are_and_with_one_they_are_outdated() {
        let tenant = Tenant::default();
        let kept = Seal::none().keep(Bytes::from_static(TEXT), &place(&tenant));
        assert_eq!(kept, Kept::Plain(Bytes::from_static(TEXT)));
        assert_eq!(seal(1, None).read(&kept, &place(&tenant)).unwrap(), TEXT);
        assert!(seal(1, None).is_outdated(&kept) && !Seal::none().is_outdated(&kept));
    }

    #[test]
    fn the_same_is_never_sealed_the_same_twice_and_neither_key_nor_text_is_shown() {
        let (tenant, seal) = (Tenant::default(), seal(0x41, None));
        let [one, two] = [0, 1].map(|_| seal.seal(TEXT, &place(&tenant)).unwrap());
        assert_ne!(one, two);
        let shown = format!("{seal:?} {one:?} {:?}", Kept::Plain(Bytes::from_static(TEXT)));
        assert!(!shown.contains("canary") && !shown.contains("AAAA") && !shown.contains("41, "), "{shown}");
        let written = crate::wire::encode(&one);
        assert!(!written.windows(TEXT.len()).any(|bytes| bytes == TEXT));
    }
}
