//! libca's side of a subscription: its event id, and what becomes of it when the PV comes back as something else.

use super::channel::{Entered, c_count};
use super::work::Work;
use crate::ca_sys::{self, event_handler_args};
use crate::client::channel::Channel;
use crate::client::context::Context;
use crate::client::subscription::Subscription;
use crate::protocol::error::{Error, Result};
use crate::protocol::status::Status;
use crate::sync::lock;
use std::ffi::{c_long, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// libca holds a pointer to the [`Subscription`] that this is part of, from its start until it is ended or its channel closed: so
/// long the channel keeps the subscription alive.
///
/// | state | moves to | who moves it |
/// |---|---|---|
/// | current | stale | libca's thread, as the PV connects as something else, or an earlier subscription is renewed: what comes until the renewal is dropped |
/// | stale | current | the sender thread, which has had libca end the subscription and has not yet had it start anew |
#[derive(Default)]
pub struct LibcaSubscription {
    /// Null while libca does not have it.
    event: Mutex<EventId>,
    /// While this is held, nobody else has libca start it. Whoever subscribes and a sender thread, or those of two circuits, may
    /// both be about to: what was started twice could be ended only once, and libca would keep a pointer to nothing. libca's
    /// threads never take the lock.
    starting: Mutex<()>,
    stale: AtomicBool,
}

struct EventId(ca_sys::evid);

impl Default for EventId {
    fn default() -> EventId {
        EventId(std::ptr::null_mut())
    }
}

// SAFETY: libca's event ids may be used from any thread.
unsafe impl Send for EventId {}

impl LibcaSubscription {
    pub(super) fn is_stale(&self) -> bool {
        self.stale.load(Ordering::SeqCst)
    }

    /// It is to be renewed, so that it comes behind one that is; unless libca does not have it.
    fn move_behind(&self) {
        if !lock(&self.event).0.is_null() {
            self.stale.store(true, Ordering::SeqCst);
        }
    }

    /// Has libca start it (ca_create_subscription), unless the PV has come back as something else meanwhile and the renewal was
    /// first.
    pub(super) fn start(
        &self,
        entered: &Entered<'_>,
        subscription: &Arc<Subscription>,
    ) -> Result<()> {
        let Some(channel) = subscription.channel() else {
            return Err(Status::BADCHID.into());
        };
        if subscription.is_closed() {
            // It was cleared while it waited for the sender thread.
            channel.forget_subscription(subscription);
            return Ok(());
        }
        {
            let _alone = lock(&self.starting);
            if subscription
                .spec_for(channel.native_type(), channel.element_count())
                .is_none()
            {
                // It is started when the PV connects, as something for which there is a request.
                self.stale.store(true, Ordering::SeqCst);
            } else if lock(&self.event).0.is_null() {
                self.create(entered, &channel, subscription)?;
            }
        }
        // The PV may have come back as something else while libca was asked.
        // Whether it is renewed matters to nobody here: those that were made after it look for themselves.
        let _ = look_again(&channel, subscription);
        Ok(())
    }

    /// The caller holds `starting`, and libca does not have the subscription.
    fn create(
        &self,
        entered: &Entered<'_>,
        channel: &Channel,
        subscription: &Arc<Subscription>,
    ) -> Result<()> {
        let spec = subscription.active_spec();
        let count = c_count(channel, spec)?;
        let mut event = std::ptr::null_mut();
        let user: *mut c_void = Arc::as_ptr(subscription).cast_mut().cast();
        let update: unsafe extern "C" fn(event_handler_args) = match subscription.recorded() {
            Some(_) => entered.callbacks().record,
            None => entered.callbacks().update,
        };
        // SAFETY: the id is alive while it is entered; `user` stays good until the subscription is ended or the channel
        // released, because the channel keeps its subscriptions so long; `event` outlives the call.
        let status = Status(unsafe {
            entered.api().ca_create_subscription(
                c_long::from(spec.dbr_type.number()),
                count,
                entered.id(),
                c_long::from(subscription.mask().cast_signed()),
                Some(update),
                user,
                &raw mut event,
            )
        });
        if !status.is_normal() {
            return Err(Error::new(status, channel.name()));
        }
        lock(&self.event).0 = event;
        if subscription.is_closed() {
            // It was cleared before libca knew of it.
            self.end(entered);
            channel.forget_subscription(subscription);
        }
        Ok(())
    }

    /// Has libca call back no more (ca_clear_subscription).
    pub(super) fn end(&self, entered: &Entered<'_>) -> Status {
        let event = std::mem::take(&mut *lock(&self.event));
        if event.0.is_null() {
            return Status::NORMAL;
        }
        // SAFETY: the id was handed to us alone, and while the channel is entered it has not gone with the channel.
        Status(unsafe { entered.api().ca_clear_subscription(event.0) })
    }

    /// The PV has connected. Updates for what it was before are dropped from now on, where it is not the same.
    fn look(&self, channel: &Channel, subscription: &Subscription) -> bool {
        let native = channel.native_type();
        let wanted = subscription.spec_for(native, channel.element_count());
        let differs = wanted.is_none_or(|wanted| !subscription.active_spec().serves(&wanted));
        if native.is_some() && differs {
            self.stale.store(true, Ordering::SeqCst);
            if wanted.is_none() && lock(&self.event).0.is_null() {
                // Nothing is to be asked, and nothing was.
                return false;
            }
        }
        self.is_stale() && !subscription.is_closed()
    }

    /// Has libca bring what the PV is now instead of what it was: by the sender thread, since ending a subscription waits for
    /// libca's threads.
    fn renew(channel: &Arc<Channel>, subscription: &Arc<Subscription>) {
        let io = subscription.libca();
        while io.is_stale() && !subscription.is_closed() {
            let Ok(guard) = channel.guard() else { return };
            let Ok(entered) = channel.libca().enter(&guard) else {
                return;
            };
            let alone = lock(&io.starting);
            if !io.is_stale() {
                return;
            }
            io.end(&entered);
            let native = channel.native_type();
            let wanted = subscription.spec_for(native, channel.element_count());
            let (Some(_), Some(wanted)) = (native, wanted) else {
                // Not connected: it is looked at again with the next connection.
                return;
            };
            subscription.set_active_spec(wanted);
            io.stale.store(false, Ordering::SeqCst);
            let started = io.create(&entered, channel, subscription);
            drop(alone);
            // By now the PV may have come back as something else again.
            let again = io.look(channel, subscription);
            if let Err(error) = started
                && !again
            {
                channel.subscription_failed(subscription, &error);
            }
        }
    }
}

/// Has the subscription renewed, where the PV is not what libca was asked for; `true` where it is.
fn look_again(channel: &Arc<Channel>, subscription: &Arc<Subscription>) -> bool {
    let stale = subscription.libca().look(channel, subscription);
    if stale && let Some(circuit) = channel.libca().circuit() {
        circuit.send(Box::new(Renewal(subscription.clone())));
    }
    stale
}

/// In libca's connection callback: all subscriptions of the channel are looked at, before any update of the new connection.
///
/// Where one is renewed, so are those that were made after it: a server sends updates in the order of the subscriptions, and a
/// value relies on it that its properties come first.
pub(super) fn look_at_all(channel: &Arc<Channel>) {
    let mut renewed = false;
    for subscription in &channel.all_subscriptions() {
        if renewed && subscription.recorded().is_none() {
            subscription.libca().move_behind();
        }
        renewed |= look_again(channel, subscription);
    }
}

/// Makes a subscription anew: the PV is no longer what it was.
struct Renewal(Arc<Subscription>);

impl Work for Renewal {
    fn run(self: Box<Self>) {
        if let Some(channel) = self.0.channel() {
            LibcaSubscription::renew(&channel, &self.0);
        }
    }

    // It is retryable.
    fn fail(self: Box<Self>) {}

    fn withdraw(self: Box<Self>) {}

    fn is_retryable(&self) -> bool {
        true
    }

    fn put_off(&self) {
        if let Some(channel) = self.0.channel() {
            let error = Error::new(Status::ALLOCMEM, channel.name());
            channel.report_subscription(&self.0, &error);
        }
    }

    fn context(&self) -> Option<Arc<Context>> {
        self.0.channel().map(|channel| channel.context().clone())
    }
}
