//! Everything that knows libca.
//!
//! * [`context`], [`channel`], [`subscription`] libca's side of each: its handles, and who may use them
//! * [`commands`] the one way of a command to libca; [`get_coalescer`] gets that are sent together; [`group_sender`] the requests
//!   to a group; [`deferred_command`] what waits for a sender thread
//! * [`send_window`] what a server may still be sent before libca blocks, and the sender thread
//! * [`callbacks`] every function that libca calls
//! * [`messages`], [`error_log`], [`fork`] what libca and libCom have to say

pub mod callbacks;
pub mod channel;
mod commands;
pub mod context;
mod deferred_command;
pub mod error_log;
mod fork;
mod get_coalescer;
mod group_sender;
pub mod messages;
pub mod send_window;
pub mod subscription;

use super::{AnyChannel, AnyContext, AnySubscription, Backend};
use crate::ca_sys::{self, Candidate, Loaded};
use crate::client::channel::Channel;
use crate::client::context::{Context, ContextGuard};
use crate::client::pending_io::Waiters;
use crate::client::subscription::Subscription;
use crate::protocol::error::Result;
use channel::LibcaChannel;
use context::LibcaContext;
use std::path::PathBuf;
use std::sync::Arc;
use subscription::LibcaSubscription;

/// EPICS's own client library, opened at run time.
struct Libca(&'static Loaded);

/// Opens the first of the (source, path) candidates that is a libca. The error says why each is none.
pub(super) fn open(
    candidates: Vec<(String, PathBuf)>,
) -> std::result::Result<&'static dyn Backend, String> {
    let candidates: Vec<Candidate> = candidates
        .into_iter()
        .map(|(source, path)| Candidate { source, path })
        .collect();
    let loaded = ca_sys::load(&candidates).map_err(|error| error.to_string())?;
    crate::client::fork::watch();
    Ok(Box::leak(Box::new(Libca(loaded))))
}

impl Backend for Libca {
    fn name(&self) -> &'static str {
        "libca"
    }

    fn protocol_version(&self) -> String {
        self.0.version()
    }

    fn source(&self) -> Option<(String, PathBuf)> {
        Some((self.0.source.clone(), self.0.path.clone()))
    }

    fn new_context(&self, waiters: &Arc<Waiters>) -> Result<AnyContext> {
        LibcaContext::create(self.0.api(), waiters).map(AnyContext::Libca)
    }

    fn take_over_log(&self) {
        error_log::divert();
    }

    fn answers_dropped(&self) -> u64 {
        messages::dropped()
    }
}

// What a context of libca's has is libca's.

impl Context {
    fn libca(&self) -> &LibcaContext {
        match self.io() {
            AnyContext::Libca(io) => io,
        }
    }
}

impl ContextGuard<'_> {
    fn libca(&self) -> &LibcaContext {
        self.context().libca()
    }
}

impl Channel {
    fn libca(&self) -> &LibcaChannel {
        match self.io() {
            AnyChannel::Libca(io) => io,
        }
    }
}

impl Subscription {
    fn libca(&self) -> &LibcaSubscription {
        match self.io() {
            AnySubscription::Libca(io) => io,
        }
    }
}
