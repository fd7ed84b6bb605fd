//!

pub mod handle_gate;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks; a panic elsewhere does not make the data unusable, as every critical section here leaves it whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts a new value in. The old one is dropped after the lock is free: what belongs to a callback may do anything then.
pub(crate) fn replace<T>(mutex: &Mutex<T>, value: T) {
    let old = std::mem::replace(&mut *lock(mutex), value);
    drop(old);
}
