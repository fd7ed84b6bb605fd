//! The package's own threads. They are threads of the system, and so are the waits for them, even if the modules `threading`
//! and `_thread` were replaced: gevent and eventlet replace them by coroutines, which run only when others yield.

use crate::calls::{Released, call, call_method, import, report_unraisable};
use crate::deferred_decref::DeferredDecref;
use crate::sync::wait_queue::{INTERRUPT_CHECK, remaining};
use crate::thread_state::{Signals, interruptible};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A thread that was started.
pub struct Thread {
    is_over: Arc<Over>,
}

#[derive(Default)]
struct Over {
    yes: Mutex<bool>,
    told: Condvar,
}

/// Reports that its thread has ended.
struct Tells(Arc<Over>);

impl Drop for Tells {
    fn drop(&mut self) {
        *self.0.yes.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.told.notify_all();
    }
}

impl Thread {
    /// Runs `work` in a new thread, which is attached to the interpreter, keeps its thread state between the calls of `work`,
    /// and is known to `threading` by its name, as a daemon.
    pub fn start(
        name: &'static str,
        work: impl FnOnce(Python<'_>) + Send + 'static,
    ) -> std::io::Result<Thread> {
        let is_over = Arc::<Over>::default();
        let tells = Tells(is_over.clone());
        let thread = std::thread::Builder::new().name(name.to_owned());
        thread.spawn(move || {
            Python::attach(|py| {
                introduce(py, "enter", (name,));
                work(py);
                introduce(py, "leave", ());
            });
            drop(tells);
        })?;
        Ok(Thread { is_over })
    }

    /// Waits until the thread has ended; `false` if it had not by the deadline, or a signal's handler has raised.
    pub fn join(&self, py: Python<'_>, deadline: Instant, signals: &mut Signals) -> bool {
        py.detach(|| {
            loop {
                let left = remaining(Some(deadline)).unwrap_or_default();
                let slice = left.min(INTERRUPT_CHECK);
                let over = &self.is_over;
                let yes = over.yes.lock().unwrap_or_else(PoisonError::into_inner);
                let waited = over.told.wait_timeout_while(yes, slice, |yes| !*yes);
                if *waited.unwrap_or_else(PoisonError::into_inner).0 {
                    return true;
                }
                if left.is_zero() || signals.check() {
                    return false;
                }
            }
        })
    }
}

/// Registers a thread with `threading`. Any Python code may run here, a tracer's too: an error is reported, and the thread goes
/// on.
fn introduce<'py>(py: Python<'py>, function: &str, args: impl IntoPyObject<'py, Target = PyTuple>) {
    let module = import(py, "cachannel._threads");
    let done = module.and_then(|module| call_method(&module, function, args));
    if let Err(error) = done {
        report_unraisable(py, error);
    }
}

/// Calls a function in a thread of its own; what it raises is written to standard error.
#[pyfunction]
pub fn start_thread(function: &Bound<'_, PyAny>) -> PyResult<()> {
    let function = DeferredDecref::new(function.clone());
    Thread::start("cachannel helper", move |py| {
        let called = function
            .bound(py)
            .map(|function| call(&function, &PyTuple::empty(py), None));
        function.release(py);
        match called {
            Some(Err(error)) => report_unraisable(py, error),
            Some(Ok(result)) => drop(Released::new(result)),
            None => {}
        }
    })?;
    Ok(())
}

/// What the system knows the calling thread by, and `signal.pthread_kill`; `threading.get_ident` may give a coroutine's number.
#[cfg(unix)]
#[pyfunction]
pub fn thread_ident() -> usize {
    // SAFETY: it has no conditions.
    unsafe { libc::pthread_self() as usize }
}

/// As on Unix: what `threading` knows the calling thread by.
#[cfg(not(unix))]
#[pyfunction]
pub fn thread_ident(py: Python<'_>) -> PyResult<usize> {
    call_method(&import(py, "threading")?, "get_ident", ())?.extract()
}

/// A counter that threads can wait for.
#[pyclass(frozen, module = "cachannel._ca")]
pub struct News {
    count: Mutex<u64>,
    changed: Condvar,
}

#[pymethods]
impl News {
    #[new]
    fn new() -> News {
        News {
            count: Mutex::new(0),
            changed: Condvar::new(),
        }
    }

    #[getter]
    fn count(&self) -> u64 {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self) {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.changed.notify_all();
    }

    /// Waits until the count is not `seen`, at most `seconds`; Ctrl-C ends the wait.
    fn wait(&self, py: Python<'_>, seen: u64, seconds: f64) -> PyResult<()> {
        let seconds = Duration::try_from_secs_f64(seconds).unwrap_or(INTERRUPT_CHECK);
        let deadline = Instant::now().checked_add(seconds);
        interruptible(py, |check| {
            loop {
                let left = remaining(deadline).unwrap_or(INTERRUPT_CHECK);
                let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
                let slice = left.min(INTERRUPT_CHECK);
                let waited = self
                    .changed
                    .wait_timeout_while(count, slice, |count| *count == seen);
                let changed = *waited.unwrap_or_else(PoisonError::into_inner).0 != seen;
                if changed || left.is_zero() || check() {
                    return;
                }
            }
        })
    }
}
