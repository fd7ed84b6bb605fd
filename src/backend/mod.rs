//!

pub mod libca;
