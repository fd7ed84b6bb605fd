//! The Python module: classes and functions, thin over `ca` and `convert`.

pub mod arguments;
pub mod channel;
pub mod channel_group;
pub mod chid;
pub mod context;
mod cuts;
pub mod end;
pub mod forgotten;
pub mod groups;
pub mod info;
pub mod read;
pub mod recorder;
pub mod subscription;
pub mod thread;
pub mod wait;
pub mod write;
