//! Gets that are handed to libca together.
//!
//! libca's lock is the receiving threads' too. A loop that asks for one value after the other would fight for it with the
//! answers to what it asked for before, which costs more than all else. libca sends nothing before a flush anyway, so what
//! a thread asks for may as well wait here until then, or until there is enough of it, or until something follows that
//! must not overtake it.

use crate::client::request::Request;
use crate::sync::lock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// So many are sent at once.
const ENOUGH: usize = 512;

#[derive(Default)]
pub(super) struct GetCoalescer {
    any: AtomicBool,
    requests: Mutex<Vec<Arc<Request>>>,
}

impl GetCoalescer {
    /// Has a get wait for the next flush; `send` sends all where there are enough.
    pub(super) fn add(&self, request: Arc<Request>, send: impl Fn(&Arc<Request>)) {
        let enough = {
            let mut requests = lock(&self.requests);
            requests.push(request);
            self.any.store(true, Ordering::Release);
            requests.len() >= ENOUGH
        };
        if enough {
            self.flush(send);
        }
    }

    /// Sends all. What is sent after this returns comes after them.
    pub(super) fn flush(&self, send: impl Fn(&Arc<Request>)) {
        if !self.any.load(Ordering::Acquire) {
            return;
        }
        // The lock is held until the last is with libca: nobody is to overtake the rest.
        let mut requests = lock(&self.requests);
        requests.drain(..).for_each(|request| send(&request));
        self.any.store(false, Ordering::Release);
    }

    pub(super) fn forget(&self) {
        let forgotten = std::mem::take(&mut *lock(&self.requests));
        drop(forgotten);
    }
}
