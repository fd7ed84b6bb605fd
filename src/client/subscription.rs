//! A monitor, and its updates that were not delivered yet.

use crate::backend::{AnySubscription, Command};
use crate::client::channel::Channel;
use crate::client::event::UserData;
use crate::client::recorder::recorded_pv::RecordedPv;
use crate::protocol::dbr::{Base, DbrClass, DbrType};
use crate::protocol::error::Result;
use crate::protocol::status::Status;
use crate::protocol::validate::RequestSpec;
use crate::protocol::value::Answer;
use crate::sync::lock;
use crate::sync::mailbox::{Mailbox, QueueLimits, Weigh};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

pub const LIMITS: QueueLimits = QueueLimits {
    updates: 32_768,
    bytes: 96 * 1024 * 1024,
};

/// The type of a subscription's updates.
#[derive(Clone, Copy, Debug)]
pub enum WantedType {
    Fixed(DbrType),
    /// The PV's native type in this form; also after the PV has come back with another type.
    Native(DbrClass),
    /// This type; but if an array of CHAR is asked for as STRING, the text in the array.
    Text(DbrType),
}

/// The number of elements of a subscription's updates.
#[derive(Clone, Copy, Debug)]
pub enum WantedCount {
    /// At most this number; 0 means as many as there are at each update.
    Fixed(usize),
    /// As many as the PV can hold; also after the PV has come back with more or fewer.
    Native,
}

/// What the caller asked for: a type, a number of elements, and which changes are updates.
#[derive(Clone, Copy, Debug)]
pub struct SubscriptionSpec {
    pub dbr_type: WantedType,
    pub count: WantedCount,
    pub mask: u32,
}

impl SubscriptionSpec {
    /// The request to the server, for a PV of this type and element count. `None`: the PV has to be connected first.
    fn request_spec(&self, native: Option<Base>, held: usize) -> Option<RequestSpec> {
        let count = match self.count {
            WantedCount::Fixed(count) => Some(count),
            WantedCount::Native => None,
        };
        let request = match (self.dbr_type, native) {
            (WantedType::Text(dbr_type), Some(native)) => {
                RequestSpec::of_text(dbr_type, native, count, held)
            }
            (WantedType::Fixed(dbr_type) | WantedType::Text(dbr_type), _) => {
                RequestSpec::of(dbr_type, count, held)
            }
            (WantedType::Native(form), Some(native)) => {
                RequestSpec::of(DbrType::in_form(form, native), count, held)
            }
            (WantedType::Native(_), None) => return None,
        };
        Some(request.for_updates())
    }
}

/// The backend has a pointer to a subscription until it is unsubscribed, or its channel is released. The channel keeps the
/// subscription alive for as long.
pub struct Subscription {
    channel: Weak<Channel>,
    spec: SubscriptionSpec,
    active: Mutex<RequestSpec>,
    pub handler: UserData,
    /// Where its updates go instead of the queue.
    pub(crate) recorded: Option<Arc<RecordedPv>>,
    /// The subscription was cleared, or its channel.
    closed: AtomicBool,
    io: AnySubscription,
    /// The updates on their way to the callback.
    pub(crate) mailbox: Mailbox<Answer>,
}

impl Subscription {
    /// A subscription to a PV of type `native` with `held` elements, or to one that is not connected. `None` if the PV has to
    /// be connected first.
    pub fn new(
        channel: Weak<Channel>,
        io: AnySubscription,
        spec: SubscriptionSpec,
        native: Option<Base>,
        held: usize,
        handler: UserData,
        limits: QueueLimits,
    ) -> Option<Subscription> {
        Some(Subscription {
            channel,
            spec,
            active: Mutex::new(spec.request_spec(native, held)?),
            handler,
            recorded: None,
            closed: AtomicBool::new(false),
            io,
            mailbox: Mailbox::new(limits),
        })
    }

    /// A subscription whose updates are recorded.
    pub(crate) fn recording(
        channel: &Arc<Channel>,
        recorded: &Arc<RecordedPv>,
        mask: u32,
    ) -> Option<Subscription> {
        let spec = SubscriptionSpec {
            dbr_type: WantedType::Fixed(DbrType::TIME_DOUBLE),
            count: WantedCount::Fixed(1),
            mask,
        };
        let handler = recorded.clone();
        let io = channel.io().new_subscription();
        let channel = Arc::downgrade(channel);
        let plain = Subscription::new(channel, io, spec, None, 0, handler, LIMITS)?;
        Some(Subscription {
            recorded: Some(recorded.clone()),
            ..plain
        })
    }

    /// What the backend has subscribed to.
    pub(crate) fn active_spec(&self) -> RequestSpec {
        *lock(&self.active)
    }

    pub(crate) fn mask(&self) -> u32 {
        self.spec.mask
    }

    /// The type of its updates.
    pub fn dbr_type(&self) -> DbrType {
        self.active_spec().requested_type()
    }

    /// What the backend subscribes to, for a PV of type `native` that can hold `held` elements. `None`: the PV has to be
    /// connected first.
    pub fn spec_for(&self, native: Option<Base>, held: usize) -> Option<RequestSpec> {
        self.spec.request_spec(native, held)
    }

    /// The backend has subscribed to `spec`.
    pub(crate) fn set_active_spec(&self, spec: RequestSpec) {
        *lock(&self.active) = spec;
    }

    /// Where its updates go instead of the queue.
    pub(crate) fn recorded(&self) -> Option<&Arc<RecordedPv>> {
        self.recorded.as_ref()
    }

    /// The backend's side of the subscription.
    pub(crate) fn io(&self) -> &AnySubscription {
        &self.io
    }

    pub fn channel(&self) -> Option<Arc<Channel>> {
        self.channel.upgrade()
    }

    /// The subscription was cleared, or its channel: no update is delivered any more.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    pub(crate) fn mark_closed(&self) -> bool {
        let was_open = !self.closed.swap(true, Ordering::SeqCst);
        self.mailbox.close();
        was_open
    }

    /// Updates dropped so far because the callback did not keep up.
    pub fn dropped(&self) -> u64 {
        self.mailbox.dropped()
    }

    /// Cancels the subscription (ca_clear_subscription). No update of it is delivered after this returns.
    pub fn clear(self: &Arc<Subscription>) -> Result<()> {
        // A forked child must not take the locks.
        let alive = |channel: &Arc<Channel>| channel.context().is_alive();
        let Some(channel) = self.channel().filter(alive) else {
            return Err(Status::BADMONID.into());
        };
        if !self.mark_closed() {
            return Err(Status::BADMONID.into());
        }
        channel.submit(Command::Unsubscribe(self))
    }

    /// The backend refused the subscription; but another thread may have started it since.
    pub(crate) fn give_up(self: &Arc<Subscription>) {
        self.mark_closed();
        if let Some(channel) = self.channel() {
            // If the channel is closed, the subscription ends with the channel.
            drop(channel.submit(Command::Unsubscribe(self)));
        }
    }

    /// The oldest update that was not delivered, ahead of everything else in the queue.
    pub fn take_next(&self) -> Option<Answer> {
        self.mailbox.take_next()
    }
}

impl Weigh for Answer {
    fn weight(&self) -> usize {
        self.dbr.as_ref().map_or(0, |dbr| dbr.heap_len())
    }
}
