//! The one way of a command to libca: what is sent now, what waits for a flush, and what waits for a sender thread.

use super::callbacks;
use super::channel::{Entered, LibcaChannel, Route};
use super::deferred_command::DeferredCommand;
use crate::backend::{Command, When};
use crate::client::channel::{Channel, ChannelGuard};
use crate::client::request::Request;
use crate::protocol::error::{Error, Result};
use crate::protocol::status::Status;
use crate::protocol::validate::RequestSpec;
use std::ffi::{c_long, c_ulong, c_void};
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
        c_count(channel, request.asked())?;
        gathered.add(request.clone());
        return Ok(());
    }
    let guard = channel.guard()?;
    // What has gathered goes first: nothing overtakes it.
    gathered.flush();
    io.send(&guard, command)
}

impl LibcaChannel {
    /// Sends a command now, as far as libca does not block, or has the circuit's sender thread do it.
    pub(super) fn send(&self, guard: &ChannelGuard<'_>, command: Command<'_>) -> Result<()> {
        let channel = guard.channel();
        let (route, sent) = match (command, payload(command)) {
            (Command::Unsubscribe(_), _) => (
                self.busy_circuit().map_or(Route::Immediate, Route::Queued),
                0,
            ),
            // libca refuses what is not allowed at once, in its own words, and sends nothing.
            _ if !is_allowed(channel, command) => (Route::Immediate, 0),
            (_, payload) => self.route(payload),
        };
        if let Command::Read(request, _) | Command::WriteNotify(request, _) = command {
            request.set_sent(sent);
        }
        match route {
            Route::Immediate => self.execute(guard, command),
            Route::Queued(circuit) => {
                let deferred = DeferredCommand::of(guard, command);
                match circuit.try_send(deferred) {
                    Status::NORMAL => Ok(()),
                    status => Err(Error::new(status, channel.name())),
                }
            }
        }
    }

    /// Calls libca.
    pub(super) fn execute(&self, guard: &ChannelGuard<'_>, command: Command<'_>) -> Result<()> {
        let channel = guard.channel();
        let entered = self.enter(guard)?;
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
}

/// Bytes of data in a command's message.
pub(super) fn payload(command: Command<'_>) -> usize {
    match command {
        Command::Read(..) | Command::Unsubscribe(_) => 0,
        Command::Write(_, data, _) | Command::WriteNotify(_, data) => data.len(),
        Command::Subscribe(_) => SUBSCRIBE,
    }
}

/// The server lets the command pass, as far as is known.
fn is_allowed(channel: &Channel, command: Command<'_>) -> bool {
    match command {
        Command::Read(request, _) => {
            channel.may_be_read() && request.asked().dbr_type.is_readable()
        }
        Command::Write(..) | Command::WriteNotify(..) => channel.may_be_written(),
        Command::Subscribe(_) | Command::Unsubscribe(_) => true,
    }
}

/// The element count as C takes it.
pub(super) fn c_count(channel: &Channel, spec: RequestSpec) -> Result<c_ulong> {
    c_ulong::try_from(spec.count).map_err(|_| Error::new(Status::BADCOUNT, channel.name()))
}

fn read(entered: &Entered<'_>, channel: &Channel, request: &Arc<Request>) -> Result<Status> {
    let (spec, user) = (request.asked(), pointer(request));
    let count = c_count(channel, spec)?;
    // SAFETY: the id is alive while it is entered; `user` stays good until the answer or until the channel is released, because
    // the channel keeps its requests so long.
    Ok(Status(unsafe {
        entered.api().ca_array_get_callback(
            c_long::from(spec.dbr_type.number()),
            count,
            entered.id(),
            Some(callbacks::get),
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
    let (spec, user) = (request.asked(), pointer(request));
    let count = c_count(channel, spec)?;
    // SAFETY: as for `write`, and for `user` as for `read`.
    Ok(Status(unsafe {
        entered.api().ca_array_put_callback(
            c_long::from(spec.dbr_type.number()),
            count,
            entered.id(),
            data.as_ptr().cast(),
            Some(callbacks::put),
            user,
        )
    }))
}

/// What libca hands back with the answer.
fn pointer(request: &Arc<Request>) -> *mut c_void {
    Arc::as_ptr(request).cast_mut().cast()
}
