//! A channel: the connection to one PV, and all that is asked of it.

use super::batch::{Batch, Ticket};
use super::circuit::{Circuit, Errand};
use super::context::{Context, ContextPass};
use super::dbr::{Base, DbrType};
use super::error::{Error, Result};
use super::event::Handler;
use super::gate::Gate;
use super::members::Membership;
use super::refusal::Refusals;
use super::request::{InFlight, Request, abandon};
use super::status::Status;
use super::subscription::Subscription;
use super::track::Track;
use super::{lock, replace, trampoline};
use crate::ca_sys::{self, LibCa};
use std::ffi::{CStr, CString, c_char, c_void};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Longest PV name, in bytes.
pub const MAX_NAME: usize = 500;
/// Highest priority of a channel (CA_PRIORITY_MAX).
pub const MAX_PRIORITY: u32 = 99;

/// The native type of a channel that is not connected (TYPENOTCONN).
const NOT_CONNECTED: i32 = -1;

/// libca holds a pointer to it from creation until it is cleared: so long its context keeps it alive.
///
/// What every request looks at comes first, in one cache line: with thousands of channels that is what takes the time.
#[repr(C, align(64))]
pub struct Channel {
    raw: AtomicPtr<ca_sys::oldChannelNotify>,
    gate: Gate,
    circuit: Mutex<Option<Arc<Circuit>>>,
    element_count: AtomicUsize,
    native_type: AtomicI32,
    /// As far as libca has told yet.
    may_be_read: AtomicBool,
    may_be_written: AtomicBool,
    pub refusals: Refusals,
    context: Arc<Context>,
    name: CString,
    priority: u32,
    /// What the layer above wants to find again by a channel.
    user: Handler,
    connection: Mutex<Connection>,
    access_handler: Mutex<Option<Handler>>,
    pub(super) requests: Mutex<InFlight>,
    pub(super) subscriptions: Mutex<Vec<Arc<Subscription>>>,
    /// The groups that it is in, until libca has forgotten it.
    memberships: Mutex<Vec<Membership>>,
}

#[derive(Default)]
struct Connection {
    handler: Option<Handler>,
    /// Counts the search as outstanding until the first connection.
    ticket: Option<Ticket>,
    /// Of groups that wait for it.
    awaited: Vec<Ticket>,
}

impl Connection {
    fn take_tickets(&mut self) -> Vec<Ticket> {
        self.ticket
            .take()
            .into_iter()
            .chain(std::mem::take(&mut self.awaited))
            .collect()
    }
}

/// Permission to call libca with a channel's id: while it lives, the channel is not freed.
pub struct ChannelPass<'c> {
    channel: &'c Channel,
    context: ContextPass<'c>,
    /// It is inside the gate itself.
    leaves: bool,
}

impl ChannelPass<'_> {
    pub fn api(&self) -> &'static LibCa {
        self.context.api()
    }

    pub(super) fn raw(&self) -> ca_sys::chid {
        self.channel.raw.load(Ordering::Acquire)
    }
}

impl Drop for ChannelPass<'_> {
    fn drop(&mut self) {
        if self.leaves && self.channel.gate.leave() {
            self.channel.free(&self.context);
        }
    }
}

