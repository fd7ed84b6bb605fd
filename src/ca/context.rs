//! A client context of libca: its threads, its circuits, what is outstanding in it, and the events that come out of it.
//!
//! Every context is preemptive for libca, so that its threads always receive. A context that was asked for as
//! non-preemptive differs in who delivers its events: the thread that polls, instead of a dispatcher.

use super::batch::{
    Batch, Check, Completion, INTERRUPT_CHECK, Ticket, Waited, Watch, remaining, wait,
};
use super::channel::Channel;
use super::circuit::Circuits;
use super::error::{Error, Result};
use super::event::{Event, Handler};
use super::gate::Gate;
use super::gathered::Gathered;
use super::group::Groups;
use super::queue::EventQueue;
use super::status::Status;
use super::{fork, lock, replace, sayings, trampoline};
use crate::ca_sys::{self, LibCa, ca_client_context};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, Weak};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

/// In a forked child the end of a context, when all else is done, waits for the thread of libCom's error log, which only
/// the parent has.
const FORKED_PATIENCE: Duration = Duration::from_millis(200);

pub struct Context {
    raw: RawContext,
    api: &'static LibCa,
    id: u64,
    generation: u64,
    preemptive: bool,
    owner: ThreadId,
    gate: Gate,
    pub queue: Arc<EventQueue>,
    pub(super) completion: Arc<Completion>,
    batches: Mutex<Vec<Weak<Batch>>>,
    /// Keeps alive what libca has pointers to.
    channels: Mutex<HashMap<usize, Arc<Channel>>>,
    pub(super) circuits: Circuits,
    pub(super) gathered: Gathered,
    pub(super) groups: Groups,
    exception_handler: Mutex<Option<Handler>>,
    message_handler: Mutex<Option<Handler>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct RawContext(*mut ca_client_context);

// SAFETY: libca's contexts are made to be shared by threads that attach to them.
unsafe impl Send for RawContext {}
// SAFETY: as above; the pointer itself is never written through.
unsafe impl Sync for RawContext {}

thread_local! {
    /// What this thread was attached to by us; anything else that libca says is current belongs to somebody else.
    static ATTACHED: Cell<*mut ca_client_context> = const { Cell::new(std::ptr::null_mut()) };
    /// This thread's batches, by context id.
    static BATCHES: RefCell<Vec<(u64, Arc<Batch>)>> = const { RefCell::new(Vec::new()) };
}

/// Contexts that were not destroyed. It keeps them, because libca has pointers to them.
static LIVING: fork::PerProcess<Mutex<Vec<Arc<Context>>>> = fork::PerProcess::new();

/// Permission to call libca on a context: while it lives, the context is not destroyed.
pub struct ContextPass<'c> {
    context: &'c Context,
}

impl ContextPass<'_> {
    pub fn api(&self) -> &'static LibCa {
        self.context.api
    }
}

impl Drop for ContextPass<'_> {
    fn drop(&mut self) {
        // `destroy` waits for the gate to empty: it needs no word from the last one out.
        self.context.gate.leave();
    }
}

impl Context {
    /// Makes a context (ca_context_create), and attaches the calling thread to it where it may.
    pub fn create(preemptive: bool) -> Result<Arc<Context>> {
        sayings::hold_while(|| Context::make(preemptive))
    }

