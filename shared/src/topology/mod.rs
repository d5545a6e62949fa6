//! Every stream, subject, consumer and bucket: named in `names` and `lanes`, described in `streams`, created in `create`,
//! nowhere else; who may do what with it is in `access`.

mod access;
mod create;
mod lanes;
mod names;
mod ready;
mod streams;
mod subject;

pub use access::{Access, Party, TenantAccess};
pub use create::{CreateError, MIN_SERVER, Options};
pub use lanes::{LaneConsumer, Laned};
pub use names::{Settings, Topology};
pub use subject::{JobSubject, Stage, UnknownSubject};