impl Channel {
    /// Starts a search (ca_create_channel). `announce` gets the channel before it can have an event. Without a handler the search is outstanding for `pend_io`.
    pub fn create(
        context: &Arc<Context>,
        name: &str,
        priority: u32,
        user: Handler,
        handler: Option<Handler>,
        announce: impl FnOnce(&Arc<Channel>),
    ) -> Result<Arc<Channel>> {
        let failed = |status, detail: &str| Err(Error::with_detail(status, name, detail));
        if name.is_empty() {
            return failed(Status::BADSTR, "a PV name must not be empty");
        }
        if name.len() > MAX_NAME {
            return failed(Status::STRTOBIG, "a PV name has at most 500 bytes");
        }
        let Ok(c_name) = CString::new(name) else {
            return failed(Status::BADSTR, "a PV name must not contain NUL");
        };
        if priority > MAX_PRIORITY {
            return failed(Status::BADPRIORITY, "priorities are 0 to 99");
        }
        let ticket = handler.is_none().then(|| context.ticket());
        let channel = Arc::new(Channel {
            context: context.clone(),
            name: c_name,
            priority,
            user,
            raw: AtomicPtr::default(),
            gate: Gate::default(),
            native_type: AtomicI32::new(NOT_CONNECTED),
            element_count: AtomicUsize::new(0),
            connection: Mutex::new(Connection {
                handler,
                ticket,
                awaited: Vec::new(),
            }),
            access_handler: Mutex::default(),
            may_be_read: AtomicBool::new(false),
            may_be_written: AtomicBool::new(false),
            requests: Mutex::default(),
            subscriptions: Mutex::default(),
            refusals: Refusals::default(),
            circuit: Mutex::default(),
            memberships: Mutex::default(),
        });
        // Whoever clears it before libca knows of it leaves that to us.
        let Some(_creating) = Inside::enter(&channel) else {
            return failed(Status::CHANDESTROY, "");
        };
        context.adopt(&channel);
        announce(&channel);
        let made = context.attached(|api| {
            let mut chid = std::ptr::null_mut();
            let user: *mut c_void = Arc::as_ptr(&channel).cast_mut().cast();
            // SAFETY: the thread is in the context; the name ends with NUL and libca copies it; `user` stays good until
            // the channel is cleared, because the context keeps it; `chid` outlives the call.
            let status = unsafe {
                api.ca_create_channel(
                    channel.name.as_ptr(),
                    Some(trampoline::connection),
                    user,
                    priority,
                    &raw mut chid,
                )
            };
            channel.raw.store(chid, Ordering::Release);
            if !chid.is_null() {
                // SAFETY: the id was made just now, and only we clear it.
                unsafe {
                    api.ca_replace_access_rights_event(chid, Some(trampoline::access_rights))
                };
            }
            Status(status)
        });
        match made {
            Ok(Status::NORMAL) => Ok(channel),
            Ok(status) => {
                channel.give_up();
                Err(Error::new(status, name))
            }
            Err(error) => {
                channel.give_up();
                Err(error)
            }
        }
    }

    /// libca knows nothing of it.
    fn give_up(&self) {
        self.gate.close();
        self.abandon(Status::CHANDESTROY);
        self.context.release(self);
    }

    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    pub fn user(&self) -> &Handler {
        &self.user
    }

    /// The name that was searched for.
    pub fn name(&self) -> &str {
        // It was made from a str.
        self.name.to_str().unwrap_or_default()
    }

