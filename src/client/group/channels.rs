//! The channels of a group, and the requests over them that are under way.

use crate::backend::BACKLOG_LIMIT;
use crate::client::channel::{Channel, Group};
use crate::client::context::Context;
use crate::client::group::request::{GroupRequest, Job};
use crate::client::pending_io::PendingIo;
use crate::protocol::error::{Error, Result};
use crate::protocol::status::Status;
use crate::sync::lock;
use std::sync::{Arc, Mutex};

/// Each of its channels refers to it until libca has forgotten that channel; and it keeps alive what libca has pointers
/// to, the requests that are not over.
pub struct GroupChannels {
    context: Arc<Context>,
    channels: Vec<Arc<Channel>>,
    in_flight: Mutex<Vec<Arc<GroupRequest>>>,
    /// One that is over: its memory serves again.
    spare: Mutex<Option<Arc<GroupRequest>>>,
}

/// See [`GroupChannels::overdue`].
pub(crate) struct Overdue {
    /// For each channel.
    pub channels: Vec<bool>,
    /// Done when one of the requests is that they have not answered.
    pub pending: Arc<PendingIo>,
}

impl Group for GroupChannels {
    fn leave(&self, place: usize) {
        for request in self.in_flight() {
            request.leave(place);
        }
    }

    fn abandon(&self, place: usize, status: Status) {
        for request in self.in_flight() {
            request.finish(place, status);
        }
    }
}

impl GroupChannels {
    /// Of channels that were just made, all in one context. Whoever waits for them asks the group; `pend_io` does not
    /// wait for their searches.
    pub fn new(context: &Arc<Context>, channels: Vec<Arc<Channel>>) -> Result<Arc<GroupChannels>> {
        for channel in &channels {
            if !Arc::ptr_eq(channel.context(), context) {
                let detail = "the channels of a group are all in one context";
                let name = channel.name();
                return Err(Error::with_detail(Status::BADCHID, name, detail));
            }
        }
        let group = Arc::new(GroupChannels {
            context: context.clone(),
            channels,
            in_flight: Mutex::default(),
            spare: Mutex::default(),
        });
        for (index, channel) in group.channels.iter().enumerate() {
            channel.join(group.clone(), index);
        }
        Ok(group)
    }

    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    pub fn channels(&self) -> &[Arc<Channel>] {
        &self.channels
    }

    /// Done once all channels are connected that are not now; and until then [`cancel_await`](GroupChannels::cancel_await) is to be called.
    pub fn await_connections(&self) -> Arc<PendingIo> {
        let pending = self.context.pending_io();
        for channel in &self.channels {
            channel.await_connection(&pending);
        }
        pending
    }

    /// Nobody waits for the connections of [`await_connections`](GroupChannels::await_connections) any more.
    pub fn cancel_await(&self, pending: &Arc<PendingIo>) {
        for channel in &self.channels {
            channel.cancel_await(pending);
        }
    }

    /// A request, which [`GroupRequest::launch`] begins.
    pub fn new_request(self: &Arc<GroupChannels>, job: Job) -> Arc<GroupRequest> {
        let spare = lock(&self.spare).take();
        let request = GroupRequest::new(self, job, spare);
        lock(&self.in_flight).push(request.clone());
        request
    }

    fn in_flight(&self) -> Vec<Arc<GroupRequest>> {
        lock(&self.in_flight).clone()
    }

    /// Where the requests before this one that are not over take very much memory: which channels are not to be asked again, as
    /// they have not answered one of those, and what to wait for until they are. So a server that takes nothing, among others
    /// that do, does not have each round stay.
    pub(crate) fn overdue(&self, request: &GroupRequest) -> Option<Overdue> {
        let mut others = self.in_flight();
        others.retain(|other| !std::ptr::eq(&raw const **other, request));
        if others.iter().map(|other| other.size()).sum::<usize>() <= BACKLOG_LIMIT {
            return None;
        }
        let mut channels = vec![false; self.channels.len()];
        let mut pending = None;
        for other in &others {
            for index in other.unanswered() {
                channels[index] = true;
                pending.get_or_insert_with(|| other.pending_io().clone());
            }
        }
        pending.map(|pending| Overdue { channels, pending })
    }

    /// libca has no pointer into it any more.
    pub(crate) fn finished(&self, request: *const GroupRequest) -> Option<Arc<GroupRequest>> {
        let mut in_flight = lock(&self.in_flight);
        let place = in_flight
            .iter()
            .position(|other| Arc::as_ptr(other) == request)?;
        Some(in_flight.swap_remove(place))
    }

    /// For a request whose outcome nobody looks at any more.
    pub fn recycle(&self, request: Arc<GroupRequest>) {
        let before = lock(&self.spare).replace(request);
        drop(before);
    }
}
