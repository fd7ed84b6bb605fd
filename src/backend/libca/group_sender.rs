//! How a group request gets to libca: at once, as far as libca does not block; the rest through the threads of its circuits.

use super::circuit::Circuit;
use super::commands::send_gathered;
use super::context::LibcaContext;
use super::send_window::message;
use super::work::Work;
use crate::backend::{Backlog, Command};
use crate::client::channel::{Channel, ChannelGuard};
use crate::client::context::{Context, ContextGuard};
use crate::client::group::channels::GroupChannels;
use crate::client::group::request::{GroupCommand, GroupRequest};
use crate::client::pending_io::PendingIo;
use crate::protocol::dbr::DbrType;
use crate::protocol::error::Error;
use crate::protocol::status::Status;
use crate::protocol::validate::RequestSpec;
use std::ffi::{c_long, c_ulong, c_void};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Requests to one circuit are counted, and confirmed, together, up to so many bytes: the counts are shared with libca's
/// threads, and that costs.
const RUN: u64 = 2048;
/// A circuit's thread looks so often whether the context is going.
const PASS: usize = 64;

/// What goes to one circuit.
struct CircuitShare {
    circuit: Arc<Circuit>,
    indices: Vec<usize>,
    /// Of the bytes, what the circuit has counted as sent.
    counted: u64,
}

/// Sends one group request.
struct GroupSender<'a> {
    request: &'a Arc<GroupRequest>,
    channels: &'a GroupChannels,
    context: &'a ContextGuard<'a>,
    /// Shares that the threads of their circuits send.
    behind: Vec<CircuitShare>,
    /// Shares of circuits that have no room: the caller sends these later.
    for_later: Vec<CircuitShare>,
    /// The present run, and its circuit.
    run: Vec<usize>,
    bytes: u64,
    circuit: Option<Arc<Circuit>>,
    /// The last channel of each circuit that was written to directly.
    written: Vec<(Arc<Circuit>, usize)>,
}

/// Hands the requests to libca, in one burst.
pub(super) fn submit(
    io: &LibcaContext,
    context: &ContextGuard<'_>,
    request: &Arc<GroupRequest>,
    group: &GroupChannels,
    indices: Vec<usize>,
) -> Backlog {
    io.get_coalescer.flush(send_gathered);
    let mut sender = GroupSender {
        request,
        channels: group,
        context,
        behind: Vec::new(),
        for_later: Vec::new(),
        run: Vec::new(),
        bytes: 0,
        circuit: None,
        written: Vec::new(),
    };
    indices.into_iter().for_each(|index| sender.add(index));
    sender.end()
}

/// Hands the request to one channel to libca. The caller is inside the channel's gate, and the context's.
fn hand(
    context: &ContextGuard<'_>,
    request: &GroupRequest,
    index: usize,
    channel: &Channel,
) -> Status {
    let io = context.libca();
    let (api, id, answered) = (io.api(), channel.libca().id(), io.callbacks().group);
    if id.is_null() {
        return Status::BADCHID;
    }
    let command = match request.command(index, channel) {
        Ok(command) => command,
        Err(status) => return status,
    };
    let user: *mut c_void = std::ptr::from_ref(request.reply(index)).cast_mut().cast();
    let (GroupCommand::Read(spec)
    | GroupCommand::Write(spec, _)
    | GroupCommand::WriteNotify(spec, _)) = command;
    let dbr_type = c_long::from(spec.dbr_type.number());
    let count = c_ulong::try_from(spec.count).unwrap_or(0);
    if !matches!(command, GroupCommand::Read(_)) {
        channel.write_errors.write_sent();
    }
    // SAFETY: the caller is inside the gate, so the id is alive. `user` stays good until the answer or until the channel is
    // released, because the group keeps the request so long. libca reads `count` elements, which `Items::add` has seen are
    // there, and keeps no pointer to them.
    Status(unsafe {
        match command {
            GroupCommand::Read(_) => {
                api.ca_array_get_callback(dbr_type, count, id, Some(answered), user)
            }
            GroupCommand::Write(_, data) => {
                api.ca_array_put(dbr_type, count, id, data.as_ptr().cast())
            }
            GroupCommand::WriteNotify(_, data) => api.ca_array_put_callback(
                dbr_type,
                count,
                id,
                data.as_ptr().cast(),
                Some(answered),
                user,
            ),
        }
    })
}

