//! stub
pub mod gate;
