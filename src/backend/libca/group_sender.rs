//! How a sweep gets to libca: at once, as far as libca does not block; the rest through the threads of its circuits.

use crate::backend::libca::deferred_command::DeferredCommand;
use crate::backend::libca::send_window::{Circuit, message};
use crate::ca_sys;
use crate::client::channel::{Channel, Inside};
use crate::client::context::{Context, ContextGuard};
use crate::client::group::channels::{GroupChannels, Overdue};
use crate::client::group::request::GroupRequest;
use crate::client::pending_io::PendingIo;
use crate::protocol::dbr::DbrType;
use crate::protocol::error::Error;
use crate::protocol::status::Status;
use crate::protocol::validate::RequestSpec;
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

/// What could not be sent yet: too much waits for its server already.
#[derive(Default)]
pub struct Backlog {
    parts: Vec<CircuitShare>,
    /// To channels that are [overdue](Members::overdue).
    overdue: Vec<usize>,
    answers: Option<Arc<PendingIo>>,
}

impl Backlog {
    /// What to wait for before more can be sent; `None` where there is nothing more.
    pub fn pending_io(&self) -> Option<Arc<PendingIo>> {
        let answers = self.answers.as_ref().filter(|_| !self.overdue.is_empty());
        let circuits = self.parts.iter().map(|part| part.circuit.undone());
        circuits.chain(answers).next().cloned()
    }

    fn indices(self) -> impl Iterator<Item = usize> {
        let parts = self.parts.into_iter().flat_map(|part| part.indices);
        parts.chain(self.overdue)
    }
}

/// The launch of one sweep.
struct GroupSender<'a> {
    sweep: &'a Arc<GroupRequest>,
    members: &'a GroupChannels,
    context: &'a ContextGuard<'a>,
    behind: Vec<CircuitShare>,
    crowd: Vec<CircuitShare>,
    overdue: Option<Overdue>,
    left: Vec<usize>,
    /// The present run, and its circuit.
    run: Vec<usize>,
    bytes: u64,
    circuit: Option<Arc<Circuit>>,
    /// The last channel of each circuit that was written to directly.
    written: Vec<(Arc<Circuit>, usize)>,
}

impl GroupRequest {
    /// Asks libca for everything, and flushes. It does not wait; what it leaves is for [`resume`](GroupRequest::resume).
    pub fn launch(self: &Arc<GroupRequest>) -> Backlog {
        let number = self.members().map_or(0, |members| members.channels().len());
        let crowd = self.begin(0..number);
        self.launched();
        crowd
    }

    /// As [`launch`](GroupRequest::launch), with what that left.
    pub fn resume(self: &Arc<GroupRequest>, crowd: Backlog) -> Backlog {
        self.begin(crowd.indices())
    }

    /// Nobody waits until the rest can be sent.
    pub fn give_up(&self, crowd: Backlog) {
        for index in crowd.indices() {
            self.finish(index, Status::TIMEOUT);
        }
    }

    fn begin(self: &Arc<GroupRequest>, indices: impl Iterator<Item = usize>) -> Backlog {
        let Some(members) = self.members() else {
            return Backlog::default();
        };
        let Some(context) = members.context().enter() else {
            indices.for_each(|index| self.finish(index, Status::BADCHID));
            return Backlog::default();
        };
        members.context().get_coalescer.flush();
        let mut launch = GroupSender {
            sweep: self,
            members: &members,
            context: &context,
            behind: Vec::new(),
            crowd: Vec::new(),
            overdue: members.overdue(self),
            left: Vec::new(),
            run: Vec::new(),
            bytes: 0,
            circuit: None,
            written: Vec::new(),
        };
        indices.for_each(|index| launch.add(index));
        let crowd = launch.end();
        // Where that fails the circuits are gone, and the answers say so.
        drop(members.context().flush());
        crowd
    }
}

