//! What is asked of a channel: get, put, subscribe.

use crate::backend::libca::callbacks;
use crate::backend::libca::deferred_command::{DeferredCommand, SUBSCRIBE};
use crate::ca_sys::{self, event_handler_args};
use crate::client::channel::{Channel, ChannelPass, Inside, Route};
use crate::client::event::{Answer, Event, Exception, UserData};
use crate::client::pending_io::{PendingGuard, PendingIo};
use crate::client::recorder::recorded_pv::RecordedPv;
use crate::client::request::{NewRequest, Op, Request};
use crate::client::subscription::{LIMITS, Subscription, SubscriptionSpec};
use crate::protocol::buffer::Bytes;
use crate::protocol::dbr::DbrType;
use crate::protocol::error::{Error, Result};
use crate::protocol::status::Status;
use crate::protocol::validate::RequestSpec;
use crate::sync::lock;
use std::ffi::{c_long, c_ulong, c_void};
use std::sync::Arc;

impl Channel {
    /// Asks for the value (ca_array_get_callback).
    pub fn get(
        self: &Arc<Channel>,
        asked: RequestSpec,
        handler: Option<UserData>,
        guard: Option<PendingGuard>,
    ) -> Result<Arc<Request>> {
        self.connected_type()?;
        let pass = self.pass()?;
        self.c_count(asked.count)?;
        self.context().get_coalescer.flush();
        let request = self.new_request(Op::Get, asked, handler, guard, None);
        let (way, sent) = self.route_if(self.may_be_read() && asked.dbr_type.is_readable(), 0);
        request.set_sent(sent);
        let status = match way {
            Route::Queued(circuit) => circuit.try_send(DeferredCommand::Get(request.clone())),
            Route::Immediate => self.ask(&pass, &request)?,
        };
        self.started(request, status)
    }

    /// As [`get`](Channel::get), at the latest with the next flush, and in the memory of a request that is over.
    pub fn get_later(
        self: &Arc<Channel>,
        asked: RequestSpec,
        guard: PendingGuard,
        recycled: Option<Arc<Request>>,
    ) -> Result<Arc<Request>> {
        self.connected_type()?;
        if !self.may_be_read() || !asked.dbr_type.is_readable() {
            // libca has the last word, and its own status for it.
            return self.get(asked, None, Some(guard));
        }
        self.c_count(asked.count)?;
        let request = self.new_request(Op::Get, asked, None, Some(guard), recycled);
        self.context().get_coalescer.add(request.clone());
        Ok(request)
    }

    /// Has libca ask what was get_coalescer.
    pub(crate) fn send_coalesced_get(self: &Arc<Channel>, request: &Arc<Request>) {
        let (way, sent) = self.route(0);
        request.set_sent(sent);
        match way {
            Route::Immediate => self.get_late(request),
            Route::Queued(circuit) => circuit.send(DeferredCommand::Get(request.clone())),
        }
    }

    /// Has libca ask, and lets the request know where that fails.
    pub(crate) fn get_late(self: &Arc<Channel>, request: &Arc<Request>) {
        let asked = self.pass().and_then(|pass| self.ask(&pass, request));
        self.settle(request, asked);
    }

    fn ask(&self, pass: &ChannelPass<'_>, request: &Arc<Request>) -> Result<Status> {
        let user: *mut c_void = Arc::as_ptr(request).cast_mut().cast();
        let asked = request.asked();
        let count = self.c_count(asked.count)?;
        // SAFETY: the pass keeps the id alive; `user` stays good until the answer or until the channel is cleared,
        // because `requests` keeps it.
        Ok(Status(unsafe {
            pass.api().ca_array_get_callback(
                c_long::from(asked.dbr_type.number()),
                count,
                pass.raw(),
                Some(callbacks::get),
                user,
            )
        }))
    }

    /// Writes (ca_array_put): `data` must hold `count` elements of the type.
    pub fn put(self: &Arc<Channel>, dbr_type: DbrType, count: usize, data: &[u8]) -> Result<()> {
        self.put_for(None, dbr_type, count, data)
    }

