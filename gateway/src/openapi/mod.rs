//! The HTTP interface as an OpenAPI 3.1 document, made from the table of routes and from the types that are answered with.
//!
//! Pure. What an operation is, is said where its route is added (`http/operations`); here it becomes JSON. Invariant: a route
//! without an operation does not compile, and a problem that no operation can have is not in the document.

mod document;
mod operation;
mod parameter;
mod problems;
mod responses;

pub use document::document;
pub(crate) use operation::Operation;
pub(crate) use parameter::Parameter;
pub use problems::{KnownProblem, PROBLEMS};
