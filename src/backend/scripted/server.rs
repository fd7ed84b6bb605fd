//! The server of a scripted context, and what a test can have it do.
//!
//! No upcall is made under the server's lock.

use super::sent::Sent;
use super::value::Pv;
use crate::backend::{BACKLOG_LIMIT, Close, Closed, Command, ConnectionInfo};
use crate::client::channel::Channel;
use crate::client::group::request::{GroupCommand, GroupRequest};
use crate::client::pending_io::{PendingGuard, PendingIo, Waiters};
use crate::client::request::Request;
use crate::client::subscription::Subscription;
use crate::protocol::dbr::DbrType;
use crate::protocol::error::{Error, Result};
use crate::protocol::status::Status;
use crate::protocol::validate::RequestSpec;
use crate::protocol::value::{Answer, ScalarUpdate};
use crate::sync::lock;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

pub struct Server {
    state: Mutex<State>,
    /// Counts the commands that have not left the process.
    undone: Arc<PendingIo>,
}

/// They count a command that has not left the process: as undone, and for whoever waits to hear of it.
type Guards = (PendingGuard, Option<PendingGuard>);

#[derive(Default)]
struct State {
    pvs: HashMap<String, Pv>,
    /// Channels that the client has not closed.
    channels: Vec<Arc<Channel>>,
    /// What the client has closed and this backend has not let go of.
    closing: Vec<Arc<Channel>>,
    /// The next commands are refused with this status.
    refusal: Option<Status>,
    /// Requests wait until the test has them answered.
    is_manual: bool,
    /// The server reads nothing.
    hangs: bool,
    /// A close takes until [`Server::release`].
    is_slow_to_close: bool,
    /// What has not left the process: the oldest first.
    waiting: Vec<(Sent, Guards)>,
    /// What the server has not answered: the oldest first.
    unanswered: Vec<Sent>,
}

impl Server {
    pub(super) fn new(waiters: &Arc<Waiters>) -> Arc<Server> {
        Arc::new(Server {
            state: Mutex::default(),
            undone: PendingIo::new(waiters),
        })
    }

    // The backend's side.

    pub(super) fn search(&self, channel: &Arc<Channel>) {
        let pv = {
            let mut state = lock(&self.state);
            state.channels.push(channel.clone());
            state.pvs.get(channel.name()).cloned()
        };
        if let Some(pv) = pv {
            self.connect(channel, &pv);
        }
    }

    pub(super) fn submit(&self, channel: &Arc<Channel>, command: Command<'_>) -> Result<()> {
        let _guard = channel.guard()?;
        if let Some(status) = lock(&self.state).refusal {
            return Err(Error::new(status, channel.name()));
        }
        match command {
            Command::Unsubscribe(subscription) => self.unsubscribe(channel, subscription),
            Command::Read(..) if !channel.may_be_read() => {
                return Err(Error::new(Status::NORDACCESS, channel.name()));
            }
            Command::Write(..) | Command::WriteNotify(..) if !channel.may_be_written() => {
                return Err(Error::new(Status::NOWTACCESS, channel.name()));
            }
            Command::Read(request, _) if request.spec().count > channel.element_count() => {
                return Err(Error::new(Status::BADCOUNT, channel.name()));
            }
            _ => {
                if let Some(sent) = Sent::of(channel, command) {
                    self.take(sent);
                }
            }
        }
        Ok(())
    }

    /// Takes a command in: it waits where the server hangs, and is carried out where it does not.
    pub(super) fn take(&self, sent: Sent) {
        let mut state = lock(&self.state);
        if state.hangs {
            let guards = (self.undone.begin(), sent.guard());
            state.waiting.push((sent, guards));
        } else if state.is_manual && !matches!(sent, Sent::Write(..) | Sent::Subscribe(..)) {
            state.unanswered.push(sent);
        } else {
            drop(state);
            self.carry_out(&sent);
        }
    }

    fn unsubscribe(&self, channel: &Arc<Channel>, subscription: &Arc<Subscription>) {
        let is_it =
            |sent: &Sent| matches!(sent, Sent::Subscribe(_, s) if Arc::ptr_eq(s, subscription));
        let forgotten: Vec<_> = {
            let mut state = lock(&self.state);
            state
                .waiting
                .extract_if(.., |(sent, _)| is_it(sent))
                .collect()
        };
        drop(forgotten);
        channel.forget_subscription(subscription);
    }

