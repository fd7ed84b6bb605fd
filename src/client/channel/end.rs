//! The end of a channel, and of what is outstanding in it.

use super::Channel;
use crate::backend::{Close, Closed};
use crate::client::request::{Request, abandon};
use crate::protocol::status::Status;
use crate::sync::{lock, replace};
use std::sync::Arc;

impl Channel {
    /// The backend knows nothing of it.
    pub(super) fn give_up(&self) {
        self.gate.close();
        self.abandon(Status::CHANDESTROY);
        self.context.release(self);
    }

    /// Closes the channel (ca_clear_channel). No callback of it is delivered after this returns.
    pub fn clear(self: &Arc<Channel>) -> bool {
        let Some(alone) = self.close() else {
            return false;
        };
        // Where somebody is inside, that one closes the backend's side, maybe late: nobody is to wait so long.
        if !alone || self.close_backend(Close::Wait) == Closed::Later {
            self.release_waiters(Status::CHANDESTROY);
        }
        true
    }

    /// As [`clear`](Channel::clear), but from a thread that cannot wait at all.
    pub fn dispose(self: &Arc<Channel>) {
        if self.context.is_alive() && self.close() == Some(true) {
            self.close_backend(Close::Background);
        }
    }

    /// `Some(true)` where nobody uses it any more, `None` where it was closed before.
    fn close(&self) -> Option<bool> {
        let alone = self.gate.close()?;
        for subscription in lock(&self.subscriptions).iter() {
            subscription.mark_closed();
        }
        Some(alone)
    }

    /// Has the backend forget it. The gate is closed and empty: this happens once.
    pub(super) fn close_backend(self: &Arc<Channel>, how: Close) -> Closed {
        let closed = self.io.close(self, how);
        if closed == Closed::Done {
            self.released();
        }
        closed
    }

    /// Upcall: the backend has no pointer into this channel, its requests and its subscriptions any more.
    pub fn released(&self) {
        self.abandon(Status::CHANDESTROY);
        for subscription in lock(&self.subscriptions).iter() {
            subscription.mark_closed();
        }
        replace(&self.subscriptions, Vec::new());
        drop(self.context.release(self));
    }

    /// Answers everything outstanding with `status`, though the backend may still answer too.
    pub(crate) fn release_waiters(&self, status: Status) {
        let guards = lock(&self.connection).take_guards();
        drop(guards);
        for (group, place) in lock(&self.memberships).iter() {
            group.leave(*place);
        }
        let requests: Vec<Arc<Request>> = lock(&self.requests).iter().cloned().collect();
        abandon(requests, status);
        self.recorded_pvs()
            .iter()
            .for_each(|recorded| recorded.release_readers());
    }

    /// Answers everything outstanding with `status`: the backend has forgotten it.
    pub(crate) fn abandon(&self, status: Status) {
        // Whoever waits for the search of a channel that is closed has nothing to wait for.
        let guards = lock(&self.connection).take_guards();
        drop(guards);
        let memberships = std::mem::take(&mut *lock(&self.memberships));
        for (group, place) in &memberships {
            group.abandon(*place, status);
        }
        let requests = lock(&self.requests).drain();
        abandon(requests, status);
    }
}
