//! What Channel Access is: statuses, types, values, and what may be asked for. Knows no backend and no client.
//!
//! * [`status`], [`error`] what an operation came to
//! * [`constants`] event masks and operations
//! * [`dbr`] the request types and their layouts; [`view`] structures of these types, read where they lie
//! * [`buffer`] memory for values; [`value`] one value in such memory
//! * [`validate`] what is asked for, and whether an answer is that

pub mod buffer;
pub mod constants;
pub mod dbr;
pub mod error;
pub mod status;
pub mod validate;
pub mod value;
pub mod view;
