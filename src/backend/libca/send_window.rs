//! What goes to one server, and in whose thread.
//!
//! libca queues what it is to send. Once more than 256 KiB are queued for a server, because that hangs or the network does,
//! it blocks whoever sends: for up to half a minute, and nothing interrupts it. So a circuit counts what was sent and what of
//! it the server is known to have taken, because it has answered something sent later. While little is unconfirmed, libca
//! cannot block, and is called directly. Otherwise the circuit has a thread do it, in order; who sends goes on, unless
//! very much has gathered there.

use crate::backend::BACKLOG_LIMIT;
use crate::backend::libca::callbacks::contained;
use crate::backend::libca::deferred_command::DeferredCommand;
use crate::client::context::Context;
use crate::client::pending_io::{PendingGuard, PendingIo, Waiters};
use crate::protocol::status::Status;
use crate::sync::lock;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;

/// Unconfirmed bytes up to which libca is called directly: with what several threads send at once this stays below what
/// blocks, and ten thousand reads fit in.
const WINDOW: u64 = 224 * 1024;
/// Bytes that may wait for the circuit's thread before those who read and write wait, too.
const ENOUGH: usize = BACKLOG_LIMIT;
/// A message's header.
const HEADER: usize = 16;

/// A message's length, its header included.
pub(super) fn message(payload: usize) -> u64 {
    (HEADER + payload.next_multiple_of(8)) as u64
}

/// How long the thread waits for more to do before it ends.
const LINGER: Duration = Duration::from_secs(1);

/// The connection to one server at one priority.
pub struct Circuit {
    sent: AtomicU64,
    confirmed: AtomicU64,
    errands: Mutex<SendQueue>,
    more: Condvar,
    /// Counts the errands that are not done.
    undone: Arc<PendingIo>,
    parked: Arc<RetryQueue>,
    crowds: Arc<AtomicUsize>,
}

#[derive(Default)]
struct SendQueue {
    queue: VecDeque<(DeferredCommand, PendingGuard)>,
    /// What they take, that at which the thread is included.
    bytes: usize,
    has_thread: bool,
    closed: bool,
}

impl Circuit {
    fn new(waiters: &Arc<Waiters>, parked: &Arc<RetryQueue>, crowds: &Arc<AtomicUsize>) -> Circuit {
        Circuit {
            sent: AtomicU64::new(0),
            confirmed: AtomicU64::new(0),
            errands: Mutex::default(),
            more: Condvar::new(),
            undone: PendingIo::new(waiters),
            parked: parked.clone(),
            crowds: crowds.clone(),
        }
    }

    /// Counts a message; `true` where libca will not block on it. Also gives what has been sent including it.
    pub(super) fn reserve(&self, payload: usize) -> (bool, u64) {
        self.reserve_bytes(message(payload))
    }

    /// As [`reserve`](Circuit::reserve), for messages of so many bytes, headers included.
    pub(super) fn reserve_bytes(&self, bytes: u64) -> (bool, u64) {
        // Counted first: of several threads at once, only those who find room go directly.
        let before = self.sent.fetch_add(bytes, Ordering::SeqCst);
        let open = before.saturating_sub(self.confirmed.load(Ordering::SeqCst)) <= WINDOW;
        (open && self.undone.is_done(), before + bytes)
    }

    /// It is time to learn that what was sent has left.
    pub(super) fn is_half_full(&self) -> bool {
        let sent = self.sent.load(Ordering::SeqCst);
        sent.saturating_sub(self.confirmed.load(Ordering::SeqCst)) > WINDOW / 2
    }

    /// libca would not block on something small now.
    pub(super) fn is_open(&self) -> bool {
        let sent = self.sent.load(Ordering::SeqCst);
        let unconfirmed = sent.saturating_sub(self.confirmed.load(Ordering::SeqCst));
        unconfirmed <= WINDOW && self.undone.is_done()
    }

    /// The server has answered the message that `sent` was this much with.
    pub(super) fn confirm(&self, sent: u64) {
        // What was counted meanwhile may have been taken back.
        let sent = sent.min(self.sent.load(Ordering::SeqCst));
        self.confirmed.fetch_max(sent, Ordering::SeqCst);
    }

    /// What to wait for before more is asked or written.
    pub fn backpressure(&self) -> Option<Arc<PendingIo>> {
        if self.undone.is_done() {
            return None;
        }
        let enough = lock(&self.errands).bytes > ENOUGH;
        enough.then(|| self.undone.clone())
    }

    /// Done when its thread has nothing to do.
    pub(super) fn undone(&self) -> &Arc<PendingIo> {
        &self.undone
    }

    /// Has it done by the circuit's thread, after what that has to do already. Where there is no thread to be had, whom it
    /// concerns is told later.
    pub(super) fn send(self: &Arc<Circuit>, errand: DeferredCommand) {
        if let Err(errand) = self.offer(errand) {
            errand.fail();
        }
    }