    /// As [`put`](Channel::put), for somebody who waits in `pending` to hear whether the server takes it.
    pub fn put_for(
        self: &Arc<Channel>,
        pending: Option<&Arc<PendingIo>>,
        dbr_type: DbrType,
        count: usize,
        data: &[u8],
    ) -> Result<()> {
        self.connected_type()?;
        self.check_data(dbr_type, count, data)?;
        let inside = self.inside()?;
        self.refusals.write_sent();
        self.context().get_coalescer.flush();
        let (Route::Queued(circuit), _) = self.route_if(self.may_be_written(), data.len()) else {
            return self.write(&inside.pass()?, dbr_type, count, data);
        };
        self.normal(circuit.try_send(DeferredCommand::Put {
            channel: inside,
            dbr_type,
            count,
            data: Bytes::of(data),
            pending: pending.cloned(),
        }))
    }

    fn write(
        &self,
        pass: &ChannelPass<'_>,
        dbr_type: DbrType,
        count: usize,
        data: &[u8],
    ) -> Result<()> {
        let c_count = self.c_count(count)?;
        // SAFETY: the pass keeps the id alive; libca reads `count` elements, which `check_data` has seen are there, and
        // keeps no pointer to them.
        let status = Status(unsafe {
            pass.api().ca_array_put(
                c_long::from(dbr_type.number()),
                c_count,
                pass.raw(),
                data.as_ptr().cast(),
            )
        });
        self.normal(status)
    }

    /// Writes and hears of the completion (ca_array_put_callback).
    pub fn put_notify(
        self: &Arc<Channel>,
        dbr_type: DbrType,
        count: usize,
        data: &[u8],
        handler: Option<UserData>,
        guard: Option<PendingGuard>,
    ) -> Result<Arc<Request>> {
        self.connected_type()?;
        self.check_data(dbr_type, count, data)?;
        let inside = self.inside()?;
        self.context().get_coalescer.flush();
        let (way, sent) = self.route_if(self.may_be_written(), data.len());
        let asked = RequestSpec::exactly(dbr_type, count);
        let request = self.new_request(Op::Put, asked, handler, guard, None);
        request.set_sent(sent);
        let Route::Queued(circuit) = way else {
            let status = self.write_notify(&inside.pass()?, &request, data)?;
            return self.started(request, status);
        };
        let status = circuit.try_send(DeferredCommand::PutNotify {
            channel: inside,
            request: request.clone(),
            data: Bytes::of(data),
        });
        self.started(request, status)
    }

    fn write_notify(
        &self,
        pass: &ChannelPass<'_>,
        request: &Arc<Request>,
        data: &[u8],
    ) -> Result<Status> {
        let user: *mut c_void = Arc::as_ptr(request).cast_mut().cast();
        let asked = request.asked();
        let count = self.c_count(asked.count)?;
        // SAFETY: as for `write`, and for `user` as for `ask`.
        Ok(Status(unsafe {
            pass.api().ca_array_put_callback(
                c_long::from(asked.dbr_type.number()),
                count,
                pass.raw(),
                data.as_ptr().cast(),
                Some(callbacks::put),
                user,
            )
        }))
    }

    /// Lets a request know that libca did not take it.
    pub(crate) fn settle(&self, request: &Arc<Request>, asked: Result<Status>) {
        let status = asked.unwrap_or_else(|error| error.status);
        if !status.is_normal()
            && let Some(request) = self.finish(request)
        {
            request.complete(Answer::failed(status));
        }
    }

    /// Starts a subscription (ca_create_subscription).
    pub fn subscribe(
        self: &Arc<Channel>,
        wish: SubscriptionSpec,
        handler: UserData,
    ) -> Result<Arc<Subscription>> {
        let (native, held) = (self.native_type(), self.element_count());
        let channel = Arc::downgrade(self);
        let Some(subscription) = Subscription::new(channel, wish, native, held, handler, LIMITS)
        else {
            return Err(self.not_connected());
        };
        self.begin(Arc::new(subscription))
    }

    /// As [`subscribe`](Channel::subscribe), but the updates go to a recorder.
    pub fn record(self: &Arc<Channel>, track: &Arc<RecordedPv>, mask: u32) -> Result<()> {
        if let Some(subscription) = Subscription::recording(Arc::downgrade(self), track, mask) {
            self.begin(Arc::new(subscription))?;
        }
        Ok(())
    }

