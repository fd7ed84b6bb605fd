//! What brings Channel Access to the client: the seam, what both sides promise, and the choice of a backend.
//!
//! The client calls a backend through its context, its channels and its subscriptions. A backend calls the client's upcalls, by
//! concrete types:
//!
//! * of a channel: `Channel::connected`, `disconnected`, `access_changed`, `command_failed`, `subscription_failed`,
//!   `report_subscription` and, after [`Closed::Later`], `released`
//! * of a request: `Channel::finish`, which takes the request from the channel, and then `Request::complete`
//! * of a group request: `GroupRequest::sent`, and `answered` or `finish` for each channel
//! * of a subscription: `Subscription::brought`, or `RecordedPv::record` for a recorder; `Subscription::set_active_spec` before
//!   the backend asks for something else, `Channel::forget_subscription` when the backend has no pointer to it any more
//! * of a context: its `queue` takes exceptions and messages
//!
//! * [`libca`] everything that knows libca
//! * `scripted` a backend for tests; `contract` the tests that hold every backend to the contract
//!
//! # The contract
//!
//! 1. A channel's `close` returns [`Closed::Done`] (no upcall starts any more), or [`Closed::Later`]: the server's circuit is
//!    stuck, or would go with the channel, and the backend keeps the circuit for a while. Upcalls may still come then, a
//!    disconnect among them, and the backend keeps what it has pointers to until it calls `released`. After
//!    [`Command::Unsubscribe`], updates may come until the backend calls `forget_subscription`. The client drops what comes
//!    for a channel or a subscription that is closed: that no callback of the user starts after a clear is the client's own
//!    promise. The client never closes a channel in an upcall. It may submit `Unsubscribe` in `subscription_failed`.
//! 2. Upcalls of one channel come in order. `connected` is the first upcall of a connection; only `access_changed` may come before
//!    it. At a disconnect, requests complete with ECA_DISCONN before `disconnected`, and `access_changed`
//!    follows.
//! 3. An update may come from any thread, also from two at once for one subscription: the newest value is never the one that is
//!    lost.
//! 4. Each read and each write with notification that was accepted is completed exactly once, also by a disconnect, a close or the
//!    end of the context; one that was refused never is. Where the client closes a channel, the client completes its requests
//!    itself, and drops an answer that comes later.
//! 5. A subscription may be made before its PV is connected. On each connection the backend subscribes again, with what
//!    [`Subscription::spec_for`] says: a new type, if the PV has one; nothing, while it says `None`.
//! 6. Data are the backend's or the kernel's when `submit` returns.
//! 7. `submit` and `flush` never block on a server.
//! 8. During an upcall of its library, a backend holds no lock that `submit` takes. An upcall never drops a Python object
//!    (`DeferredDecref` keeps them).
//! 9. In a forked child, a backend does not touch the contexts that the parent made. It calls `client::fork::watch` before it
//!    loads its library.
//! 10. A command whose caller has given up, and that has not left the process, is withdrawn. What waits for a write is told why
//!     the write is not sent.
//! 11. A read with [`When::AfterUpcall`] may be submitted in any upcall. `submit` then neither completes a request nor closes a
//!     channel: another thread of the backend sends the read, and the client need not flush.

mod any;
#[cfg(test)]
mod contract;
pub mod libca;
#[cfg(test)]
pub mod scripted;

pub use any::{AnyChannel, AnyContext, AnySubscription};

use crate::client::channel::{Channel, ChannelGuard};
use crate::client::context::{Context, ContextGuard};
use crate::client::group::channels::GroupChannels;
use crate::client::group::request::GroupRequest;
use crate::client::pending_io::{DroppedAnswers, PendingIo, Waiters};
use crate::client::request::Request;
use crate::client::subscription::Subscription;
use crate::protocol::error::Result;
use crate::protocol::status::Status;
use crate::protocol::validate::RequestSpec;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// A way to speak Channel Access. There is one in a process.
pub trait Backend: Sync {
    fn name(&self) -> &'static str;

    /// The version of Channel Access that it speaks, such as "4.13".
    fn protocol_version(&self) -> String;

    /// Who named the library behind it, and the library's path; `None` where there is none.
    fn source(&self) -> Option<(String, PathBuf)>;

    /// Makes a context, which makes no upcall before [`ContextIo::start`]. What waits in it sleeps at `waiters`.
    fn new_context(&self, waiters: &Arc<Waiters>) -> Result<AnyContext>;

    /// Has its log go to the contexts, instead of standard error.
    fn take_over_log(&self) {}

    /// The answers that it has dropped, though somebody may wait for them.
    fn answers_dropped(&self) -> DroppedAnswers {
        DroppedAnswers::default()
    }
}

/// A backend's side of a context.
pub trait ContextIo: Send + Sync {
    /// Upcalls may come from now on.
    fn start(&self, context: &Arc<Context>) -> Result<()>;

    /// Makes a channel's side, which makes no upcall before [`ChannelIo::search`].
    fn new_channel(&self) -> AnyChannel;

