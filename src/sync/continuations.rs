//! What is done when nothing is outstanding any more, for callers that cannot sleep until then.

use super::primitives::{Mutex, lock};
use super::wait_queue::Outstanding;

type Continuation = Box<dyn FnOnce() + Send>;

/// Functions that are called, once each, when nothing is outstanding.
///
/// # States
///
/// A function is *kept* from [`add`](Continuations::add) on, and *called* by whoever takes it out of the list under its lock: the
/// thread that ended the last outstanding thing, or the one that added the function and then found nothing outstanding. Nobody
/// else takes it out, and nobody puts it back.
///
/// # Orderings
///
/// A kept function counts as a waiter of [`Outstanding`], from before it is in the list, so that whoever takes it out may count one
/// less. The thread that ends the last thing and the thread that adds a function cannot both miss each other (see there): at least
/// one of them calls what is kept. If the call of the first comes before the function is in the list, the second finds nothing
/// outstanding, and calls the function itself. The list's lock sees to it that only one of them finds the function.
#[derive(Default)]
pub struct Continuations {
    kept: Mutex<Vec<Continuation>>,
}

impl Continuations {
    /// Has `then` called once nothing is outstanding: by this thread, at once, or by the one that ends the last thing. `then` must
    /// not wait.
    pub fn add(&self, outstanding: &Outstanding, then: impl FnOnce() + Send + 'static) {
        outstanding.add_waiter();
        lock(&self.kept).push(Box::new(then));
        if outstanding.is_done() {
            self.call(outstanding);
        }
    }

    /// Calls what is kept: nothing is outstanding.
    pub fn call(&self, outstanding: &Outstanding) {
        // Not under the lock: what is called may add more.
        let kept = std::mem::take(&mut *lock(&self.kept));
        for then in kept {
            outstanding.remove_waiter();
            then();
        }
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicUsize, Ordering};
    use loom::thread;

    /// Ends one thing, as `PendingGuard` does.
    fn end(io: &(Outstanding, Continuations)) {
        if io.0.end() {
            io.1.call(&io.0);
        }
    }

    /// A function that nobody calls, or that two call, shows in the count.
    #[test]
    fn a_continuation_is_called_once() {
        loom::model(|| {
            let io = Arc::new((Outstanding::default(), Continuations::default()));
            let called = Arc::new(AtomicUsize::new(0));
            io.0.begin();
            let ends = {
                let io = io.clone();
                thread::spawn(move || end(&io))
            };
            let counts = called.clone();
            io.1.add(&io.0, move || {
                counts.fetch_add(1, Ordering::Relaxed);
            });
            ends.join().unwrap();
            assert_eq!(called.load(Ordering::Relaxed), 1);
        });
    }

    /// Two threads add a function, while a third ends the last thing, for which somebody waits already: each function is called
    /// once, and nobody is left who counts as a waiter.
    #[test]
    fn functions_of_two_threads_are_called_once_each() {
        loom::model(|| {
            let io = Arc::new((Outstanding::default(), Continuations::default()));
            let called = Arc::new(AtomicUsize::new(0));
            let add = |io: &Arc<(Outstanding, Continuations)>| {
                let counts = called.clone();
                io.1.add(&io.0, move || {
                    counts.fetch_add(1, Ordering::Relaxed);
                });
            };
            io.0.begin();
            add(&io);
            let ends = {
                let io = io.clone();
                thread::spawn(move || end(&io))
            };
            let adds = {
                let (io, counts) = (io.clone(), called.clone());
                thread::spawn(move || {
                    io.1.add(&io.0, move || {
                        counts.fetch_add(1, Ordering::Relaxed);
                    });
                })
            };
            add(&io);
            ends.join().unwrap();
            adds.join().unwrap();
            assert_eq!(called.load(Ordering::Relaxed), 3);
            assert!(!io.0.is_awaited());
        });
    }
}
