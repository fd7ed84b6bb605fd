//! One get or put in flight.

use super::batch::Ticket;
use super::channel::Channel;
use super::dbr::DbrType;
use super::event::{Answer, Event, Handler};
use super::lock;
use super::status::Status;
use std::sync::{Arc, Mutex};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Get,
    Put,
}

/// libca holds a pointer to it from the request until the answer, or until its channel is cleared: so long the channel's
/// [`InFlight`] keeps it alive.
pub struct Request {
    pub channel: Arc<Channel>,
    pub op: Op,
    pub dbr_type: DbrType,
    pub count: usize,
    /// The layer above's callback; without one the answer is kept here for who asks.
    pub handler: Option<Handler>,
    state: Mutex<State>,
    slot: usize,
}

struct State {
    answer: Option<Answer>,
    ticket: Option<Ticket>,
}

impl Request {
    /// The answer, once it is there.
    pub fn answer(&self) -> Option<Answer> {
        lock(&self.state).answer.clone()
    }

    pub fn waits_in(&self, batch: &Arc<super::batch::Batch>) -> bool {
        let state = lock(&self.state);
        state.ticket.as_ref().is_some_and(|t| t.belongs_to(batch))
    }

    /// Takes the answer in: from libca's threads, or from whoever clears the channel.
    pub fn complete(self: &Arc<Request>, answer: Answer) {
        let ticket = {
            let mut state = lock(&self.state);
            if self.handler.is_none() {
                state.answer = Some(answer.clone());
            }
            state.ticket.take()
        };
        if let Some(ticket) = ticket {
            // That the program closed the channel itself is no failure of its next pend_io.
            if answer.status.is_normal() || answer.status == Status::CHANDESTROY {
                drop(ticket);
            } else {
                ticket.failed(answer.status, self.channel.name());
            }
        }
        if self.handler.is_some() {
            let event = Event::Reply {
                request: self.clone(),
                answer,
            };
            self.channel.context().queue.push(event);
        }
    }
}

/// What a new request is made of.
pub struct Order {
    pub op: Op,
    pub dbr_type: DbrType,
    pub count: usize,
    pub handler: Option<Handler>,
    pub ticket: Option<Ticket>,
}

/// A channel's requests that libca still has.
#[derive(Default)]
pub struct InFlight {
    slots: Vec<Option<Arc<Request>>>,
    free: Vec<usize>,
}

impl InFlight {
    pub fn add(&mut self, channel: &Arc<Channel>, order: Order) -> Arc<Request> {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        let request = Arc::new(Request {
            channel: channel.clone(),
            op: order.op,
            dbr_type: order.dbr_type,
            count: order.count,
            handler: order.handler,
            state: Mutex::new(State {
                answer: None,
                ticket: order.ticket,
            }),
            slot,
        });
        self.slots[slot] = Some(request.clone());
        request
    }

    /// libca is done with it.
    pub fn remove(&mut self, request: &Request) -> Option<Arc<Request>> {
        let found = self.slots.get_mut(request.slot)?.take()?;
        self.free.push(request.slot);
        Some(found)
    }

    /// libca is done with all of them.
    pub fn drain(&mut self) -> Vec<Arc<Request>> {
        self.free.clear();
        self.slots.drain(..).flatten().collect()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Request>> {
        self.slots.iter().flatten()
    }
}

/// Completes requests that libca will never answer.
pub fn abandon(requests: Vec<Arc<Request>>, status: Status) {
    for request in requests {
        request.complete(Answer::failed(status));
    }
}
