//! What is asked of a channel: get, put, subscribe.

use super::batch::Ticket;
use super::channel::{Channel, ChannelPass};
use super::circuit::Sending;
use super::dbr::DbrType;
use super::error::{Error, Result};
use super::event::{Answer, Handler};
use super::lock;
use super::request::{Op, Order, Request};
use super::status::Status;
use super::subscription::{LIMITS, Subscription};
use super::trampoline;
use std::ffi::{c_long, c_ulong, c_void};
use std::sync::Arc;

impl Channel {
    /// Asks for the value (ca_array_get_callback). `count` 0 means as many elements as there are now.
    pub fn get(
        self: &Arc<Channel>,
        dbr_type: DbrType,
        count: usize,
        handler: Option<Handler>,
        ticket: Option<Ticket>,
    ) -> Result<Arc<Request>> {
        self.connected_type()?;
        let pass = self.pass()?;
        let _sending = Sending::start(self, 0);
        let request = self.new_request(Op::Get, dbr_type, count, handler, ticket, None);
        let status = self.ask(&pass, &request)?;
        self.started(request, status)
    }

    /// As [`get`](Channel::get), at the latest with the next flush, and in the memory of a request that is over.
    pub fn get_later(
        self: &Arc<Channel>,
        dbr_type: DbrType,
        count: usize,
        ticket: Ticket,
        recycled: Option<Arc<Request>>,
    ) -> Result<Arc<Request>> {
        self.connected_type()?;
        if !self.may_be_read() || !dbr_type.is_readable() {
            // libca has the last word, and its own status for it.
            return self.get(dbr_type, count, None, Some(ticket));
        }
        self.c_count(count)?;
        let _sending = Sending::behind(self);
        let request = self.new_request(Op::Get, dbr_type, count, None, Some(ticket), recycled);
        self.context().gathered.add(request.clone());
        Ok(request)
    }

    /// Has libca ask what was gathered.
    pub(super) fn hand_on(self: &Arc<Channel>, request: &Arc<Request>) {
        let status = self.pass().and_then(|pass| self.ask(&pass, request));
        let status = status.unwrap_or_else(|error| error.status);
        if !status.is_normal()
            && let Some(request) = self.finish(request)
        {
            request.complete(Answer::failed(status));
        }
    }

    fn ask(&self, pass: &ChannelPass<'_>, request: &Arc<Request>) -> Result<Status> {
        let user: *mut c_void = Arc::as_ptr(request).cast_mut().cast();
        // SAFETY: the pass keeps the id alive; `user` stays good until the answer or until the channel is cleared,
        // because `requests` keeps it.
        Ok(Status(unsafe {
            pass.api().ca_array_get_callback(
                c_long::from(request.dbr_type.number()),
                self.c_count(request.count)?,
                pass.raw(),
                Some(trampoline::get),
                user,
            )
        }))
    }

    /// Writes (ca_array_put): `data` must hold `count` elements of the type.
    pub fn put(self: &Arc<Channel>, dbr_type: DbrType, count: usize, data: &[u8]) -> Result<()> {
        self.connected_type()?;
        self.check_data(dbr_type, count, data)?;
        let pass = self.pass()?;
        self.refusals.write_sent();
        let _sending = Sending::start(self, data.len());
        // SAFETY: the pass keeps the id alive; libca reads `count` elements, which `check_data` has seen are there, and
        // keeps no pointer to them.
        let status = Status(unsafe {
            pass.api().ca_array_put(
                c_long::from(dbr_type.number()),
                self.c_count(count)?,
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
        handler: Option<Handler>,
        ticket: Option<Ticket>,
    ) -> Result<Arc<Request>> {
        self.connected_type()?;
        self.check_data(dbr_type, count, data)?;
        let pass = self.pass()?;
        let _sending = Sending::start(self, data.len());
        let request = self.new_request(Op::Put, dbr_type, count, handler, ticket, None);
        let user: *mut c_void = Arc::as_ptr(&request).cast_mut().cast();
        // SAFETY: as for `put`, and for `user` as for `get`.
        let status = Status(unsafe {
            pass.api().ca_array_put_callback(
                c_long::from(dbr_type.number()),
                self.c_count(count)?,
                pass.raw(),
                data.as_ptr().cast(),
                Some(trampoline::put),
                user,
            )
        });
        self.started(request, status)
    }

    /// Starts a subscription (ca_create_subscription). `count` 0 means as many elements as there are at each update.
    pub fn subscribe(
        self: &Arc<Channel>,
        dbr_type: DbrType,
        count: usize,
        mask: u32,
        handler: Handler,
    ) -> Result<Arc<Subscription>> {
        let pass = self.pass()?;
        let _sending = Sending::start(self, 16);
        let subscription = Subscription::new(Arc::downgrade(self), dbr_type, handler, LIMITS);
        lock(&self.subscriptions).push(subscription.clone());
        let mut evid = std::ptr::null_mut();
        let user: *mut c_void = Arc::as_ptr(&subscription).cast_mut().cast();
        // SAFETY: the pass keeps the id alive; `user` stays good until the subscription or the channel is cleared,
        // because `subscriptions` keeps it; `evid` outlives the call.
        let status = Status(unsafe {
            pass.api().ca_create_subscription(
                c_long::from(dbr_type.number()),
                self.c_count(count)?,
                pass.raw(),
                c_long::from(mask.cast_signed()),
                Some(trampoline::update),
                user,
                &raw mut evid,
            )
        });
        if !status.is_normal() {
            subscription.mark_closed();
            self.forget_subscription(&subscription);
            return Err(Error::new(status, self.name()));
        }
        subscription.set_raw(evid);
        Ok(subscription)
    }

    fn new_request(
        self: &Arc<Channel>,
        op: Op,
        dbr_type: DbrType,
        count: usize,
        handler: Option<Handler>,
        ticket: Option<Ticket>,
        recycled: Option<Arc<Request>>,
    ) -> Arc<Request> {
        let order = Order {
            op,
            dbr_type,
            count,
            handler,
            ticket,
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
        if count == 0 || dbr_type.size(count).is_none_or(|size| size > data.len()) {
            return Err(Error::new(Status::BADCOUNT, self.name()));
        }
        Ok(())
    }
}
