//! The few concurrent building blocks of the client and its backends.
//!
//! Each says in its head which states it has, who may move it from which to which, and why each memory ordering is enough. Each has
//! a model that loom runs through the interleavings of its threads (`make loom`: those with at most three preemptions). The blocks
//! know nothing of Channel Access.
//!
//! * [`handle_gate`] who may use a handle of C, and who frees it
//! * [`reply_state`] one reply, written once and read by others
//! * [`wait_queue`] waiting until nothing is outstanding
//! * [`continuations`] what is done when nothing is outstanding, for who cannot sleep until then
//! * [`mailbox`] the updates of one subscription that wait to be delivered
//! * [`primitives`] what they are built on: the standard library's primitives, or loom's

pub mod continuations;
pub mod handle_gate;
pub mod mailbox;
pub(crate) mod primitives;
pub mod reply_state;
pub mod wait_queue;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks; a panic elsewhere does not make the data unusable, because every critical section leaves them whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts a new value in. The old one is dropped after the lock is free: what belongs to a callback may do anything then.
pub(crate) fn replace<T>(mutex: &Mutex<T>, value: T) {
    let old = std::mem::replace(&mut *lock(mutex), value);
    drop(old);
}