    pub(super) fn backlog(&self) -> Option<Arc<PendingIo>> {
        let state = lock(&self.state);
        let bytes: usize = state.waiting.iter().map(|(sent, _)| sent.size()).sum();
        (bytes > BACKLOG_LIMIT).then(|| self.undone.clone())
    }

    pub(super) fn withdraw(&self, pending: &[Arc<PendingIo>]) {
        let withdrawn: Vec<_> = {
            let mut state = lock(&self.state);
            let is_theirs = |sent: &Sent| pending.iter().any(|pending| sent.waits_in(pending));
            state
                .waiting
                .extract_if(.., |(sent, _)| is_theirs(sent))
                .collect()
        };
        for (sent, _) in &withdrawn {
            match sent {
                Sent::Write(channel, .., Some(own)) => own.fail(Status::TIMEOUT, channel.name()),
                Sent::Write(..) => {}
                _ => sent.fail(Status::TIMEOUT),
            }
        }
    }

    pub(super) fn forget_waiting(&self) {
        let forgotten = std::mem::take(&mut lock(&self.state).waiting);
        drop(forgotten);
    }

    pub(super) fn close(&self, channel: &Arc<Channel>, how: Close) -> Closed {
        let mut state = lock(&self.state);
        let is_stuck = state.hangs && !state.waiting.is_empty();
        if state.is_slow_to_close || is_stuck || how == Close::Background {
            state.channels.retain(|other| !Arc::ptr_eq(other, channel));
            state.closing.push(channel.clone());
            return Closed::Later;
        }
        drop(state);
        self.forget(channel);
        Closed::Done
    }

    /// Lets go of all that is of the channel. The client completes what is not answered.
    pub(super) fn forget(&self, channel: &Arc<Channel>) {
        let mut state = lock(&self.state);
        let waiting = state
            .waiting
            .extract_if(.., |(sent, _)| sent.is_of(channel));
        let waiting: Vec<_> = waiting.collect();
        let unanswered = state.unanswered.extract_if(.., |sent| sent.is_of(channel));
        let unanswered: Vec<_> = unanswered.collect();
        state.channels.retain(|other| !Arc::ptr_eq(other, channel));
        state.closing.retain(|other| !Arc::ptr_eq(other, channel));
        drop(state);
        drop((waiting, unanswered));
    }

    /// Does what the server has read.
    fn carry_out(&self, sent: &Sent) {
        let channel = sent.channel();
        let name = channel.name();
        if matches!(sent, Sent::Subscribe(..)) && channel.native_type().is_none() {
            // It is subscribed to with the connection.
            return;
        }
        let Some(pv) = lock(&self.state).pvs.get(name).cloned() else {
            return sent.fail(Status::DISCONN);
        };
        match sent {
            Sent::Read(request) => complete(request, pv.answer(request.spec())),
            Sent::Write(_, spec, data, _) => self.write(name, *spec, data),
            Sent::WriteNotify(request, data) => {
                self.write(name, request.spec(), data);
                complete(request, Answer::failed(Status::NORMAL));
            }
            Sent::Subscribe(_, subscription) => self.update(subscription, &pv),
            Sent::Group(_, request, index) => self.carry_out_group(request, *index, &pv),
        }
    }

    fn carry_out_group(&self, request: &Arc<GroupRequest>, index: usize, pv: &Pv) {
        let Some(group) = request.group() else {
            return;
        };
        let channel = &group.channels()[index];
        match request.command(index, channel) {
            Ok(GroupCommand::Read(spec)) => pv.lend(spec, |received| {
                drop(request.answered(request.reply(index), received));
            }),
            Ok(GroupCommand::Write(spec, data)) => {
                self.write(channel.name(), spec, data);
                request.sent(index, Status::NORMAL);
            }
            Ok(GroupCommand::WriteNotify(spec, data)) => {
                self.write(channel.name(), spec, data);
                request.finish(index, Status::NORMAL);
            }
            Err(status) => request.finish(index, status),
        }
    }

    fn write(&self, name: &str, spec: RequestSpec, data: &[u8]) {
        let mut state = lock(&self.state);
        let Some(pv) = state.pvs.get_mut(name) else {
            return;
        };
        pv.write(spec, data);
        let pv = pv.clone();
        let channels = state
            .channels
            .iter()
            .filter(|channel| channel.name() == name);
        let channels: Vec<Arc<Channel>> = channels.cloned().collect();
        drop(state);
        for subscription in channels
            .iter()
            .flat_map(|channel| channel.all_subscriptions())
        {
            self.update(&subscription, &pv);
        }
    }

