//! The one way of a command to libca: what is sent now, what waits for a flush, and what waits for a sender thread.

use super::channel::{Entered, LibcaChannel, Route, c_count};
use super::get_coalescer::Handed;
use super::send_window::message;
use super::work::Work;
use crate::backend::{Command, When};
use crate::client::channel::{Channel, ChannelGuard};
use crate::client::context::Context;
use crate::client::pending_io::{PendingGuard, PendingIo};
use crate::client::request::Request;
use crate::client::subscription::Subscription;
use crate::protocol::buffer::Bytes;
use crate::protocol::error::{Error, Result};
use crate::protocol::status::Status;
use crate::protocol::validate::RequestSpec;
use std::ffi::{c_long, c_void};
use std::sync::Arc;

/// The payload of a subscription's message.
const SUBSCRIBE: usize = 16;

/// See `ChannelIo::submit`.
pub(super) fn submit(
    io: &LibcaChannel,
    channel: &Arc<Channel>,
    command: Command<'_>,
) -> Result<()> {
    let gathered = &channel.context().libca().get_coalescer;
    if let Command::Read(request, When::WithNextFlush) = command
        && is_allowed(channel, command)
    {
        c_count(channel, request.spec())?;
        gathered.add(request.clone(), send_gathered);
        return Ok(());
    }
    if let Command::Read(request, When::AfterUpcall) = command {
        let circuit = io
            .circuit()
            .ok_or_else(|| Error::new(Status::DISCONN, channel.name()))?;
        let (_, sent) = circuit.reserve(0);
        request.set_sent(sent);
        return match circuit.try_send(Box::new(DeferredCommand::Read(request.clone()))) {
            Status::NORMAL => Ok(()),
            status => Err(Error::new(status, channel.name())),
        };
    }
    let guard = channel.guard()?;
    // What has gathered goes first: nothing overtakes it.
    gathered.flush(send_gathered);
    send(io, &guard, command)
}

/// Sends a get that has gathered.
pub(super) fn send_gathered(request: &Arc<Request>) -> Handed<'_> {
    let (command, channel) = (Command::Read(request, When::Now), &request.channel);
    match channel.guard() {
        Ok(guard) => Handed {
            result: send(channel.libca(), &guard, command),
            guard: Some(guard),
        },
        Err(error) => Handed {
            guard: None,
            result: Err(error),
        },
    }
}

/// Sends a command now, where libca does not block, or has the circuit's sender thread do it: here alone that is decided.
fn send(io: &LibcaChannel, guard: &ChannelGuard<'_>, command: Command<'_>) -> Result<()> {
    let channel = guard.channel();
    let (route, sent) = match (command, payload(command)) {
        (Command::Unsubscribe(_), _) => {
            (io.busy_circuit().map_or(Route::Immediate, Route::Queued), 0)
        }
        // libca refuses what is not allowed at once, in its own words, and sends nothing.
        _ if !is_allowed(channel, command) => (Route::Immediate, 0),
        (_, payload) => io.route(payload),
    };
    if let Command::Read(request, _) | Command::WriteNotify(request, _) = command {
        request.set_sent(sent);
    }
    match route {
        Route::Immediate => execute(io, guard, command),
        Route::Queued(circuit) => {
            let deferred = Box::new(DeferredCommand::of(guard, command));
            match circuit.try_send(deferred) {
                Status::NORMAL => Ok(()),
                status => Err(Error::new(status, channel.name())),
            }
        }
    }
}

/// Calls libca.
fn execute(io: &LibcaChannel, guard: &ChannelGuard<'_>, command: Command<'_>) -> Result<()> {
    let channel = guard.channel();
    let entered = io.enter(guard)?;
    let status = match command {
        Command::Read(request, _) => read(&entered, channel, request)?,
        Command::Write(spec, data, _) => write(&entered, channel, spec, data)?,
        Command::WriteNotify(request, data) => write_notify(&entered, channel, request, data)?,
        Command::Subscribe(subscription) => {
            return subscription.libca().start(&entered, subscription);
        }
        Command::Unsubscribe(subscription) => {
            let status = subscription.libca().end(&entered);
            if status.is_normal() {
                // libca calls back no more: its pointer may go.
                channel.forget_subscription(subscription);
            }
            status
        }
    };
    if status.is_normal() {
        Ok(())
    } else {
        Err(Error::new(status, channel.name()))
    }
}

