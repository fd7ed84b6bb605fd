//! Who may read and write a PV.

use super::Channel;
use crate::ca::error::Result;
use crate::ca::event::Handler;
use crate::ca::status::Status;
use crate::ca::{lock, replace, trampoline};
use std::sync::atomic::Ordering;

impl Channel {
    pub fn access_handler(&self) -> Option<Handler> {
        lock(&self.access_handler).clone()
    }

    /// Replaces the access rights handler (ca_replace_access_rights_event), which hears of the rights at once where the
    /// channel is connected.
    pub fn set_access_handler(&self, handler: Option<Handler>) -> Result<()> {
        let pass = self.pass()?;
        let wanted = handler.is_some();
        replace(&self.access_handler, handler);
        if !wanted {
            return Ok(());
        }
        // SAFETY: the pass keeps the id alive; the function finds the channel by the id's user pointer.
        let status = Status(unsafe {
            pass.api()
                .ca_replace_access_rights_event(pass.raw(), Some(trampoline::access_rights))
        });
        self.normal(status)
    }

    /// Called by libca's thread: `true` where a handler wants to know.
    pub(in crate::ca) fn access_changed(&self, read: bool, write: bool) -> bool {
        self.may_be_read.store(read, Ordering::Release);
        self.may_be_written.store(write, Ordering::Release);
        lock(&self.access_handler).is_some()
    }

    /// As [`access_changed`](Channel::access_changed), when the channel connects. libca has told of the rights just before,
    /// but not where a server answers again that it had given up on.
    pub(in crate::ca) fn access_at_connection(&self, read: bool, write: bool) -> bool {
        (read, write) != (self.may_be_read(), self.may_be_written())
            && self.access_changed(read, write)
    }

    /// As far as it is known.
    pub(in crate::ca) fn may_be_read(&self) -> bool {
        self.may_be_read.load(Ordering::Acquire)
    }

    /// As far as it is known.
    pub(in crate::ca) fn may_be_written(&self) -> bool {
        self.may_be_written.load(Ordering::Acquire)
    }
}
