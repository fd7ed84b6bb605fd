//! The requests that are outstanding in a context, and the waits for them.

use super::{Context, THREAD_PENDING};
use crate::client::pending_io::{PendingGuard, PendingIo, WaiterGuard, wait};
use crate::protocol::error::{Error, Result, list_names};
use crate::protocol::status::Status;
use crate::sync::lock;
use crate::sync::wait_queue::{Check, Waited};
use std::sync::{Arc, Weak};
use std::time::Instant;

impl Context {
    /// Counts a request of the calling thread as outstanding.
    pub fn begin(&self) -> PendingGuard {
        self.thread_pending().begin()
    }

    /// The calling thread's requests that its `pend_io` waits for.
    pub fn thread_pending(&self) -> Arc<PendingIo> {
        THREAD_PENDING.with_borrow_mut(|all_pending| {
            if let Some((_, pending)) = all_pending.iter().find(|(id, _)| *id == self.id) {
                return pending.clone();
            }
            // The entries of contexts that no longer exist are removed, so that a thread that makes many contexts does not
            // collect entries.
            let living: Vec<u64> = Context::living().iter().map(|c| c.id).collect();
            all_pending.retain(|(id, _)| living.contains(id));
            let pending = PendingIo::new(&self.waiters);
            all_pending.push((self.id, pending.clone()));
            let mut all = lock(&self.all_pending);
            all.retain(|other| other.strong_count() > 0);
            all.push(Arc::downgrade(&pending));
            pending
        })
    }

    /// What the calling thread's `pend_io` waits for: its own requests, and those that nobody else waits for.
    pub fn outstanding(&self) -> Vec<Arc<PendingIo>> {
        let own = self.thread_pending();
        let mut all_pending: Vec<Arc<PendingIo>> = lock(&self.all_pending)
            .iter()
            .filter_map(Weak::upgrade)
            .filter(|pending| pending.is_orphan() && !Arc::ptr_eq(pending, &own))
            .collect();
        all_pending.insert(0, own);
        all_pending
    }

    /// A [`PendingIo`] that no `pend_io` waits for.
    pub fn pending_io(&self) -> Arc<PendingIo> {
        PendingIo::new(&self.waiters)
    }

    /// See [`WaiterGuard::at_queue`].
    pub fn waiter_at_queue<'b>(&'b self, all_pending: &'b [Arc<PendingIo>]) -> WaiterGuard<'b> {
        WaiterGuard::at_queue(&self.waiters, all_pending)
    }

    /// Waits until all of `all_pending` are done, whether their requests succeed or fail.
    pub fn wait_done(
        &self,
        all_pending: &[Arc<PendingIo>],
        deadline: Option<Instant>,
        check: Check<'_>,
    ) -> Waited {
        wait(&self.waiters, all_pending, deadline, check)
    }

    /// The first failure in `all_pending`, which are done.
    pub fn first_failure(&self, all_pending: &[Arc<PendingIo>]) -> Result<()> {
        let failures: Vec<Error> = all_pending
            .iter()
            .filter_map(|b| b.take_failure())
            .collect();
        failures.into_iter().next().map_or(Ok(()), Err)
    }

    /// A timeout error that names the channels that have not answered.
    pub fn timeout_error(&self, all_pending: &[Arc<PendingIo>]) -> Error {
        let channels = self.channels();
        let mut missing: Vec<(&str, bool)> = channels
            .iter()
            .filter(|channel| {
                all_pending
                    .iter()
                    .any(|pending| channel.is_awaited(pending))
            })
            .map(|channel| (channel.name(), channel.native_type().is_some()))
            .collect();
        missing.sort_unstable();
        missing.dedup_by_key(|(name, _)| *name);
        let mut error = match missing.first() {
            Some((name, false)) => Error::not_found(name, ""),
            Some((name, true)) => Error::new(Status::TIMEOUT, name),
            None => Error::from(Status::TIMEOUT),
        };
        if missing.len() > 1 {
            let shown = list_names(missing.iter().map(|(name, _)| *name));
            error.detail = format!("{} PVs did not answer: {shown}", missing.len());
        }
        if let Some(why) = all_pending
            .iter()
            .find_map(|pending| pending.why_unanswered())
        {
            if !error.detail.is_empty() {
                error.detail.push_str("; ");
            }
            error.detail.push_str(why);
        }
        error
    }

    /// Withdraws what nobody waits for any more: commands of `all_pending` that have not left the process are not sent, and
    /// complete with ECA_TIMEOUT.
    pub fn withdraw(&self, all_pending: &[Arc<PendingIo>]) {
        if self.is_alive() {
            self.io.withdraw(all_pending);
        }
    }

    /// Some server does not read, and its backlog has reached the limit.
    /// [`Channel::backlog`](crate::client::channel::Channel::backlog) tells whether a channel is on that server.
    pub fn has_backlog(&self) -> bool {
        self.io.has_backlog()
    }

    /// The calling thread's `pend_io` no longer waits for what is outstanding now.
    pub fn forget(&self, all_pending: &[Arc<PendingIo>]) {
        THREAD_PENDING.with_borrow_mut(|all| {
            if let Some(place) = all.iter().position(|(id, _)| *id == self.id) {
                // Requests of other threads may still be waited for by those threads.
                all.swap_remove(place).1.end();
            }
        });
        for pending in all_pending {
            pending.give_up();
        }
    }
}