    // The test's side.

    /// The PV is there from now on, and the channels that search for it are connected.
    pub fn serve(&self, name: &str, pv: Pv) {
        let channels: Vec<Arc<Channel>> = {
            let mut state = lock(&self.state);
            state.pvs.insert(name.to_owned(), pv.clone());
            let named = state
                .channels
                .iter()
                .filter(|channel| channel.name() == name);
            named.cloned().collect()
        };
        channels
            .iter()
            .for_each(|channel| self.connect(channel, &pv));
    }

    /// Tells a channel that it is connected; again, where it is.
    pub fn connect(&self, channel: &Arc<Channel>, pv: &Pv) {
        channel.connected(ConnectionInfo {
            native_type: DbrType::plain(pv.native).number(),
            element_count: pv.values.len(),
            may_be_read: true,
            may_be_written: true,
        });
        for subscription in channel.all_subscriptions() {
            let Some(spec) = subscription.spec_for(Some(pv.native), pv.values.len()) else {
                continue;
            };
            subscription.set_active_spec(spec);
            self.update(&subscription, pv);
        }
    }

    /// The server is gone, and all channels lose it.
    pub fn stop(&self) {
        let (channels, lost) = {
            let mut state = lock(&self.state);
            state.pvs.clear();
            state.hangs = false;
            let mut lost: Vec<Sent> = std::mem::take(&mut state.unanswered);
            lost.extend(state.waiting.drain(..).map(|(sent, _)| sent));
            (state.channels.clone(), lost)
        };
        for sent in lost {
            // A subscription comes back with its channel.
            if !matches!(sent, Sent::Subscribe(..)) {
                sent.fail(Status::DISCONN);
            }
        }
        for channel in channels.iter().filter(|c| c.native_type().is_some()) {
            channel.disconnected();
            channel.access_changed(false, false);
        }
    }

    /// The server stops reading; commands stay in the process.
    pub fn hang(&self) {
        lock(&self.state).hangs = true;
    }

    /// The server reads on.
    pub fn go_on(&self) {
        let waiting = {
            let mut state = lock(&self.state);
            state.hangs = false;
            std::mem::take(&mut state.waiting)
        };
        for (sent, _guard) in waiting {
            self.take(sent);
        }
        if !lock(&self.state).is_slow_to_close {
            self.release();
        }
    }

    /// The next commands are refused, or accepted again.
    pub fn refuse(&self, status: Option<Status>) {
        lock(&self.state).refusal = status;
    }

    /// Requests stay unanswered until [`answer`](Server::answer).
    pub fn answer_by_hand(&self) {
        lock(&self.state).is_manual = true;
    }

    /// Requests that wait for [`answer`](Server::answer): the oldest first.
    pub fn unanswered(&self) -> usize {
        lock(&self.state).unanswered.len()
    }

    /// Answers one request of those that wait.
    pub fn answer(&self, place: usize) {
        let sent = lock(&self.state).unanswered.remove(place);
        self.carry_out(&sent);
    }

    /// A command that was accepted turns out not to be sendable.
    pub fn fail(&self, place: usize, status: Status) {
        let sent = lock(&self.state).unanswered.remove(place);
        sent.fail(status);
    }

    /// Brings an update, from the calling thread.
    pub fn update(&self, subscription: &Arc<Subscription>, pv: &Pv) {
        if let Some(recorded) = subscription.recorded() {
            return recorded.record(ScalarUpdate {
                value: pv.values[0],
                stamp: (1, 0),
                severity: 0,
                status: 0,
            });
        }
        if let Some(channel) = subscription.channel() {
            let answer = pv.answer(subscription.active_spec());
            subscription.brought(&channel, answer);
        }
    }

    /// A close takes until [`release`](Server::release).
    pub fn close_slowly(&self) {
        lock(&self.state).is_slow_to_close = true;
    }

    /// Lets go of the channels whose close takes long.
    pub fn release(&self) {
        let closing = std::mem::take(&mut lock(&self.state).closing);
        for channel in closing {
            self.forget(&channel);
            channel.released();
        }
    }
}

/// Upcall: the answer to a request, which is taken in once.
fn complete(request: &Arc<Request>, answer: Answer) {
    if let Some(request) = request.channel.finish(request) {
        request.complete(answer);
    }
}
