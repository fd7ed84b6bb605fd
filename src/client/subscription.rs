//! A monitor, and its updates that were not delivered yet.

use crate::backend::{AnySubscription, Command};
use crate::client::channel::Channel;
use crate::client::enum_text::EnumTexts;
use crate::client::event::UserData;
use crate::client::recorder::recorded_pv::RecordedPv;
use crate::protocol::dbr::{Base, DbrClass, DbrType};
use crate::protocol::error::Result;
use crate::protocol::status::Status;
use crate::protocol::validate::RequestSpec;
use crate::protocol::value::{Answer, Dbr};
use crate::sync::lock;
use crate::sync::mailbox::{Mailbox, QueueLimits, Weigh};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

pub use super::subscription_spec::{SubscriptionSpec, WantedCount, WantedType};

pub const LIMITS: QueueLimits = QueueLimits {
    updates: 32_768,
    bytes: 96 * 1024 * 1024,
};

/// What becomes of a subscription's updates.
enum Role {
    /// They go to the queue.
    Plain,
    /// They are texts, those of an enum maybe: `numbers` has the numbers of its states.
    Texts {
        numbers: Arc<Subscription>,
        texts: Mutex<EnumTexts>,
    },
    /// They are the numbers for the texts of another subscription. While the PV is no enum, the server is not asked for them.
    Numbers(OnceLock<Weak<Subscription>>),
}

