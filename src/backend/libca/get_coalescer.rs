//! Gets that are handed to libca together.
//!
//! libca's lock is the receiving threads' too. A loop that asks for one value after the other would fight for it with the
//! answers to what it asked for before, which costs more than all else. libca sends nothing before a flush anyway, so what
//! a thread asks for may as well wait here until then, or until there is enough of it, or until something follows that
//! must not overtake it.

use crate::backend::{Command, When};
use crate::client::channel::ChannelGuard;
use crate::client::request::Request;
use crate::protocol::error::Result;
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

/// What came of handing one get to libca.
pub(super) struct Handed<'r> {
    /// Dropped after the coalescer's lock: whoever drops the last guard of a channel closes the channel, and waits for upcalls.
    pub guard: Option<ChannelGuard<'r>>,
    pub result: Result<()>,
}

impl GetCoalescer {
    /// Has a get wait for the next flush; `hand` hands all to libca where there are enough.
    pub(super) fn add(&self, request: Arc<Request>, hand: impl Fn(&Arc<Request>) -> Handed<'_>) {
        let enough = {
            let mut requests = lock(&self.requests);
            requests.push(request);
            self.any.store(true, Ordering::Release);
            requests.len() >= ENOUGH
        };
        if enough {
            self.flush(hand);
        }
    }

    /// Hands all to libca. What is sent after this returns comes after them. The requests that could not be sent are completed
    /// without a lock, as [`submit`](super::commands::submit) takes this one.
    pub(super) fn flush(&self, hand: impl Fn(&Arc<Request>) -> Handed<'_>) {
        if !self.any.load(Ordering::Acquire) {
            return;
        }
        // The lock is held until the last is with libca: nobody is to overtake the rest.
        let mut gathered = lock(&self.requests);
        let requests = std::mem::take(&mut *gathered);
        let handed: Vec<Handed<'_>> = requests.iter().map(hand).collect();
        self.any.store(false, Ordering::Release);
        drop(gathered);
        for (request, Handed { guard, result }) in requests.iter().zip(handed) {
            drop(guard);
            if let Err(error) = result {
                let command = Command::Read(request, When::Now);
                request.channel.command_failed(command, &error);
            }
        }
    }

    pub(super) fn forget(&self) {
        let forgotten = std::mem::take(&mut *lock(&self.requests));
        drop(forgotten);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::scripted::Scripted;
    use crate::backend::scripted::value::Pv;
    use crate::client::channel::Channel;
    use crate::protocol::dbr::DbrType;
    use crate::protocol::error::Error;
    use crate::protocol::status::Status;
    use crate::protocol::validate::RequestSpec;
    use std::sync::mpsc;
    use std::time::Duration;

    /// The status that a get comes to, and whether the coalescer's lock is free when its request is told.
    fn told(hand: fn(&Arc<Request>) -> Handed<'_>) -> (Status, bool) {
        let (context, server) = Scripted::context();
        server.serve("pv", Pv::double(1.0));
        server.answer_by_hand();
        let channel = Channel::create(&context, "pv", 0, Arc::new(()), None, |_| ()).unwrap();
        let coalescer = Arc::new(GetCoalescer::default());
        let (tell, told) = mpsc::channel();
        let asked = coalescer.clone();
        let then = move |answer: crate::protocol::value::Answer| {
            let is_free = asked.requests.try_lock().is_ok();
            tell.send((answer.status, is_free)).unwrap();
        };
        let spec = RequestSpec::exactly(DbrType::DOUBLE, 1);
        channel.get_in_upcall(spec, None, Box::new(then)).unwrap();
        let request = lock(&channel.requests).iter().next().unwrap().clone();
        coalescer.add(request, hand);
        coalescer.flush(hand);
        let told = told.try_recv().unwrap();
        context.destroy(Duration::from_secs(5), &mut || false);
        told
    }

    #[test]
    fn a_get_that_fails_is_told_without_the_lock() {
        fn refused(request: &Arc<Request>) -> Handed<'_> {
            let error = Error::new(Status::ALLOCMEM, request.channel.name());
            Handed {
                guard: request.channel.enter(),
                result: Err(error),
            }
        }
        assert_eq!(told(refused), (Status::ALLOCMEM, true));
    }

    #[test]
    fn a_channel_that_is_cleared_meanwhile_is_closed_without_the_lock() {
        fn cleared(request: &Arc<Request>) -> Handed<'_> {
            let guard = request.channel.enter();
            request.channel.dispose();
            Handed {
                guard,
                result: Ok(()),
            }
        }
        assert_eq!(told(cleared), (Status::CHANDESTROY, true));
    }
}