    /// As [`send`](Circuit::send), for who can tell at once: ECA_ALLOCMEM where there is no thread to be had.
    pub(super) fn try_send(self: &Arc<Circuit>, errand: DeferredCommand) -> Status {
        match self.offer(errand) {
            Ok(()) => Status::NORMAL,
            Err(_) => Status::ALLOCMEM,
        }
    }

    fn offer(
        self: &Arc<Circuit>,
        errand: DeferredCommand,
    ) -> std::result::Result<(), DeferredCommand> {
        let Err(errand) = self.add(errand) else {
            self.parked.resume();
            return Ok(());
        };
        if errand.is_retryable() {
            errand.put_off();
            self.parked.add(self, errand);
            if lock(&self.errands).closed {
                self.parked.resume();
            }
            return Ok(());
        }
        self.sent.fetch_sub(errand.counted(), Ordering::SeqCst);
        Err(errand)
    }

    /// Gives it back where there is no thread to do it.
    fn add(
        self: &Arc<Circuit>,
        errand: DeferredCommand,
    ) -> std::result::Result<(), DeferredCommand> {
        let mut errands = lock(&self.errands);
        if errands.closed {
            // The context is going, and everything with it.
            return Ok(());
        }
        if !self.has_thread(&mut errands) {
            return Err(errand);
        }
        let bytes = errands.bytes + errand.bytes();
        self.set_bytes(&mut errands, bytes);
        errands.queue.push_back((errand, self.undone.begin()));
        self.more.notify_one();
        Ok(())
    }

    /// Starts the circuit's thread where it has none; `false` where there is none to be had.
    fn has_thread(self: &Arc<Circuit>, errands: &mut SendQueue) -> bool {
        if !errands.has_thread {
            let circuit = self.clone();
            let thread = std::thread::Builder::new().name("cachannel circuit".into());
            errands.has_thread = thread.spawn(move || circuit.work()).is_ok();
        }
        errands.has_thread
    }

    fn work(&self) {
        let mut context = None;
        while let Some((errand, guard)) = self.next(&mut context) {
            context = context.or_else(|| errand.context());
            let bytes = errand.bytes();
            contained(|| errand.run());
            let mut errands = lock(&self.errands);
            let left = errands.bytes.saturating_sub(bytes);
            self.set_bytes(&mut errands, left);
            drop(errands);
            drop(guard);
        }
    }

    fn set_bytes(&self, errands: &mut SendQueue, bytes: usize) {
        match (errands.bytes > ENOUGH, bytes > ENOUGH) {
            (false, true) => drop(self.crowds.fetch_add(1, Ordering::SeqCst)),
            (true, false) => drop(self.crowds.fetch_sub(1, Ordering::SeqCst)),
            _ => {}
        }
        errands.bytes = bytes;
    }

    /// Takes back what belongs to one of `pending`, for which nobody waits any more: it is not sent, as far as libca does not
    /// have it.
    fn withdraw(&self, pending: &[Arc<PendingIo>]) {
        if self.undone.is_done() {
            return;
        }
        let belongs =
            |errand: &DeferredCommand| pending.iter().any(|pending| errand.waits_in(pending));
        let withdrawn: Vec<(DeferredCommand, PendingGuard)> = {
            let mut errands = lock(&self.errands);
            let all = std::mem::take(&mut errands.queue).into_iter();
            let (withdrawn, kept): (Vec<_>, Vec<_>) = all.partition(|(errand, _)| belongs(errand));
            errands.queue = kept.into();
            let bytes: usize = withdrawn.iter().map(|(errand, _)| errand.bytes()).sum();
            let left = errands.bytes.saturating_sub(bytes);
            self.set_bytes(&mut errands, left);
            withdrawn
        };
        for (errand, guard) in withdrawn {
            self.sent.fetch_sub(errand.counted(), Ordering::SeqCst);
            errand.withdraw();
            drop(guard);
        }
    }

    /// The next errand. What was done so far is flushed before this waits.
    fn next(&self, context: &mut Option<Arc<Context>>) -> Option<(DeferredCommand, PendingGuard)> {
        let mut errands = lock(&self.errands);
        if errands.queue.is_empty()
            && let Some(context) = context.take()
        {
            drop(errands);
            // What cannot be flushed now goes out with whatever is flushed next, or with the circuit.
            contained(|| drop(context.flush()));
            errands = lock(&self.errands);
        }
        let idle = |errands: &mut SendQueue| errands.queue.is_empty() && !errands.closed;
        let (mut errands, _) = self
            .more
            .wait_timeout_while(errands, LINGER, idle)
            .unwrap_or_else(PoisonError::into_inner);
        let next = errands.queue.pop_front();
        errands.has_thread = next.is_some();
        next
    }

    /// Nothing more is sent.
    fn close(&self) {
        let forgotten = {
            let mut errands = lock(&self.errands);
            errands.closed = true;
            self.set_bytes(&mut errands, 0);
            std::mem::take(&mut errands.queue)
        };
        self.more.notify_all();
        drop(forgotten);
    }
}

