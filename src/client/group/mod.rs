//!

pub mod channels;
pub mod reply;
pub mod request;
