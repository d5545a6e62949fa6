//! The webhook secrets of tenants: where they are kept, and a watched copy for those who sign.
//!
//! An entry is sealed where there is a key. Invariant: whoever asks the copy waits until it is whole, as it is after every
//! start and every reconnect, so nothing is signed by what was, nor left unsigned because nothing is known yet.

mod store;
mod watched;

pub use store::{NotKept, SecretsEntry, SecretsStore};
pub use watched::{NotKnown, WatchedSecrets};
