//! The client: contexts, channels, requests, subscriptions, groups and recorders. It knows a backend by the traits of
//! `backend/mod.rs` alone, and nothing of Python.
//!
//! * [`context`] a context, what is outstanding in it, and its end; [`fork`] what a forked child must not use
//! * [`channel`] a channel: connection, access rights, end; [`operations`] reads, writes and subscriptions
//! * [`request`] one read or write in flight; [`subscription`] a monitor, and `subscription_spec` what it asks for
//! * [`write_errors`] writes that a server rejects later
//! * [`enum_text`] what an enum's states are called
//! * [`event`] what has happened; [`queue`] events on their way to the thread that delivers them
//! * [`pending_io`] what a thread waits for; [`sync_group`] the same for synchronous groups
//! * [`group`] one request to many channels; [`recorder`] the updates of many PVs, in memory
//! * [`repeats`] log texts that come many times a second
//!
//! # The way through it
//!
//! * A read: [`Channel::get`](channel::Channel::get) makes a [`Request`](request::Request), which the channel keeps in
//!   `requests`, and submits it as `Command::Read`. The backend calls [`Request::complete`](request::Request::complete): the
//!   answer stays in the request, or becomes an [`Event::Reply`](event::Event) if there is a handler, and the request's
//!   `PendingGuard` is dropped, which wakes the thread that waits.
//! * A write: [`Channel::put`](channel::Channel::put) submits `Command::Write`, which has no answer; an error that the server
//!   reports later goes to [`WriteErrors`](write_errors::WriteErrors) or to the exception handler.
//!   [`Channel::put_notify`](channel::Channel::put_notify) makes a request, as a read does.
//! * A monitor update: [`Channel::subscribe`](channel::Channel::subscribe) makes a
//!   [`Subscription`](subscription::Subscription). The backend calls
//!   [`Subscription::brought`](subscription::Subscription::brought) for each update, and that
//!   [`EventQueue::push_update`](queue::EventQueue::push_update): the value goes into the subscription's
//!   mailbox, and an entry into the queue. The thread that delivers takes the entry with
//!   [`EventQueue::pop`](queue::EventQueue::pop).
//! * A group read: see [`group`]. A recorded update: see [`recorder`].
//!
//! # The core
//!
//! Nine files use each other in a circle: `backend/mod.rs`, [`channel`] (its `mod.rs`), [`context`], [`event`], [`queue`],
//! [`request`], [`subscription`], [`group::channels`] and [`group::request`]. They are one state machine: a context owns
//! channels and a queue, a channel owns requests and subscriptions, and these point back to the channel; the queue carries
//! events, which name the channel, the request or the subscription; a group's requests are completed when one of its channels
//! ends; and the backend's traits name the types that their upcalls go to. `tools/check_layers.py` allows no other circle.

pub mod channel;
pub mod context;
pub mod enum_text;
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
mod subscription_spec;
pub mod sync_group;
pub mod write_errors;
