//! The backends' sides of contexts, channels and subscriptions, stored where the client's are.
//!
//! They are enums, not boxes: what each request touches lies in a channel's first cache line, and a box would add a miss for
//! each PV.

use super::libca::channel::LibcaChannel;
use super::libca::context::LibcaContext;
use super::libca::subscription::LibcaSubscription;
#[cfg(test)]
use super::scripted::{ScriptedChannel, ScriptedContext, ScriptedSubscription};
use super::{ChannelIo, ContextIo};
use std::ops::Deref;

pub enum AnyContext {
    Libca(LibcaContext),
    #[cfg(test)]
    Scripted(ScriptedContext),
}

pub enum AnyChannel {
    Libca(LibcaChannel),
    #[cfg(test)]
    Scripted(ScriptedChannel),
}

/// What a backend keeps with a subscription; the client does not look at it.
pub enum AnySubscription {
    Libca(LibcaSubscription),
    #[cfg(test)]
    Scripted(ScriptedSubscription),
}

impl Deref for AnyContext {
    type Target = dyn ContextIo;

    fn deref(&self) -> &(dyn ContextIo + 'static) {
        match self {
            AnyContext::Libca(io) => io,
            #[cfg(test)]
            AnyContext::Scripted(io) => io,
        }
    }
}

impl Deref for AnyChannel {
    type Target = dyn ChannelIo;

    fn deref(&self) -> &(dyn ChannelIo + 'static) {
        match self {
            AnyChannel::Libca(io) => io,
            #[cfg(test)]
            AnyChannel::Scripted(io) => io,
        }
    }
}

impl AnyChannel {
    /// For a subscription of this channel.
    pub fn new_subscription(&self) -> AnySubscription {
        match self {
            AnyChannel::Libca(_) => AnySubscription::Libca(LibcaSubscription::default()),
            #[cfg(test)]
            AnyChannel::Scripted(_) => AnySubscription::Scripted(ScriptedSubscription),
        }
    }
}
