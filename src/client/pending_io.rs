//! What is outstanding: searches and gets that some `pend_io` will wait for.
//!
//! Every thread gathers its requests in a batch of its own, so that one thread's slow PV does not time out another
//! thread's get. `pend_io` waits for the calling thread's batch, and for the batches of threads that wait for nothing
//! themselves: requests made in one thread may be waited for in another.

use crate::backend::libca::messages;
use crate::client::queue::EventQueue;
use crate::protocol::error::Error;
use crate::protocol::status::Status;
use crate::sync::lock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a wait looks whether it shall be interrupted.
pub const INTERRUPT_CHECK: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    Done,
    Timeout,
    /// `check` said so.
    Interrupted,
}

/// Asked about every [`INTERRUPT_CHECK`] while waiting; `true` ends the wait.
pub type Check<'a> = &'a mut dyn FnMut() -> bool;

/// Where waiters of a context sleep.
pub struct WaitQueue {
    mutex: Mutex<()>,
    done: Condvar,
    /// Threads that deliver events while they wait sleep at the queue instead.
    queue: Arc<EventQueue>,
    delivering: AtomicUsize,
}

impl WaitQueue {
    pub fn new(queue: &Arc<EventQueue>) -> Arc<WaitQueue> {
        Arc::new(WaitQueue {
            mutex: Mutex::default(),
            done: Condvar::new(),
            queue: queue.clone(),
            delivering: AtomicUsize::new(0),
        })
    }

    fn notify(&self) {
        drop(lock(&self.mutex));
        self.done.notify_all();
        if self.delivering.load(Ordering::SeqCst) > 0 {
            self.queue.wake();
        }
    }
}

pub struct PendingIo {
    completion: Arc<WaitQueue>,
    pending: AtomicUsize,
    waiters: AtomicUsize,
    /// Somebody other than its owner has waited for it in vain: others do not try again.
    given_up: AtomicBool,
    /// Its owner has waited for it in vain: what comes yet, comes too late.
    ended: AtomicBool,
    /// How many answers libca had dropped before anything of this was asked for.
    dropped_before: AtomicU64,
    failure: Mutex<Option<Error>>,
}

impl PendingIo {
    pub fn new(completion: &Arc<WaitQueue>) -> Arc<PendingIo> {
        Arc::new(PendingIo {
            completion: completion.clone(),
            pending: AtomicUsize::new(0),
            waiters: AtomicUsize::new(0),
            given_up: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            dropped_before: AtomicU64::new(0),
            failure: Mutex::new(None),
        })
    }

    pub fn begin(self: &Arc<PendingIo>) -> PendingGuard {
        if self.pending.fetch_add(1, Ordering::SeqCst) == 0 {
            self.given_up.store(false, Ordering::Relaxed);
            self.dropped_before
                .store(messages::dropped(), Ordering::Relaxed);
        }
        PendingGuard {
            pending: self.clone(),
        }
    }

    pub fn is_done(&self) -> bool {
        self.pending.load(Ordering::SeqCst) == 0
    }

    /// Another thread than the owner's may wait for it.
    pub fn is_orphan(&self) -> bool {
        !self.is_done()
            && self.waiters.load(Ordering::SeqCst) == 0
            && !self.given_up.load(Ordering::Relaxed)
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
    pub(crate) fn why_nothing_came(&self) -> Option<&'static str> {
        let dropped =
            !self.is_done() && messages::dropped() > self.dropped_before.load(Ordering::Relaxed);
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
    pub fn why_nothing_came(&self) -> Option<&'static str> {
        self.pending.why_nothing_came()
    }

    pub fn failed(self, status: Status, pv: &str) {
        lock(&self.pending.failure).get_or_insert_with(|| Error::new(status, pv));
    }
}

impl Drop for PendingGuard {
    fn drop(&mut self) {
        let pending = &self.pending;
        if pending.pending.fetch_sub(1, Ordering::SeqCst) == 1
            && pending.waiters.load(Ordering::SeqCst) > 0
        {
            pending.completion.notify();
        }
    }
}

