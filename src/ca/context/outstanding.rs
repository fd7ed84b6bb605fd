//! What is outstanding in a context, and the waits for it.

use super::{BATCHES, Context};
use crate::ca::batch::{Batch, Check, Ticket, Waited, Watch, wait};
use crate::ca::error::{Error, Result};
use crate::ca::lock;
use crate::ca::status::Status;
use std::sync::{Arc, Weak};
use std::time::Instant;

impl Context {
    /// Counts a request of the calling thread as outstanding.
    pub fn ticket(&self) -> Ticket {
        self.thread_batch().ticket()
    }

    /// The calling thread's requests that its `pend_io` waits for.
    pub fn thread_batch(&self) -> Arc<Batch> {
        BATCHES.with_borrow_mut(|batches| {
            if let Some((_, batch)) = batches.iter().find(|(id, _)| *id == self.id) {
                return batch.clone();
            }
            // Contexts come and go; a thread that makes many must not gather what is left of each.
            let living: Vec<u64> = Context::living().iter().map(|c| c.id).collect();
            batches.retain(|(id, _)| living.contains(id));
            let batch = Batch::new(&self.completion);
            batches.push((self.id, batch.clone()));
            let mut all = lock(&self.batches);
            all.retain(|other| other.strong_count() > 0);
            all.push(Arc::downgrade(&batch));
            batch
        })
    }

    /// What the calling thread's `pend_io` waits for: its own requests, and those that nobody else waits for.
    pub fn outstanding(&self) -> Vec<Arc<Batch>> {
        let own = self.thread_batch();
        let mut batches: Vec<Arc<Batch>> = lock(&self.batches)
            .iter()
            .filter_map(Weak::upgrade)
            .filter(|batch| batch.is_orphan() && !Arc::ptr_eq(batch, &own))
            .collect();
        batches.insert(0, own);
        batches
    }

    /// A batch that no `pend_io` knows of.
    pub fn batch(&self) -> Arc<Batch> {
        Batch::new(&self.completion)
    }

    /// See [`Watch::at_queue`].
    pub fn watch<'b>(&'b self, batches: &'b [Arc<Batch>]) -> Watch<'b> {
        Watch::at_queue(&self.completion, batches)
    }

    /// Waits for `batches`, whatever comes of them.
    pub fn wait_done(
        &self,
        batches: &[Arc<Batch>],
        deadline: Option<Instant>,
        check: Check<'_>,
    ) -> Waited {
        wait(&self.completion, batches, deadline, check)
    }

    /// The first failure among batches that are done.
    pub fn collect(&self, batches: &[Arc<Batch>]) -> Result<()> {
        let failures: Vec<Error> = batches.iter().filter_map(|b| b.take_failure()).collect();
        failures.into_iter().next().map_or(Ok(()), Err)
    }

    /// An error that names what is missing from `batches`.
    pub fn timed_out(&self, batches: &[Arc<Batch>]) -> Error {
        let channels = self.channels();
        let mut missing: Vec<(&str, bool)> = channels
            .iter()
            .filter(|channel| batches.iter().any(|batch| channel.is_awaited(batch)))
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
            let shown: Vec<&str> = missing.iter().take(10).map(|(name, _)| *name).collect();
            let shown = shown.join(", ");
            error.detail = format!("{} PVs did not answer: {shown}", missing.len());
            if missing.len() > 10 {
                error.detail.push_str(", …");
            }
        }
        if let Some(why) = batches.iter().find_map(|batch| batch.why_nothing_came()) {
            if !error.detail.is_empty() {
                error.detail.push_str("; ");
            }
            error.detail.push_str(why);
        }
        error
    }

    /// Nobody waits for `batches` any more: what of them waits for its server, and not in libca, is not sent, and comes to
    /// ECA_TIMEOUT.
    pub fn withdraw(&self, batches: &[Arc<Batch>]) {
        self.circuits.withdraw(batches);
    }

    /// Some server takes nothing, and very much waits for it: [`Channel::crowded`](crate::ca::channel::Channel::crowded)
    /// says of a channel whether it is its.
    pub fn is_crowded(&self) -> bool {
        self.circuits.any_is_crowded()
    }

    /// The calling thread's `pend_io` waits no more for what is outstanding now.
    pub fn forget(&self, batches: &[Arc<Batch>]) {
        BATCHES.with_borrow_mut(|all| {
            if let Some(place) = all.iter().position(|(id, _)| *id == self.id) {
                // Those of other threads may still be waited for there.
                all.swap_remove(place).1.end();
            }
        });
        for batch in batches {
            batch.give_up();
        }
    }
}
