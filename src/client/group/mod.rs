//!

pub mod channels;
pub mod items;
pub mod reply;
pub mod request;
