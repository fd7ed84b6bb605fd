//! The connection to one server: what goes to it, and in whose thread.
//!
//! libca queues what it is to send. Once more than 256 KiB are queued for a server, because the server or the network hangs, libca
//! blocks the thread that sends: for up to half a minute, and nothing interrupts it. So libca is called directly only while the
//! circuit's [`SendWindow`] is open. Otherwise the circuit's sender thread calls libca, in order; the thread that sends goes on,
//! unless very much has gathered.

use super::contained::contained;
use super::lingering::Lingering;
use super::send_window::{SendWindow, message};
use super::work::Work;
use crate::backend::BACKLOG_LIMIT;
use crate::client::context::Context;
use crate::client::pending_io::{PendingGuard, PendingIo, Waiters};
use crate::protocol::status::Status;
use crate::sync::lock;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the sender thread waits for more work before it ends.
const IDLE: Duration = Duration::from_secs(1);

/// The connection to one server at one priority.
pub(super) struct Circuit {
    window: SendWindow,
    /// Channels that are connected by it and were not closed.
    channels: AtomicUsize,
    sender: Mutex<Sender>,
    more: Condvar,
    /// Counts the work that is not done.
    undone: Arc<PendingIo>,
    shared: Arc<Shared>,
}

/// The sender thread, and what it is to do.
///
/// | field | who sets it | who unsets it |
/// |---|---|---|
/// | `has_thread` | the thread that adds work, and starts a sender thread because none runs | the sender thread, before it ends: under the lock under which it has found nothing to do |
/// | `lingering` | the thread that closes the circuit's last channel; it takes out an earlier close, and does that one | the sender thread, when the time of the close has come; the sender thread does not end before |
/// | `closed` | the end of the context | nobody: nothing is added any more |
///
/// So work that is added is done by the sender thread that runs, or by a new one.
#[derive(Default)]
struct Sender {
    queue: VecDeque<(Box<dyn Work>, PendingGuard)>,
    /// What the work takes, that under way included.
    bytes: usize,
    /// The close of the last channel. It does not count as undone: what is sent meanwhile need not wait for it.
    lingering: Option<Lingering>,
    has_thread: bool,
    closed: bool,
}

/// What the circuits of a context share.
#[derive(Default)]
pub(super) struct Shared {
    retries: RetryQueue,
    /// How many circuits have more than enough to do.
    with_backlog: AtomicUsize,
    /// When a channel last began to look for its PV.
    last_search: Mutex<Option<Instant>>,
}

impl Circuit {
    pub(super) fn new(waiters: &Arc<Waiters>, shared: &Arc<Shared>) -> Circuit {
        Circuit {
            window: SendWindow::default(),
            channels: AtomicUsize::new(0),
            sender: Mutex::default(),
            more: Condvar::new(),
            undone: PendingIo::new(waiters),
            shared: shared.clone(),
        }
    }

    /// One more channel is connected by it.
    pub(super) fn join(&self) {
        self.channels.fetch_add(1, Ordering::SeqCst);
    }

    /// One channel less; `true` for the last one. Of several that leave at once, one is the last.
    pub(super) fn leave(&self) -> bool {
        self.channels.fetch_sub(1, Ordering::SeqCst) == 1
    }

    /// Puts off the close of the last channel. Gives back one that was put off before, to be done now: one channel is enough to
    /// keep the circuit. ECA_ALLOCMEM where no thread can be started that would do it later.
    pub(super) fn linger(
        self: &Arc<Circuit>,
        close: Box<dyn Work>,
    ) -> Result<Option<Box<dyn Work>>, Status> {
        let mut sender = lock(&self.sender);
        if sender.closed || !self.ensure_thread(&mut sender) {
            return Err(Status::ALLOCMEM);
        }
        // The thread need not be woken: it looks again before the time of this one has come.
        let before = sender.lingering.replace(Lingering::new(close));
        Ok(before.map(Lingering::into_close))
    }

    /// Counts a message with so many bytes of data; `true` where libca will not block on it. Also gives what has been sent with it.
    pub(super) fn reserve(&self, payload: usize) -> (bool, u64) {
        self.reserve_bytes(message(payload))
    }

