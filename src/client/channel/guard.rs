//! Permission to use a channel's side of the backend.

use super::Channel;
use crate::backend::Close;
use crate::protocol::error::{Error, Result};
use crate::protocol::status::Status;
use std::sync::Arc;

/// While a guard lives, the backend's side of the channel is not closed, even if the channel is cleared. The thread that drops
/// the last guard of a cleared channel closes that side.
pub struct ChannelGuard<'c> {
    channel: Held<'c>,
}

enum Held<'c> {
    Borrowed(&'c Arc<Channel>),
    Owned(Arc<Channel>),
}

impl ChannelGuard<'_> {
    pub fn channel(&self) -> &Arc<Channel> {
        match &self.channel {
            Held::Borrowed(channel) => channel,
            Held::Owned(channel) => channel,
        }
    }

    /// One more guard, which may go to another thread; also if the channel has been cleared since.
    pub(crate) fn owned(&self) -> ChannelGuard<'static> {
        let channel = self.channel().clone();
        channel.gate.enter_again();
        ChannelGuard {
            channel: Held::Owned(channel),
        }
    }
}

impl Drop for ChannelGuard<'_> {
    fn drop(&mut self) {
        let channel = self.channel();
        if channel.gate.leave() {
            channel.close_backend(Close::Wait);
        }
    }
}

impl Channel {
    /// `None` if the channel is closed.
    pub fn enter(self: &Arc<Channel>) -> Option<ChannelGuard<'_>> {
        if !self.context.is_alive() || !self.gate.enter() {
            return None;
        }
        Some(ChannelGuard {
            channel: Held::Borrowed(self),
        })
    }

    pub(crate) fn guard(self: &Arc<Channel>) -> Result<ChannelGuard<'_>> {
        self.enter()
            .ok_or_else(|| Error::new(Status::BADCHID, self.name()))
    }
}