impl GroupSender<'_> {
    fn channel(&self, index: usize) -> &Arc<Channel> {
        &self.members.channels()[index]
    }

    fn add(&mut self, index: usize) {
        let members = self.members;
        let channel = &members.channels()[index];
        let payload = match self.sweep.check(index, channel) {
            Ok(payload) => payload,
            Err(status) => return self.sweep.finish(index, status),
        };
        if self.overdue.as_ref().is_some_and(|o| o.channels[index]) {
            self.left.push(index);
            return;
        }
        if let Some(other) = channel.other_circuit(self.circuit.as_ref()) {
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
            if put_off(&mut self.crowd, &circuit, &mut self.run, None)
                || put_off(&mut self.behind, &circuit, &mut self.run, None)
            {
                return;
            }
            if circuit.backpressure().is_some() {
                put_off(&mut self.crowd, &circuit, &mut self.run, Some(0));
                return;
            }
            let (open, sent) = circuit.reserve_bytes(bytes);
            if !open {
                put_off(&mut self.behind, &circuit, &mut self.run, Some(bytes));
                return;
            }
            // Its answer confirms the run.
            self.sweep.slot(last).sent.store(sent, Ordering::Release);
            if !self.sweep.is_answered() {
                self.written
                    .retain(|(other, _)| !Arc::ptr_eq(other, &circuit));
                self.written.push((circuit, last));
            }
        }
        for index in self.run.drain(..) {
            let channel = &self.members.channels()[index];
            self.sweep.send(self.context, index, channel);
        }
    }

    fn end(mut self) -> Backlog {
        self.dispatch();
        for (circuit, index) in std::mem::take(&mut self.written) {
            if circuit.is_half_full() {
                confirm(self.channel(index));
            }
        }
        for part in std::mem::take(&mut self.behind) {
            let rest = QueuedShare::new(self.sweep, self.members, part.indices, part.counted);
            let confirmed = (!self.sweep.is_answered())
                .then(|| rest.last())
                .flatten()
                .map(|index| self.channel(index).clone());
            part.circuit.send(DeferredCommand::GroupRequest(rest));
            confirmed.inspect(confirm);
        }
        Backlog {
            parts: self.crowd,
            overdue: self.left,
            answers: self.overdue.map(|overdue| overdue.pending),
        }
    }
}

/// Writes have no answer that would tell that they have left: a read behind them has.
fn confirm(channel: &Arc<Channel>) {
    if channel.may_be_read() {
        drop(channel.get(RequestSpec::exactly(DbrType::ENUM, 1), None, None));
    }
}

/// Adds a run to the circuit's part, where there is one, or one is to be made as `new`: the circuit has counted so many bytes.
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
    Write(Inside),
}

/// What the thread of a circuit sends of a sweep.
pub(crate) struct QueuedShare {
    sweep: Arc<GroupRequest>,
    context: Arc<Context>,
    /// In reverse.
    left: Vec<(usize, Target)>,
    pub(crate) bytes: usize,
    pub(crate) counted: u64,
}

impl QueuedShare {
    fn new(
        sweep: &Arc<GroupRequest>,
        members: &GroupChannels,
        indices: Vec<usize>,
        counted: u64,
    ) -> QueuedShare {
        let mut rest = QueuedShare {
            sweep: sweep.clone(),
            context: members.context().clone(),
            left: Vec::with_capacity(indices.len()),
            // As long as it waits, all of the sweep does.
            bytes: sweep.size(),
            counted,
        };
        for index in indices.into_iter().rev() {
            let channel = &members.channels()[index];
            let target = if sweep.is_write() {
                Inside::enter(channel).map(Target::Write)
            } else {
                Some(Target::Read(channel.clone()))
            };
            match target {
                Some(target) => rest.left.push((index, target)),
                None => sweep.finish(index, Status::BADCHID),
            }
        }
        rest
    }

    fn last(&self) -> Option<usize> {
        self.left.first().map(|(index, ..)| *index)
    }

    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Who waits in `pending` waits for its answers.
    pub(crate) fn is_of(&self, pending: &Arc<PendingIo>) -> bool {
        self.sweep.is_answered() && Arc::ptr_eq(self.sweep.pending_io(), pending)
    }

    pub(crate) fn run(mut self) {
        while !self.left.is_empty() {
            let context = self.context.clone();
            let Some(pass) = context.enter() else {
                // The context is going: the rest is told so.
                return;
            };
            for _ in 0..PASS {
                if self.sweep.is_withdrawn() {
                    return;
                }
                let Some((index, target)) = self.left.pop() else {
                    return;
                };
                match target {
                    Target::Read(channel) => self.sweep.send(&pass, index, &channel),
                    Target::Write(inside) => self.write(&pass, index, &inside),
                }
            }
        }
    }

    fn write(&self, pass: &ContextGuard<'_>, index: usize, inside: &Inside) {
        let channel = inside.channel();
        let sent = inside.with_id(|id| self.sweep.hand(pass, index, channel, id));
        let status = sent.unwrap_or(Status::BADCHID);
        if !status.is_normal() && !self.sweep.is_answered() {
            let error = Error::new(status, channel.name());
            channel.report(ca_sys::CA_OP_PUT, DbrType::STRING, &error);
        }
        self.sweep.handed(index, status);
    }
}

impl Drop for QueuedShare {
    fn drop(&mut self) {
        // Not sent: the context is going, or nobody waits any more, or there was no thread to be had.
        let status = match () {
            () if !self.context.is_alive() => Status::CHANDESTROY,
            () if self.sweep.is_withdrawn() => Status::TIMEOUT,
            () => Status::ALLOCMEM,
        };
        for (index, ..) in std::mem::take(&mut self.left) {
            self.sweep.finish(index, status);
        }
    }
}
