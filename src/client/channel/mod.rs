//! A channel: the connection to one PV, with its requests and subscriptions.
//!
//! * `access` the access rights, and the handler of their changes
//! * `connection` the connection, its handler, and who waits for the connection
//! * `guard` permission to use the backend's side of the channel
//! * `end` how a channel is cleared, and what then happens to its requests
//!
//! `client::operations` has the operations on a channel: reads, writes and subscriptions.

mod access;
mod connection;
mod end;
mod guard;

use access::Access;
use connection::{Connection, NOT_CONNECTED};

pub use guard::ChannelGuard;

use crate::backend::{AnyChannel, Command};
use crate::client::context::Context;
use crate::client::event::UserData;
use crate::client::pending_io::PendingIo;
use crate::client::queue::EventQueue;
use crate::client::recorder::recorded_pv::RecordedPv;
use crate::client::request::{InFlight, Request};
use crate::client::subscription::Subscription;
use crate::client::write_errors::WriteErrors;
use crate::protocol::constants;
use crate::protocol::dbr::{Base, DbrType};
use crate::protocol::error::{Error, Result};
use crate::protocol::status::Status;
use crate::sync::handle_gate::HandleGate;
use crate::sync::{lock, replace};
use std::ffi::{CStr, CString};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Longest PV name, in bytes.
pub const MAX_NAME: usize = 500;
/// Highest priority of a channel (CA_PRIORITY_MAX).
pub const MAX_PRIORITY: u32 = 99;

/// The backend has a pointer to the channel from its creation until the upcall `released`. Its context keeps the channel alive
/// for as long.
///
/// The fields that every request uses come first, in one cache line: with thousands of channels, cache misses dominate the
/// cost.
///
/// Any thread reads the atomics; only the thread of an upcall writes them:
///
/// | upcall | writes |
/// |---|---|
/// | `connected` | `element_count`, then `native_type`, `was_connected` (for good) |
/// | `disconnected` | `native_type` (`NOT_CONNECTED`), then `element_count` (0) |
/// | `access_changed`, `connected` | `may_be_read`, `may_be_written`, under the lock of `access` |
///
/// They are stored Release and loaded Acquire: whoever sees a native type sees the element count that came with it, or a later
/// one. A reader that needs both may see a disconnect in between, and then a count of 0. That does no harm: whatever is asked
/// with it fails, or is asked anew with the next connection.
///
/// No lock of a channel is held while another of its locks is taken, or while a guard of a [`PendingIo`] is dropped.
#[repr(C, align(64))]
pub struct Channel {
    io: AnyChannel,
    /// Threads that use `io` are inside.
    gate: HandleGate,
    element_count: AtomicUsize,
    native_type: AtomicI32,
    /// As the backend has last reported; false before the first report.
    may_be_read: AtomicBool,
    may_be_written: AtomicBool,
    was_connected: AtomicBool,
    pub write_errors: WriteErrors,
    context: Arc<Context>,
    /// Takes the channel's events: its context's, or that of an event loop.
    queue: Arc<EventQueue>,
    name: CString,
    priority: u32,
    /// What the layer above attaches to the channel.
    user: UserData,
    connection: Mutex<Connection>,
    access: Mutex<Access>,
    pub(crate) requests: Mutex<InFlight>,
    pub(crate) subscriptions: Mutex<Vec<Arc<Subscription>>>,
    /// The groups that the channel is in, and its index in each; until the upcall `released`.
    memberships: Mutex<Vec<(Arc<dyn Group>, usize)>>,
}

/// What a channel knows of a group that it is in.
pub trait Group: Send + Sync {
    /// Nobody waits for the channel's answer any more: the channel is cleared. The backend may still answer.
    fn stop_waiting(&self, place: usize);

    /// The backend has let go of the channel, and does not answer any more: what it has not answered comes to `status`.
    fn backend_let_go(&self, place: usize, status: Status);
}

impl Channel {
    /// Starts a search (ca_create_channel). `announce` gets the channel before the channel can have an event. Without a
    /// handler, the search is outstanding for `pend_io`.
    pub fn create(
        context: &Arc<Context>,
        name: &str,
        priority: u32,
        user: UserData,
        handler: Option<UserData>,
        announce: impl FnOnce(&Arc<Channel>),
    ) -> Result<Arc<Channel>> {
        let queue = context.queue.clone();
        Channel::create_for(queue, context, name, priority, user, handler, announce)
    }

