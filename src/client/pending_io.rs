//! Requests and searches that are outstanding, and the waits for them.
//!
//! Each thread counts its requests in a [`PendingIo`] of its own, so that one thread's slow PV does not time out another
//! thread's get. `pend_io` waits for the calling thread's requests, and for those of threads that do not wait themselves:
//! requests made in one thread may be waited for in another.

use crate::protocol::error::Error;
use crate::protocol::status::Status;
use crate::sync::continuations::Continuations;
use crate::sync::lock;
use crate::sync::wait_queue::{
    Check, INTERRUPT_CHECK, Outstanding, WaitQueue, Waited, Wakeable, remaining,
};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Answers that will never come, because the backend dropped them.
#[derive(Clone, Copy, Debug, Default)]
pub struct DroppedAnswers {
    /// How many so far, as far as the backend knows.
    pub number: u64,
    /// Why, in words for an error of a wait that ended without its answer.
    pub why: &'static str,
}

/// The threads of a context that wait for outstanding requests.
pub struct Waiters {
    sleepers: WaitQueue,
    /// Threads that deliver events while they wait sleep at the queue instead.
    queue: Arc<dyn Wakeable>,
    at_queue: AtomicUsize,
    answers_dropped: fn() -> DroppedAnswers,
}

impl Waiters {
    /// `answers_dropped` is what the backend says of the answers that it has dropped.
    pub fn new(queue: Arc<dyn Wakeable>, answers_dropped: fn() -> DroppedAnswers) -> Arc<Waiters> {
        Arc::new(Waiters {
            sleepers: WaitQueue::default(),
            queue,
            at_queue: AtomicUsize::new(0),
            answers_dropped,
        })
    }

    /// Wakes the waiting threads. The caller has seen that there is a waiter: what [`WaiterGuard::at_queue`] has written before
    /// is then visible, too.
    fn wake(&self) {
        self.sleepers.wake();
        if self.at_queue.load(Ordering::Relaxed) > 0 {
            self.queue.wake();
        }
    }
}

/// A set of requests that are waited for together.
pub struct PendingIo {
    waiters: Arc<Waiters>,
    outstanding: Outstanding,
    continuations: Continuations,
    /// A thread other than the owner has waited for it until a timeout: other threads do not wait for it again.
    given_up: AtomicBool,
    /// The owner's wait has timed out: answers that still come are late.
    ended: AtomicBool,
    /// How many answers the backend had dropped before the first of these requests.
    dropped_before: AtomicU64,
    failure: Mutex<Option<Error>>,
    /// A mark in the context's queue: the events before it are delivered before a wait ends, within limits. 0 if there are
    /// none.
    deliver_first: AtomicU64,
}

impl PendingIo {
    pub fn new(waiters: &Arc<Waiters>) -> Arc<PendingIo> {
        Arc::new(PendingIo {
            waiters: waiters.clone(),
            outstanding: Outstanding::default(),
            continuations: Continuations::default(),
            given_up: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            dropped_before: AtomicU64::new(0),
            failure: Mutex::new(None),
            deliver_first: AtomicU64::new(0),
        })
    }

    /// Counts one more request, until the guard is dropped.
    pub fn begin(self: &Arc<PendingIo>) -> PendingGuard {
        if self.outstanding.begin() {
            self.given_up.store(false, Ordering::Relaxed);
            self.dropped_before
                .store((self.waiters.answers_dropped)().number, Ordering::Relaxed);
        }
        PendingGuard {
            pending: self.clone(),
        }
    }

    /// The events before this mark in the context's queue have to be delivered before the thread that has waited goes on.
    pub fn take_deliver_first(&self) -> Option<u64> {
        // A thread that has seen that nothing is outstanding sees the mark that was set before.
        let mark = self.deliver_first.swap(0, Ordering::Relaxed);
        (mark > 0).then_some(mark)
    }

    pub fn is_done(&self) -> bool {
        self.outstanding.is_done()
    }

    /// Has `then` called once all its requests are done, at once where they are; by whichever thread ends the last one, a thread of
    /// the backend maybe. `then` must not wait.
    pub fn then(&self, then: impl FnOnce() + Send + 'static) {
        self.continuations.add(&self.outstanding, then);
    }

    /// A thread other than the owner may wait for it.
    pub fn is_orphan(&self) -> bool {
        !self.is_done() && !self.outstanding.is_awaited() && !self.given_up.load(Ordering::Relaxed)
    }

    pub fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    /// The owner makes no more requests with it, and no longer waits for it.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// The first failure among its requests since the last call.
    pub fn take_failure(&self) -> Option<Error> {
        lock(&self.failure).take()
    }

    /// The status of the first failure, which stays.
    pub fn failure_status(&self) -> Option<Status> {
        lock(&self.failure).as_ref().map(|failure| failure.status)
    }

    /// One of its requests has failed.
    pub fn fail(&self, status: Status, pv: &str) {
        lock(&self.failure).get_or_insert_with(|| Error::new(status, pv));
    }

    /// Why one of its answers may never come, if the backend knows.
    pub(crate) fn why_unanswered(&self) -> Option<&'static str> {
        if self.is_done() {
            return None;
        }
        let dropped = (self.waiters.answers_dropped)();
        (dropped.number > self.dropped_before.load(Ordering::Relaxed)).then_some(dropped.why)
    }
}

/// One outstanding request; when the guard is dropped, the request counts as answered.
pub struct PendingGuard {
    pending: Arc<PendingIo>,
}

impl PendingGuard {
    /// Sets a mark: the events before it are delivered before a wait for this request ends.
    pub(crate) fn deliver_first(&self, mark: u64) {
        self.pending
            .deliver_first
            .fetch_max(mark, Ordering::Relaxed);
    }

    pub fn belongs_to(&self, pending: &Arc<PendingIo>) -> bool {
        Arc::ptr_eq(&self.pending, pending)
    }

    /// The wait for the request has timed out.
    pub fn is_late(&self) -> bool {
        self.pending.ended.load(Ordering::Acquire)
    }

    /// Why the request may never be answered.
    pub fn why_unanswered(&self) -> Option<&'static str> {
        self.pending.why_unanswered()
    }

    pub fn failed(self, status: Status, pv: &str) {
        self.pending.fail(status, pv);
    }
}

impl Drop for PendingGuard {
    fn drop(&mut self) {
        let pending = &self.pending;
        if pending.outstanding.end() {
            pending.waiters.wake();
            pending.continuations.call(&pending.outstanding);
        }
    }
}

/// Sleeps until all of `pending` are done. The time slices are for `check` alone: the thread that ends the last request wakes
/// the sleeper.
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

/// While this guard lives, `pending` has a waiter.
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
        // Before the thread counts as a waiter: see `Waiters::wake`.
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
