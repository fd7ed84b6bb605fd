//! libca's side of a context.
//!
//! Every context is preemptive for libca, so that its threads always receive. A thread of ours is in a libca context only during
//! a call into libca: another library in the process may take the context that a thread is in for its own.

use super::callback_table::CallbackTable;
use super::circuits::Circuits;
use super::fork::overheard;
use super::get_coalescer::GetCoalescer;
use super::messages::{self, Holding};
use crate::ca_sys::{self, LibCa, ca_client_context};
use crate::client::context::Context;
use crate::client::fork::used;
use crate::client::pending_io::Waiters;
use crate::protocol::error::{Error, Result};
use crate::protocol::status::Status;
use crate::sync::lock;
use std::sync::{Arc, Mutex};

pub struct LibcaContext {
    raw: RawContext,
    api: &'static LibCa,
    callbacks: &'static CallbackTable,
    pub(super) circuits: Circuits,
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
    pub(super) fn create(
        api: &'static LibCa,
        callbacks: &'static CallbackTable,
        waiters: &Arc<Waiters>,
    ) -> Result<LibcaContext> {
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
            callbacks,
            circuits: Circuits::new(waiters),
            get_coalescer: GetCoalescer::default(),
            held: Mutex::new(Some(held)),
        })
    }

    pub(super) fn callbacks(&self) -> &'static CallbackTable {
        self.callbacks
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

impl LibcaContext {
    /// See `ContextIo::show` (ca_context_status). The caller holds the context's gate.
    pub(super) fn print(&self, level: u32) {
        // SAFETY: the caller keeps the context alive. `fflush(NULL)` flushes every C stream, so that the text comes out
        // in order with Python's.
        unsafe {
            self.api.ca_context_status(self.raw.0, level);
            libc::fflush(std::ptr::null_mut());
        }
    }

    /// Has libca destroy the context (ca_context_destroy), after `work` in it. `false` where that is not possible.
    ///
    /// # Safety
    /// The context's gate is closed and empty.
    pub(super) unsafe fn destroy_after(&self, work: impl FnOnce(&LibCa)) -> bool {
        let Ok(_attached) = Attached::to(self.api, self.raw) else {
            return false;
        };
        work(self.api);
        // SAFETY: the caller's promise; the thread is in the context.
        unsafe { self.api.ca_context_destroy() };
        self.get_coalescer.forget();
        true
    }

    /// The context is told now what was said while it was made.
    pub(super) fn tell_held(&self) {
        let held = lock(&self.held).take();
        drop(held);
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
