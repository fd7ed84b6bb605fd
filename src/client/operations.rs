//! The operations on a channel: read, write, subscribe. Each becomes a [`Command`] for the backend.

use crate::backend::{Command, When};
use crate::client::channel::Channel;
use crate::client::event::{Event, Exception, UserData};
use crate::client::pending_io::{PendingGuard, PendingIo};
use crate::client::recorder::recorded_pv::RecordedPv;
use crate::client::request::{NewRequest, Op, Request, Then};
use crate::client::subscription::{LIMITS, Subscription, SubscriptionSpec};
use crate::protocol::constants::{CA_OP_ADD_EVENT, CA_OP_PUT};
use crate::protocol::dbr::DbrType;
use crate::protocol::error::{Error, Result};
use crate::protocol::status::Status;
use crate::protocol::validate::RequestSpec;
use crate::protocol::value::Answer;
use crate::sync::lock;
use crate::sync::mailbox::QueueLimits;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Channel {
    /// Reads the value (ca_array_get_callback).
    pub fn get(
        self: &Arc<Channel>,
        spec: RequestSpec,
        handler: Option<UserData>,
        guard: Option<PendingGuard>,
    ) -> Result<Arc<Request>> {
        self.connected_type()?;
        let request = self.new_request(Op::Get, spec, handler, guard, None);
        let submitted = self.submit(Command::Read(&request, When::Now));
        self.accepted(request, submitted)
    }

    /// As [`get`](Channel::get), but sent with the next flush at the latest, and in the memory of a completed request.
    pub fn get_later(
        self: &Arc<Channel>,
        spec: RequestSpec,
        guard: PendingGuard,
        recycled: Option<Arc<Request>>,
    ) -> Result<Arc<Request>> {
        self.connected_type()?;
        let request = self.new_request(Op::Get, spec, None, Some(guard), recycled);
        let submitted = self.submit(Command::Read(&request, When::WithNextFlush));
        self.accepted(request, submitted)
    }

    /// Reads for the client itself, from an upcall; what the answer is for may be another request.
    pub(crate) fn get_in_upcall(
        self: &Arc<Channel>,
        spec: RequestSpec,
        asks_for: Option<Arc<Request>>,
        then: Then,
    ) -> Result<()> {
        let new = NewRequest {
            op: Op::Get,
            spec,
            handler: None,
            guard: None,
            then: Some(then),
            asks_for,
            recycled: None,
        };
        let request = lock(&self.requests).add(self, new);
        let submitted = self.submit(Command::Read(&request, When::AfterUpcall));
        self.accepted(request, submitted).map(drop)
    }

    /// Writes (ca_array_put): `data` must hold `count` elements of the type.
    pub fn put(self: &Arc<Channel>, dbr_type: DbrType, count: usize, data: &[u8]) -> Result<()> {
        self.put_for(None, dbr_type, count, data)
    }

    /// As [`put`](Channel::put), for a caller that waits in `pending` to hear whether the server accepts the value.
    pub fn put_for(
        self: &Arc<Channel>,
        pending: Option<&Arc<PendingIo>>,
        dbr_type: DbrType,
        count: usize,
        data: &[u8],
    ) -> Result<()> {
        self.connected_type()?;
        self.check_data(dbr_type, count, data)?;
        self.write_errors.write_sent();
        let spec = RequestSpec::exactly(dbr_type, count);
        self.submit(Command::Write(spec, data, pending))
    }

    /// Writes with notification: the request completes when the processing that the write started has ended
    /// (ca_array_put_callback).
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
        let spec = RequestSpec::exactly(dbr_type, count);
        let request = self.new_request(Op::Put, spec, handler, guard, None);
        let submitted = self.submit(Command::WriteNotify(&request, data));
        self.accepted(request, submitted)
    }

    /// Starts a subscription (ca_create_subscription).
    pub fn subscribe(
        self: &Arc<Channel>,
        spec: SubscriptionSpec,
        handler: UserData,
    ) -> Result<Arc<Subscription>> {
        self.subscribe_within(LIMITS, spec, handler, false)
    }

    /// As [`subscribe`](Channel::subscribe), with limits of its own for the updates that wait to be delivered. `skips_first`: the
    /// value at the time of the subscription is no update.
    pub fn subscribe_within(
        self: &Arc<Channel>,
        limits: QueueLimits,
        spec: SubscriptionSpec,
        handler: UserData,
        skips_first: bool,
    ) -> Result<Arc<Subscription>> {
        let (native, held) = (self.native_type(), self.element_count());
        let channel = Arc::downgrade(self);
        let io = self.io().new_subscription();
        let new = Subscription::new(channel, io, spec, native, held, handler, limits);
        let Some(subscription) = new else {
            return Err(self.not_connected());
        };
        subscription
            .skips_first
            .store(skips_first, Ordering::Relaxed);
        let Some(form) = spec.text_form() else {
            return self.begin(Arc::new(subscription));
        };
        let (subscription, numbers) = subscription.with_numbers(self, form);
        // First: each of its updates then comes before the text that it belongs to.
        self.begin(numbers)?;
        self.begin(subscription)
    }

    /// As [`subscribe`](Channel::subscribe), but the updates go to a recorder.
    pub fn record(self: &Arc<Channel>, recorded: &Arc<RecordedPv>, mask: u32) -> Result<()> {
        if let Some(subscription) = Subscription::recording(self, recorded, mask) {
            self.begin(Arc::new(subscription))?;
        }
        Ok(())
    }

    fn begin(self: &Arc<Channel>, subscription: Arc<Subscription>) -> Result<Arc<Subscription>> {
        lock(&self.subscriptions).push(subscription.clone());
        if let Some(recorded) = subscription.recorded() {
            // The recorded PV hears of changes of the connection from now on; the channel may be connected already.
            self.tell_recorded(recorded);
        }
        if let Err(error) = self.submit(Command::Subscribe(&subscription)) {
            subscription.give_up();
            return Err(error);
        }
        Ok(subscription)
    }

    /// Upcall: an accepted command could not be sent. Its request fails; if the command has no request, the exception handler
    /// is called, as for an error that the server reports.
    pub fn command_failed(self: &Arc<Channel>, command: Command<'_>, error: &Error) {
        match command {
            Command::Read(request, _) | Command::WriteNotify(request, _) => {
                // What fails because the program has cleared the channel is no failure of its waits.
                let cleared = self.is_closing().then_some(Status::CHANDESTROY);
                if let Some(request) = self.finish(request) {
                    request.complete(Answer::failed(cleared.unwrap_or(error.status)));
                }
            }
            Command::Write(spec, ..) => self.report(CA_OP_PUT, spec.dbr_type, error, None),
            // Nobody is called any more.
            Command::Subscribe(subscription) if subscription.is_closed() => {
                self.forget_subscription(subscription);
            }
            Command::Subscribe(subscription) => self.subscription_failed(subscription, error),
            // Nobody is called any more, as it is closed.
            Command::Unsubscribe(_) => {}
        }
    }

    /// Upcall: a subscription failed, and brings no more updates.
    pub fn subscription_failed(
        self: &Arc<Channel>,
        subscription: &Arc<Subscription>,
        error: &Error,
    ) {
        subscription.give_up();
        if subscription.brings_numbers() {
            // Only the client has asked for it; the texts go on.
            return;
        }
        let ended = Some(subscription.clone());
        self.report(CA_OP_ADD_EVENT, subscription.dbr_type(), error, ended);
    }

    /// Upcall: a subscription brings no updates for now.
    pub fn report_subscription(
        self: &Arc<Channel>,
        subscription: &Arc<Subscription>,
        error: &Error,
    ) {
        if !subscription.brings_numbers() {
            self.report(CA_OP_ADD_EVENT, subscription.dbr_type(), error, None);
        }
    }

    fn report(
        self: &Arc<Channel>,
        op: u32,
        dbr_type: DbrType,
        error: &Error,
        ended: Option<Arc<Subscription>>,
    ) {
        let exception = Exception {
            channel: Some(self.clone()),
            dbr_type: dbr_type.number().into(),
            count: 0,
            status: error.status,
            op: op.into(),
            context: "not sent".to_owned(),
            file: String::new(),
            line: 0,
            ended,
        };
        let event = Event::Exception(Box::new(exception));
        self.context().queue.push(event);
    }

    fn new_request(
        self: &Arc<Channel>,
        op: Op,
        spec: RequestSpec,
        handler: Option<UserData>,
        guard: Option<PendingGuard>,
        recycled: Option<Arc<Request>>,
    ) -> Arc<Request> {
        let new = NewRequest {
            op,
            spec,
            handler,
            guard,
            then: None,
            asks_for: None,
            recycled,
        };
        lock(&self.requests).add(self, new)
    }

    fn accepted(&self, request: Arc<Request>, submitted: Result<()>) -> Result<Arc<Request>> {
        match submitted {
            Ok(()) => Ok(request),
            Err(error) => {
                // It is never completed.
                self.finish(&request);
                Err(error)
            }
        }
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
