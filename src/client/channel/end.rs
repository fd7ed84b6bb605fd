//! The end of a channel, and of what is outstanding in it.

use super::Channel;
use crate::backend::libca::deferred_command::DeferredCommand;
use crate::backend::libca::send_window::Circuit;
use crate::ca_sys::LibCa;
use crate::client::context::ContextGuard;
use crate::client::request::{Request, abandon};
use crate::protocol::status::Status;
use crate::sync::lock;
use crate::sync::replace;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Channel {
    /// libca knows nothing of it.
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
        if self.busy_circuit().is_some() {
            self.release_waiters(Status::CHANDESTROY);
        }
        // Otherwise whoever is inside frees it.
        if alone {
            self.free_soon();
        }
        true
    }

    /// The circuit on which libca could block now.
    fn busy_circuit(&self) -> Option<Arc<Circuit>> {
        self.circuit().filter(|circuit| !circuit.is_open())
    }

    /// Frees libca's side; where libca could block on that, by the circuit's thread.
    pub(super) fn free_soon(self: &Arc<Channel>) {
        match self.busy_circuit() {
            None => self.free_now(),
            Some(circuit) => circuit.send(DeferredCommand::Free(self.clone())),
        }
    }

    /// As [`clear`](Channel::clear), but from a thread that cannot wait at all.
    pub fn dispose(self: &Arc<Channel>) {
        if self.context.is_alive() && self.close() == Some(true) {
            let circuit = self.circuit();
            let circuit = circuit.as_ref().unwrap_or(self.context.circuits.nowhere());
            circuit.send(DeferredCommand::Free(self.clone()));
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

    pub(crate) fn free_now(&self) {
        if let Some(context) = self.context.enter() {
            self.free(&context);
        }
    }

    /// Frees libca's side. The gate is closed and empty: this happens once.
    pub(super) fn free(&self, context: &ContextGuard<'_>) {
        let raw = self.raw.swap(std::ptr::null_mut(), Ordering::AcqRel);
        if !raw.is_null() {
            // SAFETY: nobody is inside the gate or comes in any more, and the id is swapped out: it is freed once.
            unsafe { context.api().ca_clear_channel(raw) };
        }
        // libca has no pointer into this channel any more.
        self.abandon(Status::CHANDESTROY);
        for subscription in lock(&self.subscriptions).iter() {
            subscription.mark_closed();
        }
        replace(&self.subscriptions, Vec::new());
        drop(self.context.release(self));
    }

    /// Frees libca's side before the context goes, unless libca could block on that.
    ///
    /// # Safety
    /// Nobody is in the context's gate, or will be; and the calling thread is in the context.
    pub(crate) unsafe fn clear_with_context(&self, api: &LibCa) {
        if self.circuit().is_some_and(|circuit| !circuit.is_open()) {
            return;
        }
        let raw = self.raw.swap(std::ptr::null_mut(), Ordering::AcqRel);
        if !raw.is_null() {
            // SAFETY: whoever uses the id is in the context's gate; and it is swapped out, so it is freed once.
            unsafe { api.ca_clear_channel(raw) };
        }
    }

    /// Answers everything outstanding with `status`, though libca may still answer too.
    pub(crate) fn release_waiters(&self, status: Status) {
        let guards = lock(&self.connection).take_guards();
        drop(guards);
        for membership in lock(&self.memberships).iter() {
            membership.leave();
        }
        let requests: Vec<Arc<Request>> = lock(&self.requests).iter().cloned().collect();
        abandon(requests, status);
        self.tracks()
            .iter()
            .for_each(|track| track.release_readers());
    }

    /// Answers everything outstanding with `status`: libca has forgotten it.
    pub(crate) fn abandon(&self, status: Status) {
        // Whoever waits for the search of a channel that is closed has nothing to wait for.
        let guards = lock(&self.connection).take_guards();
        drop(guards);
        let memberships = std::mem::take(&mut *lock(&self.memberships));
        for membership in &memberships {
            membership.abandon(status);
        }
        let requests = lock(&self.requests).drain();
        abandon(requests, status);
    }
}
