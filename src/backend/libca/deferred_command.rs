//! What a circuit's thread is to do.

use crate::backend::libca::group_sender::QueuedShare;
use crate::backend::libca::send_window::message;
use crate::client::channel::{Channel, Inside};
use crate::client::context::Context;
use crate::client::pending_io::PendingIo;
use crate::client::request::Request;
use crate::client::subscription::Subscription;
use crate::protocol::buffer::Bytes;
use crate::protocol::dbr::DbrType;
use crate::protocol::error::Error;
use crate::protocol::status::Status;
use std::sync::Arc;

/// What a request takes, beside the value in it, about.
const OVERHEAD: usize = 256;
/// The payload of a subscription's request.
pub(crate) const SUBSCRIBE: usize = 16;

/// Something that libca may block on.
pub(crate) enum DeferredCommand {
    Get(Arc<Request>),
    /// These are sent even where the channel is cleared meanwhile.
    Put {
        channel: Inside,
        dbr_type: DbrType,
        count: usize,
        data: Bytes,
        /// Of who waits to hear whether the server takes it.
        pending: Option<Arc<PendingIo>>,
    },
    PutNotify {
        channel: Inside,
        request: Arc<Request>,
        data: Bytes,
    },
    Subscribe(Arc<Subscription>),
    /// Makes a subscription anew: the PV is no longer what it was.
    Renew(Arc<Subscription>),
    /// What is left of the requests to a group.
    GroupRequest(QueuedShare),
    /// Ends a subscription that is closed.
    Cancel(Arc<Subscription>),
    /// Frees libca's side of a channel that is closed.
    Free(Arc<Channel>),
}

impl DeferredCommand {
    pub(crate) fn run(self) {
        match self {
            DeferredCommand::Get(request) => request.channel.get_late(&request),
            DeferredCommand::Put {
                channel,
                dbr_type,
                count,
                data,
                ..
            } => channel.put_late(dbr_type, count, data.as_slice()),
            DeferredCommand::PutNotify {
                channel,
                request,
                data,
            } => channel.notify_late(&request, data.as_slice()),
            DeferredCommand::Subscribe(subscription) => {
                if let Some(channel) = subscription.channel() {
                    channel.start_late(&subscription);
                }
            }
            DeferredCommand::Renew(subscription) => {
                if let Some(channel) = subscription.channel() {
                    channel.renew(&subscription);
                }
            }
            DeferredCommand::GroupRequest(rest) => rest.run(),
            DeferredCommand::Cancel(subscription) => drop(subscription.cancel()),
            DeferredCommand::Free(channel) => channel.free_now(),
        }
    }

    /// There is no thread to be had for it, and nobody to whom that can be said at once.
    pub(crate) fn fail(self) {
        match self {
            DeferredCommand::Get(request) => {
                let error = Error::from(Status::ALLOCMEM);
                request.channel.settle(&request, Err(error));
            }
            // A sweep's rest tells as it goes. Of the others who sends them knows at once, or they wait.
            rest => drop(rest),
        }
    }

    /// Who waits in `pending` waits for it.
    pub(crate) fn waits_in(&self, pending: &Arc<PendingIo>) -> bool {
        match self {
            DeferredCommand::Get(request) | DeferredCommand::PutNotify { request, .. } => {
                request.waits_in(pending)
            }
            DeferredCommand::Put {
                pending: Some(own), ..
            } => Arc::ptr_eq(own, pending),
            DeferredCommand::GroupRequest(rest) => rest.is_of(pending),
            _ => false,
        }
    }

    /// It is not done: who has waited for it does not any more.
    pub(crate) fn withdraw(self) {
        match self {
            DeferredCommand::Get(request) | DeferredCommand::PutNotify { request, .. } => {
                let error = Error::from(Status::TIMEOUT);
                request.channel.settle(&request, Err(error));
            }
            rest => drop(rest),
        }
    }

    /// It concerns nobody who waits, and may as well be done when there is a thread again.
    pub(crate) fn is_retryable(&self) -> bool {
        matches!(
            self,
            DeferredCommand::Renew(_) | DeferredCommand::Cancel(_) | DeferredCommand::Free(_)
        )
    }

    /// It waits for a thread: nobody else would tell of updates that do not come until then.
    pub(crate) fn put_off(&self) {
        if let DeferredCommand::Renew(subscription) = self
            && let Some(channel) = subscription.channel()
        {
            channel.not_renewed(subscription);
        }
    }

    /// What the circuit has counted as sent for it.
    pub(crate) fn counted(&self) -> u64 {
        let payload = match self {
            DeferredCommand::Get(_) => 0,
            DeferredCommand::Put { data, .. } | DeferredCommand::PutNotify { data, .. } => {
                data.as_slice().len()
            }
            DeferredCommand::Subscribe(_) => SUBSCRIBE,
            DeferredCommand::GroupRequest(rest) => return rest.counted,
            DeferredCommand::Renew(_) | DeferredCommand::Cancel(_) | DeferredCommand::Free(_) => {
                return 0;
            }
        };
        message(payload)
    }

    pub(crate) fn context(&self) -> Option<Arc<Context>> {
        let channel = match self {
            DeferredCommand::Get(request) => &request.channel,
            DeferredCommand::Put { channel, .. } | DeferredCommand::PutNotify { channel, .. } => {
                channel.channel()
            }
            DeferredCommand::Subscribe(subscription)
            | DeferredCommand::Renew(subscription)
            | DeferredCommand::Cancel(subscription) => {
                return subscription
                    .channel()
                    .map(|channel| channel.context().clone());
            }
            DeferredCommand::GroupRequest(rest) => return Some(rest.context().clone()),
            DeferredCommand::Free(channel) => channel,
        };
        Some(channel.context().clone())
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            DeferredCommand::Put { data, .. } | DeferredCommand::PutNotify { data, .. } => {
                OVERHEAD + data.as_slice().len()
            }
            DeferredCommand::GroupRequest(rest) => rest.bytes,
            DeferredCommand::Get(_) => OVERHEAD,
            _ => 0,
        }
    }
}
