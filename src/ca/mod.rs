//! Safe Rust over libca. It knows no Python.
//!
//! A value's way: libca's thread calls [`trampoline`], which copies it into an owned [`event::Dbr`] and either fills the
//! [`request::Request`] that somebody waits for or puts an [`event::Event`] on its context's [`queue::EventQueue`].

pub mod batch;
pub mod bounds;
pub mod buffer;
pub mod channel;
pub mod circuit;
pub mod context;
pub mod dbr;
mod errand;
pub mod errlog;
pub mod error;
pub mod event;
pub mod fork;
pub mod gate;
mod gathered;
pub mod group;
mod launch;
pub mod members;
pub mod queue;
pub mod recording;
pub mod refusal;
pub mod repeats;
pub mod request;
mod sayings;
mod slot;
pub mod status;
pub mod subscription;
pub mod sweep;
pub mod tape;
pub mod track;
mod trampoline;
mod transfer;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks; a panic elsewhere does not make the data unusable, as every critical section here leaves it whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts a new value in. The old one is dropped after the lock is free: what belongs to a callback may do anything then.
fn replace<T>(mutex: &Mutex<T>, value: T) {
    let old = std::mem::replace(&mut *lock(mutex), value);
    drop(old);
}
