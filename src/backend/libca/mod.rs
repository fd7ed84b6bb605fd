//! Everything that knows libca.
//!
//! A command's way: [`io`] (the traits) → [`commands`] (now, with the next flush, or by the sender thread) → libca. A group
//! request goes through [`group_sender`]. Answers and updates come through [`callbacks`], which call the client's upcalls.
//!
//! * [`context`], [`channel`], [`subscription`] libca's side of each: its handles, and who may use them
//! * [`commands`] the one way of a command; [`get_coalescer`] gets that are sent together; [`group_sender`] requests to a group
//! * [`send_window`] how much a server may be sent before libca could block; [`circuit`] the window and the sender thread of one
//!   server, [`circuits`] those of a context; [`work`] what a sender thread does; [`lingering`] the close of a circuit's last
//!   channel
//! * [`callbacks`] every function that libca calls, [`callback_table`] what they are known by; [`connection`] what libca tells of
//!   a connection
//! * [`messages`], [`error_log`], [`fork`] what libca and libCom have to say; [`text`], [`contained`] what all of these need

mod callback_table;
mod callbacks;
pub mod channel;
mod circuit;
mod circuits;
mod commands;
mod connection;
mod contained;
pub mod context;
mod error_log;
mod fork;
mod get_coalescer;
mod group_sender;
mod io;
mod lingering;
mod messages;
mod send_window;
pub mod subscription;
mod text;
mod work;

use super::{AnyChannel, AnyContext, AnySubscription, Backend};
use crate::ca_sys::{self, Candidate, Loaded};
use crate::client::channel::Channel;
use crate::client::context::{Context, ContextGuard};
use crate::client::pending_io::{DroppedAnswers, Waiters};
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
        LibcaContext::create(self.0.api(), &callbacks::CALLBACKS, waiters).map(AnyContext::Libca)
    }

    fn take_over_log(&self) {
        error_log::divert();
    }

    fn answers_dropped(&self) -> DroppedAnswers {
        DroppedAnswers {
            number: messages::dropped(),
            why: "libca has dropped an answer that was larger than EPICS_CA_MAX_ARRAY_BYTES",
        }
    }
}

// What a context of libca's has is libca's.

impl Context {
    fn libca(&self) -> &LibcaContext {
        match self.io() {
            AnyContext::Libca(io) => io,
            #[cfg(test)]
            AnyContext::Scripted(_) => unreachable!("libca has no part in it"),
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
            #[cfg(test)]
            AnyChannel::Scripted(_) => unreachable!("libca has no part in it"),
        }
    }
}

impl Subscription {
    fn libca(&self) -> &LibcaSubscription {
        match self.io() {
            AnySubscription::Libca(io) => io,
            #[cfg(test)]
            AnySubscription::Scripted(_) => unreachable!("libca has no part in it"),
        }
    }
}
