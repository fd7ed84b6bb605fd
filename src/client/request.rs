//! One read, or write with notification, in flight.

use crate::client::channel::Channel;
use crate::client::enum_text::{called, is_empty};
use crate::client::event::{Event, UserData};
use crate::client::pending_io::PendingGuard;
use crate::protocol::dbr::{Base, DbrClass, DbrType};
use crate::protocol::status::Status;
use crate::protocol::validate::RequestSpec;
use crate::protocol::value::{Answer, Dbr};
use crate::sync::lock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Get,
    Put,
}

/// The backend has a pointer to a request until it completes the request, or until the channel is cleared. The channel's
/// [`InFlight`] keeps the request alive for as long.
///
/// Who may do what with it:
///
/// * Whoever asks makes the request and submits it, later reads [`answer`](Request::answer), and may have the memory used again
///   once nobody else has a reference.
/// * The backend's threads: the one that sends calls `set_sent` before anybody can answer; the one that receives calls `sent` and
///   `take_spare`, and then [`complete`](Request::complete).
/// * Whoever clears the channel or ends the context calls `complete`, too: the first call counts.
/// * The dispatcher gets the request with its answer, in an event, and calls the handler.
pub struct Request {
    pub channel: Arc<Channel>,
    pub op: Op,
    spec: RequestSpec,
    /// The number of elements that the caller asked for.
    number: usize,
    /// The callback of the layer above. Without one, the answer is kept here.
    pub handler: Option<UserData>,
    state: Mutex<State>,
    index: usize,
    /// The request that needs the answer.
    asks_for: Option<Arc<Request>>,
    /// For the backend: what the circuit had been sent, with this request.
    sent: AtomicU64,
}

/// What the client itself does with an answer, in the upcall.
pub(crate) type Then = Box<dyn FnOnce(Answer) + Send>;

/// | state | moves to | who moves it |
/// |---|---|---|
/// | in flight | in flight | the backend's thread, with the empty text of an enum's state: it asks for the state's name first |
/// | | complete | the first of: the backend's thread with an answer or a failure; whoever clears the channel |
/// | complete | | final; `answer` is there, or was queued, or was handed to `then` |
///
/// A request that the backend has refused never completes: it is dropped, and its guard with it. Only `Request::new` makes a
/// completed request a new one, with exclusive access. Nothing else is locked, and nothing of the user's dropped, while the state
/// is locked.
#[derive(Default)]
struct State {
    answer: Option<Answer>,
    guard: Option<PendingGuard>,
    then: Option<Then>,
    is_complete: bool,
    /// The memory of the answer from an earlier use of this request.
    spare: Option<Arc<Dbr>>,
}

impl Request {
    fn new(channel: &Arc<Channel>, new: NewRequest, index: usize) -> Arc<Request> {
        let mut fresh = Request {
            channel: channel.clone(),
            op: new.op,
            spec: new.spec,
            number: if new.spec.whole {
                channel.element_count()
            } else {
                new.spec.count
            },
            handler: new.handler,
            state: Mutex::new(State {
                guard: new.guard,
                then: new.then,
                ..State::default()
            }),
            index,
            asks_for: new.asks_for,
            sent: AtomicU64::new(0),
        };
        let Some(mut recycled) = new.recycled else {
            return Arc::new(fresh);
        };
        let Some(old) = Arc::get_mut(&mut recycled) else {
            return Arc::new(fresh);
        };
        let before = old.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let spare = before.answer.take().and_then(|answer| answer.dbr);
        // Large memory goes back to its pool.
        let state = fresh
            .state
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        state.spare = spare.filter(|dbr| dbr.heap_len() == 0);
        *old = fresh;
        recycled
    }

    /// The answer, once there is one. A failure if the wait for it has timed out before.
    pub fn answer(&self) -> Option<Answer> {
        let state = lock(&self.state);
        match (&state.answer, &state.guard) {
            (Some(answer), _) => Some(answer.clone()),
            (None, Some(guard)) if guard.is_late() => Some(Answer::failed(Status::TIMEOUT)),
            (None, _) => None,
        }
    }

