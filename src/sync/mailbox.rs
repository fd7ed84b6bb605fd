//! What waits to be delivered of one subscription: bounded, and the newest is never lost.

use super::primitives::{AtomicU64, Mutex, Ordering, lock};
use std::collections::VecDeque;

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub struct QueueLimits {
    pub updates: usize,
    /// Memory of what waits, as [`Weigh`] tells; the newest is kept whatever its size.
    pub bytes: usize,
}

/// What an update takes of the limit for memory.
pub trait Weigh {
    fn weight(&self) -> usize;
}

/// The updates of one subscription that nobody has taken yet.
///
/// Updates are numbered from 0 as they come. A number is given, and the entry that announces it is put into the context's queue,
/// under one lock: two threads that bring updates at once cannot announce them in another order than that of the mailbox. (With two
/// locks, the entry of the older update could come last; it would find that update taken, and the newest would stay for ever.)
///
/// # States
///
/// Of an update, by its number; `first` is the number of the oldest update that waits, and only grows:
///
/// | state | moves to | who moves it |
/// |---|---|---|
/// | waiting: `first` or more | taken | whoever delivers: [`take`](Mailbox::take), [`take_next`](Mailbox::take_next) |
/// | | dropped | whoever brings a newer update past a limit: [`push`](Mailbox::push) |
/// | | dropped | whoever clears the subscription: [`close`](Mailbox::close) |
/// | taken or dropped: below `first` | | final; its entry in the context's queue is stale |
///
/// The oldest update is always the first to move. A mailbox does not stay closed: an update that was under way while the
/// subscription was cleared may be pushed after `close`, and whoever delivers sees that the subscription is closed.
///
/// # Orderings
///
/// All changes are made under the lock. `first` is stored Relaxed under the lock as well, for
/// [`is_dropped`](Mailbox::is_dropped), which takes no lock: its answer is `true` only for numbers that are gone for good, and
/// whoever asks does no more than to drop a stale entry.
pub struct Mailbox<T> {
    limits: QueueLimits,
    first: AtomicU64,
    inner: Mutex<Inner<T>>,
}

struct Inner<T> {
    updates: VecDeque<T>,
    bytes: usize,
    dropped: u64,
}

/// A mailbox that once held more than this gives its memory back when it is empty again.
const SHRINK: usize = 1_024;

impl<T: Weigh> Mailbox<T> {
    pub fn new(limits: QueueLimits) -> Mailbox<T> {
        Mailbox {
            limits,
            first: AtomicU64::new(0),
            inner: Mutex::new(Inner {
                updates: VecDeque::new(),
                bytes: 0,
                dropped: 0,
            }),
        }
    }

    /// Adds an update; while a limit is exceeded, drops the oldest. Calls `announce`, under the mailbox's lock, with the update's
    /// number and how many were dropped, and returns what that returns. `announce` must not lock another mailbox.
    pub fn push<R>(&self, update: T, announce: impl FnOnce(u64, usize) -> R) -> R {
        // They may be large: freed after the lock.
        let mut pushed_out = Vec::new();
        let mut inner = lock(&self.inner);
        inner.bytes += update.weight();
        inner.updates.push_back(update);
        while inner.updates.len() > self.limits.updates
            || (inner.bytes > self.limits.bytes && inner.updates.len() > 1)
        {
            pushed_out.extend(self.remove_first(&mut inner));
            inner.dropped += 1;
        }
        let newest = self.first.load(Ordering::Relaxed) + inner.updates.len() as u64 - 1;
        let announced = announce(newest, pushed_out.len());
        drop(inner);
        drop(pushed_out);
        announced
    }

    /// The update with this number, unless it was dropped. Numbers are taken in order.
    pub fn take(&self, number: u64) -> Option<T> {
        let mut inner = lock(&self.inner);
        if number < self.first.load(Ordering::Relaxed) {
            return None;
        }
        let update = self.remove_first(&mut inner);
        if inner.updates.is_empty() && inner.updates.capacity() > SHRINK {
            inner.updates.shrink_to_fit();
        }
        update
    }

    /// The oldest update that waits, whatever its number; its entry in the queue is stale then.
    pub fn take_next(&self) -> Option<T> {
        self.remove_first(&mut lock(&self.inner))
    }

    /// The update with this number was taken or dropped. `false` may be out of date.
    pub fn is_dropped(&self, number: u64) -> bool {
        number < self.first.load(Ordering::Relaxed)
    }

    /// Forgets what waits.
    pub fn close(&self) {
        let forgotten = {
            let mut inner = lock(&self.inner);
            let first = self.first.load(Ordering::Relaxed);
            self.first
                .store(first + inner.updates.len() as u64, Ordering::Relaxed);
            inner.bytes = 0;
            std::mem::take(&mut inner.updates)
        };
        drop(forgotten);
    }

    /// Updates that were dropped so far to keep within the limits.
    pub fn dropped(&self) -> u64 {
        lock(&self.inner).dropped
    }

    /// The caller holds the lock.
    fn remove_first(&self, inner: &mut Inner<T>) -> Option<T> {
        let update = inner.updates.pop_front()?;
        let first = self.first.load(Ordering::Relaxed);
        self.first.store(first + 1, Ordering::Relaxed);
        inner.bytes -= update.weight();
        Some(update)
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    impl Weigh for u64 {
        fn weight(&self) -> usize {
            0
        }
    }

    struct Subscription {
        mailbox: Mailbox<u64>,
        /// The context's queue: numbers of updates.
        queue: Mutex<VecDeque<u64>>,
    }

    impl Subscription {
        fn new(updates: usize) -> Arc<Subscription> {
            Arc::new(Subscription {
                mailbox: Mailbox::new(QueueLimits { updates, bytes: 0 }),
                queue: Mutex::new(VecDeque::new()),
            })
        }

        fn deliver(&self, update: u64) {
            self.mailbox.push(update, |number, _| {
                lock(&self.queue).push_back(number);
            });
        }

        /// What the dispatcher delivers of what is there now.
        fn drain(&self, into: &mut Vec<u64>) {
            loop {
                let next = lock(&self.queue).pop_front();
                let Some(number) = next else { break };
                into.extend(self.mailbox.take(number));
            }
        }
    }

    fn newest_is_never_lost(limit: usize, dispatches: bool) {
        loom::model(move || {
            let subscription = Subscription::new(limit);
            let threads: Vec<_> = [1, 2]
                .map(|update| {
                    let subscription = subscription.clone();
                    thread::spawn(move || subscription.deliver(update))
                })
                .into();
            let mut delivered = Vec::new();
            if dispatches {
                subscription.drain(&mut delivered);
            }
            threads
                .into_iter()
                .for_each(|thread| thread.join().unwrap());
            subscription.drain(&mut delivered);
            let kept = delivered.len() as u64 + subscription.mailbox.dropped();
            assert_eq!(kept, 2, "delivered, or counted as dropped");
            assert!(!delivered.is_empty());
            assert!(lock(&subscription.mailbox.inner).updates.is_empty());
        });
    }

    #[test]
    fn with_room_for_all_nothing_is_left_behind() {
        newest_is_never_lost(8, true);
    }

    #[test]
    fn with_room_for_one_the_newest_is_delivered() {
        newest_is_never_lost(1, true);
        newest_is_never_lost(1, false);
    }
}
