//! One request to each channel of a group, sent and waited for together.
//!
//! For thousands of channels, an object for each request would cost more than the backend does. Here one object has a
//! `GroupReply` for each channel: the backend gets a pointer to the reply, and the answer is written into it. A request whose
//! wait has timed out stays until the backend has no pointer into it, and the next request has replies of its own: a late
//! answer is not taken for a new one.

use crate::backend::Backlog;
use crate::client::channel::Channel;
use crate::client::group::channels::GroupChannels;
use crate::client::group::items::Items;
use crate::client::group::reply::{Change, GroupReply, Reading};
use crate::client::pending_io::{PendingGuard, PendingIo};
use crate::protocol::dbr::{Base, DbrType};
use crate::protocol::status::Status;
use crate::protocol::validate::RequestSpec;
use crate::protocol::value::{Dbr, Received};
use crate::sync::lock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

/// What is read of each channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadAs {
    /// The value as a double.
    Value,
    /// The value with its alarm and its time.
    Time,
    /// The value as text.
    Text,
}

impl ReadAs {
    /// The request that is sent to a channel.
    fn spec(self, native: Base, held: usize) -> Result<RequestSpec, Status> {
        let dbr_type = match (self, native) {
            (ReadAs::Text, Base::Char) if held > 1 => DbrType::STRING,
            _ if held != 1 => return Err(Status::BADCOUNT),
            (ReadAs::Text, _) => DbrType::STRING,
            (_, Base::String) => return Err(Status::NOCONVERT),
            (ReadAs::Value, _) => DbrType::DOUBLE,
            (ReadAs::Time, _) => DbrType::TIME_DOUBLE,
        };
        Ok(RequestSpec::of_text(dbr_type, native, None, held))
    }
}

pub enum Job {
    Read(ReadAs),
    /// Writes without notification: there is no answer.
    Write(Items),
    /// Writes with notification: answered when the processing that the write started has ended.
    WriteNotify(Items),
}

impl Job {
    fn items(&self) -> Option<&Items> {
        match self {
            Job::Read(_) => None,
            Job::Write(items) | Job::WriteNotify(items) => Some(items),
        }
    }
}

