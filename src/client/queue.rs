//! A context's events on their way from the backend's threads to the thread that delivers them, in the order in which they
//! came.

use crate::client::event::Event;
use crate::client::subscription::Subscription;
use crate::protocol::value::Answer;
use crate::sync::lock;
use crate::sync::wait_queue::Wakeable;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Entries whose update was dropped are removed when there are at least this many, and they are more than half of all.
const REMOVE_FROM: usize = 4_096;

/// Producers push into the inbox. The thread that delivers (the dispatcher, or for a non-preemptive context the thread that
/// polls) takes the whole inbox and works through it, so that the two seldom meet at a lock.
///
/// | state of an entry | moves to | who moves it |
/// |---|---|---|
/// | in the inbox | in the outbox | whoever delivers, all at once: [`pop`](EventQueue::pop) |
/// | | removed | a producer that finds many whose update was dropped: `push_entry` |
/// | in the outbox | delivering | whoever delivers: `pop`; one at a time |
/// | | removed | whoever delivers, if the update was taken or dropped: `pop` |
/// | delivering | delivered | whoever delivers, when the callback has returned: [`Delivery`]'s drop |
/// | in either | removed | whoever ends the context: [`stop`](EventQueue::stop), after which no entry is accepted |
///
/// The order of the locks is outbox, then a subscription's mailbox, then inbox: `pop` holds the outbox and takes the other two one
/// at a time, `push_update` holds the mailbox and takes the inbox. No entry is dropped under a lock, since with it a subscription
/// and what belongs to its callback may go. Nobody sleeps with another lock than the one that the sleep lets go of.
#[derive(Default)]
pub struct EventQueue {
    inbox: Mutex<Inbox>,
    arrived: Condvar,
    outbox: Mutex<Outbox>,
    delivered: Condvar,
}

#[derive(Default)]
struct Inbox {
    entries: VecDeque<Entry>,
    /// The number that the next entry gets.
    next: u64,
    /// Entries pushed whose update was dropped since: an estimate, they may have left the inbox.
    stale: usize,
    sleepers: usize,
    woken: bool,
    stopped: bool,
}

struct Entry {
    number: u64,
    kind: EntryKind,
}

enum EntryKind {
    Event(Box<Event>),
    /// The update itself waits in the subscription, which may drop it.
    Update {
        subscription: Arc<Subscription>,
        number: u64,
    },
}

#[derive(Default)]
struct Outbox {
    entries: VecDeque<Entry>,
    /// Number after the last entry taken.
    taken: u64,
    /// Number of the entry that is being delivered.
    delivering: Option<u64>,
    /// Deliveries that have ended: a wait uses the number to tell slow callbacks from one that is stuck.
    ended: u64,
    watchers: usize,
}

impl Outbox {
    /// All entries before this number have been delivered.
    fn settled(&self) -> u64 {
        self.delivering.unwrap_or(self.taken)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    Events,
    /// No event came, or [`EventQueue::wake`] was called.
    Idle,
    Stopped,
}

/// An event being delivered; dropped when its callback has returned.
pub struct Delivery<'q> {
    pub event: Event,
    queue: &'q EventQueue,
}

impl Drop for Delivery<'_> {
    fn drop(&mut self) {
        let mut outbox = lock(&self.queue.outbox);
        outbox.delivering = None;
        outbox.ended += 1;
        if outbox.watchers > 0 {
            self.queue.delivered.notify_all();
        }
    }
}

impl EventQueue {
    pub fn push(&self, event: Event) {
        match event {
            Event::Update {
                subscription,
                answer,
            } => self.push_update(&subscription, answer),
            other => drop(self.push_entry(EntryKind::Event(Box::new(other)), 0)),
        }
    }

    pub fn push_update(&self, subscription: &Arc<Subscription>, answer: Answer) {
        let mailbox = &subscription.mailbox;
        // Under the mailbox's lock: see `Mailbox` for why.
        let removed = mailbox.push(answer, |number, pushed_out| {
            let entry = EntryKind::Update {
                subscription: subscription.clone(),
                number,
            };
            self.push_entry(entry, pushed_out)
        });
        drop(removed);
    }

    /// Returns the entries that it has removed, because their update was dropped. The caller drops them without a lock.
    fn push_entry(&self, kind: EntryKind, stale: usize) -> VecDeque<Entry> {
        let mut inbox = lock(&self.inbox);
        if inbox.stopped {
            return VecDeque::new();
        }
        let number = inbox.next;
        inbox.next += 1;
        inbox.entries.push_back(Entry { number, kind });
        inbox.stale += stale;
        let removed = if inbox.stale >= REMOVE_FROM && inbox.stale > inbox.entries.len() / 2 {
            inbox.remove_stale()
        } else {
            VecDeque::new()
        };
        let sleeping = inbox.sleepers > 0;
        drop(inbox);
        if sleeping {
            self.arrived.notify_one();
        }
        removed
    }

