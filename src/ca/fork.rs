//! A forked child must not touch its parent's contexts: their threads do not exist there, their sockets are shared.

use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// Counts the forks between the process in which the library was loaded and this one.
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// Tells processes apart: what was made in another generation belongs to an ancestor.
pub fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

#[cfg(unix)]
extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// Has forks counted. Call once, before the first context.
pub fn watch() {
    #[cfg(unix)]
    {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            // SAFETY: the handler only adds to an atomic, which is allowed in a child of a process with threads.
            unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        });
    }
}

/// A value that each process has for itself: a forked child starts with a fresh one, whatever state (locked, say) the
/// parent's was in. The values are few and stay for good.
pub struct PerProcess<T>(AtomicPtr<Node<T>>);

struct Node<T> {
    generation: u64,
    value: T,
}

impl<T: Default + Sync> PerProcess<T> {
    pub const fn new() -> PerProcess<T> {
        PerProcess(AtomicPtr::new(std::ptr::null_mut()))
    }

    pub fn get(&self) -> &T {
        let mut current = self.0.load(Ordering::Acquire);
        loop {
            // SAFETY: null, or a node that was leaked below and is never freed.
            if let Some(node) = unsafe { current.as_ref() }
                && node.generation == generation()
            {
                return &node.value;
            }
            let fresh = Box::into_raw(Box::new(Node {
                generation: generation(),
                value: T::default(),
            }));
            match self
                .0
                .compare_exchange(current, fresh, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => current = fresh,
                Err(other) => {
                    // SAFETY: nobody else has seen it.
                    drop(unsafe { Box::from_raw(fresh) });
                    current = other;
                }
            }
        }
    }
}

impl<T: Default + Sync> Default for PerProcess<T> {
    fn default() -> Self {
        Self::new()
    }
}
