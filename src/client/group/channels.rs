//! The channels of a group, and the requests to them that are in flight.

use crate::backend::BACKLOG_LIMIT;
use crate::client::channel::{Channel, Group};
use crate::client::context::Context;
use crate::client::group::request::{GroupRequest, Job};
use crate::client::pending_io::PendingIo;
use crate::protocol::error::{Error, Result};
use crate::protocol::status::Status;
use crate::sync::lock;
use std::sync::{Arc, Mutex};

/// Each channel of the group has a reference to it until the upcall `released`. The group keeps alive what the backend has
/// pointers to: the requests that are in flight.
pub struct GroupChannels {
    context: Arc<Context>,
    channels: Vec<Arc<Channel>>,
    in_flight: Mutex<Vec<Arc<GroupRequest>>>,
    /// A finished request, whose memory the next one uses.
    spare: Mutex<Option<Arc<GroupRequest>>>,
}

/// See [`GroupChannels::overdue`].
pub(crate) struct Overdue {
    /// For each channel: whether it has not answered one of the other requests.
    pub channels: Vec<bool>,
    /// Done when one of the requests that have no answer yet is finished.
    pub pending: Arc<PendingIo>,
}

impl Group for GroupChannels {
    fn stop_waiting(&self, place: usize) {
        for request in self.in_flight() {
            request.stop_waiting(place);
        }
    }

    fn backend_let_go(&self, place: usize, status: Status) {
        for request in self.in_flight() {
            request.finish(place, status);
        }
    }
}

impl GroupChannels {
    /// A group of channels that were just made, all in `context`. The group waits for the channels' connections itself;
    /// `pend_io` does not.
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

    /// Done when all channels are connected that are not connected now. The caller calls
    /// [`cancel_await`](GroupChannels::cancel_await) when it no longer waits.
    pub fn await_connections(&self) -> Arc<PendingIo> {
        let pending = self.context.pending_io();
        for channel in &self.channels {
            channel.await_connection(&pending);
        }
        pending
    }

    /// Nobody waits any more for the connections of [`await_connections`](GroupChannels::await_connections).
    pub fn cancel_await(&self, pending: &Arc<PendingIo>) {
        for channel in &self.channels {
            channel.cancel_await(pending);
        }
    }

    /// A request, which [`GroupRequest::start`] sends.
    pub fn new_request(self: &Arc<GroupChannels>, job: Job) -> Arc<GroupRequest> {
        let spare = lock(&self.spare).take();
        let request = GroupRequest::new(self, job, spare);
        lock(&self.in_flight).push(request.clone());
        request
    }

    fn in_flight(&self) -> Vec<Arc<GroupRequest>> {
        lock(&self.in_flight).clone()
    }

    /// Which channels are not sent this request yet, because they have not answered an earlier one, and what to wait for before
    /// they are. `None` unless the earlier requests that are in flight take more than `BACKLOG_LIMIT` bytes: without this
    /// limit, a server that does not read, among others that do, would keep the memory of each request.
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

    /// The backend no longer has a pointer into the request.
    pub(crate) fn finished(&self, request: *const GroupRequest) -> Option<Arc<GroupRequest>> {
        let mut in_flight = lock(&self.in_flight);
        let place = in_flight
            .iter()
            .position(|other| Arc::as_ptr(other) == request)?;
        Some(in_flight.swap_remove(place))
    }

    /// Gives back the memory of a request whose outcome was read.
    pub fn recycle(&self, request: Arc<GroupRequest>) {
        let before = lock(&self.spare).replace(request);
        drop(before);
    }
}
