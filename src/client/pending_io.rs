//! What is outstanding: searches and gets that some `pend_io` will wait for.
//!
//! Every thread gathers its requests in a batch of its own, so that one thread's slow PV does not time out another
//! thread's get. `pend_io` waits for the calling thread's batch, and for the batches of threads that wait for nothing
//! themselves: requests made in one thread may be waited for in another.

use crate::protocol::error::Error;
use crate::protocol::status::Status;
use crate::sync::lock;
use crate::sync::wait_queue::{
    Check, INTERRUPT_CHECK, Outstanding, WaitQueue, Waited, Wakeable, remaining,
};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Where the threads of a context wait for what is outstanding.
pub struct Waiters {
    sleepers: WaitQueue,
    /// Threads that deliver events while they wait sleep at the queue instead.
    queue: Arc<dyn Wakeable>,
    at_queue: AtomicUsize,
    answers_dropped: fn() -> u64,
}

impl Waiters {
    /// `answers_dropped` counts the answers that somebody may wait for and that will never come.
    pub fn new(queue: Arc<dyn Wakeable>, answers_dropped: fn() -> u64) -> Arc<Waiters> {
        Arc::new(Waiters {
            sleepers: WaitQueue::default(),
            queue,
            at_queue: AtomicUsize::new(0),
            answers_dropped,
        })
    }

    /// Has them look again. Whoever calls this has seen that somebody waits: what [`WaiterGuard::at_queue`] has written before
    /// that is seen as well.
    fn wake(&self) {
        self.sleepers.wake();
        if self.at_queue.load(Ordering::Relaxed) > 0 {
            self.queue.wake();
        }
    }
}

/// Requests that are waited for together.
pub struct PendingIo {
    waiters: Arc<Waiters>,
    outstanding: Outstanding,
    /// Somebody other than its owner has waited for it in vain: others do not try again.
    given_up: AtomicBool,
    /// Its owner has waited for it in vain: what comes yet, comes too late.
    ended: AtomicBool,
    /// How many answers libca had dropped before anything of this was asked for.
    dropped_before: AtomicU64,
    failure: Mutex<Option<Error>>,
}

impl PendingIo {
    pub fn new(waiters: &Arc<Waiters>) -> Arc<PendingIo> {
        Arc::new(PendingIo {
            waiters: waiters.clone(),
            outstanding: Outstanding::default(),
            given_up: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            dropped_before: AtomicU64::new(0),
            failure: Mutex::new(None),
        })
    }

    /// One more request, until the guard is dropped.
    pub fn begin(self: &Arc<PendingIo>) -> PendingGuard {
        if self.outstanding.begin() {
            self.given_up.store(false, Ordering::Relaxed);
            self.dropped_before
                .store((self.waiters.answers_dropped)(), Ordering::Relaxed);
        }
        PendingGuard {
            pending: self.clone(),
        }
    }

    pub fn is_done(&self) -> bool {
        self.outstanding.is_done()
    }

    /// Another thread than the owner's may wait for it.
    pub fn is_orphan(&self) -> bool {
        !self.is_done() && !self.outstanding.is_awaited() && !self.given_up.load(Ordering::Relaxed)
    }

    pub fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    /// Nobody will ask for more with it, and nobody waits for it any more.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// The first failure among its requests since this was last asked.
    pub fn take_failure(&self) -> Option<Error> {
        lock(&self.failure).take()
    }

    /// Why one of its answers may never come, where libca has said so.
    pub(crate) fn why_unanswered(&self) -> Option<&'static str> {
        let dropped = !self.is_done()
            && (self.waiters.answers_dropped)() > self.dropped_before.load(Ordering::Relaxed);
        dropped
            .then_some("libca has dropped an answer that was larger than EPICS_CA_MAX_ARRAY_BYTES")
    }
}

/// One outstanding request; dropped, it counts as answered.
pub struct PendingGuard {
    pending: Arc<PendingIo>,
}

impl PendingGuard {
    pub fn belongs_to(&self, pending: &Arc<PendingIo>) -> bool {
        Arc::ptr_eq(&self.pending, pending)
    }

    /// Whoever waited for it has given up.
    pub fn is_late(&self) -> bool {
        self.pending.ended.load(Ordering::Acquire)
    }

    /// Why it may never be answered.
    pub fn why_unanswered(&self) -> Option<&'static str> {
        self.pending.why_unanswered()
    }

    pub fn failed(self, status: Status, pv: &str) {
        lock(&self.pending.failure).get_or_insert_with(|| Error::new(status, pv));
    }
}

impl Drop for PendingGuard {
    fn drop(&mut self) {
        if self.pending.outstanding.end() {
            self.pending.waiters.wake();
        }
    }
}

/// Sleeps until all of `pending` are done. The slices are for `check` alone: whoever ends the last request wakes the sleeper.
pub fn wait(
    waiters: &Waiters,
    pending: &[Arc<PendingIo>],
    deadline: Option<Instant>,
    check: Check<'_>,
) -> Waited {
    let waiter = WaiterGuard::new(pending);
    loop {
        let slice = match remaining(deadline) {
            Some(left) => left.min(INTERRUPT_CHECK),
            None => INTERRUPT_CHECK,
        };
        if waiters.sleepers.sleep(|| waiter.all_done(), slice) {
            break Waited::Done;
        }
        if check() {
            break Waited::Interrupted;
        }
        if remaining(deadline) == Some(Duration::ZERO) {
            break Waited::Timeout;
        }
    }
}

/// While it lives, its requests have a waiter.
pub struct WaiterGuard<'b> {
    pending: &'b [Arc<PendingIo>],
    /// The waiter sleeps at the queue.
    at_queue: Option<&'b Waiters>,
}

impl<'b> WaiterGuard<'b> {
    fn new(pending: &'b [Arc<PendingIo>]) -> WaiterGuard<'b> {
        for one in pending {
            one.outstanding.add_waiter();
        }
        WaiterGuard {
            pending,
            at_queue: None,
        }
    }

    /// For a thread that delivers events while it waits: the queue wakes when the last request of one of `pending` is answered.
    pub fn at_queue(waiters: &'b Waiters, pending: &'b [Arc<PendingIo>]) -> WaiterGuard<'b> {
        // Before it counts as a waiter: see `Waiters::wake`.
        waiters.at_queue.fetch_add(1, Ordering::Relaxed);
        let mut waiter = WaiterGuard::new(pending);
        waiter.at_queue = Some(waiters);
        waiter
    }

    pub fn all_done(&self) -> bool {
        self.pending.iter().all(|pending| pending.is_done())
    }
}

impl Drop for WaiterGuard<'_> {
    fn drop(&mut self) {
        for pending in self.pending {
            pending.outstanding.remove_waiter();
        }
        if let Some(waiters) = self.at_queue {
            waiters.at_queue.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;
