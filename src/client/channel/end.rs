//! The end of a channel, and of the requests that are outstanding in it.

use super::Channel;
use crate::backend::{Close, Closed};
use crate::client::request::{Request, complete_all};
use crate::protocol::status::Status;
use crate::sync::{lock, replace};
use std::sync::Arc;

impl Channel {
    /// Ends a channel that the backend does not know.
    pub(super) fn give_up(&self) {
        self.gate.close();
        self.backend_let_go(Status::CHANDESTROY);
        self.context.release(self);
    }

    /// Closes the channel (ca_clear_channel). No callback of it is delivered after this returns.
    pub fn clear(self: &Arc<Channel>) -> bool {
        let Some(alone) = self.close() else {
            return false;
        };
        // If a thread still uses the backend's side, that thread closes it, maybe late. Nobody has to wait for that.
        if !alone || self.close_backend(Close::Wait) == Closed::Later {
            self.release_waiters(Status::CHANDESTROY);
        }
        true
    }

    /// As [`clear`](Channel::clear), for a thread that must not wait at all.
    pub fn dispose(self: &Arc<Channel>) {
        if self.context.is_alive() && self.close() == Some(true) {
            self.close_backend(Close::Background);
        }
    }

    /// `Some(true)` if no thread uses the channel any more, `None` if it was closed before.
    fn close(&self) -> Option<bool> {
        let alone = self.gate.close()?;
        for subscription in lock(&self.subscriptions).iter() {
            subscription.mark_closed();
        }
        Some(alone)
    }

    /// Closes the backend's side. The gate is closed and empty, so this happens once.
    pub(super) fn close_backend(self: &Arc<Channel>, how: Close) -> Closed {
        let closed = self.io.close(self, how);
        if closed == Closed::Done {
            self.released();
        }
        closed
    }

    /// Upcall: the backend no longer has a pointer to this channel, its requests or its subscriptions.
    pub fn released(&self) {
        self.backend_let_go(Status::CHANDESTROY);
        for subscription in lock(&self.subscriptions).iter() {
            subscription.mark_closed();
        }
        replace(&self.subscriptions, Vec::new());
        drop(self.context.release(self));
    }

    /// Completes everything outstanding with `status`. The backend may still answer: the answer is dropped then.
    pub(crate) fn release_waiters(&self, status: Status) {
        let guards = lock(&self.connection).take_guards();
        drop(guards);
        let memberships = lock(&self.memberships).clone();
        for (group, place) in &memberships {
            group.stop_waiting(*place);
        }
        let requests: Vec<Arc<Request>> = lock(&self.requests).iter().cloned().collect();
        complete_all(requests, status);
        self.recorded_pvs()
            .iter()
            .for_each(|recorded| recorded.release_readers());
    }

    /// The backend has let go of the channel: completes everything outstanding with `status`.
    pub(crate) fn backend_let_go(&self, status: Status) {
        // The search of a closed channel will not be answered: waits for it end.
        let guards = lock(&self.connection).take_guards();
        drop(guards);
        let memberships = std::mem::take(&mut *lock(&self.memberships));
        for (group, place) in &memberships {
            group.backend_let_go(*place, status);
        }
        let requests = lock(&self.requests).drain();
        complete_all(requests, status);
    }
}
