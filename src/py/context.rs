//! Contexts for Python's threads: which context a thread is in, and the contexts' dispatchers.

use super::arguments::whole;
use super::thread::Thread;
use crate::callback::Callback;
use crate::calls::{call, call_method, getattr, import};
use crate::client::context::Context;
use crate::client::fork::PerProcess;
use crate::convert::names::names;
use crate::deferred_decref::release_dropped;
use crate::errors::{Failure, eca, status, truth};
use crate::protocol::error::{Error, Result};
use crate::protocol::status::Status;
use crate::thread_state::is_exiting;
use pyo3::prelude::*;
use pyo3::sync::{MutexExt, PyOnceLock};
use pyo3::types::PyTuple;
use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long the end of a dispatcher, and of a context, may take if a program asks for the end and waits for it.
pub(super) const DESTROY_PATIENCE: Duration = Duration::from_secs(5);

thread_local! {
    /// The context that this thread is in.
    static CURRENT: RefCell<Option<Arc<Context>>> = const { RefCell::new(None) };
}

#[derive(Default)]
struct Contexts {
    /// The context that threads join by themselves.
    shared: Option<Arc<Context>>,
    dispatchers: Vec<Dispatcher>,
}

pub(super) struct Dispatcher {
    pub context: Arc<Context>,
    /// None for a non-preemptive context.
    pub thread: Option<Thread>,
}

static CONTEXTS: PerProcess<Mutex<Contexts>> = PerProcess::new();
/// The package's function that is called before a context is made.
static PREPARE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// A context of libca, opaque.
#[pyclass(frozen, name = "ca_client_context", module = "cachannel.ca")]
pub struct PyContext {
    pub context: Arc<Context>,
}

impl PyContext {
    fn new(context: Arc<Context>) -> PyContext {
        PyContext { context }
    }
}

#[pymethods]
impl PyContext {
    fn __repr__(&self) -> String {
        let kind = if self.context.is_preemptive() {
            "preemptive"
        } else {
            "non-preemptive"
        };
        let state = if self.context.is_alive() {
            ""
        } else {
            ", destroyed"
        };
        format!("<ca_client_context {} {kind}{state}>", self.context.id())
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        let other = other.cast::<PyContext>();
        other.is_ok_and(|other| other.get().context.id() == self.context.id())
    }

    fn __hash__(&self) -> u64 {
        self.context.id()
    }
}

/// Sets the function that is called before each context is made.
#[pyfunction]
pub fn prepare_with(py: Python<'_>, function: Py<PyAny>) -> PyResult<()> {
    // The names are needed soon; and a thread that the end of the interpreter stops could no longer look them up.
    names(py)?;
    PREPARE.get_or_init(py, || function);
    Ok(())
}

fn thread_context() -> Option<Arc<Context>> {
    CURRENT.with_borrow(|current| current.as_ref().filter(|c| c.is_alive()).cloned())
}

fn set_thread_context(context: Option<Arc<Context>>) {
    let old = CURRENT.with_borrow_mut(|current| std::mem::replace(current, context));
    drop(old);
}

/// The calling thread's context. A thread that is in none joins the process's context, which is made if there is none yet.
pub fn current(py: Python<'_>) -> std::result::Result<Arc<Context>, Failure> {
    release_dropped(py);
    if let Some(context) = thread_context() {
        return Ok(context);
    }
    create(py, true, true)
}

