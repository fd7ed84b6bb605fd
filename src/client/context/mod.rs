//! A context: a set of channels, what is outstanding in them, and the queue of their events.
//!
//! The backend's threads always receive, in every context. What differs in a non-preemptive context is who delivers its events:
//! the thread that polls, instead of a dispatcher thread.

mod end;
mod outstanding;

pub use end::End;

use crate::backend::{self, AnyContext, Backend};
use crate::client::channel::Channel;
use crate::client::event::UserData;
use crate::client::fork;
use crate::client::pending_io::{DroppedAnswers, PendingIo, Waiters};
use crate::client::queue::EventQueue;
use crate::client::sync_group::SyncGroups;
use crate::protocol::error::Result;
use crate::protocol::status::Status;
use crate::sync::handle_gate::HandleGate;
use crate::sync::lock;
use crate::sync::replace;
use crate::sync::wait_queue::WaitQueue;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread::ThreadId;

/// | state | moves to | who moves it |
/// |---|---|---|
/// | alive: its gate is open | ending: its gate is closed | the first to call [`begin_end`](Context::begin_end) |
/// | ending | destroyed: out of `LIVING` | the thread that `begin_end` starts, once nobody is inside the gate |
/// | | ending, for good | nobody: a thread is stuck inside the gate, or the backend cannot destroy it; `LIVING` keeps it |
/// | alive, in a forked child | | an ancestor's: nothing of it is touched, see [`fork`] |
///
/// Of its locks, none is held while another is taken, or while a channel or a handler is dropped. `all_pending` is changed by
/// threads that ask for the first time; `channels` by whoever makes a channel, and by `released`; the handlers by the user's
/// threads.
pub struct Context {
    io: AnyContext,
    id: u64,
    generation: u64,
    preemptive: bool,
    owner: ThreadId,
    gate: HandleGate,
    /// The thread that destroys the context waits here until the gate is empty.
    emptied: WaitQueue,
    pub queue: Arc<EventQueue>,
    pub waiters: Arc<Waiters>,
    all_pending: Mutex<Vec<Weak<PendingIo>>>,
    /// By address. The backend has pointers to these channels.
    channels: Mutex<HashMap<usize, Arc<Channel>>>,
    pub sync_groups: SyncGroups,
    exception_handler: Mutex<Option<UserData>>,
    message_handler: Mutex<Option<UserData>>,
}

thread_local! {
    /// What is outstanding for this thread, by context id.
    static THREAD_PENDING: RefCell<Vec<(u64, Arc<PendingIo>)>> = const { RefCell::new(Vec::new()) };
}

/// Contexts that were not destroyed. This list keeps them alive, because the backend has pointers to them.
static LIVING: fork::PerProcess<Mutex<Vec<Arc<Context>>>> = fork::PerProcess::new();

/// Permission to use the backend's side of a context: while it lives, the context is not destroyed.
pub struct ContextGuard<'c> {
    context: &'c Context,
}

impl ContextGuard<'_> {
    pub(crate) fn context(&self) -> &Context {
        self.context
    }
}

impl Drop for ContextGuard<'_> {
    fn drop(&mut self) {
        if self.context.gate.leave() {
            self.context.emptied.wake();
        }
    }
}

impl Context {
    /// Makes a context (ca_context_create).
    pub fn create(preemptive: bool) -> Result<Arc<Context>> {
        Context::with(backend::selected()?, preemptive)
    }

    /// As [`create`](Context::create), of a given backend.
    pub(crate) fn with(backend: &dyn Backend, preemptive: bool) -> Result<Arc<Context>> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let queue = Arc::<EventQueue>::default();
        let waiters = Waiters::new(queue.clone(), answers_dropped);
        let io = backend.new_context(&waiters)?;
        let context = Arc::new(Context {
            io,
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            generation: fork::generation(),
            preemptive,
            owner: std::thread::current().id(),
            gate: HandleGate::default(),
            emptied: WaitQueue::default(),
            waiters,
            queue,
            all_pending: Mutex::default(),
            channels: Mutex::default(),
            sync_groups: SyncGroups::default(),
            exception_handler: Mutex::default(),
            message_handler: Mutex::default(),
        });
        lock(LIVING.get()).push(context.clone());
        context.io.start(&context)?;
        Ok(context)
    }

    /// Whether the end of some context is in progress.
    pub(crate) fn any_is_ending() -> bool {
        lock(LIVING.get()).iter().any(|context| !context.is_alive())
    }

    /// This process's contexts that were not destroyed.
    pub fn living() -> Vec<Arc<Context>> {
        let living = lock(LIVING.get());
        let contexts = living.iter().filter(|context| context.is_alive());
        contexts.cloned().collect()
    }

    /// The context was not destroyed, and was made by this process, not by an ancestor.
    pub fn is_alive(&self) -> bool {
        self.generation == fork::generation() && !self.gate.is_closed()
    }

    pub fn is_preemptive(&self) -> bool {
        self.preemptive
    }

    /// The thread that made the context; it delivers the events of a non-preemptive context.
    pub fn owner(&self) -> ThreadId {
        self.owner
    }

    /// A number that no other context has, not even a destroyed one.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Permission to use the backend's side of the context; `None` if the context is destroyed.
    pub fn enter(&self) -> Option<ContextGuard<'_>> {
        if self.generation != fork::generation() || !self.gate.enter() {
            return None;
        }
        Some(ContextGuard { context: self })
    }

    /// Sends the commands that wait for a flush (ca_flush_io).
    pub fn flush(&self) -> Result<()> {
        if !self.is_alive() {
            return Err(Status::NOCACTX.into());
        }
        self.io.flush(self)
    }

    /// The backend's side of the context.
    pub(crate) fn io(&self) -> &AnyContext {
        &self.io
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

    /// Prints what the backend knows of the context (ca_context_status).
    pub fn show(&self, level: u32) -> Result<()> {
        self.io.show(self, level)
    }
}

fn answers_dropped() -> DroppedAnswers {
    backend::selected().map_or_else(
        |_| DroppedAnswers::default(),
        |backend| backend.answers_dropped(),
    )
}