    pub fn enter(&self) -> Option<ChannelPass<'_>> {
        let context = self.context.enter()?;
        // Lazily: dropping a pass leaves the gate.
        let pass = self.gate.enter().then(|| ChannelPass {
            channel: self,
            context,
            leaves: true,
        })?;
        (!pass.raw().is_null()).then_some(pass)
    }

    pub(super) fn pass(&self) -> Result<ChannelPass<'_>> {
        self.enter()
            .ok_or_else(|| Error::new(Status::BADCHID, self.name()))
    }

    /// Cleared, or gone with its context.
    pub fn is_closed(&self) -> bool {
        self.gate.is_closed() || !self.context.is_alive()
    }

    /// The server's type for the PV; `None` while not connected.
    pub fn native_type(&self) -> Option<Base> {
        let number = self.native_type.load(Ordering::Acquire);
        DbrType::new(number.into()).map(DbrType::base)
    }

    /// Elements that the PV can hold; 0 while not connected.
    pub fn element_count(&self) -> usize {
        self.element_count.load(Ordering::Acquire)
    }

    /// libca's channel_state; `None` for a channel that is closed.
    pub fn state(&self) -> Option<u32> {
        let pass = self.enter()?;
        // SAFETY: the pass keeps the id alive.
        Some(unsafe { pass.api().ca_state(pass.raw()) })
    }

    /// May be read, may be written.
    pub fn access(&self) -> (bool, bool) {
        let Some(pass) = self.enter() else {
            return (false, false);
        };
        // SAFETY: the pass keeps the id alive.
        unsafe {
            let (api, raw) = (pass.api(), pass.raw());
            (api.ca_read_access(raw) != 0, api.ca_write_access(raw) != 0)
        }
    }

    /// The server's name and port, `<disconnected>` where there is none.
    pub fn host_name(&self) -> Result<String> {
        let pass = self.pass()?;
        // SAFETY: the pass keeps the id alive.
        Ok(unsafe { host_name(pass.api(), pass.raw()) })
    }

    pub fn connection_handler(&self) -> Option<Handler> {
        lock(&self.connection).handler.clone()
    }

    /// Replaces the connection handler (ca_change_connection_event); with one, `pend_io` waits for the search no more.
    pub fn set_connection_handler(&self, handler: Option<Handler>) -> Result<()> {
        let _pass = self.pass()?;
        let ticket = {
            let mut connection = lock(&self.connection);
            connection.handler = handler;
            let answered = connection.handler.is_some();
            if answered {
                connection.ticket.take()
            } else {
                None
            }
        };
        drop(ticket);
        Ok(())
    }

    pub fn access_handler(&self) -> Option<Handler> {
        lock(&self.access_handler).clone()
    }

    /// Replaces the access rights handler (ca_replace_access_rights_event), which hears of the rights at once where the
    /// channel is connected.
    pub fn set_access_handler(&self, handler: Option<Handler>) -> Result<()> {
        let pass = self.pass()?;
        let wanted = handler.is_some();
        replace(&self.access_handler, handler);
        if !wanted {
            return Ok(());
        }
        // SAFETY: the pass keeps the id alive; the function finds the channel by the id's user pointer.
        let status = Status(unsafe {
            pass.api()
                .ca_replace_access_rights_event(pass.raw(), Some(trampoline::access_rights))
        });
        self.normal(status)
    }

    /// Called by libca's thread: `true` where a handler wants to know.
    pub(super) fn access_changed(&self, read: bool, write: bool) -> bool {
        self.may_be_read.store(read, Ordering::Release);
        self.may_be_written.store(write, Ordering::Release);
        lock(&self.access_handler).is_some()
    }

    /// As [`access_changed`](Channel::access_changed), when the channel connects. libca has told of the rights just before,
    /// but not where a server answers again that it had given up on.
    pub(super) fn access_at_connection(&self, read: bool, write: bool) -> bool {
        (read, write) != (self.may_be_read(), self.may_be_written())
            && self.access_changed(read, write)
    }

    /// As far as it is known.
    pub(super) fn may_be_read(&self) -> bool {
        self.may_be_read.load(Ordering::Acquire)
    }

    /// As far as it is known.
    pub(super) fn may_be_written(&self) -> bool {
        self.may_be_written.load(Ordering::Acquire)
    }

    /// Called by libca's thread: the channel is connected now, or (`None`) no longer. `true` where a handler wants to know.
    pub(super) fn connection_changed(
        self: &Arc<Channel>,
        chid: ca_sys::chid,
        link: Option<Link>,
    ) -> bool {
        if self.raw.load(Ordering::Acquire).is_null() && !self.gate.is_closed() {
            // ca_create_channel has not returned yet, but callbacks may use the channel.
            self.raw.store(chid, Ordering::Release);
        }
        let up = link.is_some();
        if let Some(link) = link {
            let circuit = self.find_circuit(link.server);
            replace(&self.circuit, Some(circuit));
            self.element_count
                .store(link.element_count, Ordering::Release);
            self.native_type.store(link.native_type, Ordering::Release);
        } else {
            self.native_type.store(NOT_CONNECTED, Ordering::Release);
            self.element_count.store(0, Ordering::Release);
            replace(&self.circuit, None);
        }
        self.tracks().iter().for_each(|track| track.look(self));
        if up {
            self.renew_subscriptions();
        }
        let (tickets, handled) = {
            let mut connection = lock(&self.connection);
            let tickets = up.then(|| connection.take_tickets());
            (tickets, connection.handler.is_some())
        };
        drop(tickets);
        handled
    }

    /// The circuit to a server. libca names a server by its address until it has found its name, so that a circuit may be
    /// known by another name than now: its other channels tell.
    fn find_circuit(&self, server: String) -> Arc<Circuit> {
        let circuits = &self.context.circuits;
        if let Some(circuit) = circuits.find(&server, self.priority) {
            return circuit;
        }
        let mut asked: Vec<Arc<Circuit>> = Vec::new();
        let others = self.context.channels();
        let others = others
            .iter()
            .filter(|other| other.priority == self.priority);
        let known = others.filter_map(|other| {
            let circuit = other.circuit()?;
            if asked.iter().any(|one| Arc::ptr_eq(one, &circuit)) {
                return None;
            }
            let name = other.host_name().ok()?;
            if other.native_type().is_some() {
                // One that has just lost its server tells nothing.
                asked.push(circuit.clone());
            }
            (name == server).then_some(circuit)
        });
        let known = { known }.next();
        circuits.add(server, self.priority, known)
    }

    /// The recorders that it has subscriptions for.
    fn tracks(&self) -> Vec<Arc<Track>> {
        let subscriptions = lock(&self.subscriptions);
        let tracks = subscriptions.iter().filter_map(|s| s.track.clone());
        tracks.collect()
    }

    /// Has a group's requests answered when it is cleared. `pend_io` does not wait for its search any more.
    pub(super) fn join(&self, membership: Membership) {
        let ticket = lock(&self.connection).ticket.take();
        drop(ticket);
        lock(&self.memberships).push(membership);
        if self.is_closed() {
            replace(&self.memberships, Vec::new());
        }
    }

    /// Counts it in `batch` until it is connected, or cleared.
    pub(super) fn await_connection(&self, batch: &Arc<Batch>) {
        let mut connection = lock(&self.connection);
        if self.native_type().is_none() && !self.is_closed() {
            connection.awaited.push(batch.ticket());
        }
    }

    pub(super) fn forget_await(&self, batch: &Arc<Batch>) {
        let mut connection = lock(&self.connection);
        let awaited = &mut connection.awaited;
        let forgotten = awaited.extract_if(.., |ticket| ticket.belongs_to(batch));
        let forgotten: Vec<Ticket> = forgotten.collect();
        drop(connection);
        drop(forgotten);
    }

    /// Its circuit, where that is not the given one.
    pub(super) fn other_circuit(
        &self,
        circuit: Option<&Arc<Circuit>>,
    ) -> Option<Option<Arc<Circuit>>> {
        let own = lock(&self.circuit);
        let same = own.as_ref().map(Arc::as_ptr) == circuit.map(Arc::as_ptr);
        (!same).then(|| own.clone())
    }

    /// Runs `work` with libca's id, inside the gate; `None` where the channel is closed.
    pub(super) fn with_id<T>(
        &self,
        context: &ContextPass<'_>,
        work: impl FnOnce(ca_sys::chid) -> T,
    ) -> Option<T> {
        if !self.gate.enter() {
            return None;
        }
        let raw = self.raw.load(Ordering::Acquire);
        let result = (!raw.is_null()).then(|| work(raw));
        if self.gate.leave() {
            self.free(context);
        }
        result
    }

    /// The circuit that it is connected by.
    pub(super) fn circuit(&self) -> Option<Arc<Circuit>> {
        lock(&self.circuit).clone()
    }

    /// What to wait for before more values are written. `None` where there is room.
    pub fn crowded(&self) -> Option<Arc<Batch>> {
        self.circuit()?.crowded()
    }

    /// How a message of so many bytes gets to libca; and what has been sent with it.
    pub(super) fn way(&self, payload: usize) -> (Way, u64) {
        let Some(circuit) = self.circuit() else {
            return (Way::Direct, 0);
        };
        match circuit.reserve(payload) {
            (true, sent) => (Way::Direct, sent),
            (false, sent) => (Way::Behind(circuit), sent),
        }
    }

    /// The native type, or an error where there is none.
    pub fn connected_type(&self) -> Result<Base> {
        if self.is_closed() {
            return Err(Error::new(Status::BADCHID, self.name()));
        }
        self.native_type().ok_or_else(|| self.not_connected())
    }

    pub(super) fn not_connected(&self) -> Error {
        Error::with_detail(Status::DISCONN, self.name(), "the PV is not connected")
    }

    pub(super) fn forget_subscription(&self, subscription: &Arc<Subscription>) {
        // The caller has a reference too: nothing is dropped under the lock.
        lock(&self.subscriptions).retain(|other| !Arc::ptr_eq(other, subscription));
    }

    pub(super) fn finish(&self, request: &Request) -> Option<Arc<Request>> {
        lock(&self.requests).remove(request)
    }

    /// Somebody's `pend_io` on this batch waits for this channel.
    pub(super) fn is_awaited(&self, batch: &Arc<Batch>) -> bool {
        let searching = lock(&self.connection)
            .ticket
            .as_ref()
            .is_some_and(|ticket| ticket.belongs_to(batch));
        searching || lock(&self.requests).iter().any(|r| r.waits_in(batch))
    }

    /// Closes the channel (ca_clear_channel). No callback of it is delivered after this returns.
    pub fn clear(self: &Arc<Channel>) -> bool {
        let Some(alone) = self.close() else {
            return false;
        };
        match self.circuit().filter(|circuit| !circuit.is_open()) {
            None if alone => self.free_now(),
            // Whoever is inside frees it.
            None => {}
            Some(circuit) => {
                self.release_waiters(Status::CHANDESTROY);
                if alone {
                    circuit.send(Errand::Free(self.clone()));
                }
            }
        }
        true
    }

    /// As [`clear`](Channel::clear), but from a thread that cannot wait at all.
    pub fn dispose(self: &Arc<Channel>) {
        if self.context.is_alive() && self.close() == Some(true) {
            let circuit = self.circuit();
            let circuit = circuit.as_ref().unwrap_or(self.context.circuits.nowhere());
            circuit.send(Errand::Free(self.clone()));
        }
    }

    /// `Some(true)` where nobody uses it any more, `None` where it was closed before.
    fn close(&self) -> Option<bool> {
        let alone = self.gate.close()?;
        for subscription in lock(&self.subscriptions).iter() {
            subscription.mark_closed();
        }
        Some(alone)
    }

    pub(super) fn free_now(&self) {
        if let Some(context) = self.context.enter() {
            self.free(&context);
        }
    }

    /// Frees libca's side. The gate is closed and empty: this happens once.
    fn free(&self, context: &ContextPass<'_>) {
        let raw = self.raw.swap(std::ptr::null_mut(), Ordering::AcqRel);
        if !raw.is_null() {
            // SAFETY: nobody is inside the gate or comes in any more, and the id is swapped out: it is freed once.
            unsafe { context.api().ca_clear_channel(raw) };
        }
        // libca has no pointer into this channel any more.
        self.abandon(Status::CHANDESTROY);
        for subscription in lock(&self.subscriptions).iter() {
            subscription.mark_closed();
        }
        replace(&self.subscriptions, Vec::new());
        drop(self.context.release(self));
    }

    /// Frees libca's side before the context goes, unless libca could block on that.
    ///
    /// # Safety
    /// Nobody is in the context's gate, or will be; and the calling thread is in the context.
    pub(super) unsafe fn clear_with_context(&self, api: &LibCa) {
        if self.circuit().is_some_and(|circuit| !circuit.is_open()) {
            return;
        }
        let raw = self.raw.swap(std::ptr::null_mut(), Ordering::AcqRel);
        if !raw.is_null() {
            // SAFETY: whoever uses the id is in the context's gate; and it is swapped out, so it is freed once.
            unsafe { api.ca_clear_channel(raw) };
        }
    }

    /// Answers everything outstanding with `status`, though libca may still answer too.
    pub(super) fn release_waiters(&self, status: Status) {
        let tickets = lock(&self.connection).take_tickets();
        drop(tickets);
        for membership in lock(&self.memberships).iter() {
            membership.leave();
        }
        let requests: Vec<Arc<Request>> = lock(&self.requests).iter().cloned().collect();
        abandon(requests, status);
        self.tracks()
            .iter()
            .for_each(|track| track.release_readers());
    }

    /// Answers everything outstanding with `status`: libca has forgotten it.
    pub(super) fn abandon(&self, status: Status) {
        // Whoever waits for the search of a channel that is closed has nothing to wait for.
        let tickets = lock(&self.connection).take_tickets();
        drop(tickets);
        let memberships = std::mem::take(&mut *lock(&self.memberships));
        for membership in &memberships {
            membership.abandon(status);
        }
        let requests = lock(&self.requests).drain();
        abandon(requests, status);
    }

    pub(super) fn normal(&self, status: Status) -> Result<()> {
        if status.is_normal() {
            Ok(())
        } else {
            Err(Error::new(status, self.name()))
        }
    }
}

