//! libca's side of a context.
//!
//! Every context is preemptive for libca, so that its threads always receive. A thread of ours is in a libca context only during
//! a call into libca: another library in the process may take the context that a thread is in for its own.

use super::callbacks;
use super::channel::LibcaChannel;
use super::fork::overheard;
use super::get_coalescer::GetCoalescer;
use super::group_sender;
use super::messages::{self, Holding};
use super::send_window::SendWindows;
use crate::backend::{AnyChannel, Backlog, ContextIo};
use crate::ca_sys::{self, LibCa, ca_client_context};
use crate::client::channel::Channel;
use crate::client::context::{Context, ContextGuard};
use crate::client::fork::used;
use crate::client::group::channels::GroupChannels;
use crate::client::group::request::GroupRequest;
use crate::client::pending_io::{PendingIo, Waiters};
use crate::protocol::error::{Error, Result};
use crate::protocol::status::Status;
use crate::sync::lock;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub struct LibcaContext {
    raw: RawContext,
    api: &'static LibCa,
    pub(super) circuits: SendWindows,
    pub(super) get_coalescer: GetCoalescer,
    /// Until it is started.
    held: Mutex<Option<Holding>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct RawContext(*mut ca_client_context);

// SAFETY: libca's contexts are made to be shared by threads that attach to them.
unsafe impl Send for RawContext {}
// SAFETY: as above; the pointer itself is never written through.
unsafe impl Sync for RawContext {}

impl LibcaContext {
    /// Makes a context (ca_context_create).
    pub(super) fn create(api: &'static LibCa, waiters: &Arc<Waiters>) -> Result<LibcaContext> {
        used();
        // What is said meanwhile waits for the context.
        let held = Holding::begin();
        // On a thread of its own, because the calling one may belong to another library's context.
        let (raw, said) = overheard(|| {
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
        if let Some(said) = said {
            messages::publish(said);
        }
        Ok(LibcaContext {
            raw: raw?,
            api,
            circuits: SendWindows::new(waiters),
            get_coalescer: GetCoalescer::default(),
            held: Mutex::new(Some(held)),
        })
    }

    pub(super) fn api(&self) -> &'static LibCa {
        self.api
    }

    /// Runs `work` in a thread that is in this context for libca: the calling one, unless another library has put that
    /// into a context of its own. Afterwards the calling thread is in the context, or in none, that it was in before: what
    /// another library in this process does with its thread's context, destroy it even, must not be done to this one.
    pub(super) fn attached<T: Send>(
        &self,
        context: &Context,
        work: impl FnOnce(&'static LibCa) -> T + Send,
    ) -> Result<T> {
        let Some(_guard) = context.enter() else {
            return Err(Status::NOCACTX.into());
        };
        let (api, raw) = (self.api, self.raw);
        // SAFETY: it looks at a pointer that the thread owns.
        let current = unsafe { api.ca_current_context() };
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
}

impl ContextIo for LibcaContext {
    /// From now on libca calls back. It has a pointer to the context, until [`destroy`](LibcaContext::destroy) has returned.
    fn start(&self, context: &Arc<Context>) -> Result<()> {
        self.attached(context, |api| {
            // SAFETY: the thread is in the context. The pointer stays good: the list of living contexts keeps it until `destroy`
            // has had libca forget it.
            unsafe {
                let user = Arc::as_ptr(context).cast_mut().cast();
                api.ca_add_exception_event(Some(callbacks::exception), user);
                api.ca_replace_printf_handler(Some(callbacks::message));
            }
        })?;
        let held = lock(&self.held).take();
        drop(held);
        Ok(())
    }

    fn new_channel(&self) -> AnyChannel {
        AnyChannel::Libca(LibcaChannel::default())
    }

    /// Sends what has gathered (ca_flush_io).
    fn flush(&self, context: &Context) -> Result<()> {
        self.get_coalescer.flush();
        self.circuits.resume();
        // SAFETY: `attached` runs it in a thread of a living context.
        let status = self.attached(context, |api| Status(unsafe { api.ca_flush_io() }))?;
        if status.is_normal() {
            Ok(())
        } else {
            Err(status.into())
        }
    }

    fn submit_group(
        &self,
        context: &ContextGuard<'_>,
        request: &Arc<GroupRequest>,
        group: &GroupChannels,
        indices: Vec<usize>,
    ) -> Backlog {
        group_sender::submit(self, context, request, group, indices)
    }

    fn withdraw(&self, pending: &[Arc<PendingIo>]) {
        self.circuits.withdraw(pending);
    }

    fn has_backlog(&self) -> bool {
        self.circuits.any_is_crowded()
    }

    /// Has libca print what it knows of the context (ca_context_status).
    fn show(&self, context: &Context, level: u32) -> Result<()> {
        let Some(_guard) = context.enter() else {
            return Err(Status::NOCACTX.into());
        };
        // SAFETY: the guard keeps the context alive. `fflush(NULL)` flushes every C stream, so that the text comes out
        // in order with Python's.
        unsafe {
            self.api.ca_context_status(self.raw.0, level);
            libc::fflush(std::ptr::null_mut());
        }
        Ok(())
    }

    /// Nothing more is sent: what waits for a sender thread is forgotten.
    fn stop_sending(&self) {
        self.circuits.close();
    }

    /// Has libca destroy the context (ca_context_destroy), with all pointers to channels, requests and subscriptions. Its channels
    /// are closed before, as far as that is over within `patience`: libca loses some memory of those that are left. `false` where
    /// that was not possible.
    ///
    /// # Safety
    /// The context's gate is closed and empty.
    unsafe fn destroy(&self, channels: &[Arc<Channel>], patience: Duration) -> bool {
        let Ok(_attached) = Attached::to(self.api, self.raw) else {
            return false;
        };
        let enough = Instant::now() + patience;
        for channel in channels {
            // SAFETY: nobody is in the gate, so nobody uses its channels; this thread is in the context.
            unsafe { channel.libca().close_with_context(self.api) };
            if Instant::now() >= enough {
                break;
            }
        }
        // SAFETY: as above.
        unsafe { self.api.ca_context_destroy() };
        self.get_coalescer.forget();
        true
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
