//! A monitor, and the updates of it that nobody has looked at yet.

use super::channel::Channel;
use super::circuit::Errand;
use super::dbr::DbrType;
use super::error::{Error, Result};
use super::event::{Answer, Handler};
use super::lock;
use super::status::Status;
use super::track::Track;
use crate::ca_sys;
use std::collections::VecDeque;
use std::ffi::{c_long, c_ulong};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

/// How much of one subscription may wait to be delivered.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub updates: usize,
    /// Memory of values that are not kept in the events themselves; the newest is kept whatever its size.
    pub bytes: usize,
}

pub const LIMITS: Limits = Limits {
    updates: 32_768,
    bytes: 96 * 1024 * 1024,
};

/// What is asked of libca, beside the type.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    pub count: c_ulong,
    pub mask: c_long,
}

/// A queue that was once longer than this gives its memory back when it is empty again.
const SHRINK: usize = 1_024;

/// libca holds a pointer to it until it, or its channel, is cleared: so long the channel keeps it alive.
pub struct Subscription {
    channel: Weak<Channel>,
    pub dbr_type: DbrType,
    /// Elements that were asked for; 0 for as many as there are.
    pub count: usize,
    pub handler: Handler,
    /// Where its updates go instead of the queue.
    pub(super) track: Option<Arc<Track>>,
    limits: Limits,
    closed: AtomicBool,
    raw: Mutex<RawEvid>,
    pending: Mutex<Pending>,
}

struct RawEvid(ca_sys::evid);

// SAFETY: libca's event ids may be used from any thread.
unsafe impl Send for RawEvid {}

#[derive(Default)]
struct Pending {
    updates: VecDeque<Answer>,
    /// Index of the first update in `updates`, counted from the subscription's beginning.
    first: u64,
    bytes: usize,
    dropped: u64,
}

impl Subscription {
    pub fn new(
        channel: Weak<Channel>,
        dbr_type: DbrType,
        count: usize,
        handler: Handler,
        limits: Limits,
    ) -> Subscription {
        Subscription {
            channel,
            dbr_type,
            count,
            handler,
            track: None,
            limits,
            closed: AtomicBool::new(false),
            raw: Mutex::new(RawEvid(std::ptr::null_mut())),
            pending: Mutex::default(),
        }
    }

    /// One whose updates are recorded.
    pub(super) fn recording(channel: Weak<Channel>, track: &Arc<Track>) -> Subscription {
        Subscription {
            track: Some(track.clone()),
            ..Subscription::new(channel, DbrType::TIME_DOUBLE, 1, track.clone(), LIMITS)
        }
    }

    /// libca knows of it now; `false` where it was closed meanwhile, and nobody has told libca.
    pub(super) fn set_raw(&self, evid: ca_sys::evid) -> bool {
        let mut raw = lock(&self.raw);
        raw.0 = evid;
        !self.is_closed()
    }

    pub fn channel(&self) -> Option<Arc<Channel>> {
        self.channel.upgrade()
    }

    /// Cleared, or its channel is: nothing of it is delivered any more.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    pub(super) fn mark_closed(&self) -> bool {
        let was_open = !self.closed.swap(true, Ordering::SeqCst);
        let forgotten = {
            let mut pending = lock(&self.pending);
            pending.first += pending.updates.len() as u64;
            pending.bytes = 0;
            std::mem::take(&mut pending.updates)
        };
        drop(forgotten);
        was_open
    }

    /// Updates dropped so far because the callback did not keep up.
    pub fn dropped(&self) -> u64 {
        lock(&self.pending).dropped
    }

    /// Cancels the subscription (ca_clear_subscription). No update of it is delivered after this returns.
    pub fn clear(self: &Arc<Subscription>) -> Result<()> {
        // In a child after fork the locks are not ours to take.
        let alive = |channel: &Arc<Channel>| channel.context().is_alive();
        let Some(channel) = self.channel().filter(alive) else {
            return Err(Status::BADMONID.into());
        };
        if !self.mark_closed() {
            return Err(Status::BADMONID.into());
        }
        match channel.circuit().filter(|circuit| !circuit.is_open()) {
            None => self.cancel(),
            Some(circuit) => {
                circuit.send(Errand::Cancel(self.clone()));
                Ok(())
            }
        }
    }

    /// Has libca forget it.
    pub(super) fn cancel(self: &Arc<Subscription>) -> Result<()> {
        let Some(channel) = self.channel() else {
            return Err(Status::BADMONID.into());
        };
        let Some(pass) = channel.enter() else {
            return Err(Error::new(Status::BADMONID, channel.name()));
        };
        let evid = std::mem::replace(&mut lock(&self.raw).0, std::ptr::null_mut());
        if !evid.is_null() {
            // SAFETY: `raw` gave the id to us alone, and with the channel's pass it has not gone with the channel.
            let status = Status(unsafe { pass.api().ca_clear_subscription(evid) });
            if !status.is_normal() {
                return Err(Error::new(status, channel.name()));
            }
        }
        // libca calls back no more: its pointer may go.
        channel.forget_subscription(self);
        Ok(())
    }

    /// Keeps an update until it is delivered; returns its index and how many older ones it pushed out.
    pub(super) fn keep(&self, answer: Answer) -> (u64, usize) {
        let mut pending = lock(&self.pending);
        pending.bytes += heap_len(&answer);
        pending.updates.push_back(answer);
        let mut pushed_out = 0;
        while pending.updates.len() > self.limits.updates
            || (pending.bytes > self.limits.bytes && pending.updates.len() > 1)
        {
            pending.drop_first();
            pending.dropped += 1;
            pushed_out += 1;
        }
        let index = pending.first + pending.updates.len() as u64 - 1;
        (index, pushed_out)
    }

    /// The update with this index, unless it was dropped.
    pub(super) fn take(&self, index: u64) -> Option<Answer> {
        let mut pending = lock(&self.pending);
        if index < pending.first {
            return None;
        }
        let answer = pending.drop_first();
        if pending.updates.is_empty() && pending.updates.capacity() > SHRINK {
            pending.updates.shrink_to_fit();
        }
        answer
    }

    pub(super) fn is_stale(&self, index: u64) -> bool {
        index < lock(&self.pending).first
    }
}

impl Pending {
    fn drop_first(&mut self) -> Option<Answer> {
        let answer = self.updates.pop_front()?;
        self.first += 1;
        self.bytes -= heap_len(&answer);
        Some(answer)
    }
}

fn heap_len(answer: &Answer) -> usize {
    answer.dbr.as_ref().map_or(0, |dbr| dbr.heap_len())
}
