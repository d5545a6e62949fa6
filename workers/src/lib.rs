//! stub
pub mod deliver;
pub mod gate;
pub mod sweep;
