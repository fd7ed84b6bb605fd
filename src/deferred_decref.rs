//! References to Python objects that any thread may drop, even one that is not attached to the interpreter.
//!
//! PyO3 would put such a drop into a pool behind a lock. A fork at that moment would leave the lock locked in the child, which
//! could never attach again. Here the references go to a list that each process has for itself.

use crate::calls::{Released, release};
use crate::client::fork::PerProcess;
use pyo3::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The objects that were dropped, until an attached thread releases them.
#[derive(Default)]
struct Dropped {
    any: AtomicBool,
    objects: Mutex<Vec<Py<PyAny>>>,
}

impl Dropped {
    fn objects(&self) -> MutexGuard<'_, Vec<Py<PyAny>>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

static DROPPED: PerProcess<Dropped> = PerProcess::new();

pub struct DeferredDecref<T>(Option<Py<T>>);

impl<T> DeferredDecref<T> {
    pub fn new(object: Bound<'_, T>) -> DeferredDecref<T> {
        DeferredDecref(Some(object.unbind()))
    }

    /// Never `None`: only `drop` and `release` take the object out.
    pub fn get(&self) -> Option<&Py<T>> {
        self.0.as_ref()
    }

    pub fn bound<'py>(&self, py: Python<'py>) -> Option<Released<'py, T>> {
        let object = self.get()?.bind(py);
        Some(Released::new(object.clone()))
    }

    /// Drops the reference now.
    pub fn release(mut self, py: Python<'_>) {
        if let Some(object) = self.0.take() {
            release(object.into_bound(py));
        }
    }
}

impl<T> Drop for DeferredDecref<T> {
    fn drop(&mut self) {
        let Some(object) = self.0.take() else { return };
        let dropped = DROPPED.get();
        dropped.objects().push(object.into_any());
        dropped.any.store(true, Ordering::Release);
    }
}

/// Lets go of what other threads have dropped.
pub fn release_dropped(py: Python<'_>) {
    let dropped = DROPPED.get();
    if !dropped.any.load(Ordering::Relaxed) || !dropped.any.swap(false, Ordering::AcqRel) {
        return;
    }
    let objects = std::mem::take(&mut *dropped.objects());
    // This may run any Python code: not under the lock.
    for object in objects {
        release(object.into_bound(py));
    }
}
