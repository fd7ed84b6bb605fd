//! The Python module: classes and functions, thin over `ca` and `convert`.

pub mod callback;
pub mod chid;
pub mod context;
pub mod errors;
pub mod groups;
pub mod info;
pub mod transfer;
pub mod wait;