/// As [`hand`], for a channel that may have been closed.
fn send(context: &ContextGuard<'_>, request: &GroupRequest, index: usize, channel: &Arc<Channel>) {
    let sent = channel
        .enter()
        .map(|_guard| hand(context, request, index, channel));
    request.sent(index, sent.unwrap_or(Status::BADCHID));
}

impl GroupSender<'_> {
    fn channel(&self, index: usize) -> &Arc<Channel> {
        &self.channels.channels()[index]
    }

    fn add(&mut self, index: usize) {
        let channel = &self.channels.channels()[index];
        let payload = match self.request.check(index, channel) {
            Ok(payload) => payload,
            Err(status) => return self.request.finish(index, status),
        };
        if let Some(other) = channel.libca().other_circuit(self.circuit.as_ref()) {
            self.dispatch();
            self.circuit = other;
        }
        self.run.push(index);
        self.bytes += message(payload);
        if self.bytes >= RUN {
            self.dispatch();
        }
    }

    /// Sends the present run, or leaves it to the circuit's thread.
    fn dispatch(&mut self) {
        let Some(last) = self.run.last().copied() else {
            return;
        };
        let bytes = std::mem::take(&mut self.bytes);
        if let Some(circuit) = self.circuit.clone() {
            // All that follows goes the same way: two writes to one PV keep their order.
            if put_off(&mut self.for_later, &circuit, &mut self.run, None)
                || put_off(&mut self.behind, &circuit, &mut self.run, None)
            {
                return;
            }
            if circuit.backlog().is_some() {
                put_off(&mut self.for_later, &circuit, &mut self.run, Some(0));
                return;
            }
            let (open, sent) = circuit.reserve_bytes(bytes);
            if !open {
                put_off(&mut self.behind, &circuit, &mut self.run, Some(bytes));
                return;
            }
            // Its answer confirms the run.
            self.request.reply(last).sent.store(sent, Ordering::Release);
            if !self.request.expects_answers() {
                self.written
                    .retain(|(other, _)| !Arc::ptr_eq(other, &circuit));
                self.written.push((circuit, last));
            }
        }
        for index in self.run.drain(..) {
            let channel = &self.channels.channels()[index];
            send(self.context, self.request, index, channel);
        }
    }

    fn end(mut self) -> Backlog {
        self.dispatch();
        for (circuit, index) in std::mem::take(&mut self.written) {
            if circuit.is_half_full() {
                send_confirming_read(self.channel(index));
            }
        }
        for part in std::mem::take(&mut self.behind) {
            let rest = QueuedShare::new(self.request, self.channels, part.indices, part.counted);
            let last_written = (!self.request.expects_answers())
                .then(|| rest.last())
                .flatten()
                .map(|index| self.channel(index).clone());
            part.circuit.send(Box::new(rest));
            last_written.inspect(send_confirming_read);
        }
        Backlog {
            wait_for: self
                .for_later
                .first()
                .map(|share| share.circuit.undone().clone()),
            indices: self
                .for_later
                .into_iter()
                .flat_map(|share| share.indices)
                .collect(),
        }
    }
}

/// A write has no answer. A read that is sent after the write has one, which confirms the write's bytes.
fn send_confirming_read(channel: &Arc<Channel>) {
    if channel.may_be_read() {
        drop(channel.get(RequestSpec::exactly(DbrType::ENUM, 1), None, None));
    }
}

