//! API keys as those see them who make, list and revoke them: what they ask for, and what is shown. Pure.
//!
//! The keys themselves are in `sluice_shared::keys`. Invariant: a secret is shown once, to whoever made the key.

mod body;
mod wish;

pub use body::{CeilingBody, CreatedBody, KeyBody, KeyList};
pub(crate) use wish::schema as wish_schema;
pub use wish::{NoWish, read as read_wish};
