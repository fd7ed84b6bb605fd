//! The channels of a group, and the sweeps over them that are under way.

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
/// to, the sweeps that are not over.
pub struct GroupChannels {
    context: Arc<Context>,
    channels: Vec<Arc<Channel>>,
    under_way: Mutex<Vec<Arc<GroupRequest>>>,
    /// One that is over: its memory serves again.
    spare: Mutex<Option<Arc<GroupRequest>>>,
}

/// See [`GroupChannels::overdue`].
pub(crate) struct Overdue {
    /// For each channel.
    pub channels: Vec<bool>,
    /// Done when one of the sweeps is that they have not answered.
    pub pending: Arc<PendingIo>,
}

impl Group for GroupChannels {
    fn leave(&self, place: usize) {
        for sweep in self.under_way() {
            sweep.leave(place);
        }
    }

    fn abandon(&self, place: usize, status: Status) {
        for sweep in self.under_way() {
            sweep.finish(place, status);
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
        let members = Arc::new(GroupChannels {
            context: context.clone(),
            channels,
            under_way: Mutex::default(),
            spare: Mutex::default(),
        });
        for (index, channel) in members.channels.iter().enumerate() {
            channel.join(members.clone(), index);
        }
        Ok(members)
    }

    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    pub fn channels(&self) -> &[Arc<Channel>] {
        &self.channels
    }

    /// Done once all channels are connected that are not now; and until then [`forget`](Members::forget) is to be called.
    pub fn search(&self) -> Arc<PendingIo> {
        let pending = self.context.pending_io();
        for channel in &self.channels {
            channel.await_connection(&pending);
        }
        pending
    }

    /// Nobody waits for the connections of [`search`](Members::search) any more.
    pub fn forget(&self, pending: &Arc<PendingIo>) {
        for channel in &self.channels {
            channel.forget_await(pending);
        }
    }

    /// A sweep, which [`GroupRequest::launch`] begins.
    pub fn sweep(self: &Arc<GroupChannels>, job: Job) -> Arc<GroupRequest> {
        let spare = lock(&self.spare).take();
        let sweep = GroupRequest::renewed(self, job, spare);
        lock(&self.under_way).push(sweep.clone());
        sweep
    }

    fn under_way(&self) -> Vec<Arc<GroupRequest>> {
        lock(&self.under_way).clone()
    }

    /// Where the sweeps before this one that are not over take very much memory: which channels are not to be asked again, as
    /// they have not answered one of those, and what to wait for until they are. So a server that takes nothing, among others
    /// that do, does not have each round stay.
    pub(crate) fn overdue(&self, sweep: &GroupRequest) -> Option<Overdue> {
        let mut others = self.under_way();
        others.retain(|other| !std::ptr::eq(&raw const **other, sweep));
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
    pub(crate) fn over(&self, sweep: *const GroupRequest) -> Option<Arc<GroupRequest>> {
        let mut under_way = lock(&self.under_way);
        let place = under_way
            .iter()
            .position(|other| Arc::as_ptr(other) == sweep)?;
        Some(under_way.swap_remove(place))
    }

    /// For a sweep whose outcome nobody looks at any more.
    pub fn recycle(&self, sweep: Arc<GroupRequest>) {
        let before = lock(&self.spare).replace(sweep);
        drop(before);
    }
}
