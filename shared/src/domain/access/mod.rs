//! Who may do what, and how much of it: API keys, their scopes, their quotas.
//!
//! Pure. Invariant: the secret of a key is in no value that is kept or shown; what is kept is its hash.

mod key;
mod meter;
mod open;
mod quotas;
mod scope;
mod secret;
mod standing;
mod tenants;
mod wish;

pub use key::{Ceiling, Key};
pub use meter::{Exceeded, Meter, Quota, Taken, give_back, take};
pub use open::{NoOpenName, Open, OpenJob, OpenName, Place};
pub use quotas::Quotas;
pub use scope::{Scope, Scopes, UnknownScope};
pub use secret::{ApiKey, PREFIX, Secret, SecretHash};
pub use standing::{Standing, Window};
pub use tenants::TenantQuotas;
pub use wish::{MayNot, Wish};
