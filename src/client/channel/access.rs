//! The access rights of a PV, and the handler that is called when they change.

use super::Channel;
use crate::client::event::{Event, UserData};
use crate::protocol::error::Result;
use crate::sync::lock;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Whether the PV may be read, and whether it may be written.
type Rights = (bool, bool);

/// The access rights handler.
#[derive(Default)]
pub(super) struct Access {
    handler: Option<UserData>,
    /// The handler has been called with the latest rights, or a call with them is queued.
    told: bool,
    /// While the thread that has set the handler calls it with the rights of that moment: the changes of the rights since then.
    changes: Option<Vec<Rights>>,
}

impl Channel {
    /// Replaces the access rights handler (ca_replace_access_rights_event), and returns the one that this replaced. Returns the
    /// rights, too, if the channel is connected: the caller then calls the new handler with them, and calls
    /// [`rights_told`](Channel::rights_told) afterwards.
    pub fn set_access_handler(
        self: &Arc<Channel>,
        handler: Option<UserData>,
    ) -> Result<(Option<UserData>, Option<Rights>)> {
        let _guard = self.guard()?;
        // The backend's thread takes this lock for each change: no change is missed, and none reaches the handler before
        // these rights.
        let mut access = lock(&self.access);
        let telling = handler.is_some() && self.native_type().is_some();
        access.told = telling;
        access.changes = telling.then(Vec::new);
        let old = std::mem::replace(&mut access.handler, handler);
        let rights = (self.may_be_read(), self.may_be_written());
        Ok((old, telling.then_some(rights)))
    }

    /// The caller has called the handler with the rights as they were when the handler was set. The changes since then are
    /// queued now.
    pub fn rights_told(self: &Arc<Channel>, handler: &UserData) {
        let mut access = lock(&self.access);
        if access
            .handler
            .as_ref()
            .is_none_or(|present| !Arc::ptr_eq(present, handler))
        {
            return;
        }
        // Under the lock, so that the next change is queued after these.
        for (read, write) in access.changes.take().into_iter().flatten() {
            self.push_rights(handler.clone(), read, write);
        }
    }

    fn push_rights(self: &Arc<Channel>, handler: UserData, read: bool, write: bool) {
        self.queue.push(Event::AccessRights {
            channel: self.clone(),
            handler,
            read,
            write,
        });
    }

    /// Upcall: the access rights are these.
    pub fn access_changed(self: &Arc<Channel>, read: bool, write: bool) {
        self.change_rights(&mut lock(&self.access), read, write);
    }

    fn change_rights(self: &Arc<Channel>, access: &mut Access, read: bool, write: bool) {
        self.may_be_read.store(read, Ordering::Release);
        self.may_be_written.store(write, Ordering::Release);
        access.told = access.handler.is_some();
        if let Some(changes) = &mut access.changes {
            changes.push((read, write));
        } else if let Some(handler) = &access.handler {
            self.push_rights(handler.clone(), read, write);
        }
    }

    /// As [`access_changed`](Channel::access_changed), called when the channel has connected. The backend has reported the
    /// rights just before, with two exceptions: a server that answers again after it was unresponsive, and a handler that was
    /// set after the report.
    pub(super) fn access_at_connection(self: &Arc<Channel>, read: bool, write: bool) {
        // Under one lock, because a handler that is set in between is told of these rights by the thread that sets it.
        let mut access = lock(&self.access);
        if !access.told || (read, write) != (self.may_be_read(), self.may_be_written()) {
            self.change_rights(&mut access, read, write);
        }
    }

    pub(super) fn has_access_handler(&self) -> bool {
        lock(&self.access).handler.is_some()
    }

    /// As far as it is known.
    pub(crate) fn may_be_read(&self) -> bool {
        self.may_be_read.load(Ordering::Acquire)
    }

    /// As far as it is known.
    pub(crate) fn may_be_written(&self) -> bool {
        self.may_be_written.load(Ordering::Acquire)
    }
}
