//!

pub mod channel;
pub mod context;
pub mod event;
pub mod fork;
pub mod group;
pub mod operations;
pub mod pending_io;
pub mod queue;
pub mod recorder;
pub mod repeats;
pub mod request;
pub mod subscription;
pub mod sync_group;
pub mod write_errors;
