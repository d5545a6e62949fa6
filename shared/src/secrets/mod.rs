//! The secrets that tenants leave with us, in buckets of their own: where they are kept, and watched copies for those who
//! need them at once.
//!
//! An entry is sealed where there is a key. Invariant: whoever asks a copy waits until it is whole, as it is after every
//! start and every reconnect, so nothing is signed or filled in by what was, nor left out because nothing is known yet.

mod kind;
mod store;
mod watched;

pub use kind::{SecretKey, SecretName};
pub use store::{KeptEntry, NotKept, SecretsStore};
pub use watched::{NotKnown, WatchedSecrets};