/// Bytes of data in a command's message.
fn payload(command: Command<'_>) -> usize {
    match command {
        Command::Read(..) | Command::Unsubscribe(_) => 0,
        Command::Write(_, data, _) | Command::WriteNotify(_, data) => data.len(),
        Command::Subscribe(_) => SUBSCRIBE,
    }
}

/// The server lets the command pass, as far as is known.
fn is_allowed(channel: &Channel, command: Command<'_>) -> bool {
    match command {
        Command::Read(request, _) => channel.may_be_read() && request.spec().dbr_type.is_readable(),
        Command::Write(..) | Command::WriteNotify(..) => channel.may_be_written(),
        Command::Subscribe(_) | Command::Unsubscribe(_) => true,
    }
}

fn read(entered: &Entered<'_>, channel: &Channel, request: &Arc<Request>) -> Result<Status> {
    let (spec, user) = (request.spec(), pointer(request));
    let count = c_count(channel, spec)?;
    // SAFETY: the id is alive while it is entered; `user` stays good until the answer or until the channel is released, because
    // the channel keeps its requests so long.
    Ok(Status(unsafe {
        entered.api().ca_array_get_callback(
            c_long::from(spec.dbr_type.number()),
            count,
            entered.id(),
            Some(entered.callbacks().read),
            user,
        )
    }))
}

fn write(
    entered: &Entered<'_>,
    channel: &Channel,
    spec: RequestSpec,
    data: &[u8],
) -> Result<Status> {
    let count = c_count(channel, spec)?;
    // SAFETY: the id is alive while it is entered; libca reads `count` elements, which the contract says are there, and keeps
    // no pointer to them.
    Ok(Status(unsafe {
        entered.api().ca_array_put(
            c_long::from(spec.dbr_type.number()),
            count,
            entered.id(),
            data.as_ptr().cast(),
        )
    }))
}

fn write_notify(
    entered: &Entered<'_>,
    channel: &Channel,
    request: &Arc<Request>,
    data: &[u8],
) -> Result<Status> {
    let (spec, user) = (request.spec(), pointer(request));
    let count = c_count(channel, spec)?;
    // SAFETY: as for `write`, and for `user` as for `read`.
    Ok(Status(unsafe {
        entered.api().ca_array_put_callback(
            c_long::from(spec.dbr_type.number()),
            count,
            entered.id(),
            data.as_ptr().cast(),
            Some(entered.callbacks().written),
            user,
        )
    }))
}

/// What libca hands back with the answer.
fn pointer(request: &Arc<Request>) -> *mut c_void {
    Arc::as_ptr(request).cast_mut().cast()
}

/// What a request takes, beside the value in it, about.
const OVERHEAD: usize = 256;

/// A command that waits for the sender thread, with all that it needs.
enum DeferredCommand {
    Read(Arc<Request>),
    /// Writes are sent even where the channel is cleared meanwhile: they have a guard.
    Write {
        guard: ChannelGuard<'static>,
        spec: RequestSpec,
        data: Bytes,
        /// Of whoever waits to hear whether the server takes it, and the guard that counts it as outstanding there.
        pending: Option<(Arc<PendingIo>, PendingGuard)>,
    },
    WriteNotify(ChannelGuard<'static>, Arc<Request>, Bytes),
    Subscribe(Arc<Subscription>),
    Unsubscribe(Arc<Subscription>),
}

impl DeferredCommand {
    fn of(guard: &ChannelGuard<'_>, command: Command<'_>) -> DeferredCommand {
        match command {
            Command::Read(request, _) => DeferredCommand::Read(request.clone()),
            Command::Write(spec, data, pending) => DeferredCommand::Write {
                guard: guard.owned(),
                spec,
                data: Bytes::of(data),
                pending: pending.map(|own| (own.clone(), own.begin())),
            },
            Command::WriteNotify(request, data) => {
                DeferredCommand::WriteNotify(guard.owned(), request.clone(), Bytes::of(data))
            }
            Command::Subscribe(subscription) => DeferredCommand::Subscribe(subscription.clone()),
            Command::Unsubscribe(subscription) => {
                DeferredCommand::Unsubscribe(subscription.clone())
            }
        }
    }