    /// The next event to deliver, after the previous delivery has ended. The event counts as delivered when the result is
    /// dropped.
    pub fn pop(&self) -> Option<Delivery<'_>> {
        // Dropping an entry may drop the last reference to a subscription and its callback, and so run any Python code: not
        // under the lock.
        let mut stale = Vec::new();
        let mut outbox = lock(&self.outbox);
        let event = loop {
            let Some(entry) = outbox.entries.pop_front() else {
                let mut inbox = lock(&self.inbox);
                if inbox.entries.is_empty() {
                    break None;
                }
                std::mem::swap(&mut inbox.entries, &mut outbox.entries);
                inbox.stale = 0;
                continue;
            };
            outbox.taken = entry.number + 1;
            let event = match entry.kind {
                EntryKind::Event(event) => *event,
                EntryKind::Update {
                    subscription,
                    number,
                } => {
                    let Some(answer) = subscription.mailbox.take(number) else {
                        stale.push(subscription);
                        continue;
                    };
                    Event::Update {
                        subscription,
                        answer,
                    }
                }
            };
            outbox.delivering = Some(entry.number);
            break Some(event);
        };
        if event.is_none() && outbox.watchers > 0 {
            self.delivered.notify_all();
        }
        drop(outbox);
        drop(stale);
        event.map(|event| Delivery { event, queue: self })
    }

    /// Sleeps until there is something to deliver.
    pub fn wait(&self, timeout: Option<Duration>) -> Wake {
        if !lock(&self.outbox).entries.is_empty() {
            return Wake::Events;
        }
        let mut inbox = lock(&self.inbox);
        inbox.sleepers += 1;
        let asleep = |inbox: &mut Inbox| inbox.entries.is_empty() && !inbox.stopped && !inbox.woken;
        let mut inbox = match timeout {
            Some(timeout) => {
                self.arrived
                    .wait_timeout_while(inbox, timeout, asleep)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
            None => self
                .arrived
                .wait_while(inbox, asleep)
                .unwrap_or_else(PoisonError::into_inner),
        };
        inbox.sleepers -= 1;
        inbox.woken = false;
        if inbox.stopped {
            Wake::Stopped
        } else if inbox.entries.is_empty() {
            Wake::Idle
        } else {
            Wake::Events
        }
    }

    /// Ends the present [`wait`](EventQueue::wait), or the next, without an event.
    pub fn wake(&self) {
        lock(&self.inbox).woken = true;
        self.arrived.notify_all();
    }

    /// Stops the queue: no event is delivered any more, and none accepted.
    pub fn stop(&self) {
        let forgotten = {
            let mut inbox = lock(&self.inbox);
            inbox.stopped = true;
            std::mem::take(&mut inbox.entries)
        };
        self.arrived.notify_all();
        let more = std::mem::take(&mut lock(&self.outbox).entries);
        self.delivered.notify_all();
        drop((forgotten, more));
    }

    pub fn is_stopped(&self) -> bool {
        lock(&self.inbox).stopped
    }

    /// A mark after all events that are queued now, for [`is_settled`](EventQueue::is_settled).
    pub fn mark(&self) -> u64 {
        lock(&self.inbox).next
    }

    /// Everything before `mark` has been delivered: its callbacks have returned.
    pub fn is_settled(&self, mark: u64) -> bool {
        lock(&self.outbox).settled() >= mark
    }

    /// Waits until everything before `mark` has been delivered, and then returns `true`. Returns `false` if no callback has
    /// returned for `patience`, the queue is stopped, or `check` ends the wait.
    pub fn settle(
        &self,
        mark: u64,
        patience: Duration,
        check: crate::sync::wait_queue::Check<'_>,
    ) -> bool {
        let mut outbox = lock(&self.outbox);
        let mut last_ended = (outbox.ended, Instant::now());
        let settled = loop {
            if outbox.settled() >= mark {
                break true;
            }
            outbox.watchers += 1;
            outbox = self
                .delivered
                .wait_timeout(outbox, crate::sync::wait_queue::INTERRUPT_CHECK)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            outbox.watchers -= 1;
            if outbox.settled() >= mark {
                break true;
            }
            if outbox.ended != last_ended.0 {
                last_ended = (outbox.ended, Instant::now());
            } else if last_ended.1.elapsed() >= patience {
                break false;
            }
            drop(outbox);
            if check() || self.is_stopped() {
                return false;
            }
            outbox = lock(&self.outbox);
        };
        drop(outbox);
        settled
    }
}

impl Wakeable for EventQueue {
    fn wake(&self) {
        EventQueue::wake(self);
    }
}

impl Inbox {
    /// Removes the entries whose update was dropped, for the caller to drop.
    fn remove_stale(&mut self) -> VecDeque<Entry> {
        let is_stale = |entry: &Entry| match &entry.kind {
            EntryKind::Event(_) => false,
            EntryKind::Update {
                subscription,
                number,
            } => subscription.mailbox.is_dropped(*number),
        };
        self.stale = 0;
        let all = std::mem::take(&mut self.entries);
        let (stale, kept) = all.into_iter().partition(is_stale);
        self.entries = kept;
        stale
    }
}

#[cfg(test)]
mod tests;
