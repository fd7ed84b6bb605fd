//! A monitor, and the updates of it that nobody has looked at yet.

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

/// The type that a subscription is to bring.
#[derive(Clone, Copy, Debug)]
pub enum WantedType {
    Fixed(DbrType),
    /// The PV's own, in this form; also after it has come back with another.
    Native(DbrClass),
    /// This; but where an array of CHAR is asked for as STRING, the text in it.
    Text(DbrType),
}

/// How many elements a subscription is to bring.
#[derive(Clone, Copy, Debug)]
pub enum WantedCount {
    /// At most so many; 0 means as many as there are at each update.
    Fixed(usize),
    /// As many as the PV can hold; also after it has come back with more or fewer.
    Native,
}

/// What was asked for: a type, a number of elements, and of which changes.
#[derive(Clone, Copy, Debug)]
pub struct SubscriptionSpec {
    pub dbr_type: WantedType,
    pub count: WantedCount,
    pub mask: u32,
}

impl SubscriptionSpec {
    /// What is to be asked for, while the PV is this. `None`: it has to be connected first.
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

/// The backend has a pointer to it until it is unsubscribed, or its channel released: so long the channel keeps it alive.
pub struct Subscription {
    channel: Weak<Channel>,
    spec: SubscriptionSpec,
    active: Mutex<RequestSpec>,
    pub handler: UserData,
    /// Where its updates go instead of the queue.
    pub(crate) recorded: Option<Arc<RecordedPv>>,
    /// Cleared, or its channel is.
    closed: AtomicBool,
    io: AnySubscription,
    /// Its updates on their way to its callback.
    pub(crate) mailbox: Mailbox<Answer>,
}

impl Subscription {
    /// For a PV that is `native` with so many elements, or not connected. `None` where it has to be.
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

    /// One whose updates are recorded.
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

    /// What the backend asks for now.
    pub(crate) fn active_spec(&self) -> RequestSpec {
        *lock(&self.active)
    }

    pub(crate) fn mask(&self) -> u32 {
        self.spec.mask
    }

    /// The type that its updates are asked for in.
    pub fn dbr_type(&self) -> DbrType {
        self.active_spec().requested_type()
    }

    /// What is to be asked for, while the PV is `native` and can hold so many elements. `None`: it has to be connected first.
    pub fn spec_for(&self, native: Option<Base>, held: usize) -> Option<RequestSpec> {
        self.spec.request_spec(native, held)
    }

    /// The backend asks for this from now on.
    pub(crate) fn set_active_spec(&self, spec: RequestSpec) {
        *lock(&self.active) = spec;
    }

    /// Where its updates go instead of the queue.
    pub(crate) fn recorded(&self) -> Option<&Arc<RecordedPv>> {
        self.recorded.as_ref()
    }

    /// What the backend keeps with it.
    pub(crate) fn io(&self) -> &AnySubscription {
        &self.io
    }

    pub fn channel(&self) -> Option<Arc<Channel>> {
        self.channel.upgrade()
    }

    /// Cleared, or its channel is: nothing of it is delivered any more.
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
        // In a child after fork the locks are not ours to take.
        let alive = |channel: &Arc<Channel>| channel.context().is_alive();
        let Some(channel) = self.channel().filter(alive) else {
            return Err(Status::BADMONID.into());
        };
        if !self.mark_closed() {
            return Err(Status::BADMONID.into());
        }
        channel.submit(Command::Unsubscribe(self))
    }

    /// The backend did not take it; but another thread may have had it start since.
    pub(crate) fn give_up(self: &Arc<Subscription>) {
        self.mark_closed();
        if let Some(channel) = self.channel() {
            // Where the channel is closed, what is left goes with that.
            drop(channel.submit(Command::Unsubscribe(self)));
        }
    }

    /// The oldest update that waits to be delivered, ahead of all else in the queue.
    pub fn take_next(&self) -> Option<Answer> {
        self.mailbox.take_next()
    }
}

impl Weigh for Answer {
    fn weight(&self) -> usize {
        self.dbr.as_ref().map_or(0, |dbr| dbr.heap_len())
    }
}
