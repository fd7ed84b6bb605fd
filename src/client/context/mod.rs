//! A client context of libca: its threads, its circuits, what is outstanding in it, and the events that come out of it.
//!
//! Every context is preemptive for libca, so that its threads always receive. A context that was asked for as
//! non-preemptive differs in who delivers its events: the thread that polls, instead of a dispatcher.

mod end;
mod outstanding;

pub use end::End;

use crate::backend::libca::callbacks;
use crate::backend::libca::get_coalescer::GetCoalescer;
use crate::backend::libca::messages;
use crate::backend::libca::send_window::SendWindows;
use crate::ca_sys::{self, LibCa, ca_client_context};
use crate::client::channel::Channel;
use crate::client::event::{Event, UserData};
use crate::client::fork;
use crate::client::pending_io::{PendingIo, WaitQueue};
use crate::client::queue::EventQueue;
use crate::client::sync_group::Groups;
use crate::protocol::error::{Error, Result};
use crate::protocol::status::Status;
use crate::sync::handle_gate::HandleGate;
use crate::sync::lock;
use crate::sync::replace;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread::ThreadId;

pub struct Context {
    raw: RawContext,
    api: &'static LibCa,
    id: u64,
    generation: u64,
    preemptive: bool,
    owner: ThreadId,
    gate: HandleGate,
    pub queue: Arc<EventQueue>,
    pub(crate) waiters: Arc<WaitQueue>,
    all_pending: Mutex<Vec<Weak<PendingIo>>>,
    /// Keeps alive what libca has pointers to.
    channels: Mutex<HashMap<usize, Arc<Channel>>>,
    pub(crate) circuits: SendWindows,
    pub(crate) get_coalescer: GetCoalescer,
    pub(crate) groups: Groups,
    exception_handler: Mutex<Option<UserData>>,
    message_handler: Mutex<Option<UserData>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct RawContext(*mut ca_client_context);

// SAFETY: libca's contexts are made to be shared by threads that attach to them.
unsafe impl Send for RawContext {}
// SAFETY: as above; the pointer itself is never written through.
unsafe impl Sync for RawContext {}

thread_local! {
    /// This thread's batches, by context id.
    static THREAD_PENDING: RefCell<Vec<(u64, Arc<PendingIo>)>> = const { RefCell::new(Vec::new()) };
}

/// Contexts that were not destroyed. It keeps them, because libca has pointers to them.
static LIVING: fork::PerProcess<Mutex<Vec<Arc<Context>>>> = fork::PerProcess::new();

/// Permission to call libca on a context: while it lives, the context is not destroyed.
pub struct ContextGuard<'c> {
    context: &'c Context,
}

impl ContextGuard<'_> {
    pub fn api(&self) -> &'static LibCa {
        self.context.api
    }
}

impl Drop for ContextGuard<'_> {
    fn drop(&mut self) {
        // `destroy` waits for the gate to empty: it needs no word from the last one out.
        self.context.gate.leave();
    }
}

impl Context {
    /// Makes a context (ca_context_create).
    pub fn create(preemptive: bool) -> Result<Arc<Context>> {
        messages::hold_while(|| Context::make(preemptive))
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
        let waiters = WaitQueue::new(&queue);
        let context = Arc::new(Context {
            raw,
            api,
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            generation: fork::generation(),
            preemptive,
            owner: std::thread::current().id(),
            gate: HandleGate::default(),
            circuits: SendWindows::new(&waiters),
            waiters,
            queue,
            all_pending: Mutex::default(),
            channels: Mutex::default(),
            get_coalescer: GetCoalescer::default(),
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
                api.ca_add_exception_event(Some(callbacks::exception), user);
                api.ca_replace_printf_handler(Some(callbacks::message));
            }
        })?;
        if let Some(said) = said {
            context.queue.push(Event::Message(said));
        }
        Ok(context)
    }

    /// Whether the end of a context is under way.
    pub(crate) fn any_is_ending() -> bool {
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
    pub fn enter(&self) -> Option<ContextGuard<'_>> {
        if self.generation != fork::generation() || !self.gate.enter() {
            return None;
        }
        Some(ContextGuard { context: self })
    }

    /// Runs `work` in a thread that is in this context for libca: the calling one, unless another library has put that
    /// into a context of its own. Afterwards the calling thread is in the context, or in none, that it was in before: what
    /// another library in this process does with its thread's context, destroy it even, must not be done to this one.
    pub fn attached<T: Send>(&self, work: impl FnOnce(&'static LibCa) -> T + Send) -> Result<T> {
        let Some(pass) = self.enter() else {
            return Err(Status::NOCACTX.into());
        };
        let api = pass.api();
        // SAFETY: it looks at a pointer that the thread owns.
        let current = unsafe { api.ca_current_context() };
        let raw = self.raw;
        let work = || {
            let _attached = Attached::to(api, raw)?;
            Ok(work(api))
        };
        // There is no way back into another library's context: it may not be preemptive, or be gone.
        if current.is_null() {
            work()
        } else {
            on_fresh_thread(work)
        }
    }

    /// Sends what has gathered (ca_flush_io).
    pub fn flush(&self) -> Result<()> {
        if !self.is_alive() {
            return Err(Status::NOCACTX.into());
        }
        self.get_coalescer.flush();
        self.circuits.resume();
        // SAFETY: `attached` runs it in a thread of a living context.
        let status = self.attached(|api| Status(unsafe { api.ca_flush_io() }))?;
        if status.is_normal() {
            Ok(())
        } else {
            Err(status.into())
        }
    }

    /// Its channels that were not cleared.
    pub fn channels(&self) -> Vec<Arc<Channel>> {
        lock(&self.channels).values().cloned().collect()
    }

    pub(crate) fn adopt(&self, channel: &Arc<Channel>) {
        lock(&self.channels).insert(Arc::as_ptr(channel) as usize, channel.clone());
    }

    pub(crate) fn release(&self, channel: &Channel) -> Option<Arc<Channel>> {
        lock(&self.channels).remove(&(std::ptr::from_ref(channel) as usize))
    }

    pub fn set_exception_handler(&self, handler: Option<UserData>) {
        replace(&self.exception_handler, handler);
    }

    pub fn exception_handler(&self) -> Option<UserData> {
        lock(&self.exception_handler).clone()
    }

    pub fn set_message_handler(&self, handler: Option<UserData>) {
        replace(&self.message_handler, handler);
    }

    pub fn message_handler(&self) -> Option<UserData> {
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
}

/// The calling thread is in a context for libca while this lives.
struct Attached(&'static LibCa);

impl Attached {
    /// The thread must be in no context; the caller holds the context's gate, or is its destroyer.
    fn to(api: &'static LibCa, raw: RawContext) -> Result<Attached> {
        // SAFETY: it sets a pointer that the thread owns, to a context that the caller keeps alive.
        let status = Status(unsafe { api.ca_attach_context(raw.0) });
        if status.is_normal() {
            Ok(Attached(api))
        } else {
            Err(status.into())
        }
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // SAFETY: it sets a pointer that the thread owns, and that `to` has set.
        unsafe { self.0.ca_detach_context() };
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