/// How a message gets to libca.
pub(super) enum Way {
    /// libca will not block on it.
    Direct,
    /// It may: the circuit's thread hands it on.
    Behind(Arc<Circuit>),
}

/// While it lives, libca's side of the channel is not freed, even if it is cleared.
pub(super) struct Inside(Arc<Channel>);

impl Inside {
    pub(super) fn enter(channel: &Arc<Channel>) -> Option<Inside> {
        let entered = channel.gate.enter();
        entered.then(|| Inside(channel.clone()))
    }

    pub(super) fn channel(&self) -> &Arc<Channel> {
        &self.0
    }

    /// Runs `work` with libca's id, also where the channel was cleared since.
    pub(super) fn with_id<T>(&self, work: impl FnOnce(ca_sys::chid) -> T) -> Option<T> {
        let raw = self.0.raw.load(Ordering::Acquire);
        (!raw.is_null()).then(|| work(raw))
    }

    /// Permission to call libca, also where the channel was cleared since.
    pub(super) fn pass(&self) -> Result<ChannelPass<'_>> {
        let channel = &*self.0;
        let gone = || Error::new(Status::BADCHID, channel.name());
        let pass = ChannelPass {
            channel,
            context: channel.context.enter().ok_or_else(gone)?,
            leaves: false,
        };
        if pass.raw().is_null() {
            return Err(gone());
        }
        Ok(pass)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        if self.0.gate.leave() {
            self.0.free_now();
        }
    }
}

/// What libca tells of a connection.
pub(super) struct Link {
    native_type: i32,
    element_count: usize,
    server: String,
}

impl Link {
    /// # Safety
    /// `chid` must be alive.
    pub(super) unsafe fn of(api: &LibCa, chid: ca_sys::chid) -> Link {
        // SAFETY: the caller's promise.
        unsafe {
            Link {
                native_type: i32::from(api.ca_field_type(chid)),
                element_count: usize::try_from(api.ca_element_count(chid)).unwrap_or(0),
                server: host_name(api, chid),
            }
        }
    }
}

/// The server of a channel (ca_get_host_name).
///
/// # Safety
/// `chid` must be alive.
unsafe fn host_name(api: &LibCa, chid: ca_sys::chid) -> String {
    let mut buffer = [0 as c_char; 512];
    // SAFETY: libca writes at most the given length, with its NUL; the id is alive.
    let text = unsafe {
        let length = u32::try_from(buffer.len()).unwrap_or(0);
        api.ca_get_host_name(chid, buffer.as_mut_ptr(), length);
        buffer[buffer.len() - 1] = 0;
        CStr::from_ptr(buffer.as_ptr())
    };
    text.to_string_lossy().into_owned()
}
