//!

pub mod callbacks;
pub mod deferred_command;
pub mod error_log;
pub mod get_coalescer;
pub mod group_sender;
pub mod messages;
pub mod send_window;
