//! Who may use a handle of C, and who frees it.

use super::primitives::{AtomicUsize, Ordering};

/// Guards a handle: users enter while the gate is open. Whoever closes the gate, or the last user to leave a closed one, learns
/// that nobody is inside any more, and may free the handle.
///
/// # States
///
/// One word holds the flag `CLOSED` and the number of users inside.
///
/// | state | moves to | who moves it |
/// |---|---|---|
/// | open, n inside | open, n + 1 | a user, [`enter`](HandleGate::enter) |
/// | n inside, n > 0 | n + 1 | a user who is inside, [`enter_again`](HandleGate::enter_again) |
/// | open, n inside | open, n − 1 | a user, [`leave`](HandleGate::leave) |
/// | open, n inside | closed, n | one closer, [`close`](HandleGate::close); n = 0: the closer may free |
/// | closed, n inside | closed, n − 1 | a user, `leave`; n = 1: this user may free |
///
/// A closed gate never opens again. Exactly one thread is told that it may free.
///
/// # Orderings
///
/// * `leave` is AcqRel. Release: what a user did with the handle happens before the free. Acquire: whoever leaves last and frees
///   sees what all other users did, since their decrements are one release sequence.
/// * `close` is AcqRel for the same two reasons: it takes part in the release sequence, and the closer may be the one who frees.
/// * `enter` is Acquire: the flag is tested and the count is raised in one step, so that a free needs no further ordering; what
///   the one who opened the handle wrote reaches users through the handle's own pointer.
/// * `enter_again` is Relaxed, as the count of an `Arc`: the caller is inside, so that no free can be under way.
#[derive(Default)]
pub struct HandleGate(AtomicUsize);

const CLOSED: usize = 1 << (usize::BITS - 1);

impl HandleGate {
    /// Steps in; `false` where the gate is closed. Every `true` needs one [`leave`](HandleGate::leave).
    pub fn enter(&self) -> bool {
        let step = |inside: usize| (inside & CLOSED == 0).then_some(inside + 1);
        self.0
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, step)
            .is_ok()
    }

    /// One more user, for one who is inside: also where the gate has been closed since.
    pub fn enter_again(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Steps out; `true` for the last one out of a closed gate.
    pub fn leave(&self) -> bool {
        self.0.fetch_sub(1, Ordering::AcqRel) == CLOSED + 1
    }

    /// Closes; `Some(true)` where nobody is inside, `None` where the gate was closed before.
    pub fn close(&self) -> Option<bool> {
        match self.0.fetch_or(CLOSED, Ordering::AcqRel) {
            before if before & CLOSED != 0 => None,
            inside => Some(inside == 0),
        }
    }

    pub fn is_closed(&self) -> bool {
        self.0.load(Ordering::Acquire) & CLOSED != 0
    }

    /// Nobody is inside.
    pub fn is_empty(&self) -> bool {
        self.0.load(Ordering::Acquire) & !CLOSED == 0
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn the_last_one_out_of_a_closed_gate_knows() {
        let gate = HandleGate::default();
        assert!(gate.enter() && gate.enter());
        assert!(!gate.leave());
        assert_eq!(gate.close(), Some(false));
        assert_eq!(gate.close(), None);
        assert!(!gate.enter());
        assert!(!gate.is_empty());
        assert!(gate.leave());
        assert!(gate.is_empty());
    }

    #[test]
    fn exactly_one_of_many_frees() {
        for _ in 0..200 {
            let gate = Arc::new(HandleGate::default());
            let frees: usize = std::thread::scope(|scope| {
                let users: Vec<_> = (0..4)
                    .map(|_| {
                        scope.spawn(|| {
                            let mut last = 0;
                            while gate.enter() {
                                last += usize::from(gate.leave());
                            }
                            last
                        })
                    })
                    .collect();
                let alone = usize::from(gate.close() == Some(true));
                alone
                    + users
                        .into_iter()
                        .map(|user| user.join().unwrap())
                        .sum::<usize>()
            });
            assert_eq!(frees, 1);
        }
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;

    /// A handle of C: to use it after it was freed, or while it is freed, is what the gate prevents.
    struct Handle {
        gate: HandleGate,
        alive: UnsafeCell<bool>,
        frees: AtomicUsize,
    }

    // SAFETY: loom's cell panics where two threads come at it without order, which is what the models look for.
    unsafe impl Sync for Handle {}

    impl Handle {
        fn new() -> Arc<Handle> {
            Arc::new(Handle {
                gate: HandleGate::default(),
                alive: UnsafeCell::new(true),
                frees: AtomicUsize::new(0),
            })
        }

        fn free(&self) {
            // SAFETY: the gate says that nobody is inside; loom checks.
            self.alive.with_mut(|alive| unsafe { *alive = false });
            self.frees.fetch_add(1, Ordering::Relaxed);
        }

        fn use_once(&self) {
            if self.gate.enter() {
                // SAFETY: inside the gate the handle is alive; loom checks.
                assert!(self.alive.with(|alive| unsafe { *alive }));
                if self.gate.leave() {
                    self.free();
                }
            }
        }

        fn close(&self) {
            if self.gate.close() == Some(true) {
                self.free();
            }
        }
    }

    #[test]
    fn a_handle_is_freed_once_and_never_in_use() {
        loom::model(|| {
            let handle = Handle::new();
            let threads: Vec<_> = [Handle::use_once, Handle::use_once, Handle::close]
                .into_iter()
                .map(|act| {
                    let handle = handle.clone();
                    thread::spawn(move || act(&handle))
                })
                .collect();
            threads
                .into_iter()
                .for_each(|thread| thread.join().unwrap());
            assert_eq!(handle.frees.load(Ordering::Relaxed), 1);
        });
    }

    #[test]
    fn of_two_that_close_one_frees() {
        loom::model(|| {
            let handle = Handle::new();
            let other = handle.clone();
            let closer = thread::spawn(move || other.close());
            handle.close();
            handle.use_once();
            closer.join().unwrap();
            assert_eq!(handle.frees.load(Ordering::Relaxed), 1);
        });
    }
}
