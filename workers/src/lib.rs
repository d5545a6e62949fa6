//! stub
pub mod gate;
pub mod sweep;
