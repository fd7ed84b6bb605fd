//! Waiting until a number of things have happened, without a wake-up that gets lost.

use super::primitives::{AtomicUsize, Condvar, Mutex, Ordering, fence, lock};
use std::sync::PoisonError;
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

/// The time left, never negative; `None` where there is no deadline.
pub fn remaining(deadline: Option<Instant>) -> Option<Duration> {
    deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
}

/// A place where threads sleep for other reasons as well, and can be woken to look again.
pub trait Wakeable: Send + Sync {
    fn wake(&self);
}

/// Where threads sleep until what they wait for is met. Whoever changes what somebody may wait for calls
/// [`wake`](WaitQueue::wake) after the change.
///
/// # States
///
/// Of a thread in [`sleep`](WaitQueue::sleep):
///
/// | state | moves to | who moves it |
/// |---|---|---|
/// | testing: it holds the lock and tests its condition | done | itself: the condition is met |
/// | | asleep | itself: the condition is unmet; it lets go of the lock in the same step |
/// | asleep | testing | whoever calls `wake`, or the system, for no reason |
/// | | testing for the last time, without the lock | the clock: the limit has come |
///
/// # Orderings
///
/// `wake` takes the lock between the change and the notification. So a thread that tests is either seen by `wake` as asleep, and
/// hears the notification, or tests after the change. What the change wrote is seen through the lock, too; a condition that
/// reads atomics needs no stronger ordering for this.
#[derive(Default)]
pub struct WaitQueue {
    mutex: Mutex<()>,
    woken: Condvar,
}

impl WaitQueue {
    /// Has all sleepers look again.
    pub fn wake(&self) {
        drop(lock(&self.mutex));
        self.woken.notify_all();
    }

    /// Sleeps until `is_met`, at most `limit`; returns what `is_met` said last.
    pub fn sleep(&self, is_met: impl Fn() -> bool, limit: Duration) -> bool {
        let guard = lock(&self.mutex);
        #[cfg(not(loom))]
        {
            let unmet = |(): &mut ()| !is_met();
            let slept = self.woken.wait_timeout_while(guard, limit, unmet);
            let (guard, timeout) = slept.unwrap_or_else(PoisonError::into_inner);
            drop(guard);
            !timeout.timed_out() || is_met()
        }
        #[cfg(loom)]
        {
            // loom has no time: a wake-up that is lost is a deadlock, which it reports.
            let _ = limit;
            let mut guard = guard;
            while !is_met() {
                guard = self
                    .woken
                    .wait(guard)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            true
        }
    }
}

/// A number of things that are outstanding, and how many threads wait until there are none.
///
/// # States
///
/// `pending` is raised by whoever begins a thing and lowered by whoever ends it; `waiters` is raised and lowered by whoever waits.
/// The thread that lowers `pending` to 0 has to wake the waiters, where there are some.
///
/// # Orderings
///
/// * Lowering `pending` is AcqRel, and [`is_done`](Outstanding::is_done) is Acquire: whoever finds 0 sees what was written before
///   each thing ended (the decrements are one release sequence).
/// * The thread that ends the last thing writes `pending` and then reads `waiters`; a waiter writes `waiters` and then reads
///   `pending`. At least one of the two must see the other's write, or the wake-up is lost. No Acquire or Release orders a write
///   before a later read of another variable: a SeqCst fence stands between the two in both threads.
#[derive(Default)]
pub struct Outstanding {
    pending: AtomicUsize,
    waiters: AtomicUsize,
}

impl Outstanding {
    /// One more; `true` for the first.
    pub fn begin(&self) -> bool {
        self.pending.fetch_add(1, Ordering::Relaxed) == 0
    }

    /// One less; `true` where it was the last and somebody waits: the caller then wakes them.
    #[must_use]
    pub fn end(&self) -> bool {
        if self.pending.fetch_sub(1, Ordering::AcqRel) != 1 {
            return false;
        }
        fence(Ordering::SeqCst);
        self.waiters.load(Ordering::Relaxed) > 0
    }

    pub fn is_done(&self) -> bool {
        self.pending.load(Ordering::Acquire) == 0
    }

    /// Somebody waits.
    pub fn is_awaited(&self) -> bool {
        self.waiters.load(Ordering::Relaxed) > 0
    }

    /// The caller waits, until it calls [`remove_waiter`](Outstanding::remove_waiter). It tests
    /// [`is_done`](Outstanding::is_done) after this, and before it sleeps.
    pub fn add_waiter(&self) {
        self.waiters.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    pub fn remove_waiter(&self) {
        let before = self.waiters.fetch_sub(1, Ordering::Relaxed);
        if cfg!(any(loom, debug_assertions)) {
            assert!(before > 0, "who waits no more has waited");
        }
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    #[derive(Default)]
    struct Io {
        queue: WaitQueue,
        outstanding: Outstanding,
        answer: AtomicUsize,
    }

    impl Io {
        fn end(&self) {
            self.answer.fetch_add(1, Ordering::Relaxed);
            if self.outstanding.end() {
                self.queue.wake();
            }
        }

        fn wait(&self) {
            self.outstanding.add_waiter();
            let is_met = || self.outstanding.is_done();
            assert!(self.queue.sleep(is_met, Duration::MAX));
            self.outstanding.remove_waiter();
        }
    }

    /// A wake-up that is lost leaves the waiter asleep for ever, which loom reports as a deadlock.
    #[test]
    fn a_waiter_is_woken_and_sees_all_answers() {
        loom::model(|| {
            let io = Arc::new(Io::default());
            assert!(io.outstanding.begin());
            assert!(!io.outstanding.begin());
            let ends: Vec<_> = (0..2)
                .map(|_| {
                    let io = io.clone();
                    thread::spawn(move || io.end())
                })
                .collect();
            io.wait();
            assert_eq!(io.answer.load(Ordering::Relaxed), 2);
            ends.into_iter().for_each(|end| end.join().unwrap());
        });
    }

    #[test]
    fn two_waiters_are_both_woken() {
        loom::model(|| {
            let io = Arc::new(Io::default());
            io.outstanding.begin();
            let waiter = {
                let io = io.clone();
                thread::spawn(move || io.wait())
            };
            let end = {
                let io = io.clone();
                thread::spawn(move || io.end())
            };
            io.wait();
            waiter.join().unwrap();
            end.join().unwrap();
        });
    }
}