    /// As [`reserve`](Circuit::reserve), for messages of so many bytes, headers included.
    pub(super) fn reserve_bytes(&self, bytes: u64) -> (bool, u64) {
        let (open, sent) = self.window.reserve(bytes);
        (open && self.undone.is_done(), sent)
    }

    /// It is time to learn that what was sent has been read.
    pub(super) fn is_half_full(&self) -> bool {
        self.window.is_half_full()
    }

    /// libca would not block on something small now.
    pub(super) fn is_open(&self) -> bool {
        self.window.is_open() && self.undone.is_done()
    }

    /// The server has answered the message with which `sent` was this much.
    pub(super) fn confirm_sent(&self, sent: u64) {
        self.window.confirm_sent(sent);
    }

    /// What to wait for before more is asked or written.
    pub(super) fn backlog(&self) -> Option<Arc<PendingIo>> {
        if self.undone.is_done() {
            return None;
        }
        let has_backlog = lock(&self.sender).bytes > BACKLOG_LIMIT;
        has_backlog.then(|| self.undone.clone())
    }

    /// Done when the sender thread has nothing to do.
    pub(super) fn undone(&self) -> &Arc<PendingIo> {
        &self.undone
    }

    /// Queues work for the sender thread. Where no thread can be started, the work fails: those who wait for it are told so.
    pub(super) fn send(self: &Arc<Circuit>, work: Box<dyn Work>) {
        if let Err(work) = self.enqueue(work) {
            work.fail();
        }
    }

    /// As [`send`](Circuit::send), for a caller who is told at once: ECA_ALLOCMEM where no thread can be started.
    pub(super) fn try_send(self: &Arc<Circuit>, work: Box<dyn Work>) -> Status {
        match self.enqueue(work) {
            Ok(()) => Status::NORMAL,
            Err(_) => Status::ALLOCMEM,
        }
    }

    fn enqueue(self: &Arc<Circuit>, work: Box<dyn Work>) -> Result<(), Box<dyn Work>> {
        let Err(work) = self.add(work) else {
            self.shared.resume();
            return Ok(());
        };
        if work.is_retryable() {
            work.put_off();
            self.shared.retries.add(self, work);
            if lock(&self.sender).closed {
                self.shared.resume();
            }
            return Ok(());
        }
        self.window.take_back(work.counted());
        Err(work)
    }

    /// Gives the work back where no thread can be started.
    fn add(self: &Arc<Circuit>, work: Box<dyn Work>) -> Result<(), Box<dyn Work>> {
        let mut sender = lock(&self.sender);
        if sender.closed {
            // The context is going, and everything with it.
            return Ok(());
        }
        if !self.ensure_thread(&mut sender) {
            return Err(work);
        }
        let bytes = sender.bytes + work.bytes();
        self.set_bytes(&mut sender, bytes);
        sender.queue.push_back((work, self.undone.begin()));
        self.more.notify_one();
        Ok(())
    }

    /// Starts the sender thread where none runs; `false` where none can be started.
    fn ensure_thread(self: &Arc<Circuit>, sender: &mut Sender) -> bool {
        if !sender.has_thread {
            let circuit = self.clone();
            let thread = std::thread::Builder::new().name("cachannel circuit".into());
            sender.has_thread = thread.spawn(move || circuit.run_sender()).is_ok();
        }
        sender.has_thread
    }

    /// What the sender thread runs, until there has been nothing to do for a while.
    fn run_sender(&self) {
        let mut context = None;
        while let Some((work, guard)) = self.next(&mut context) {
            context = context.or_else(|| work.context());
            let bytes = work.bytes();
            contained(|| work.run());
            let mut sender = lock(&self.sender);
            let left = sender.bytes.saturating_sub(bytes);
            self.set_bytes(&mut sender, left);
            drop(sender);
            drop(guard);
        }
    }

    fn set_bytes(&self, sender: &mut Sender, bytes: usize) {
        let with_backlog = &self.shared.with_backlog;
        match (sender.bytes > BACKLOG_LIMIT, bytes > BACKLOG_LIMIT) {
            (false, true) => drop(with_backlog.fetch_add(1, Ordering::SeqCst)),
            (true, false) => drop(with_backlog.fetch_sub(1, Ordering::SeqCst)),
            _ => {}
        }
        sender.bytes = bytes;
    }