fn create(
    py: Python<'_>,
    preemptive: bool,
    share: bool,
) -> std::result::Result<Arc<Context>, Failure> {
    if is_exiting() {
        let mut error = Error::from(Status::NOCACTX);
        error.detail = "the interpreter is shutting down".to_owned();
        return Err(error.into());
    }
    let shared = |contexts: &Contexts| {
        let shared = contexts.shared.as_ref().filter(|c| share && c.is_alive());
        let shared = shared.cloned();
        shared.inspect(|context| set_thread_context(Some(context.clone())))
    };
    let contexts = || {
        let contexts = CONTEXTS.get().lock_py_attached(py);
        contexts.unwrap_or_else(PoisonError::into_inner)
    };
    if let Some(shared) = shared(&contexts()) {
        return Ok(shared);
    }
    if let Some(prepare) = PREPARE.get(py) {
        // Without the lock: the function runs Python code, which may call this function again.
        call(prepare.bind(py), &PyTuple::empty(py), None)?;
    }
    let mut contexts = contexts();
    if let Some(shared) = shared(&contexts) {
        return Ok(shared);
    }
    let context = py.detach(|| Context::create(preemptive))?;
    contexts
        .dispatchers
        .retain(|other| other.context.is_alive());
    contexts.dispatchers.push(Dispatcher {
        context: context.clone(),
        thread: None,
    });
    if preemptive && contexts.shared.as_ref().is_none_or(|c| !c.is_alive()) {
        contexts.shared = Some(context.clone());
    }
    drop(contexts);
    set_thread_context(Some(context.clone()));
    if preemptive {
        let thread = match start_dispatcher(&context) {
            Ok(thread) => thread,
            Err(error) => {
                // Without a dispatcher, the context's events would not be delivered.
                py.detach(|| context.destroy(DESTROY_PATIENCE, &mut || false));
                return Err(error.into());
            }
        };
        let contexts = CONTEXTS.get().lock_py_attached(py);
        let mut contexts = contexts.unwrap_or_else(PoisonError::into_inner);
        let mut all = contexts.dispatchers.iter_mut();
        if let Some(own) = all.find(|other| Arc::ptr_eq(&other.context, &context)) {
            own.thread = Some(thread);
        }
    }
    Ok(context)
}

fn start_dispatcher(context: &Arc<Context>) -> Result<Thread> {
    let own = context.clone();
    let started = Thread::start("cachannel dispatcher", move |py| {
        set_thread_context(Some(own.clone()));
        crate::dispatch::run(py, &own);
        set_thread_context(None);
    });
    started.map_err(|error| {
        let detail = format!("no thread could be started for callbacks: {error}");
        Error {
            detail,
            ..Error::from(Status::ALLOCMEM)
        }
    })
}

/// Takes the calling thread out of its context, and removes the context from the list of contexts. Returns its dispatcher,
/// which the caller ends; `None` if the thread is in no context, or another thread has removed the context.
pub(super) fn take_thread_context(py: Python<'_>) -> Option<Dispatcher> {
    let context = thread_context()?;
    set_thread_context(None);
    let contexts = CONTEXTS.get().lock_py_attached(py);
    let mut contexts = contexts.unwrap_or_else(PoisonError::into_inner);
    let shared = &mut contexts.shared;
    if shared.as_ref().is_some_and(|c| Arc::ptr_eq(c, &context)) {
        *shared = None;
    }
    let mut dispatchers = contexts.dispatchers.iter();
    let place = dispatchers.position(|d| Arc::ptr_eq(&d.context, &context))?;
    Some(contexts.dispatchers.swap_remove(place))
}

/// Removes all contexts from the list of contexts. Returns their dispatchers, which the caller ends.
pub(super) fn take_all(py: Python<'_>) -> Vec<Dispatcher> {
    let contexts = CONTEXTS.get().lock_py_attached(py);
    let mut contexts = contexts.unwrap_or_else(PoisonError::into_inner);
    contexts.shared = None;
    std::mem::take(&mut contexts.dispatchers)
}

/// Makes a context for the calling thread (ca_context_create).
///
/// A preemptive one (the default) has a dispatcher thread that runs its callbacks. In a non-preemptive one, callbacks run in
/// the calling thread while it is in `pend_event`, `poll`, `pend_io` or `sg_block`, and other threads cannot attach.
///
/// A thread that is in a context keeps it, as with libca: the result is NORMAL, or NOTTHREADED if the context is not preemptive
/// and a preemptive one was asked for. Threads without a context join the first preemptive one by themselves.
#[pyfunction]
#[pyo3(signature = (preemptive_callback=true))]
pub fn create_context(
    py: Python<'_>,
    #[pyo3(from_py_with = truth)] preemptive_callback: bool,
) -> PyResult<Bound<'_, PyAny>> {
    if let Some(context) = thread_context() {
        // As with libca: the thread's context is kept, unless it lacks what is asked for.
        let lacks = preemptive_callback && !context.is_preemptive();
        return eca(
            py,
            if lacks {
                Status::NOTTHREADED
            } else {
                Status::NORMAL
            },
        );
    }
    status(py, create(py, preemptive_callback, false))
}