/// The backend has a pointer to a subscription until it is unsubscribed, or its channel is released. The channel keeps the
/// subscription alive for as long.
///
/// | state | moves to | who moves it |
/// |---|---|---|
/// | open | closed | whoever clears the subscription or its channel; the thread in which the backend refuses it, or fails to send it |
/// | closed | | final: what the backend still brings is dropped by whoever would deliver it |
///
/// `active` is the backend's to change ([`set_active_spec`](Subscription::set_active_spec)), before it subscribes; all threads
/// read it. The lock of a role's texts comes before that of the mailbox: texts are put into the mailbox in their order.
pub struct Subscription {
    channel: Weak<Channel>,
    spec: SubscriptionSpec,
    /// What the backend has subscribed to last, or is about to.
    active: Mutex<RequestSpec>,
    role: Role,
    pub handler: UserData,
    /// Where its updates go instead of the queue.
    pub(crate) recorded: Option<Arc<RecordedPv>>,
    /// The subscription was cleared, or its channel.
    closed: AtomicBool,
    /// Its next value is that of the time of the subscription, and nobody wants it.
    pub(super) skips_first: AtomicBool,
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
        let active = match (spec.request_spec(native, held), spec.dbr_type) {
            (Some(active), _) => active,
            // Until the first connection.
            (None, WantedType::Readable(form) | WantedType::AnyNative(form)) => {
                RequestSpec::exactly(DbrType::in_form(form, Base::String), 1)
            }
            (None, _) => return None,
        };
        Some(Subscription {
            channel,
            spec,
            active: Mutex::new(active),
            role: Role::Plain,
            handler,
            recorded: None,
            closed: AtomicBool::new(false),
            skips_first: AtomicBool::new(false),
            io,
            mailbox: Mailbox::new(limits),
        })
    }

    /// This subscription, to texts, and the one that brings the numbers for them.
    pub(crate) fn with_numbers(
        self,
        channel: &Arc<Channel>,
        form: DbrClass,
    ) -> (Arc<Subscription>, Arc<Subscription>) {
        let spec = RequestSpec::exactly(DbrType::in_form(DbrClass::Time, Base::Enum), 1);
        let numbers = Arc::new(Subscription {
            channel: Arc::downgrade(channel),
            spec: SubscriptionSpec {
                dbr_type: WantedType::Fixed(spec.dbr_type),
                count: WantedCount::Fixed(1),
                mask: self.spec.mask,
            },
            active: Mutex::new(spec),
            role: Role::Numbers(OnceLock::new()),
            handler: Arc::new(()),
            recorded: None,
            closed: AtomicBool::new(false),
            skips_first: AtomicBool::new(false),
            io: channel.io().new_subscription(),
            mailbox: Mailbox::new(LIMITS),
        });
        let texts = Arc::new(Subscription {
            role: Role::Texts {
                numbers: numbers.clone(),
                texts: Mutex::new(EnumTexts::new(form)),
            },
            ..self
        });
        if let Role::Numbers(of) = &numbers.role {
            of.get_or_init(|| Arc::downgrade(&texts));
        }
        (texts, numbers)
    }

    pub(crate) fn brings_numbers(&self) -> bool {
        matches!(self.role, Role::Numbers(_))
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
        match (self.active_spec(), self.spec.dbr_type) {
            (active, WantedType::Text(wanted)) if active.numbered => wanted,
            (active, _) => active.requested_type(),
        }
    }

    /// What the backend subscribes to, for a PV of type `native` that can hold `held` elements. `None`: nothing, as long as the
    /// PV is not connected, or is what it is.
    pub fn spec_for(&self, native: Option<Base>, held: usize) -> Option<RequestSpec> {
        if self.brings_numbers() && (native != Some(Base::Enum) || held != 1) {
            return None;
        }
        self.spec.request_spec(native, held)
    }

    /// The backend is about to subscribe to `spec`.
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
        if let Role::Texts { numbers, .. } = &self.role {
            numbers.give_up();
        }
        channel.submit(Command::Unsubscribe(self))
    }

    /// The backend refused the subscription; but another thread may have started it since.
    pub(crate) fn give_up(self: &Arc<Subscription>) {
        self.mark_closed();
        match &self.role {
            Role::Plain => {}
            Role::Texts { numbers, .. } => numbers.give_up(),
            Role::Numbers(_) => self.for_the_texts(EnumTexts::give_up),
        }
        if let Some(channel) = self.channel() {
            // If the channel is closed, the subscription ends with the channel.
            drop(channel.submit(Command::Unsubscribe(self)));
        }
    }

    /// Upcall: an update.
    pub fn brought(self: &Arc<Subscription>, channel: &Arc<Channel>, answer: Answer) {
        match (&self.role, answer.dbr.clone()) {
            (Role::Numbers(_), Some(number)) => {
                self.for_the_texts(|texts, deliver| texts.number(number, deliver));
            }
            (Role::Numbers(_), None) => self.for_the_texts(EnumTexts::give_up),
            (Role::Texts { .. }, Some(text)) if self.active_spec().numbered => {
                let waits = self.texts(|texts, deliver| texts.text(text, deliver));
                if let Some(text) = waits.flatten() {
                    self.ask_for_number(channel, text);
                }
            }
            (Role::Texts { .. } | Role::Plain, _) => {
                self.texts(EnumTexts::give_up);
                self.deliver(channel, answer);
            }
        }
    }

    /// The number of an empty text has not come before the text: it is asked for. While it does not come, the text waits; but no
    /// thread does.
    fn ask_for_number(self: &Arc<Subscription>, channel: &Arc<Channel>, text: Arc<Dbr>) {
        let spec = RequestSpec::exactly(DbrType::in_form(DbrClass::Time, Base::Enum), 1);
        let subscription = Arc::downgrade(self);
        let then = move |answer: Answer| {
            if let Some(subscription) = subscription.upgrade() {
                subscription
                    .texts(|texts, deliver| texts.read(&text, answer.dbr.as_deref(), deliver));
            }
        };
        if channel.get_in_upcall(spec, None, Box::new(then)).is_err() {
            self.texts(EnumTexts::give_up);
        }
    }

    /// Does something with the texts that the numbers are for.
    fn for_the_texts(&self, act: impl FnOnce(&mut EnumTexts, &mut dyn FnMut(Arc<Dbr>))) {
        if let Role::Numbers(of) = &self.role
            && let Some(subscription) = of.get().and_then(Weak::upgrade)
        {
            subscription.texts(act);
        }
    }

    /// Does something with its texts, and delivers what comes of it; in their order, hence under the lock.
    fn texts<T>(
        self: &Arc<Subscription>,
        act: impl FnOnce(&mut EnumTexts, &mut dyn FnMut(Arc<Dbr>)) -> T,
    ) -> Option<T> {
        let Role::Texts { texts, .. } = &self.role else {
            return None;
        };
        let channel = self.channel()?;
        Some(act(&mut lock(texts), &mut |text| {
            let answer = Answer {
                status: Status::NORMAL,
                dbr: Some(text),
            };
            self.deliver(&channel, answer);
        }))
    }

    fn deliver(self: &Arc<Subscription>, channel: &Channel, answer: Answer) {
        if answer.dbr.is_none() || !self.skips_first.swap(false, Ordering::Relaxed) {
            channel.queue().push_update(self, answer);
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
