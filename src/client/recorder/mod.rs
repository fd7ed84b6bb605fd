//!

pub mod recorded_pv;
pub mod session;
pub mod update_buffer;