    fn begin(self: &Arc<Channel>, subscription: Arc<Subscription>) -> Result<Arc<Subscription>> {
        let pass = self.pass()?;
        self.c_count(subscription.active_spec().count)?;
        self.context().get_coalescer.flush();
        lock(&self.subscriptions).push(subscription.clone());
        if let Some(track) = &subscription.track {
            // It hears of what comes; the channel may be connected already.
            track.look(self);
        }
        match self.route(SUBSCRIBE) {
            (Route::Immediate, _) => {
                if let Err(error) = self.start(&pass, &subscription) {
                    subscription.give_up();
                    return Err(error);
                }
                self.check_terms(&subscription);
            }
            (Route::Queued(circuit), _) => {
                let status = circuit.try_send(DeferredCommand::Subscribe(subscription.clone()));
                if !status.is_normal() {
                    subscription.give_up();
                    return Err(Error::new(status, self.name()));
                }
            }
        }
        Ok(subscription)
    }

    /// Has libca start it, unless the PV has come back as something else meanwhile and [`renew`](Channel::renew) was first.
    fn start(&self, pass: &ChannelPass<'_>, subscription: &Arc<Subscription>) -> Result<()> {
        let _alone = subscription.alone();
        if subscription.is_started() {
            return Ok(());
        }
        self.ask_for_updates(pass, subscription)
    }

    /// The caller is [`alone`](Subscription::alone) with a subscription that libca does not have.
    fn ask_for_updates(
        &self,
        pass: &ChannelPass<'_>,
        subscription: &Arc<Subscription>,
    ) -> Result<()> {
        let terms = subscription.active_spec();
        let count = self.c_count(terms.count)?;
        let mut evid = std::ptr::null_mut();
        let user: *mut c_void = Arc::as_ptr(subscription).cast_mut().cast();
        let update: unsafe extern "C" fn(event_handler_args) = match subscription.track {
            Some(_) => callbacks::record,
            None => callbacks::update,
        };
        // SAFETY: the pass keeps the id alive; `user` stays good until the subscription or the channel is cleared,
        // because `subscriptions` keeps it; `evid` outlives the call.
        let status = Status(unsafe {
            pass.api().ca_create_subscription(
                c_long::from(terms.dbr_type.number()),
                count,
                pass.raw(),
                c_long::from(subscription.mask().cast_signed()),
                Some(update),
                user,
                &raw mut evid,
            )
        });
        if !status.is_normal() {
            return Err(Error::new(status, self.name()));
        }
        if !subscription.set_raw(evid) {
            // It was cleared before libca knew of it.
            subscription.end(pass);
            self.forget_subscription(subscription);
        }
        Ok(())
    }

    /// The PV may have come back as something else while libca was asked.
    fn check_terms(self: &Arc<Channel>, subscription: &Arc<Subscription>) {
        if subscription.look(self.native_type(), self.element_count())
            && let Some(circuit) = self.circuit()
        {
            circuit.send(DeferredCommand::Renew(subscription.clone()));
        }
    }

    /// Called by libca's thread as the PV connects: subscriptions to what it was before are made anew, by the circuit's
    /// thread, since ending one waits for libca's.
    pub(crate) fn renew_subscriptions(self: &Arc<Channel>) {
        let subscriptions = lock(&self.subscriptions).clone();
        for subscription in &subscriptions {
            self.check_terms(subscription);
        }
    }

    /// Has libca bring what the PV is now instead of what it was.
    pub(crate) fn renew(self: &Arc<Channel>, subscription: &Arc<Subscription>) {
        while subscription.is_stale() {
            let Ok(pass) = self.pass() else { return };
            let alone = subscription.alone();
            if !subscription.is_stale() {
                return;
            }
            subscription.end(&pass);
            if !subscription.renew(self.native_type(), self.element_count()) {
                // Not connected: it is looked at again with the next connection. Or cleared.
                return;
            }
            let started = self.ask_for_updates(&pass, subscription);
            drop(alone);
            // By now it may have come back as something else again.
            let again = subscription.look(self.native_type(), self.element_count());
            if let Err(error) = started
                && !again
            {
                self.failed_to_start(subscription, &error);
            }
        }
    }