    /// Why there may never be an answer, if the backend knows.
    pub fn why_unanswered(&self) -> Option<&'static str> {
        lock(&self.state).guard.as_ref()?.why_unanswered()
    }

    pub fn waits_in(&self, pending: &Arc<crate::client::pending_io::PendingIo>) -> bool {
        if let Some(request) = &self.asks_for {
            return request.waits_in(pending);
        }
        let state = lock(&self.state);
        state.guard.as_ref().is_some_and(|t| t.belongs_to(pending))
    }

    /// For the backend: what the circuit had been sent, with this request.
    pub(crate) fn set_sent(&self, sent: u64) {
        self.sent.store(sent, Ordering::Release);
    }

    /// See [`set_sent`](Request::set_sent).
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Acquire)
    }

    /// What the server is asked for, or sent.
    pub(crate) fn spec(&self) -> RequestSpec {
        self.spec
    }

    /// The type and the number of elements that the caller asked for, or wrote.
    pub fn requested(&self) -> (DbrType, usize) {
        (self.spec.requested_type(), self.number)
    }

    pub(crate) fn take_spare(&self) -> Option<Arc<Dbr>> {
        lock(&self.state).spare.take()
    }

    /// Upcall: stores or queues the answer. Also called by the thread that clears the channel. If the answer is the empty text
    /// of an enum's state, the request goes on: what it still needs is asked for.
    pub fn complete(self: &Arc<Request>, answer: Answer) {
        let empty = self.spec.numbered && answer.dbr.as_ref().is_some_and(|dbr| is_empty(dbr));
        if empty && self.is_awaited() {
            self.ask_for_names();
        } else {
            self.settle(answer);
        }
    }

    fn is_awaited(&self) -> bool {
        let state = lock(&self.state);
        !state.is_complete && !state.guard.as_ref().is_some_and(PendingGuard::is_late)
    }

    /// The state in which the PV is when it is asked for the names, by its number or by its name: they come in one answer. That
    /// has no time; where one is wanted, the number is asked for once more, together with its time.
    fn ask_for_names(self: &Arc<Request>) {
        let request = self.clone();
        self.ask(DbrClass::Gr, move |names| {
            let form = request.spec.dbr_type.form();
            if form != DbrClass::Time || names.dbr.is_none() {
                return request.settle_called(form, &names, &names);
            }
            let last = request.clone();
            request.ask(form, move |number| {
                last.settle_called(form, &number, &names)
            });
        });
    }

    fn ask(self: &Arc<Request>, form: DbrClass, then: impl FnOnce(Answer) + Send + 'static) {
        let spec = RequestSpec::exactly(DbrType::in_form(form, Base::Enum), 1);
        let asked = self
            .channel
            .get_in_upcall(spec, Some(self.clone()), Box::new(then));
        if let Err(error) = asked {
            self.settle(Answer::failed(error.status));
        }
    }

    fn settle_called(self: &Arc<Request>, form: DbrClass, number: &Answer, names: &Answer) {
        let states = names.dbr.as_ref().map(|dbr| dbr.view().states());
        let text = match &number.dbr {
            Some(number) => called(form, number, &states.unwrap_or_default()),
            None => None,
        };
        self.settle(Answer {
            status: number.status,
            dbr: text,
        });
    }

    fn settle(self: &Arc<Request>, answer: Answer) {
        let status = answer.status;
        let (guard, event) = {
            let mut state = lock(&self.state);
            if std::mem::replace(&mut state.is_complete, true) {
                // The channel was closed, and the request completed, before the backend released it.
                return;
            }
            if let Some(then) = state.then.take() {
                drop(state);
                return then(answer);
            }
            let event = if self.handler.is_some() {
                Some(Event::Reply {
                    request: self.clone(),
                    answer,
                })
            } else {
                let is_late = state.guard.as_ref().is_some_and(PendingGuard::is_late);
                // The caller whose wait has timed out must not take the answer for that of a later request.
                state.answer = Some(if is_late {
                    Answer::failed(Status::TIMEOUT)
                } else {
                    answer
                });
                None
            };
            (state.guard.take(), event)
        };
        if let Some(guard) = guard {
            // A request that ended because the program cleared the channel, or because its wait timed out, is not a failure of
            // the next `pend_io`.
            if status.is_normal() || matches!(status, Status::CHANDESTROY | Status::TIMEOUT) {
                drop(guard);
            } else {
                guard.failed(status, self.channel.name());
            }
        }
        if let Some(event) = event {
            self.channel.queue().push(event);
        }
    }
}