/// What is sent to one channel of a group; a reply for a read or a write with notification comes to the channel's
/// [`GroupReply`].
pub(crate) enum GroupCommand<'a> {
    Read(RequestSpec),
    Write(RequestSpec, &'a [u8]),
    WriteNotify(RequestSpec, &'a [u8]),
}

pub struct GroupRequest {
    group: Weak<GroupChannels>,
    job: Job,
    replies: Vec<GroupReply>,
    texts: Vec<OnceLock<Arc<Dbr>>>,
    /// Replies that have not come, and one until the request is started.
    waiting: AtomicUsize,
    /// Replies that the backend may have a pointer to, and one until the request is started.
    at_backend: AtomicUsize,
    guard: Mutex<Option<PendingGuard>>,
    pending: Arc<PendingIo>,
    withdrawn: AtomicBool,
}

impl GroupRequest {
    pub(crate) fn new(
        group: &Arc<GroupChannels>,
        job: Job,
        spare: Option<Arc<GroupRequest>>,
    ) -> Arc<GroupRequest> {
        let pending = group.context().pending_io();
        let guard = Some(pending.begin());
        let number = group.channels().len();
        let (mut replies, mut texts) = (Vec::new(), Vec::new());
        if let Some(old) = spare.and_then(|old| Arc::try_unwrap(old).ok()) {
            replies = old.replies;
            replies.iter_mut().for_each(GroupReply::reset);
        } else {
            replies.extend((0..number as u32).map(GroupReply::new));
        }
        if matches!(job, Job::Read(ReadAs::Text)) {
            texts.resize_with(number, OnceLock::new);
        }
        let request = Arc::new(GroupRequest {
            group: Arc::downgrade(group),
            job,
            replies,
            texts,
            waiting: AtomicUsize::new(number + 1),
            at_backend: AtomicUsize::new(number + 1),
            guard: Mutex::new(guard),
            pending,
            withdrawn: AtomicBool::new(false),
        });
        let home = Arc::as_ptr(&request).cast_mut().cast();
        for reply in &request.replies {
            reply.request.store(home, Ordering::Relaxed);
            reply.set_requested();
        }
        request
    }

    /// The request that a reply is part of; `None` for one that never was in a request.
    ///
    /// # Safety
    /// The request is alive for as long as the reference is used: the group keeps it while the backend has a pointer to the reply.
    pub(crate) unsafe fn of(reply: &GroupReply) -> Option<&GroupRequest> {
        let home: *mut GroupRequest = reply.request.load(Ordering::Relaxed).cast();
        // SAFETY: the pointer was made from an `Arc` of the request; the caller's promise.
        unsafe { home.as_ref() }
    }

    pub fn pending_io(&self) -> &Arc<PendingIo> {
        &self.pending
    }

    pub(crate) fn group(&self) -> Option<Arc<GroupChannels>> {
        self.group.upgrade()
    }

    pub(crate) fn reply(&self, index: usize) -> &GroupReply {
        &self.replies[index]
    }

    /// Nobody waits for the answers any more: what has not left the process is not sent.
    pub fn withdraw(&self) {
        self.withdrawn.store(true, Ordering::Release);
        if let Some(group) = self.group() {
            group
                .context()
                .withdraw(std::slice::from_ref(&self.pending));
        }
    }

    pub(crate) fn is_withdrawn(&self) -> bool {
        self.withdrawn.load(Ordering::Acquire)
    }

    /// The bytes that the request takes, without those of texts that have come.
    pub(crate) fn size(&self) -> usize {
        let items = self.job.items().map_or(0, |items| items.size());
        size_of_val(self.replies.as_slice()) + size_of_val(self.texts.as_slice()) + items
    }

    /// The channels that have not answered.
    pub(crate) fn unanswered(&self) -> impl Iterator<Item = usize> {
        let unanswered = |(index, reply): (usize, &GroupReply)| reply.is_awaited().then_some(index);
        self.replies.iter().enumerate().filter_map(unanswered)
    }

    /// All channels were sent the request, or put into the backlog.
    pub(crate) fn started(&self) {
        drop(self.count(Change {
            answered: true,
            returned: true,
        }));
    }

    /// Counts a change of a reply. The result keeps `self` alive if this was the last change.
    fn count(&self, change: Change) -> Option<Arc<GroupRequest>> {
        let mut last = None;
        let mut guard = None;
        if change.answered && self.waiting.fetch_sub(1, Ordering::AcqRel) == 1 {
            guard = lock(&self.guard).take();
        }
        if change.returned && self.at_backend.fetch_sub(1, Ordering::AcqRel) == 1 {
            // Before the waiter is woken, so that the memory can be used again as soon as the waiter is done with it.
            let group = self.group();
            last = group.and_then(|group| group.finished(self));
        }
        drop(guard);
        last
    }

    /// Finishes a reply that the backend will not answer: it refused the request, or no longer has a pointer to the reply.
    pub(crate) fn finish(&self, index: usize, status: Status) {
        drop(self.count(self.replies[index].answer(status, None)));
    }

    /// Nobody waits for a reply any more; the backend may still answer.
    pub(crate) fn stop_waiting(&self, index: usize) {
        drop(self.count(self.replies[index].stop_waiting()));
    }

    /// Upcall: the answer to one channel's part. The result keeps `self` alive if this was the last answer.
    pub(crate) fn answered(
        &self,
        reply: &GroupReply,
        received: &Received<'_>,
    ) -> Option<Arc<GroupRequest>> {
        let mut status = received.status();
        let index = reply.index as usize;
        let mut view = None;
        if let (true, Job::Read(read_as)) = (status.is_normal(), &self.job) {
            let read = match read_as {
                ReadAs::Text => self.text(index, received).map(|()| None),
                ReadAs::Value => received.scalar(DbrType::DOUBLE).map(Some),
                ReadAs::Time => received.scalar(DbrType::TIME_DOUBLE).map(Some),
            };
            match read {
                Ok(read) => view = read,
                Err(failed) => status = failed,
            }
        }
        self.count(reply.answer(status, view))
    }

    /// Stores a text, if the answer is what was asked for.
    fn text(&self, index: usize, received: &Received<'_>) -> Result<(), Status> {
        let group = self.group().ok_or(Status::CHANDESTROY)?;
        let channel = &group.channels()[index];
        let native = channel.native_type().ok_or(Status::DISCONN)?;
        let spec = ReadAs::Text.spec(native, channel.element_count())?;
        let dbr = received.copy(spec, || channel.element_count(), None)?;
        // A reply is written once.
        drop(self.texts[index].set(dbr));
        Ok(())
    }

    /// Whether a request can be sent to the channel at all, and how many bytes of values it sends.
    pub(crate) fn check(&self, index: usize, channel: &Channel) -> Result<usize, Status> {
        if channel.is_closed() {
            return Err(Status::BADCHID);
        }
        let Some(native) = channel.native_type() else {
            return Err(Status::DISCONN);
        };
        match &self.job {
            Job::Read(read_as) => {
                read_as.spec(native, channel.element_count())?;
                let may = channel.may_be_read();
                may.then_some(0).ok_or(Status::NORDACCESS)
            }
            Job::Write(items) | Job::WriteNotify(items) => {
                let may = channel.may_be_written();
                let (item, _) = items.get(index).ok_or(Status::DISCONN)?;
                may.then_some(item.size).ok_or(Status::NOWTACCESS)
            }
        }
    }

    pub(crate) fn is_write(&self) -> bool {
        self.job.items().is_some()
    }

    /// `false` for a write without notification: it is finished when the backend has it.
    pub fn expects_answers(&self) -> bool {
        !matches!(self.job, Job::Write(_))
    }

    /// Sends the request to all channels, except those whose server does not read. It does not wait;
    /// [`resume`](GroupRequest::resume) sends what is left.
    pub fn start(self: &Arc<GroupRequest>) -> Backlog {
        let Some(group) = self.group() else {
            return Backlog::default();
        };
        let indices = (0..group.channels().len()).collect();
        let backlog = self.submit(&group, indices);
        self.started();
        backlog
    }

    /// As [`start`](GroupRequest::start), for the channels that an earlier call has left.
    pub fn resume(self: &Arc<GroupRequest>, backlog: Backlog) -> Backlog {
        let Some(group) = self.group() else {
            return Backlog::default();
        };
        self.submit(&group, backlog.indices)
    }

    fn submit(self: &Arc<GroupRequest>, group: &GroupChannels, indices: Vec<usize>) -> Backlog {
        let context = group.context();
        let Some(guard) = context.enter() else {
            for index in indices {
                self.finish(index, Status::BADCHID);
            }
            return Backlog::default();
        };
        let overdue = group.overdue(self);
        let (left, indices) = indices.into_iter().partition::<Vec<usize>, _>(|index| {
            let is_overdue = overdue.as_ref().is_some_and(|o| o.channels[*index]);
            is_overdue && self.check(*index, &group.channels()[*index]).is_ok()
        });
        let mut backlog = context.io().submit_group(&guard, self, group, indices);
        // If the flush fails, the circuits are gone, and the replies say so.
        drop(context.flush());
        if !left.is_empty() && backlog.wait_for.is_none() {
            backlog.wait_for = overdue.map(|overdue| overdue.pending);
        }
        backlog.indices.extend(left);
        backlog
    }

    /// Nobody waits any more until the backlog can be sent.
    pub fn give_up(&self, backlog: Backlog) {
        for index in backlog.indices {
            self.finish(index, Status::TIMEOUT);
        }
    }

    /// The command for one channel.
    pub(crate) fn command(
        &self,
        index: usize,
        channel: &Channel,
    ) -> Result<GroupCommand<'_>, Status> {
        if let Job::Read(read_as) = &self.job {
            let native = channel.native_type().ok_or(Status::DISCONN)?;
            let spec = read_as.spec(native, channel.element_count())?;
            return Ok(GroupCommand::Read(spec));
        }
        let item = self.job.items().and_then(|items| items.get(index));
        let (item, bytes) = item.ok_or(Status::DISCONN)?;
        let spec = RequestSpec::exactly(item.dbr_type, item.count);
        Ok(if self.expects_answers() {
            GroupCommand::WriteNotify(spec, bytes)
        } else {
            GroupCommand::Write(spec, bytes)
        })
    }

    /// Upcall: one channel's part was sent, or could not be sent.
    pub(crate) fn sent(&self, index: usize, status: Status) {
        if !status.is_normal() || !self.expects_answers() {
            self.finish(index, status);
        }
    }

    /// The status of each channel; ECA_TIMEOUT if there is no answer yet. (A write without notification that waits in a queue
    /// counts as successful: no answer follows.)
    pub fn statuses(&self) -> Vec<i32> {
        let nothing = if self.expects_answers() {
            Status::TIMEOUT
        } else {
            Status::NORMAL
        };
        let outcomes = self.replies.iter().map(GroupReply::outcome);
        outcomes
            .map(|outcome| outcome.unwrap_or(nothing).0)
            .collect()
    }

    /// The status and the reading of each channel. Both come from one look at the reply, because late answers may come between
    /// two.
    pub fn readings(&self) -> impl Iterator<Item = (Status, Option<Reading>)> {
        self.replies.iter().map(|reply| {
            let reading = reply.reading();
            let status = match reading {
                Some(_) => Status::NORMAL,
                None => reply
                    .outcome()
                    .filter(|status| !status.is_normal())
                    .unwrap_or(Status::TIMEOUT),
            };
            (status, reading)
        })
    }

    /// The status and the text of each channel.
    pub fn texts(&self) -> impl Iterator<Item = (Status, Option<&Dbr>)> {
        self.replies.iter().zip(&self.texts).map(|(reply, text)| {
            match reply.outcome().unwrap_or(Status::TIMEOUT) {
                Status::NORMAL => (Status::NORMAL, text.get().map(|text| &**text)),
                status => (status, None),
            }
        })
    }
}

#[cfg(test)]
mod tests;
