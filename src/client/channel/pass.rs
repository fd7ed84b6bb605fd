//! Permission to use libca's side of a channel: whoever has one is inside the channel's gate, and it is not freed.

use super::Channel;
use crate::ca_sys::{self, LibCa};
use crate::client::context::ContextGuard;
use crate::protocol::error::{Error, Result};
use crate::protocol::status::Status;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Permission to call libca with a channel's id: while it lives, the channel is not freed.
pub struct ChannelPass<'c> {
    channel: &'c Channel,
    context: ContextGuard<'c>,
    /// It is inside the gate itself.
    leaves: bool,
}

impl ChannelPass<'_> {
    pub fn api(&self) -> &'static LibCa {
        self.context.api()
    }

    pub(crate) fn raw(&self) -> ca_sys::chid {
        self.channel.raw.load(Ordering::Acquire)
    }
}

impl Drop for ChannelPass<'_> {
    fn drop(&mut self) {
        if self.leaves && self.channel.gate.leave() {
            self.channel.free(&self.context);
        }
    }
}

impl Channel {
    /// `None` where the channel is closed.
    pub fn enter(&self) -> Option<ChannelPass<'_>> {
        let context = self.context.enter()?;
        // Lazily: dropping a pass leaves the gate.
        let pass = self.gate.enter().then(|| ChannelPass {
            channel: self,
            context,
            leaves: true,
        })?;
        (!pass.raw().is_null()).then_some(pass)
    }

    pub(crate) fn pass(&self) -> Result<ChannelPass<'_>> {
        self.enter()
            .ok_or_else(|| Error::new(Status::BADCHID, self.name()))
    }

    /// Runs `work` with libca's id, inside the gate; `None` where the channel is closed.
    pub(crate) fn with_id<T>(
        &self,
        context: &ContextGuard<'_>,
        work: impl FnOnce(ca_sys::chid) -> T,
    ) -> Option<T> {
        if !self.gate.enter() {
            return None;
        }
        let raw = self.raw.load(Ordering::Acquire);
        let result = (!raw.is_null()).then(|| work(raw));
        if self.gate.leave() {
            self.free(context);
        }
        result
    }
}

/// While it lives, libca's side of the channel is not freed, even if it is cleared.
pub(crate) struct Inside(Arc<Channel>);

impl Inside {
    pub(crate) fn enter(channel: &Arc<Channel>) -> Option<Inside> {
        let entered = channel.gate.enter();
        entered.then(|| Inside(channel.clone()))
    }

    pub(crate) fn channel(&self) -> &Arc<Channel> {
        &self.0
    }

    /// Runs `work` with libca's id, also where the channel was cleared since.
    pub(crate) fn with_id<T>(&self, work: impl FnOnce(ca_sys::chid) -> T) -> Option<T> {
        let raw = self.0.raw.load(Ordering::Acquire);
        (!raw.is_null()).then(|| work(raw))
    }

    /// Permission to call libca, also where the channel was cleared since.
    pub(crate) fn pass(&self) -> Result<ChannelPass<'_>> {
        let channel = &*self.0;
        let gone = || Error::new(Status::BADCHID, channel.name());
        let pass = ChannelPass {
            channel,
            context: channel.context.enter().ok_or_else(gone)?,
            leaves: false,
        };
        if pass.raw().is_null() {
            return Err(gone());
        }
        Ok(pass)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        if self.0.gate.leave() {
            self.0.free_soon();
        }
    }
}