/// Sleeps until all of `pending` are done.
pub fn wait(
    completion: &WaitQueue,
    pending: &[Arc<PendingIo>],
    deadline: Option<Instant>,
    check: Check<'_>,
) -> Waited {
    let all_done = || pending.iter().all(|pending| pending.is_done());
    let _watch = WaiterGuard::new(pending);
    loop {
        let slice = match remaining(deadline) {
            Some(left) => left.min(INTERRUPT_CHECK),
            None => INTERRUPT_CHECK,
        };
        let guard = lock(&completion.mutex);
        let (guard, timeout) = completion
            .done
            .wait_timeout_while(guard, slice, |()| !all_done())
            .unwrap_or_else(PoisonError::into_inner);
        drop(guard);
        if !timeout.timed_out() || all_done() {
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

/// While it lives, its batches have a waiter.
pub struct WaiterGuard<'b> {
    pending: &'b [Arc<PendingIo>],
    /// The waiter sleeps at the queue.
    at_queue: Option<&'b WaitQueue>,
}

impl<'b> WaiterGuard<'b> {
    fn new(pending: &'b [Arc<PendingIo>]) -> WaiterGuard<'b> {
        for pending in pending {
            pending.waiters.fetch_add(1, Ordering::SeqCst);
        }
        WaiterGuard {
            pending,
            at_queue: None,
        }
    }

    /// For a thread that delivers events while it waits: the queue wakes when a batch is done.
    pub fn at_queue(completion: &'b WaitQueue, pending: &'b [Arc<PendingIo>]) -> WaiterGuard<'b> {
        completion.delivering.fetch_add(1, Ordering::SeqCst);
        let mut watch = WaiterGuard::new(pending);
        watch.at_queue = Some(completion);
        watch
    }

    pub fn all_done(&self) -> bool {
        self.pending.iter().all(|pending| pending.is_done())
    }
}

impl Drop for WaiterGuard<'_> {
    fn drop(&mut self) {
        for pending in self.pending {
            pending.waiters.fetch_sub(1, Ordering::SeqCst);
        }
        if let Some(completion) = self.at_queue {
            completion.delivering.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// The time left, never negative; `None` where there is no deadline.
pub fn remaining(deadline: Option<Instant>) -> Option<Duration> {
    deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Option<Instant> {
        Some(Instant::now() + Duration::from_secs(10))
    }

    #[test]
    fn a_wait_ends_with_the_last_ticket() {
        let completion = WaitQueue::new(&Arc::default());
        let pending = PendingIo::new(&completion);
        let guards: Vec<PendingGuard> = (0..3).map(|_| pending.begin()).collect();
        let waiting = {
            let (completion, pending) = (completion.clone(), pending.clone());
            std::thread::spawn(move || wait(&completion, &[pending], soon(), &mut || false))
        };
        assert!(!pending.is_done());
        drop(guards);
        assert_eq!(waiting.join().unwrap(), Waited::Done);
    }

    #[test]
    fn a_wait_times_out_and_can_be_interrupted() {
        let completion = WaitQueue::new(&Arc::default());
        let pending = PendingIo::new(&completion);
        let _ticket = pending.begin();
        let pending = [pending];
        let now = Some(Instant::now());
        assert_eq!(
            wait(&completion, &pending, now, &mut || false),
            Waited::Timeout
        );
        assert_eq!(
            wait(&completion, &pending, None, &mut || true),
            Waited::Interrupted
        );
    }

    #[test]
    fn the_first_failure_is_kept() {
        let completion = WaitQueue::new(&Arc::default());
        let pending = PendingIo::new(&completion);
        let (first, second) = (pending.begin(), pending.begin());
        first.failed(Status::GETFAIL, "one");
        second.failed(Status::DISCONN, "two");
        assert!(pending.is_done());
        assert_eq!(pending.take_failure().unwrap().pv.as_deref(), Some("one"));
        assert!(pending.take_failure().is_none());
    }
}
