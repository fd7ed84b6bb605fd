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
/// A function counts as a waiter of [`Outstanding`] from before it is kept. So the thread that ends the last thing and the thread
/// that adds a function cannot both miss each other (see there), and at least one of them looks into the list. Where the first
/// looks before the function is there, the second has its lock after the first, and finds nothing outstanding. The list's lock
/// sees to it that only one of them finds the function.
#[derive(Default)]
pub struct Continuations {
    kept: Mutex<Vec<Continuation>>,
}

impl Continuations {
    /// Has `then` called once nothing is outstanding: by this thread, at once, or by the one that ends the last thing. `then` must
    /// not wait.
    pub fn add(&self, outstanding: &Outstanding, then: impl FnOnce() + Send + 'static) {
        // Before it is in the list: whoever finds it there takes back its waiter.
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

    /// A function that nobody calls, or that two call, shows in the count.
    #[test]
    fn a_continuation_is_called_once() {
        loom::model(|| {
            let io = Arc::new((Outstanding::default(), Continuations::default()));
            let called = Arc::new(AtomicUsize::new(0));
            io.0.begin();
            let ends = {
                let io = io.clone();
                thread::spawn(move || {
                    if io.0.end() {
                        io.1.call(&io.0);
                    }
                })
            };
            let counts = called.clone();
            io.1.add(&io.0, move || {
                counts.fetch_add(1, Ordering::Relaxed);
            });
            ends.join().unwrap();
            assert_eq!(called.load(Ordering::Relaxed), 1);
        });
    }

    /// Each finds the other's function, maybe, and takes back a waiter that has to be there.
    #[test]
    fn two_threads_add_while_one_ends() {
        loom::model(|| {
            let io = Arc::new((Outstanding::default(), Continuations::default()));
            let called = Arc::new(AtomicUsize::new(0));
            io.0.begin();
            let add = |io: &(Outstanding, Continuations), called: &Arc<AtomicUsize>| {
                let counts = called.clone();
                io.1.add(&io.0, move || {
                    counts.fetch_add(1, Ordering::Relaxed);
                });
            };
            let adds = {
                let (io, called) = (io.clone(), called.clone());
                thread::spawn(move || add(&io, &called))
            };
            let ends = {
                let io = io.clone();
                thread::spawn(move || {
                    if io.0.end() {
                        io.1.call(&io.0);
                    }
                })
            };
            add(&io, &called);
            adds.join().unwrap();
            ends.join().unwrap();
            assert_eq!(called.load(Ordering::Relaxed), 2);
            assert!(!io.0.is_awaited());
        });
    }
}
