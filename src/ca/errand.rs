//! What a circuit's thread is to do.

use super::batch::Batch;
use super::buffer::Bytes;
use super::channel::{Channel, Inside};
use super::circuit::message;
use super::context::Context;
use super::dbr::DbrType;
use super::error::Error;
use super::launch::Rest;
use super::request::Request;
use super::status::Status;
use super::subscription::Subscription;
use std::sync::Arc;

/// What a request takes, beside the value in it, about.
const OVERHEAD: usize = 256;
/// The payload of a subscription's request.
pub(super) const SUBSCRIBE: usize = 16;

/// Something that libca may block on.
pub(super) enum Errand {
    Get(Arc<Request>),
    /// These are sent even where the channel is cleared meanwhile.
    Put {
        channel: Inside,
        dbr_type: DbrType,
        count: usize,
        data: Bytes,
        /// Of who waits to hear whether the server takes it.
        batch: Option<Arc<Batch>>,
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
    Sweep(Rest),
    /// Ends a subscription that is closed.
    Cancel(Arc<Subscription>),
    /// Frees libca's side of a channel that is closed.
    Free(Arc<Channel>),
}

impl Errand {
    pub(super) fn run(self) {
        match self {
            Errand::Get(request) => request.channel.get_late(&request),
            Errand::Put {
                channel,
                dbr_type,
                count,
                data,
                ..
            } => channel.put_late(dbr_type, count, data.as_slice()),
            Errand::PutNotify {
                channel,
                request,
                data,
            } => channel.notify_late(&request, data.as_slice()),
            Errand::Subscribe(subscription) => {
                if let Some(channel) = subscription.channel() {
                    channel.start_late(&subscription);
                }
            }
            Errand::Renew(subscription) => {
                if let Some(channel) = subscription.channel() {
                    channel.renew(&subscription);
                }
            }
            Errand::Sweep(rest) => rest.run(),
            Errand::Cancel(subscription) => drop(subscription.cancel()),
            Errand::Free(channel) => channel.free_now(),
        }
    }

    /// There is no thread to be had for it, and nobody to whom that can be said at once.
    pub(super) fn fail(self) {
        match self {
            Errand::Get(request) => {
                let error = Error::from(Status::ALLOCMEM);
                request.channel.settle(&request, Err(error));
            }
            // A sweep's rest tells as it goes. Of the others who sends them knows at once, or they wait.
            rest => drop(rest),
        }
    }

    /// Who waits in `batch` waits for it.
    pub(super) fn waits_in(&self, batch: &Arc<Batch>) -> bool {
        match self {
            Errand::Get(request) | Errand::PutNotify { request, .. } => request.waits_in(batch),
            Errand::Put {
                batch: Some(own), ..
            } => Arc::ptr_eq(own, batch),
            Errand::Sweep(rest) => rest.is_of(batch),
            _ => false,
        }
    }

    /// It is not done: who has waited for it does not any more.
    pub(super) fn withdraw(self) {
        match self {
            Errand::Get(request) | Errand::PutNotify { request, .. } => {
                let error = Error::from(Status::TIMEOUT);
                request.channel.settle(&request, Err(error));
            }
            rest => drop(rest),
        }
    }

    /// It concerns nobody who waits, and may as well be done when there is a thread again.
    pub(super) fn can_wait(&self) -> bool {
        matches!(self, Errand::Renew(_) | Errand::Cancel(_) | Errand::Free(_))
    }

    /// It waits for a thread: nobody else would tell of updates that do not come until then.
    pub(super) fn put_off(&self) {
        if let Errand::Renew(subscription) = self
            && let Some(channel) = subscription.channel()
        {
            channel.not_renewed(subscription);
        }
    }

    /// What the circuit has counted as sent for it.
    pub(super) fn counted(&self) -> u64 {
        let payload = match self {
            Errand::Get(_) => 0,
            Errand::Put { data, .. } | Errand::PutNotify { data, .. } => data.as_slice().len(),
            Errand::Subscribe(_) => SUBSCRIBE,
            Errand::Sweep(rest) => return rest.counted,
            Errand::Renew(_) | Errand::Cancel(_) | Errand::Free(_) => return 0,
        };
        message(payload)
    }

    pub(super) fn context(&self) -> Option<Arc<Context>> {
        let channel = match self {
            Errand::Get(request) => &request.channel,
            Errand::Put { channel, .. } | Errand::PutNotify { channel, .. } => channel.channel(),
            Errand::Subscribe(subscription)
            | Errand::Renew(subscription)
            | Errand::Cancel(subscription) => {
                return subscription
                    .channel()
                    .map(|channel| channel.context().clone());
            }
            Errand::Sweep(rest) => return Some(rest.context().clone()),
            Errand::Free(channel) => channel,
        };
        Some(channel.context().clone())
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Errand::Put { data, .. } | Errand::PutNotify { data, .. } => {
                OVERHEAD + data.as_slice().len()
            }
            Errand::Sweep(rest) => rest.bytes,
            Errand::Get(_) => OVERHEAD,
            _ => 0,
        }
    }
}
