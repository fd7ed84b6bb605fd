//! A context's events on their way from libca's threads to whoever delivers them, in libca's order.

use super::event::{Answer, Event};
use super::lock;
use super::subscription::Subscription;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Entries whose update was dropped are swept out when there are at least so many, and half of all.
const SWEEP: usize = 4_096;

/// Producers push into the inbox. Whoever delivers (one thread at a time: the dispatcher, or for a non-preemptive context
/// the thread that polls) takes the inbox whole and works through it, so that the two seldom meet at a lock.
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
    kind: Kind,
}

enum Kind {
    Event(Box<Event>),
    /// The update itself waits in the subscription, which may drop it.
    Update {
        subscription: Arc<Subscription>,
        index: u64,
    },
}

#[derive(Default)]
struct Outbox {
    entries: VecDeque<Entry>,
    /// Number after the last entry taken.
    taken: u64,
    /// Deliveries under way: a callback that polls delivers others within its own.
    depth: usize,
    /// Number of the outermost of them.
    outermost: u64,
    /// Deliveries ended, so that a wait can tell slow from stuck.
    ended: u64,
    watchers: usize,
}

impl Outbox {
    /// All entries before this number have been delivered.
    fn settled(&self) -> u64 {
        if self.depth > 0 {
            self.outermost
        } else {
            self.taken
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    Events,
    /// Nothing came, or [`EventQueue::wake`] was called.
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
        outbox.depth -= 1;
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
            } => self.push_update(subscription, answer),
            other => self.push_entry(Kind::Event(Box::new(other)), 0),
        }
    }

    pub fn push_update(&self, subscription: Arc<Subscription>, answer: Answer) {
        let (index, pushed_out) = subscription.keep(answer);
        self.push_entry(
            Kind::Update {
                subscription,
                index,
            },
            pushed_out,
        );
    }

    fn push_entry(&self, kind: Kind, stale: usize) {
        let mut inbox = lock(&self.inbox);
        if inbox.stopped {
            return;
        }
        let number = inbox.next;
        inbox.next += 1;
        inbox.entries.push_back(Entry { number, kind });
        inbox.stale += stale;
        if inbox.stale >= SWEEP && inbox.stale > inbox.entries.len() / 2 {
            inbox.sweep();
        }
        let sleeping = inbox.sleepers > 0;
        drop(inbox);
        if sleeping {
            self.arrived.notify_one();
        }
    }

    /// The next event to deliver. It counts as delivered when what is returned is dropped.
    pub fn pop(&self) -> Option<Delivery<'_>> {
        let mut outbox = lock(&self.outbox);
        loop {
            let Some(entry) = outbox.entries.pop_front() else {
                let mut inbox = lock(&self.inbox);
                if inbox.entries.is_empty() {
                    drop(inbox);
                    if outbox.watchers > 0 {
                        self.delivered.notify_all();
                    }
                    return None;
                }
                std::mem::swap(&mut inbox.entries, &mut outbox.entries);
                inbox.stale = 0;
                continue;
            };
            outbox.taken = entry.number + 1;
            let event = match entry.kind {
                Kind::Event(event) => *event,
                Kind::Update {
                    subscription,
                    index,
                } => match subscription.take(index) {
                    Some(answer) => Event::Update {
                        subscription,
                        answer,
                    },
                    None => continue,
                },
            };
            if outbox.depth == 0 {
                outbox.outermost = entry.number;
            }
            outbox.depth += 1;
            return Some(Delivery { event, queue: self });
        }
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

    /// Nothing is delivered any more, and nothing taken in.
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

    /// A mark behind all that is queued now, for [`is_settled`](EventQueue::is_settled).
    pub fn mark(&self) -> u64 {
        lock(&self.inbox).next
    }

    /// Everything before `mark` has been delivered.
    pub fn is_settled(&self, mark: u64) -> bool {
        lock(&self.outbox).settled() >= mark
    }

    /// Waits until everything before `mark` has been delivered: `true`; or until `patience` has passed in which no
    /// callback returned, the queue is stopped, or `check` says so: `false`.
    pub fn settle(&self, mark: u64, patience: Duration, check: super::batch::Check<'_>) -> bool {
        let mut outbox = lock(&self.outbox);
        let mut last_ended = (outbox.ended, Instant::now());
        let settled = loop {
            if outbox.settled() >= mark {
                break true;
            }
            outbox.watchers += 1;
            outbox = self
                .delivered
                .wait_timeout(outbox, super::batch::INTERRUPT_CHECK)
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

impl Inbox {
    fn sweep(&mut self) {
        self.entries.retain(|entry| match &entry.kind {
            Kind::Event(_) => true,
            Kind::Update {
                subscription,
                index,
            } => !subscription.is_stale(*index),
        });
        self.stale = 0;
    }
}
