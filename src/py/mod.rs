//! The Python module: classes and functions, thin over `ca` and `convert`.

pub mod chid;
pub mod context;
pub mod groups;
pub mod info;
pub mod transfer;
pub mod wait;
