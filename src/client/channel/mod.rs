//! A channel: the connection to one PV, and all that is asked of it.

mod access;
mod end;
mod link;
mod pass;

use access::Access;
use link::{Connection, NOT_CONNECTED};

pub(crate) use link::ConnectionInfo;
pub use pass::ChannelPass;
pub(crate) use pass::Inside;

use crate::backend::libca::callbacks;
use crate::backend::libca::send_window::Circuit;
use crate::ca_sys;
use crate::client::context::Context;
use crate::client::event::UserData;
use crate::client::group::channels::GroupMembership;
use crate::client::pending_io::PendingIo;
use crate::client::recorder::recorded_pv::RecordedPv;
use crate::client::request::{InFlight, Request};
use crate::client::subscription::Subscription;
use crate::client::write_errors::WriteErrors;
use crate::protocol::dbr::{Base, DbrType};
use crate::protocol::error::{Error, Result};
use crate::protocol::status::Status;
use crate::sync::handle_gate::HandleGate;
use crate::sync::lock;
use crate::sync::replace;
use std::ffi::{CString, c_void};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Longest PV name, in bytes.
pub const MAX_NAME: usize = 500;
/// Highest priority of a channel (CA_PRIORITY_MAX).
pub const MAX_PRIORITY: u32 = 99;

/// libca holds a pointer to it from creation until it is cleared: so long its context keeps it alive.
///
/// What every request looks at comes first, in one cache line: with thousands of channels that is what takes the time.
#[repr(C, align(64))]
pub struct Channel {
    raw: AtomicPtr<ca_sys::oldChannelNotify>,
    gate: HandleGate,
    circuit: Mutex<Option<Arc<Circuit>>>,
    element_count: AtomicUsize,
    native_type: AtomicI32,
    /// As far as libca has told yet.
    may_be_read: AtomicBool,
    may_be_written: AtomicBool,
    pub refusals: WriteErrors,
    context: Arc<Context>,
    name: CString,
    priority: u32,
    /// What the layer above wants to find again by a channel.
    user: UserData,
    connection: Mutex<Connection>,
    access: Mutex<Access>,
    pub(crate) requests: Mutex<InFlight>,
    pub(crate) subscriptions: Mutex<Vec<Arc<Subscription>>>,
    /// The groups that it is in, until libca has forgotten it.
    memberships: Mutex<Vec<GroupMembership>>,
}

impl Channel {
    /// Starts a search (ca_create_channel). `announce` gets the channel before it can have an event. Without
    /// a handler the search is outstanding for `pend_io`.
    pub fn create(
        context: &Arc<Context>,
        name: &str,
        priority: u32,
        user: UserData,
        handler: Option<UserData>,
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
        let guard = handler.is_none().then(|| context.begin());
        let channel = Arc::new(Channel {
            context: context.clone(),
            name: c_name,
            priority,
            user,
            raw: AtomicPtr::default(),
            gate: HandleGate::default(),
            native_type: AtomicI32::new(NOT_CONNECTED),
            element_count: AtomicUsize::new(0),
            connection: Mutex::new(Connection::new(handler, guard)),
            access: Mutex::default(),
            may_be_read: AtomicBool::new(false),
            may_be_written: AtomicBool::new(false),
            requests: Mutex::default(),
            subscriptions: Mutex::default(),
            refusals: WriteErrors::default(),
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
                    Some(callbacks::connection),
                    user,
                    priority,
                    &raw mut chid,
                )
            };
            channel.raw.store(chid, Ordering::Release);
            if !chid.is_null() {
                // SAFETY: the id was made just now, and only we clear it.
                unsafe { api.ca_replace_access_rights_event(chid, Some(callbacks::access_rights)) };
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

    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    pub fn user(&self) -> &UserData {
        &self.user
    }

    /// The name that was searched for.
    pub fn name(&self) -> &str {
        // It was made from a str.
        self.name.to_str().unwrap_or_default()
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

    /// The recorders that it has subscriptions for.
    fn tracks(&self) -> Vec<Arc<RecordedPv>> {
        let subscriptions = lock(&self.subscriptions);
        let tracks = subscriptions.iter().filter_map(|s| s.track.clone());
        tracks.collect()
    }

    /// Has a group's requests answered when it is cleared. `pend_io` does not wait for its search any more.
    pub(crate) fn join(&self, membership: GroupMembership) {
        let guard = lock(&self.connection).guard.take();
        drop(guard);
        lock(&self.memberships).push(membership);
        if self.is_closed() {
            replace(&self.memberships, Vec::new());
        }
    }

    /// Its circuit, where that is not the given one.
    pub(crate) fn other_circuit(
        &self,
        circuit: Option<&Arc<Circuit>>,
    ) -> Option<Option<Arc<Circuit>>> {
        let own = lock(&self.circuit);
        let same = own.as_ref().map(Arc::as_ptr) == circuit.map(Arc::as_ptr);
        (!same).then(|| own.clone())
    }

    /// The circuit that it is connected by.
    pub(crate) fn circuit(&self) -> Option<Arc<Circuit>> {
        lock(&self.circuit).clone()
    }

    /// What to wait for before more values are written. `None` where there is room.
    pub fn backpressure(&self) -> Option<Arc<PendingIo>> {
        self.circuit()?.backpressure()
    }

    /// How a message of so many bytes gets to libca; and what has been sent with it.
    pub(crate) fn route(&self, payload: usize) -> (Route, u64) {
        let Some(circuit) = self.circuit() else {
            return (Route::Immediate, 0);
        };
        match circuit.reserve(payload) {
            (true, sent) => (Route::Immediate, sent),
            (false, sent) => (Route::Queued(circuit), sent),
        }
    }

    /// The native type, or an error where there is none.
    pub fn connected_type(&self) -> Result<Base> {
        if self.is_closed() {
            return Err(Error::new(Status::BADCHID, self.name()));
        }
        self.native_type().ok_or_else(|| self.not_connected())
    }

    pub(crate) fn not_connected(&self) -> Error {
        Error::with_detail(Status::DISCONN, self.name(), "the PV is not connected")
    }

    pub(crate) fn forget_subscription(&self, subscription: &Arc<Subscription>) {
        // The caller has a reference too: nothing is dropped under the lock.
        lock(&self.subscriptions).retain(|other| !Arc::ptr_eq(other, subscription));
    }

    /// The callbacks of its requests that are not answered yet.
    pub fn handlers_in_flight(&self) -> Vec<UserData> {
        let requests = lock(&self.requests);
        requests
            .iter()
            .filter_map(|request| request.handler.clone())
            .collect()
    }

    pub(crate) fn finish(&self, request: &Request) -> Option<Arc<Request>> {
        lock(&self.requests).remove(request)
    }

    /// Somebody's `pend_io` on this batch waits for this channel.
    pub(crate) fn is_awaited(&self, pending: &Arc<PendingIo>) -> bool {
        let searching = lock(&self.connection)
            .guard
            .as_ref()
            .is_some_and(|guard| guard.belongs_to(pending));
        searching || lock(&self.requests).iter().any(|r| r.waits_in(pending))
    }

    pub(crate) fn normal(&self, status: Status) -> Result<()> {
        if status.is_normal() {
            Ok(())
        } else {
            Err(Error::new(status, self.name()))
        }
    }
}

/// How a message gets to libca.
pub(crate) enum Route {
    /// libca will not block on it.
    Immediate,
    /// It may: the circuit's thread hands it on.
    Queued(Arc<Circuit>),
}
