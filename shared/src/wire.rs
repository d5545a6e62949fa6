//! Message formats: one version byte, then MessagePack with named fields. The only caller of rmp-serde.
//!
//! A field may be added with a default without a new version; a reader that meets a newer version leaves the message to
//! someone newer.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The version that this program writes, and the newest that it reads.
pub const VERSION: u8 = 1;
/// What most records and results take, in bytes: room that is made at once.
const MOST: usize = 2048;

/// Why bytes could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Somebody newer wrote this: leave it to someone newer.
    #[error("written by version {0} of the format, this program reads up to {VERSION}")]
    Newer(u8),
    /// Nobody can read this.
    #[error("not a message of this program: {0}")]
    Malformed(String),
}

/// A value as it goes on the wire.
///
/// # Panics
/// Never for the types of this program: all of them are plain data with string keys.
pub fn encode<T: Serialize>(value: &T) -> Bytes {
    let mut bytes = Vec::with_capacity(MOST);
    bytes.push(VERSION);
    if let Err(error) = rmp_serde::encode::write_named(&mut bytes, value) {
        tracing::error!(%error, "a value could not be encoded");
    }
    bytes.into()
}

/// A value as it came from the wire.
///
/// # Errors
/// Where the bytes are of a newer version, or not readable at all.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unreadable> {
    let (version, rest) = bytes.split_first().ok_or_else(|| Unreadable::Malformed("empty".into()))?;
    match *version {
        VERSION => rmp_serde::from_slice(rest).map_err(|e| Unreadable::Malformed(e.to_string())),
        0 => Err(Unreadable::Malformed("version 0".into())),
        newer => Err(Unreadable::Newer(newer)),
    }
}