/// Puts the calling thread into a context (ca_attach_context).
///
/// Returns ISATTACHED if the thread is in a context, NOTTHREADED for a non-preemptive context, NOCACTX for one that was
/// destroyed.
#[pyfunction]
pub fn attach_context<'py>(
    py: Python<'py>,
    context: &Bound<'py, PyContext>,
) -> PyResult<Bound<'py, PyAny>> {
    let context = &context.get().context;
    let status = if thread_context().is_some() {
        Status::ISATTACHED
    } else if !context.is_alive() {
        Status::NOCACTX
    } else if !context.is_preemptive() {
        Status::NOTTHREADED
    } else {
        set_thread_context(Some(context.clone()));
        Status::NORMAL
    };
    eca(py, status)
}

/// Takes the calling thread out of its context (ca_detach_context); the thread's next call joins the process's context.
#[pyfunction]
pub fn detach_context() {
    set_thread_context(None);
}

/// The calling thread's context, or None if it is in none yet (ca_current_context).
#[pyfunction]
pub fn current_context() -> Option<PyContext> {
    thread_context().map(PyContext::new)
}

/// Prints what libca knows of a context on stdout (ca_context_status); more at a higher `level`.
#[pyfunction]
#[pyo3(signature = (context=None, level=0))]
pub fn show_context(
    py: Python<'_>,
    context: Option<&Bound<'_, PyContext>>,
    #[pyo3(from_py_with = whole)] level: u32,
) -> PyResult<()> {
    let context = match context {
        Some(context) => context.get().context.clone(),
        None => current(py)?,
    };
    // What Python has written so far has to come out first.
    call_method(&getattr(&import(py, "sys")?, "stdout")?, "flush", ())?;
    Ok(py.detach(|| context.show(level))?)
}

/// A handler of the whole context, which keeps it until the next one is set.
fn context_handler(
    callback: Option<&Bound<'_, PyAny>>,
    user_args: Option<&Bound<'_, PyAny>>,
) -> PyResult<Option<crate::client::event::UserData>> {
    let callback = Callback::optional(callback, user_args, false)?;
    Ok(callback.as_ref().map(Callback::handler))
}

/// Replaces the context's exception callback; with None, exceptions are logged (ca_add_exception_event).
///
/// The callback is called for errors that belong to no other callback, such as a write that the server rejects, with a dict
/// `chid` (or None), `type`, `count`, `state` (ECA), `op` (CA_OP), `ctx`, `file`, `lineNo`. Without a callback they go to the
/// logger `cachannel.libca`.
#[pyfunction]
#[pyo3(signature = (callback=None, *, user_args=None))]
pub fn add_exception_event<'py>(
    py: Python<'py>,
    callback: Option<&Bound<'py, PyAny>>,
    user_args: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let handler = context_handler(callback, user_args)?;
    let set = current(py).map(|context| context.set_exception_handler(handler));
    release_dropped(py);
    status(py, set)
}

/// Replaces the function that is called with libca's diagnostics, each a str (ca_replace_printf_handler).
///
/// With None, they go to the logger `cachannel.libca`.
#[pyfunction]
#[pyo3(signature = (callback=None, *, user_args=None))]
pub fn replace_printf_handler<'py>(
    py: Python<'py>,
    callback: Option<&Bound<'py, PyAny>>,
    user_args: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let handler = context_handler(callback, user_args)?;
    let set = current(py).map(|context| context.set_message_handler(handler));
    release_dropped(py);
    status(py, set)
}