/// Appends the run to the circuit's share. If there is none, makes one if `new` is given: the bytes that the circuit has counted
/// for the share. Returns whether the run was put off.
fn put_off(
    parts: &mut Vec<CircuitShare>,
    circuit: &Arc<Circuit>,
    run: &mut Vec<usize>,
    new: Option<u64>,
) -> bool {
    let place = parts
        .iter_mut()
        .find(|part| Arc::ptr_eq(&part.circuit, circuit));
    match (place, new) {
        (Some(part), _) => part.indices.append(run),
        (None, Some(counted)) => parts.push(CircuitShare {
            circuit: circuit.clone(),
            indices: std::mem::take(run),
            counted,
        }),
        (None, None) => return false,
    }
    true
}

enum Target {
    Read(Arc<Channel>),
    /// What is written is sent even where the channel is cleared meanwhile.
    Write(ChannelGuard<'static>),
}

/// What the thread of a circuit sends of a group request.
struct QueuedShare {
    request: Arc<GroupRequest>,
    context: Arc<Context>,
    /// In reverse.
    left: Vec<(usize, Target)>,
    bytes: usize,
    counted: u64,
}

impl QueuedShare {
    fn new(
        request: &Arc<GroupRequest>,
        channels: &GroupChannels,
        indices: Vec<usize>,
        counted: u64,
    ) -> QueuedShare {
        let mut rest = QueuedShare {
            request: request.clone(),
            context: channels.context().clone(),
            left: Vec::with_capacity(indices.len()),
            // As long as the share waits, the memory of the whole request is in use.
            bytes: request.size(),
            counted,
        };
        for index in indices.into_iter().rev() {
            let channel = &channels.channels()[index];
            let target = if request.is_write() {
                channel.enter().map(|guard| Target::Write(guard.owned()))
            } else {
                Some(Target::Read(channel.clone()))
            };
            match target {
                Some(target) => rest.left.push((index, target)),
                None => request.finish(index, Status::BADCHID),
            }
        }
        rest
    }

    fn last(&self) -> Option<usize> {
        self.left.first().map(|(index, ..)| *index)
    }

    fn write(&self, pass: &ContextGuard<'_>, index: usize, inside: &ChannelGuard<'_>) {
        let channel = inside.channel();
        let status = hand(pass, &self.request, index, channel);
        if !status.is_normal() && !self.request.expects_answers() {
            let error = Error::new(status, channel.name());
            let nothing = RequestSpec::exactly(DbrType::STRING, 0);
            channel.command_failed(Command::Write(nothing, &[], None), &error);
        }
        self.request.sent(index, status);
    }
}

impl Work for QueuedShare {
    fn run(mut self: Box<Self>) {
        while !self.left.is_empty() {
            let context = self.context.clone();
            let Some(pass) = context.enter() else {
                // The context is going: the rest is told so.
                return;
            };
            for _ in 0..PASS {
                if self.request.is_withdrawn() {
                    return;
                }
                let Some((index, target)) = self.left.pop() else {
                    return;
                };
                match target {
                    Target::Read(channel) => send(&pass, &self.request, index, &channel),
                    Target::Write(inside) => self.write(&pass, index, &inside),
                }
            }
        }
    }

    // What is left is told so as it is dropped.
    fn fail(self: Box<Self>) {}

    fn withdraw(self: Box<Self>) {}

    fn waits_in(&self, pending: &Arc<PendingIo>) -> bool {
        self.request.expects_answers() && Arc::ptr_eq(self.request.pending_io(), pending)
    }

    fn counted(&self) -> u64 {
        self.counted
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn context(&self) -> Option<Arc<Context>> {
        Some(self.context.clone())
    }
}

impl Drop for QueuedShare {
    fn drop(&mut self) {
        // Not sent: the context is going, or nobody waits any more, or there was no thread to be had.
        let status = match () {
            () if !self.context.is_alive() => Status::CHANDESTROY,
            () if self.request.is_withdrawn() => Status::TIMEOUT,
            () => Status::ALLOCMEM,
        };
        for (index, ..) in std::mem::take(&mut self.left) {
            self.request.finish(index, status);
        }
    }
}
