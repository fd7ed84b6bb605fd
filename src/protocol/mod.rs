//!

pub mod buffer;
pub mod dbr;
pub mod error;
pub mod status;
pub mod validate;