    /// Sends what has gathered.
    fn flush(&self, context: &Context) -> Result<()>;

    /// Sends a group request to the channels with these places in the group. Returns those that could not be sent
    /// yet, as a server has a backlog; the client calls again with these.
    fn submit_group(
        &self,
        context: &ContextGuard<'_>,
        request: &Arc<GroupRequest>,
        group: &GroupChannels,
        indices: Vec<usize>,
    ) -> Backlog;

    /// Nobody waits for `pending` any more: its commands that have not left the
    /// process are not sent, and complete with ECA_TIMEOUT.
    fn withdraw(&self, pending: &[Arc<PendingIo>]);

    /// Whether more than [`BACKLOG_LIMIT`] bytes wait for some server. [`ChannelIo::backlog`] tells whether it is a given
    /// channel's server.
    fn has_backlog(&self) -> bool;

    /// Prints what is known of the context; more at a higher level.
    fn show(&self, context: &Context, level: u32) -> Result<()>;

    /// Nothing more is sent.
    fn stop_sending(&self);

    /// Ends the context and all of `channels`. `false` where that was not possible: it keeps what it has pointers to.
    ///
    /// # Safety
    /// The context's gate is closed and empty.
    unsafe fn destroy(&self, channels: &[Arc<Channel>], patience: Duration) -> bool;
}

/// A backend's side of a channel.
pub trait ChannelIo: Send + Sync {
    /// Begins to look for the PV.
    fn search(&self, creating: &ChannelGuard<'_>, priority: u32) -> Result<()>;

    /// Sends a command, or has it wait for its turn. Where this fails nothing is sent and nothing completed. What fails after
    /// that is told by `Channel::command_failed`.
    fn submit(&self, channel: &Arc<Channel>, command: Command<'_>) -> Result<()>;

    /// What to wait for before more is asked or written; `None` where there is room.
    fn backlog(&self) -> Option<Arc<PendingIo>>;

    /// Name and port of the server, `<disconnected>` where there is none.
    fn server(&self, guard: &ChannelGuard<'_>) -> Result<String>;

    /// Ends it. Nobody is inside the channel's gate; it is called once.
    fn close(&self, channel: &Arc<Channel>, how: Close) -> Closed;
}

static SELECTED: OnceLock<&'static dyn Backend> = OnceLock::new();

/// A backend to load, with what it has to know for that.
pub enum Choice {
    /// libca: the first of these files that is one, each with who has named it.
    Libca(Vec<(String, PathBuf)>),
}

/// Loads the process's backend; later calls keep the first one. The error says why there is none.
pub fn load(choice: Choice) -> std::result::Result<(), String> {
    let backend = match choice {
        Choice::Libca(candidates) => libca::open(candidates)?,
    };
    SELECTED.get_or_init(|| backend);
    Ok(())
}

/// The process's backend, once there is one.
pub fn selected() -> Result<&'static dyn Backend> {
    let selected = SELECTED.get().copied();
    selected.ok_or_else(|| Status::INTERNAL.into())
}

/// When a read is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// As soon as the backend can; it leaves the process with the next flush at the latest.
    Now,
    /// With the next flush, or with what is sent next.
    WithNextFlush,
    /// Soon, and by another thread of the backend's, with a flush: the caller is in an upcall, and must not be the one who closes
    /// the channel. See point 11 of the contract.
    AfterUpcall,
}

/// What is asked of one channel. A new operation is one more variant here, and one arm in each match over the commands in
/// each backend.
#[derive(Clone, Copy)]
pub enum Command<'a> {
    Read(&'a Arc<Request>, When),
    /// The data hold as many elements as the spec says. Somebody may wait to hear whether the server takes it: while the write
    /// is accepted and has not left the process, it counts as outstanding in theirs.
    Write(RequestSpec, &'a [u8], Option<&'a Arc<PendingIo>>),
    WriteNotify(&'a Arc<Request>, &'a [u8]),
    Subscribe(&'a Arc<Subscription>),
    Unsubscribe(&'a Arc<Subscription>),
}

/// What came of a close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// No upcall starts any more.
    Done,
    /// Upcalls may still come, until `Channel::released`.
    Later,
}

/// How long a close may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// It may wait for an upcall that is under way, not for a server.
    Wait,
    /// The calling thread cannot wait at all.
    Background,
}

/// What a backend tells of a connection.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionInfo {
    /// The number of the native type (DBF_STRING is 0).
    pub native_type: i32,
    /// Elements that the PV can hold.
    pub element_count: usize,
    pub may_be_read: bool,
    pub may_be_written: bool,
}

/// Bytes that may wait for one server before those who read and write wait, too.
pub const BACKLOG_LIMIT: usize = 8 * 1024 * 1024;

/// What of a group request could not be sent yet, as very much waits for its server already.
#[derive(Default)]
pub struct Backlog {
    /// Places of the channels in the group.
    pub indices: Vec<usize>,
    /// What to wait for before more of it can be sent; `None` where there is nothing more.
    pub wait_for: Option<Arc<PendingIo>>,
}
