//! What Channel Access is: statuses, types, values, requests. It knows no backend and no client.
//!
//! * [`status`], [`error`] the result of an operation
//! * [`constants`] event masks, operations, channel states
//! * [`dbr`] the request types and their layouts; [`view`] structures of these types, read in place
//! * [`buffer`] memory for values; [`value`] one value in such memory
//! * [`validate`] what a request asks for, and whether an answer is that

pub mod buffer;
pub mod constants;
pub mod dbr;
pub mod error;
pub mod status;
pub mod validate;
pub mod value;
pub mod view;