/// What can wait, of all circuits of a context, where there was no thread to be had for it. It counts as done meanwhile: a
/// channel that is dropped must not shut the way of the others.
#[derive(Default)]
struct RetryQueue {
    some: AtomicBool,
    errands: Mutex<Vec<(Arc<Circuit>, DeferredCommand)>>,
}

impl RetryQueue {
    fn add(&self, circuit: &Arc<Circuit>, errand: DeferredCommand) {
        lock(&self.errands).push((circuit.clone(), errand));
        self.some.store(true, Ordering::SeqCst);
    }

    /// Has it done by threads that there are now.
    fn resume(&self) {
        if !self.some.load(Ordering::Relaxed) || !self.some.swap(false, Ordering::SeqCst) {
            return;
        }
        let errands = std::mem::take(&mut *lock(&self.errands));
        for (circuit, errand) in errands {
            if let Err(errand) = circuit.add(errand) {
                self.add(&circuit, errand);
            }
        }
    }
}

/// A context's circuits.
pub(super) struct SendWindows {
    waiters: Arc<Waiters>,
    /// By server and priority.
    connected: Mutex<HashMap<(String, u32), Weak<Circuit>>>,
    /// For channels that are not connected.
    nowhere: Arc<Circuit>,
    parked: Arc<RetryQueue>,
    /// How many circuits have more than enough to do.
    crowds: Arc<AtomicUsize>,
}

impl SendWindows {
    pub(super) fn new(waiters: &Arc<Waiters>) -> SendWindows {
        let parked = Arc::<RetryQueue>::default();
        let crowds = Arc::<AtomicUsize>::default();
        SendWindows {
            waiters: waiters.clone(),
            connected: Mutex::default(),
            nowhere: Arc::new(Circuit::new(waiters, &parked, &crowds)),
            parked,
            crowds,
        }
    }

    pub(super) fn nowhere(&self) -> &Arc<Circuit> {
        &self.nowhere
    }

    /// The circuit to a server, if it is known by this name.
    pub(super) fn find(&self, server: &str, priority: u32) -> Option<Arc<Circuit>> {
        let circuits = lock(&self.connected);
        let place = circuits
            .iter()
            .find(|(known, _)| known.0 == server && known.1 == priority);
        place.and_then(|(_, circuit)| circuit.upgrade())
    }

    /// A circuit gets a name: `known`, which has another one so far, or a new one.
    pub(super) fn add(
        &self,
        server: String,
        priority: u32,
        known: Option<Arc<Circuit>>,
    ) -> Arc<Circuit> {
        let new = || Arc::new(Circuit::new(&self.waiters, &self.parked, &self.crowds));
        let circuit = known.unwrap_or_else(new);
        let mut circuits = lock(&self.connected);
        circuits.retain(|_, circuit| circuit.strong_count() > 0);
        circuits.insert((server, priority), Arc::downgrade(&circuit));
        circuit
    }

    /// Has done what waits for a thread, where there is one by now.
    pub(super) fn resume(&self) {
        self.parked.resume();
    }

    /// Some circuit has more than enough to do.
    pub(super) fn any_is_crowded(&self) -> bool {
        self.crowds.load(Ordering::Relaxed) > 0
    }

    fn all(&self) -> Vec<Arc<Circuit>> {
        let connected = lock(&self.connected);
        let connected = connected.values().filter_map(Weak::upgrade);
        connected.chain([self.nowhere.clone()]).collect()
    }

    /// See [`Context::withdraw`].
    pub(super) fn withdraw(&self, pending: &[Arc<PendingIo>]) {
        self.all()
            .iter()
            .for_each(|circuit| circuit.withdraw(pending));
    }

    pub(super) fn close(&self) {
        self.all().iter().for_each(|circuit| circuit.close());
        // Where it is given to a circuit that is closed it is forgotten.
        self.parked.resume();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circuit_that_gets_another_name_is_the_same() {
        let circuits = SendWindows::new(&Waiters::new(
            Arc::<crate::client::queue::EventQueue>::default(),
            || 0,
        ));
        assert!(circuits.find("10.0.0.1:5064", 0).is_none());
        let circuit = circuits.add("10.0.0.1:5064".to_owned(), 0, None);
        circuits.add("ioc:5064".to_owned(), 0, Some(circuit.clone()));
        for name in ["10.0.0.1:5064", "ioc:5064"] {
            assert!(Arc::ptr_eq(&circuits.find(name, 0).unwrap(), &circuit));
            assert!(circuits.find(name, 1).is_none(), "another priority");
        }
        drop(circuit);
        assert!(circuits.find("ioc:5064", 0).is_none());
    }

    #[test]
    fn ten_thousand_reads_go_directly() {
        let circuit = Circuit::new(
            &Waiters::new(Arc::<crate::client::queue::EventQueue>::default(), || 0),
            &Arc::default(),
            &Arc::default(),
        );
        assert!((0..10_000).all(|_| circuit.reserve(0).0));
        let (_, sent) = circuit.reserve(100_000);
        assert!(!circuit.reserve(0).0);
        circuit.confirm(sent);
        assert!(circuit.reserve(0).0);
    }
}
