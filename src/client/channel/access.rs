//! Who may read and write a PV, and who is told of that.

use super::Channel;
use crate::client::event::{Event, UserData};
use crate::protocol::error::Result;
use crate::sync::lock;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The access rights handler.
#[derive(Default)]
pub(super) struct Access {
    handler: Option<UserData>,
    /// It has been told of the rights, or is about to be, since they were heard of last.
    told: bool,
    /// While the thread that has set it tells it of the rights: what has become of them since.
    changes: Option<Vec<(bool, bool)>>,
}

impl Channel {
    /// Replaces the access rights handler (ca_replace_access_rights_event). Where the channel is connected, it is for the
    /// caller to tell the new one of the rights, which are returned, and then to say so: [`rights_told`](Channel::rights_told).
    pub fn set_access_handler(
        self: &Arc<Channel>,
        handler: Option<UserData>,
    ) -> Result<Option<(bool, bool)>> {
        let _guard = self.guard()?;
        let (old, rights) = {
            // libca's thread takes the lock with each change: none is missed, and none told before these.
            let mut access = lock(&self.access);
            let telling = handler.is_some() && self.native_type().is_some();
            access.told = telling;
            access.changes = telling.then(Vec::new);
            let old = std::mem::replace(&mut access.handler, handler);
            let rights = (self.may_be_read(), self.may_be_written());
            (old, telling.then_some(rights))
        };
        drop(old);
        Ok(rights)
    }

    /// The handler has been told of the rights as they were when it was set: now come the changes since.
    pub fn rights_told(self: &Arc<Channel>, handler: &UserData) {
        let mut access = lock(&self.access);
        if access
            .handler
            .as_ref()
            .is_none_or(|present| !Arc::ptr_eq(present, handler))
        {
            return;
        }
        // Under the lock, so that the next change comes behind them.
        for (read, write) in access.changes.take().into_iter().flatten() {
            self.push_rights(handler.clone(), read, write);
        }
    }

    fn push_rights(self: &Arc<Channel>, handler: UserData, read: bool, write: bool) {
        self.context.queue.push(Event::AccessRights {
            channel: self.clone(),
            handler,
            read,
            write,
        });
    }

    /// Upcall: the rights are these.
    pub fn access_changed(self: &Arc<Channel>, read: bool, write: bool) {
        let mut access = lock(&self.access);
        self.may_be_read.store(read, Ordering::Release);
        self.may_be_written.store(write, Ordering::Release);
        access.told = access.handler.is_some();
        if let Some(changes) = &mut access.changes {
            changes.push((read, write));
        } else if let Some(handler) = &access.handler {
            self.push_rights(handler.clone(), read, write);
        }
    }

    /// As [`access_changed`](Channel::access_changed), when the channel has connected. libca has told of the rights just
    /// before: but not where a server answers again that it had given up on, and maybe before there was a handler.
    pub(crate) fn access_at_connection(self: &Arc<Channel>, read: bool, write: bool) {
        let told = lock(&self.access).told;
        if !told || (read, write) != (self.may_be_read(), self.may_be_written()) {
            self.access_changed(read, write);
        }
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