    /// There is no thread to do it now.
    pub(crate) fn not_renewed(self: &Arc<Channel>, subscription: &Arc<Subscription>) {
        let error = Error::new(Status::ALLOCMEM, self.name());
        self.report(ca_sys::CA_OP_ADD_EVENT, subscription.dbr_type(), &error);
    }

    fn failed_to_start(self: &Arc<Channel>, subscription: &Arc<Subscription>, error: &Error) {
        subscription.give_up();
        self.report(ca_sys::CA_OP_ADD_EVENT, subscription.dbr_type(), error);
    }

    /// As `put`, when nobody waits to hear of a failure: it is told as the server's would be.
    pub(crate) fn report(self: &Arc<Channel>, op: u32, dbr_type: DbrType, error: &Error) {
        let exception = Exception {
            channel: Some(self.clone()),
            dbr_type: dbr_type.number().into(),
            count: 0,
            status: error.status,
            op: op.into(),
            context: "not sent".to_owned(),
            file: String::new(),
            line: 0,
        };
        let event = Event::Exception(Box::new(exception));
        self.context().queue.push(event);
    }

    pub(crate) fn start_late(self: &Arc<Channel>, subscription: &Arc<Subscription>) {
        if subscription.is_closed() {
            self.forget_subscription(subscription);
            return;
        }
        match self.pass().and_then(|pass| self.start(&pass, subscription)) {
            Ok(()) => self.check_terms(subscription),
            Err(error) => self.failed_to_start(subscription, &error),
        }
    }

    fn inside(self: &Arc<Channel>) -> Result<Inside> {
        Inside::enter(self).ok_or_else(|| Error::new(Status::BADCHID, self.name()))
    }

    /// Where it is not `allowed`, libca refuses it at once, in its own words, and sends nothing.
    fn route_if(&self, allowed: bool, payload: usize) -> (Route, u64) {
        if allowed {
            self.route(payload)
        } else {
            (Route::Immediate, 0)
        }
    }

    fn new_request(
        self: &Arc<Channel>,
        op: Op,
        asked: RequestSpec,
        handler: Option<UserData>,
        guard: Option<PendingGuard>,
        recycled: Option<Arc<Request>>,
    ) -> Arc<Request> {
        let order = NewRequest {
            op,
            asked,
            handler,
            guard,
            recycled,
        };
        lock(&self.requests).add(self, order)
    }

    fn started(&self, request: Arc<Request>, status: Status) -> Result<Arc<Request>> {
        if status.is_normal() {
            return Ok(request);
        }
        // libca did not take it, and will not call back.
        self.finish(&request);
        Err(Error::new(status, self.name()))
    }

    fn c_count(&self, count: usize) -> Result<c_ulong> {
        c_ulong::try_from(count).map_err(|_| Error::new(Status::BADCOUNT, self.name()))
    }

    fn check_data(&self, dbr_type: DbrType, count: usize, data: &[u8]) -> Result<()> {
        if !dbr_type.is_writable() {
            return Err(Error::new(Status::BADTYPE, self.name()));
        }
        if count == 0 && self.element_count() <= 1 {
            let detail = "an empty sequence has nothing to write";
            return Err(Error::with_detail(Status::BADCOUNT, self.name(), detail));
        }
        if dbr_type.size(count).is_none_or(|size| size > data.len()) {
            return Err(Error::new(Status::BADCOUNT, self.name()));
        }
        Ok(())
    }
}

impl Inside {
    /// Writes; a failure is told to the exception handler.
    pub(crate) fn put_late(&self, dbr_type: DbrType, count: usize, data: &[u8]) {
        let channel = self.channel();
        let put = self
            .pass()
            .and_then(|pass| channel.write(&pass, dbr_type, count, data));
        if let Err(error) = put {
            channel.report(ca_sys::CA_OP_PUT, dbr_type, &error);
        }
    }

    pub(crate) fn notify_late(&self, request: &Arc<Request>, data: &[u8]) {
        let channel = self.channel();
        let put = self
            .pass()
            .and_then(|pass| channel.write_notify(&pass, request, data));
        channel.settle(request, put);
    }
}