    fn make(preemptive: bool) -> Result<Arc<Context>> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let api = ca_sys::loaded().ok_or(Status::INTERNAL)?.api();
        fork::watch();
        fork::used();
        // On a thread of its own, because the calling one may belong to another library's context.
        let (raw, said) = fork::overheard(|| {
            on_fresh_thread(|| {
                let preemptive =
                    ca_sys::ca_preemptive_callback_select_ca_enable_preemptive_callback;
                // SAFETY: the thread is new and in no context; libca was loaded with all the functions of the bindings.
                let status = Status(unsafe { api.ca_context_create(preemptive) });
                if !status.is_normal() {
                    return Err(Error::from(status));
                }
                // SAFETY: as above; the thread is now in the new context, and leaves it again as it ends.
                Ok(RawContext(unsafe { api.ca_current_context() }))
            })
        });
        let raw = raw?;
        let queue = Arc::<EventQueue>::default();
        let completion = Completion::new(&queue);
        let context = Arc::new(Context {
            raw,
            api,
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            generation: fork::generation(),
            preemptive,
            owner: std::thread::current().id(),
            gate: Gate::default(),
            circuits: Circuits::new(&completion),
            completion,
            queue,
            batches: Mutex::default(),
            channels: Mutex::default(),
            gathered: Gathered::default(),
            groups: Groups::default(),
            exception_handler: Mutex::default(),
            message_handler: Mutex::default(),
        });
        lock(LIVING.get()).push(context.clone());
        context.attached(|api| {
            // SAFETY: the thread is in the context. The pointer stays good: `LIVING` keeps it until `destroy` has had
            // libca forget it.
            unsafe {
                let user = Arc::as_ptr(&context).cast_mut().cast();
                api.ca_add_exception_event(Some(trampoline::exception), user);
                api.ca_replace_printf_handler(Some(trampoline::message));
            }
        })?;
        if let Some(said) = said {
            context.queue.push(Event::Message(said));
        }
        Ok(context)
    }

    /// Whether the end of a context is under way.
    pub(super) fn any_is_ending() -> bool {
        lock(LIVING.get()).iter().any(|context| !context.is_alive())
    }

    /// Contexts of this process that were not destroyed.
    pub fn living() -> Vec<Arc<Context>> {
        let living = lock(LIVING.get());
        let contexts = living.iter().filter(|context| context.is_alive());
        contexts.cloned().collect()
    }

    /// Neither destroyed nor an ancestor process's.
    pub fn is_alive(&self) -> bool {
        self.generation == fork::generation() && !self.gate.is_closed()
    }

    pub fn is_preemptive(&self) -> bool {
        self.preemptive
    }

    /// The thread that made it: for a non-preemptive context the one that delivers its events.
    pub fn owner(&self) -> ThreadId {
        self.owner
    }

    /// Tells contexts apart, also those that are gone.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Permission to use libca on this context, unless it is gone.
    pub fn enter(&self) -> Option<ContextPass<'_>> {
        if self.generation != fork::generation() || !self.gate.enter() {
            return None;
        }
        Some(ContextPass { context: self })
    }

    /// Runs `work` in a thread that is in this context for libca: the calling one, unless another library has put that
    /// into a context of its own.
    pub fn attached<T: Send>(&self, work: impl FnOnce(&'static LibCa) -> T + Send) -> Result<T> {
        let Some(pass) = self.enter() else {
            return Err(Status::NOCACTX.into());
        };
        let api = pass.api();
        // SAFETY: these look at and set a pointer that the thread owns; the pass keeps the context alive.
        let current = unsafe { api.ca_current_context() };
        if current != self.raw.0 {
            let raw = self.raw;
            if !current.is_null() && current != ATTACHED.get() {
                return on_fresh_thread(|| {
                    attach(api, raw)?;
                    Ok(work(api))
                });
            }
            attach(api, raw)?;
        }
        Ok(work(api))
    }

    /// Takes the calling thread out of this context for libca.
    pub fn detach_thread(&self) {
        if ATTACHED.get() == self.raw.0 && self.generation == fork::generation() {
            // SAFETY: these look at and set a pointer that the thread owns.
            unsafe {
                if self.api.ca_current_context() == self.raw.0 {
                    self.api.ca_detach_context();
                }
            }
            ATTACHED.set(std::ptr::null_mut());
        }
    }

    /// Sends what has gathered (ca_flush_io).
    pub fn flush(&self) -> Result<()> {
        if !self.is_alive() {
            return Err(Status::NOCACTX.into());
        }
        self.gathered.hand_on();
        // SAFETY: `attached` runs it in a thread of a living context.
        let status = self.attached(|api| Status(unsafe { api.ca_flush_io() }))?;
        if status.is_normal() {
            Ok(())
        } else {
            Err(status.into())
        }
    }

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

    /// Waits for `batches`: `Ok`, or the first failure among them, or a timeout that names what is missing.
    pub fn wait_for(
        &self,
        batches: &[Arc<Batch>],
        deadline: Option<Instant>,
        check: Check<'_>,
    ) -> std::result::Result<Result<()>, Waited> {
        match wait(&self.completion, batches, deadline, check) {
            Waited::Interrupted => Err(Waited::Interrupted),
            Waited::Done => Ok(self.collect(batches)),
            Waited::Timeout => Ok(Err(self.timed_out(batches))),
        }
    }

    /// The first failure among batches that are done.
    pub fn collect(&self, batches: &[Arc<Batch>]) -> Result<()> {
        let failures: Vec<Error> = batches.iter().filter_map(|b| b.take_failure()).collect();
        failures.into_iter().next().map_or(Ok(()), Err)
    }

    /// An error that names what is missing from `batches`.
    pub fn timed_out(&self, batches: &[Arc<Batch>]) -> Error {
        let channels = self.channels();
        let mut missing: Vec<&str> = channels
            .iter()
            .filter(|channel| batches.iter().any(|batch| channel.is_awaited(batch)))
            .map(|channel| channel.name())
            .collect();
        missing.sort_unstable();
        missing.dedup();
        let mut error = Error::from(Status::TIMEOUT);
        error.pv = missing.first().map(|name| (*name).to_owned());
        if missing.len() > 1 {
            let shown = missing[..missing.len().min(10)].join(", ");
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

    /// The calling thread's `pend_io` waits no more for what is outstanding now.
    pub fn forget(&self, batches: &[Arc<Batch>]) {
        BATCHES.with_borrow_mut(|own| own.retain(|(id, _)| *id != self.id));
        for batch in batches {
            batch.give_up();
        }
    }

    /// Its channels that were not cleared.
    pub fn channels(&self) -> Vec<Arc<Channel>> {
        lock(&self.channels).values().cloned().collect()
    }

    pub(super) fn adopt(&self, channel: &Arc<Channel>) {
        lock(&self.channels).insert(Arc::as_ptr(channel) as usize, channel.clone());
    }

    pub(super) fn release(&self, channel: &Channel) -> Option<Arc<Channel>> {
        lock(&self.channels).remove(&(std::ptr::from_ref(channel) as usize))
    }

    pub fn set_exception_handler(&self, handler: Option<Handler>) {
        replace(&self.exception_handler, handler);
    }

    pub fn exception_handler(&self) -> Option<Handler> {
        lock(&self.exception_handler).clone()
    }

    pub fn set_message_handler(&self, handler: Option<Handler>) {
        replace(&self.message_handler, handler);
    }

    pub fn message_handler(&self) -> Option<Handler> {
        lock(&self.message_handler).clone()
    }

    /// Has libca print what it knows of the context (ca_context_status).
    pub fn show(&self, level: u32) -> Result<()> {
        let Some(pass) = self.enter() else {
            return Err(Status::NOCACTX.into());
        };
        // SAFETY: the pass keeps the context alive. `fflush(NULL)` flushes every C stream, so that the text comes out
        // in order with Python's.
        unsafe {
            pass.api().ca_context_status(self.raw.0, level);
            libc::fflush(std::ptr::null_mut());
        }
        Ok(())
    }

    /// Ends the context and every channel in it (ca_context_destroy); `false` where that was not over within `patience`
    /// (a circuit may hang) or `check` said so, and goes on by itself.
    pub fn destroy(self: &Arc<Context>, patience: Duration, check: Check<'_>) -> bool {
        let end = self.begin_end(patience);
        end.is_none_or(|end| end.wait(check))
    }

    /// Begins to [`destroy`](Context::destroy) it. `None` where that has begun before.
    pub fn begin_end(self: &Arc<Context>, patience: Duration) -> Option<End> {
        if self.generation != fork::generation() {
            return None;
        }
        self.gate.close()?;
        let patience = if fork::generation() > 0 {
            patience.min(FORKED_PATIENCE)
        } else {
            patience
        };
        self.queue.stop();
        self.circuits.close();
        self.detach_thread();
        // Whoever waits for something in this context has waited enough, and may be in the way of the gate.
        let channels = self.channels();
        for channel in &channels {
            channel.release_waiters(Status::CHANDESTROY);
        }
        let (over, is_over) = std::sync::mpsc::channel();
        let context = self.clone();
        let deadline = Instant::now() + patience;
        let worker = std::thread::Builder::new().name("cachannel destroy".into());
        let started = worker.spawn(move || {
            while !context.gate.is_empty() {
                if Instant::now() >= deadline {
                    // Somebody is stuck inside libca: it must not lose its context.
                    return;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            context.destroy_now(&channels, patience / 2);
            // Nobody listens any more where the patience is over.
            over.send(()).ok();
        });
        // Where no thread is to be had, nobody is left who would say that it is over.
        drop(started);
        Some(End { is_over, deadline })
    }

    /// Has libca destroy the context, whose gate is closed and empty. Its channels are cleared before, as far as that is
    /// over within `patience`: libca loses some memory of those that are left.
    fn destroy_now(self: &Arc<Context>, channels: &[Arc<Channel>], patience: Duration) {
        if attach(self.api, self.raw).is_err() {
            return;
        }
        let enough = Instant::now() + patience;
        let mut left = self.channels().into_iter();
        left.try_for_each(|channel| {
            // SAFETY: the gate is closed and empty, so nobody uses its channels; this thread is in it.
            unsafe { channel.clear_with_context(self.api) };
            (Instant::now() < enough).then_some(())
        });
        // SAFETY: as above.
        unsafe { self.api.ca_context_destroy() };
        // libca has forgotten all pointers to channels, requests and subscriptions.
        for channel in channels {
            channel.abandon(Status::CHANDESTROY);
            self.release(channel);
        }
        self.gathered.forget();
        lock(LIVING.get()).retain(|other| !Arc::ptr_eq(other, self));
    }
}

/// A context's end that is under way.
pub struct End {
    is_over: Receiver<()>,
    deadline: Instant,
}

impl End {
    /// See [`Context::destroy`].
    pub fn wait(&self, check: Check<'_>) -> bool {
        while !check() {
            let left = remaining(Some(self.deadline)).unwrap_or_default();
            match self.is_over.recv_timeout(left.min(INTERRUPT_CHECK)) {
                Ok(()) => return true,
                Err(RecvTimeoutError::Timeout) if !left.is_zero() => {}
                Err(_) => return false,
            }
        }
        false
    }
}

/// Puts the calling thread into a context.
fn attach(api: &LibCa, raw: RawContext) -> Result<()> {
    // SAFETY: both set a pointer that the thread owns; the caller holds the context's gate, or is its destroyer.
    let status = unsafe {
        api.ca_detach_context();
        Status(api.ca_attach_context(raw.0))
    };
    ATTACHED.set(raw.0);
    if status.is_normal() {
        Ok(())
    } else {
        Err(status.into())
    }
}

fn on_fresh_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().spawn_scoped(scope, work);
        match thread.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(result)) => result,
            _ => Err(Status::INTERNAL.into()),
        }
    })
}
