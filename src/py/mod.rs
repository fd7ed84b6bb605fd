//! The functions and classes that Python sees, a few lines each over `client`, `convert` and `dispatch`.
//!
//! * [`context`] a thread's context, and its dispatcher; [`end`] the end of contexts; [`forgotten`] channels that only their
//!   callbacks keep alive
//! * [`chid`] a channel's handle; [`channel`] the part of class `CaChannel` that is in Rust; [`info`] what is known of a channel
//! * [`read`], [`write`], [`subscription`], [`groups`] the operations of module `ca`
//! * [`values`] reads, writes and subscriptions of class PV and of event loops; [`loop_queue`] how an event loop hears of
//!   them, [`outstanding`] what threads and event loops wait for
//! * [`wait`] all waits for answers and callbacks; [`thread`] the package's own threads
//! * [`channel_group`] class `ChannelGroup`; [`recorder`] class `Recorder`
//! * [`arguments`] names, types, counts, masks and times, as Python code gives them
//!
//! The way through it, for a read: [`read::Read`] takes the arguments and the [`chid::Chid`], sends the request by
//! `Channel::get`, [`wait`] waits without the interpreter's lock, and [`read::DBRValue`] converts the answer. A write:
//! [`write::Write`] converts the value and sends it by `Channel::put`. A subscription: [`subscription::create_subscription`]
//! subscribes; its updates come by `dispatch`, not through here. A group: [`channel_group::ChannelGroupCore`] runs a
//! `GroupRequest`. A recorder: [`recorder::Recorder`] reads the buffer of a `RecorderSession`.

pub mod arguments;
pub mod channel;
pub mod channel_group;
pub mod chid;
pub mod context;
pub mod end;
pub mod forgotten;
pub mod groups;
pub mod info;
pub mod loop_queue;
pub mod outstanding;
pub mod read;
pub mod recorder;
pub mod subscription;
pub mod thread;
pub mod values;
pub mod wait;
pub mod write;