    /// The command as it was given.
    fn command(&self) -> Command<'_> {
        match self {
            DeferredCommand::Read(request) => Command::Read(request, When::Now),
            DeferredCommand::Write {
                spec,
                data,
                pending,
                ..
            } => {
                let pending = pending.as_ref().map(|(own, _)| own);
                Command::Write(*spec, data.as_slice(), pending)
            }
            DeferredCommand::WriteNotify(_, request, data) => {
                Command::WriteNotify(request, data.as_slice())
            }
            DeferredCommand::Subscribe(subscription) => Command::Subscribe(subscription),
            DeferredCommand::Unsubscribe(subscription) => Command::Unsubscribe(subscription),
        }
    }

    /// `None` where the channel is gone, and what was asked of it with it.
    fn channel(&self) -> Option<Arc<Channel>> {
        match self {
            DeferredCommand::Read(request) => Some(request.channel.clone()),
            DeferredCommand::Write { guard, .. } | DeferredCommand::WriteNotify(guard, ..) => {
                Some(guard.channel().clone())
            }
            DeferredCommand::Subscribe(subscription)
            | DeferredCommand::Unsubscribe(subscription) => subscription.channel(),
        }
    }

    fn failed(&self, error: &Error) {
        self.tell_waiter(error.status);
        if let Some(channel) = self.channel() {
            channel.command_failed(self.command(), error);
        }
    }
}

impl DeferredCommand {
    /// Who waits to hear of a write hears that it was not sent.
    fn tell_waiter(&self, status: Status) {
        if let DeferredCommand::Write {
            guard,
            pending: Some((own, _)),
            ..
        } = self
        {
            own.fail(status, guard.channel().name());
        }
    }
}

impl Work for DeferredCommand {
    fn run(self: Box<Self>) {
        let Some(channel) = self.channel() else {
            return;
        };
        let done = match &*self {
            DeferredCommand::Write { guard, .. } | DeferredCommand::WriteNotify(guard, ..) => {
                execute(channel.libca(), guard, self.command())
            }
            _ => channel
                .guard()
                .and_then(|guard| execute(channel.libca(), &guard, self.command())),
        };
        if let Err(error) = done {
            self.failed(&error);
        }
    }

    fn fail(self: Box<Self>) {
        self.failed(&Error::from(Status::ALLOCMEM));
    }

    fn withdraw(self: Box<Self>) {
        match self.command() {
            Command::Read(..) | Command::WriteNotify(..) => {
                self.failed(&Error::from(Status::TIMEOUT));
            }
            _ => self.tell_waiter(Status::TIMEOUT),
        }
    }

    fn waits_in(&self, pending: &Arc<PendingIo>) -> bool {
        match self {
            DeferredCommand::Read(request) | DeferredCommand::WriteNotify(_, request, _) => {
                request.waits_in(pending)
            }
            DeferredCommand::Write {
                pending: Some((own, _)),
                ..
            } => Arc::ptr_eq(own, pending),
            _ => false,
        }
    }

    fn is_retryable(&self) -> bool {
        matches!(self, DeferredCommand::Unsubscribe(_))
    }

    fn counted(&self) -> u64 {
        match self {
            DeferredCommand::Unsubscribe(_) => 0,
            _ => message(payload(self.command())),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            DeferredCommand::Write { data, .. } | DeferredCommand::WriteNotify(_, _, data) => {
                OVERHEAD + data.as_slice().len()
            }
            DeferredCommand::Read(_) => OVERHEAD,
            _ => 0,
        }
    }

    fn context(&self) -> Option<Arc<Context>> {
        self.channel().map(|channel| channel.context().clone())
    }
}