/// What a new request is made of.
pub(crate) struct NewRequest {
    pub op: Op,
    pub spec: RequestSpec,
    pub handler: Option<UserData>,
    pub guard: Option<PendingGuard>,
    /// What is done with the answer, if the client itself asks.
    pub then: Option<Then>,
    /// The request that needs the answer.
    pub asks_for: Option<Arc<Request>>,
    /// A completed request, whose memory is used again if nobody else refers to it.
    pub recycled: Option<Arc<Request>>,
}

/// A channel's requests that the backend has not completed.
#[derive(Default)]
pub struct InFlight {
    requests: Vec<Option<Arc<Request>>>,
    free: Vec<usize>,
}

impl InFlight {
    pub(crate) fn add(&mut self, channel: &Arc<Channel>, new: NewRequest) -> Arc<Request> {
        let index = self.free.pop().unwrap_or_else(|| {
            self.requests.push(None);
            self.requests.len() - 1
        });
        let request = Request::new(channel, new, index);
        self.requests[index] = Some(request.clone());
        request
    }

    /// The backend no longer has a pointer to it. `None` if it was removed before: its place may be another request's by now.
    pub fn remove(&mut self, request: &Request) -> Option<Arc<Request>> {
        let place = self.requests.get_mut(request.index)?;
        let is_it = |found: &mut Arc<Request>| std::ptr::eq(Arc::as_ptr(found), request);
        let found = place.take_if(is_it)?;
        self.free.push(request.index);
        Some(found)
    }

    /// The backend no longer has a pointer to any of them.
    pub fn drain(&mut self) -> Vec<Arc<Request>> {
        self.free.clear();
        self.requests.drain(..).flatten().collect()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Request>> {
        self.requests.iter().flatten()
    }
}

/// Completes requests whose channel is cleared; an answer of the backend that comes later is dropped.
pub fn complete_all(requests: Vec<Arc<Request>>, status: Status) {
    for request in requests {
        request.complete(Answer::failed(status));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::scripted::Scripted;
    use std::time::Duration;

    #[test]
    fn a_request_is_not_taken_for_another_in_its_place() {
        let (context, _server) = Scripted::context();
        let channel = Channel::create(&context, "pv", 0, Arc::new(()), None, |_| ()).unwrap();
        let mut in_flight = InFlight::default();
        let add = |in_flight: &mut InFlight| {
            let new = NewRequest {
                op: Op::Get,
                spec: RequestSpec::exactly(DbrType::DOUBLE, 1),
                handler: None,
                guard: None,
                then: None,
                asks_for: None,
                recycled: None,
            };
            in_flight.add(&channel, new)
        };
        let first = add(&mut in_flight);
        assert_eq!(in_flight.drain().len(), 1);
        let second = add(&mut in_flight);
        assert!(in_flight.remove(&first).is_none());
        let removed = in_flight.remove(&second);
        assert!(removed.is_some_and(|removed| Arc::ptr_eq(&removed, &second)));
        assert!(in_flight.remove(&second).is_none());
        context.destroy(Duration::from_secs(5), &mut || false);
    }
}