    /// As [`create`](Channel::create), with a queue that takes the channel's events in place of its context's.
    pub fn create_for(
        queue: Arc<EventQueue>,
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
            queue,
            name: c_name,
            priority,
            user,
            io: context.io().new_channel(),
            gate: HandleGate::default(),
            native_type: AtomicI32::new(NOT_CONNECTED),
            element_count: AtomicUsize::new(0),
            connection: Mutex::new(Connection::new(handler, guard)),
            access: Mutex::default(),
            may_be_read: AtomicBool::new(false),
            may_be_written: AtomicBool::new(false),
            was_connected: AtomicBool::new(false),
            requests: Mutex::default(),
            subscriptions: Mutex::default(),
            write_errors: WriteErrors::default(),
            memberships: Mutex::default(),
        });
        // A thread that clears the channel before the backend knows it leaves the backend's side to this guard.
        let Some(creating) = channel.enter() else {
            return failed(Status::CHANDESTROY, "");
        };
        context.adopt(&channel);
        announce(&channel);
        if let Err(error) = channel.io.search(&creating, priority) {
            channel.give_up();
            return Err(error);
        }
        drop(creating);
        Ok(channel)
    }

    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Where its events go.
    pub fn queue(&self) -> &Arc<EventQueue> {
        &self.queue
    }

    pub fn user(&self) -> &UserData {
        &self.user
    }

    /// The name that was searched for.
    pub fn name(&self) -> &str {
        // The name was made from a str.
        self.name.to_str().unwrap_or_default()
    }

    /// The channel was cleared, or its context was destroyed.
    pub fn is_closed(&self) -> bool {
        self.gate.is_closed() || !self.context.is_alive()
    }

    /// The PV's native type; `None` while not connected.
    pub fn native_type(&self) -> Option<Base> {
        let number = self.native_type.load(Ordering::Acquire);
        DbrType::new(number.into()).map(DbrType::base)
    }

    /// Elements that the PV can hold; 0 while not connected.
    pub fn element_count(&self) -> usize {
        self.element_count.load(Ordering::Acquire)
    }

    /// The channel_state of cadef.h.
    pub fn state(&self) -> u32 {
        if self.is_closed() {
            constants::CS_CLOSED
        } else if self.native_type().is_some() {
            constants::CS_CONN
        } else if self.was_connected.load(Ordering::Acquire) {
            constants::CS_PREV_CONN
        } else {
            constants::CS_NEVER_CONN
        }
    }

    /// Whether the PV may be read, and whether it may be written.
    pub fn access(&self) -> (bool, bool) {
        if self.is_closed() || self.native_type().is_none() {
            return (false, false);
        }
        (self.may_be_read(), self.may_be_written())
    }

    /// The backend's side of the channel.
    pub(crate) fn io(&self) -> &AnyChannel {
        &self.io
    }

    pub(crate) fn c_name(&self) -> &CStr {
        &self.name
    }

    /// 0 to 99. Servers serve circuits of a higher priority first.
    pub fn priority(&self) -> u32 {
        self.priority
    }

    /// The channel was cleared, and may still be in use.
    pub(crate) fn is_closing(&self) -> bool {
        self.gate.is_closed()
    }

    /// The recorded PVs that the channel has subscriptions for.
    fn recorded_pvs(&self) -> Vec<Arc<RecordedPv>> {
        let subscriptions = lock(&self.subscriptions);
        let recorded_pvs = subscriptions.iter().filter_map(|s| s.recorded().cloned());
        recorded_pvs.collect()
    }

    /// Adds the channel to a group, whose requests are completed when the channel is cleared. `pend_io` no longer waits for the
    /// search.
    pub(crate) fn join(&self, group: Arc<dyn Group>, place: usize) {
        let guard = lock(&self.connection).guard.take();
        drop(guard);
        lock(&self.memberships).push((group, place));
        if self.is_closed() {
            replace(&self.memberships, Vec::new());
        }
    }

    /// What to wait for before more values are written; `None` if there is room.
    pub fn backlog(&self) -> Option<Arc<PendingIo>> {
        self.io.backlog()
    }

    /// The native type, or an error if the channel is not connected.
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
        // The caller has a reference, too: no subscription is dropped under the lock.
        lock(&self.subscriptions).retain(|other| !Arc::ptr_eq(other, subscription));
    }

    pub(crate) fn submit(self: &Arc<Channel>, command: Command<'_>) -> Result<()> {
        self.io.submit(self, command)
    }

    /// The subscriptions that the backend may have.
    pub(crate) fn all_subscriptions(&self) -> Vec<Arc<Subscription>> {
        lock(&self.subscriptions).clone()
    }

    pub(crate) fn finish(&self, request: &Request) -> Option<Arc<Request>> {
        lock(&self.requests).remove(request)
    }

    /// A `pend_io` that waits for `pending` waits for this channel.
    pub(crate) fn is_awaited(&self, pending: &Arc<PendingIo>) -> bool {
        let searching = lock(&self.connection)
            .guard
            .as_ref()
            .is_some_and(|guard| guard.belongs_to(pending));
        searching || lock(&self.requests).iter().any(|r| r.waits_in(pending))
    }
}
