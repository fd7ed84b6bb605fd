//! A forked child must not touch its parent's contexts: their threads do not exist there, their sockets are shared.

use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

/// Counts the forks between the process in which the library was loaded and this one.
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// This process's generation. What was made in another generation belongs to an ancestor process.
pub fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// Whether a backend was used in this process or in an ancestor.
static USED: AtomicBool = AtomicBool::new(false);

#[cfg(unix)]
extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if USED.load(Ordering::Relaxed) {
        // SAFETY: glibc allows this call in a child of fork; the handler has the type that it requires.
        unsafe {
            on_exit(leave_at_once, std::ptr::null_mut());
        }
    }
}

/// libCom's exit handlers, inherited from the parent, wait for threads that only the parent has. This handler was registered
/// after them, so it runs before them, and ends the child. Python has finished by then; output is flushed here.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
extern "C" fn leave_at_once(status: libc::c_int, _: *mut libc::c_void) {
    // SAFETY: both may be called at any time.
    unsafe {
        libc::fflush(std::ptr::null_mut());
        libc::_exit(status)
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
unsafe extern "C" {
    fn on_exit(
        handler: extern "C" fn(libc::c_int, *mut libc::c_void),
        argument: *mut libc::c_void,
    ) -> libc::c_int;
}

/// A context was made: a forked child must not use it.
pub(crate) fn used() {
    USED.store(true, Ordering::Relaxed);
}

/// Starts to count forks. Call this before the library is loaded: libCom, too, registers handlers for children.
pub fn watch() {
    #[cfg(unix)]
    {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            // SAFETY: the handler does only what is allowed in a child of a process with threads.
            unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        });
    }
}

/// A value that each process has for itself: a forked child starts with a fresh one, whatever state the parent's value was in
/// (locked, say). The values are few and are never freed.
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
