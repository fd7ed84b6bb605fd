//! Reads, writes and subscriptions of class PV, of `caget` with a format, and of `cachannel.aio`: of one channel or of many, with
//! values that carry what came along.
//!
//! * [`channels`] their channels: with a queue of an event loop, and waits for connections and for room
//! * [`spec`] how values are asked for
//! * [`properties`] a PV's properties, kept up to date
//! * [`reads`], [`writes`], [`subscribe`] the operations
//!
//! The way through it: `read_values` and `write_values` send one request to each channel, and give an object that is a
//! [`Wait`](super::outstanding::Wait). A thread waits for it, or an event loop is told when all is done; its `results` are read
//! after that. The updates of `subscribe_values` come by `dispatch`.

pub mod channels;
pub mod properties;
pub mod reads;
pub mod spec;
pub mod subscribe;
pub mod writes;