    /// Takes back what belongs to one of `pending`, for which nobody waits any more: what libca does not have is not sent.
    pub(super) fn withdraw(&self, pending: &[Arc<PendingIo>]) {
        if self.undone.is_done() {
            return;
        }
        let belongs = |work: &dyn Work| pending.iter().any(|pending| work.waits_in(pending));
        let withdrawn: Vec<(Box<dyn Work>, PendingGuard)> = {
            let mut sender = lock(&self.sender);
            let all = std::mem::take(&mut sender.queue).into_iter();
            let (withdrawn, kept): (Vec<_>, Vec<_>) = all.partition(|(work, _)| belongs(&**work));
            sender.queue = kept.into();
            let bytes: usize = withdrawn.iter().map(|(work, _)| work.bytes()).sum();
            let left = sender.bytes.saturating_sub(bytes);
            self.set_bytes(&mut sender, left);
            withdrawn
        };
        for (work, guard) in withdrawn {
            // Its bytes stay counted as sent: an answer to what was counted later confirms them as well.
            work.withdraw();
            drop(guard);
        }
    }

    /// The next work. What was done so far is flushed before this waits.
    fn next(&self, context: &mut Option<Arc<Context>>) -> Option<(Box<dyn Work>, PendingGuard)> {
        let mut sender = lock(&self.sender);
        if sender.queue.is_empty()
            && let Some(context) = context.take()
        {
            drop(sender);
            // What cannot be flushed now leaves with whatever is flushed next, or is lost with the circuit.
            contained(|| drop(context.flush()));
            sender = lock(&self.sender);
        }
        let idle_end = Instant::now() + IDLE;
        loop {
            if let Some(next) = sender.queue.pop_front() {
                return Some(next);
            }
            let now = Instant::now();
            let last_search = *lock(&self.shared.last_search);
            let is_due = |lingering: &mut Lingering| lingering.end(last_search) <= now;
            if let Some(lingering) = sender.lingering.take_if(is_due) {
                return Some((lingering.into_close(), self.undone.begin()));
            }
            let lingering = sender.lingering.as_ref();
            let end = lingering.map_or(idle_end, |lingering| lingering.end(last_search));
            if sender.closed || end <= now {
                sender.has_thread = false;
                return None;
            }
            let woken = self.more.wait_timeout(sender, end - now);
            (sender, _) = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Nothing more is sent.
    pub(super) fn close(&self) {
        let forgotten = {
            let mut sender = lock(&self.sender);
            sender.closed = true;
            self.set_bytes(&mut sender, 0);
            (std::mem::take(&mut sender.queue), sender.lingering.take())
        };
        self.more.notify_all();
        drop(forgotten);
    }
}

impl Shared {
    /// Some circuit has more than [`BACKLOG_LIMIT`] bytes queued.
    pub(super) fn any_has_backlog(&self) -> bool {
        self.with_backlog.load(Ordering::Relaxed) > 0
    }

    /// A channel begins to look for its PV.
    pub(super) fn search_begins(&self) {
        *lock(&self.last_search) = Some(Instant::now());
    }

    /// Queues again what was put off, as far as threads can be started now. What is queued for a closed circuit is forgotten.
    pub(super) fn resume(&self) {
        for (circuit, work) in self.retries.take() {
            if let Err(work) = circuit.add(work) {
                self.retries.add(&circuit, work);
            }
        }
    }
}

/// Work, and the circuit whose it is.
type PutOff = (Arc<Circuit>, Box<dyn Work>);

/// What was put off, of all circuits of a context, because no thread could be started for it. It counts as done meanwhile: a
/// channel that is dropped must not close the window of the others.
#[derive(Default)]
struct RetryQueue {
    any: AtomicBool,
    work: Mutex<Vec<PutOff>>,
}

impl RetryQueue {
    fn add(&self, circuit: &Arc<Circuit>, work: Box<dyn Work>) {
        lock(&self.work).push((circuit.clone(), work));
        self.any.store(true, Ordering::SeqCst);
    }

    fn take(&self) -> Vec<PutOff> {
        if !self.any.load(Ordering::Relaxed) || !self.any.swap(false, Ordering::SeqCst) {
            return Vec::new();
        }
        std::mem::take(&mut *lock(&self.work))
    }
}
