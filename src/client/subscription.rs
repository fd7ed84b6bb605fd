//! A monitor, and the updates of it that nobody has looked at yet.

use crate::backend::libca::deferred_command::DeferredCommand;
use crate::ca_sys;
use crate::client::channel::{Channel, ChannelPass};
use crate::client::event::{Answer, UserData};
use crate::client::recorder::recorded_pv::RecordedPv;
use crate::protocol::dbr::{Base, DbrClass, DbrType};
use crate::protocol::error::{Error, Result};
use crate::protocol::status::Status;
use crate::protocol::validate::RequestSpec;
use crate::sync::lock;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

/// How much of one subscription may wait to be delivered.
#[derive(Clone, Copy, Debug)]
pub struct QueueLimits {
    pub updates: usize,
    /// Memory of values that are not kept in the events themselves; the newest is kept whatever its size.
    pub bytes: usize,
}

pub const LIMITS: QueueLimits = QueueLimits {
    updates: 32_768,
    bytes: 96 * 1024 * 1024,
};

/// The type that a subscription is to bring.
#[derive(Clone, Copy, Debug)]
pub enum WantedType {
    Fixed(DbrType),
    /// The PV's own, in this form; also after it has come back with another.
    Native(DbrClass),
    /// This; but where an array of CHAR is asked for as STRING, the text in it.
    Text(DbrType),
}

/// How many elements a subscription is to bring.
#[derive(Clone, Copy, Debug)]
pub enum WantedCount {
    /// At most so many; 0 means as many as there are at each update.
    Fixed(usize),
    /// As many as the PV can hold; also after it has come back with more or fewer.
    Native,
}

/// What was asked for: a type, a number of elements, and of which changes.
#[derive(Clone, Copy, Debug)]
pub struct SubscriptionSpec {
    pub dbr_type: WantedType,
    pub count: WantedCount,
    pub mask: u32,
}

impl SubscriptionSpec {
    /// What libca is to be asked for, while the PV is this. `None`: it has to be connected first.
    fn active_spec(&self, native: Option<Base>, held: usize) -> Option<RequestSpec> {
        let count = match self.count {
            WantedCount::Fixed(count) => Some(count),
            WantedCount::Native => None,
        };
        let asked = match (self.dbr_type, native) {
            (WantedType::Text(dbr_type), Some(native)) => {
                RequestSpec::of_text(dbr_type, native, count, held)
            }
            (WantedType::Fixed(dbr_type) | WantedType::Text(dbr_type), _) => {
                RequestSpec::of(dbr_type, count, held)
            }
            (WantedType::Native(form), Some(native)) => {
                RequestSpec::of(DbrType::in_form(form, native), count, held)
            }
            (WantedType::Native(_), None) => return None,
        };
        Some(asked.for_updates())
    }
}

/// Its updates are wanted.
const OPEN: u8 = 0;
/// libca brings them for what the PV was before; it is about to be asked anew.
const STALE: u8 = 1;
/// Cleared, or its channel is.
const CLOSED: u8 = 2;

/// A queue that was once longer than this gives its memory back when it is empty again.
const SHRINK: usize = 1_024;

/// libca holds a pointer to it until it, or its channel, is cleared: so long the channel keeps it alive.
pub struct Subscription {
    channel: Weak<Channel>,
    wish: SubscriptionSpec,
    spec: Mutex<RequestSpec>,
    pub handler: UserData,
    /// Where its updates go instead of the queue.
    pub(crate) track: Option<Arc<RecordedPv>>,
    limits: QueueLimits,
    state: AtomicU8,
    starting: Mutex<()>,
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
    /// For a PV that is `native` with so many elements, or not connected. `None` where it has to be.
    pub fn new(
        channel: Weak<Channel>,
        wish: SubscriptionSpec,
        native: Option<Base>,
        held: usize,
        handler: UserData,
        limits: QueueLimits,
    ) -> Option<Subscription> {
        Some(Subscription {
            channel,
            wish,
            spec: Mutex::new(wish.active_spec(native, held)?),
            handler,
            track: None,
            limits,
            state: AtomicU8::new(OPEN),
            starting: Mutex::default(),
            raw: Mutex::new(RawEvid(std::ptr::null_mut())),
            pending: Mutex::default(),
        })
    }

    /// One whose updates are recorded.
    pub(crate) fn recording(
        channel: Weak<Channel>,
        track: &Arc<RecordedPv>,
        mask: u32,
    ) -> Option<Subscription> {
        let wish = SubscriptionSpec {
            dbr_type: WantedType::Fixed(DbrType::TIME_DOUBLE),
            count: WantedCount::Fixed(1),
            mask,
        };
        let handler = track.clone();
        let plain = Subscription::new(channel, wish, None, 0, handler, LIMITS)?;
        Some(Subscription {
            track: Some(track.clone()),
            ..plain
        })
    }

    /// What libca is asked for now.
    pub(crate) fn active_spec(&self) -> RequestSpec {
        *lock(&self.spec)
    }

    pub(crate) fn mask(&self) -> u32 {
        self.wish.mask
    }

    /// The type that its updates are asked for in.
    pub fn dbr_type(&self) -> DbrType {
        self.active_spec().named_type()
    }

    /// The PV has connected, as this. `true` where libca has to be asked anew; until then, what comes is not taken.
    pub(crate) fn look(&self, native: Option<Base>, held: usize) -> bool {
        let now = self.wish.active_spec(native, held);
        let differs = now.is_none_or(|now| !self.active_spec().serves(&now));
        if native.is_none() || !differs {
            return self.state.load(Ordering::SeqCst) == STALE;
        }
        let set = self
            .state
            .compare_exchange(OPEN, STALE, Ordering::SeqCst, Ordering::SeqCst);
        set != Err(CLOSED)
    }

    /// libca brings nothing now: it may be asked for what the PV is. `false` where that is not to be.
    pub(crate) fn renew(&self, native: Option<Base>, held: usize) -> bool {
        let Some(spec) = native.and_then(|native| self.wish.active_spec(Some(native), held)) else {
            return false;
        };
        *lock(&self.spec) = spec;
        let set = self
            .state
            .compare_exchange(STALE, OPEN, Ordering::SeqCst, Ordering::SeqCst);
        set != Err(CLOSED)
    }

    pub(crate) fn is_stale(&self) -> bool {
        self.state.load(Ordering::SeqCst) == STALE
    }

    /// What comes is to be delivered.
    pub(crate) fn is_open(&self) -> bool {
        self.state.load(Ordering::SeqCst) == OPEN
    }

    /// While this is held, nobody else has libca start it. Whoever subscribes and a circuit's thread, or those of two circuits,
    /// may both be about to: what was started twice could be ended only once, and libca would keep a pointer to nothing.
    /// libca's threads never take it.
    pub(crate) fn alone(&self) -> MutexGuard<'_, ()> {
        lock(&self.starting)
    }

    /// libca has it.
    pub(crate) fn is_started(&self) -> bool {
        !lock(&self.raw).0.is_null()
    }

    /// libca knows of it now; `false` where it was closed meanwhile, and nobody has told libca.
    pub(crate) fn set_raw(&self, evid: ca_sys::evid) -> bool {
        let mut raw = lock(&self.raw);
        raw.0 = evid;
        !self.is_closed()
    }

    pub fn channel(&self) -> Option<Arc<Channel>> {
        self.channel.upgrade()
    }

    /// Cleared, or its channel is: nothing of it is delivered any more.
    pub fn is_closed(&self) -> bool {
        self.state.load(Ordering::SeqCst) == CLOSED
    }

    pub(crate) fn mark_closed(&self) -> bool {
        let was_open = self.state.swap(CLOSED, Ordering::SeqCst) != CLOSED;
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
                circuit.send(DeferredCommand::Cancel(self.clone()));
                Ok(())
            }
        }
    }

    /// libca did not take it; but another thread may have had it start since.
    pub(crate) fn give_up(self: &Arc<Subscription>) {
        self.mark_closed();
        // Where the channel is closed, what is left goes with that.
        drop(self.cancel());
    }

    /// Has libca forget it.
    pub(crate) fn cancel(self: &Arc<Subscription>) -> Result<()> {
        let Some(channel) = self.channel() else {
            return Err(Status::BADMONID.into());
        };
        let Some(pass) = channel.enter() else {
            return Err(Error::new(Status::BADMONID, channel.name()));
        };
        let status = self.end(&pass);
        if !status.is_normal() {
            return Err(Error::new(status, channel.name()));
        }
        // libca calls back no more: its pointer may go.
        channel.forget_subscription(self);
        Ok(())
    }

    /// Has libca call back no more (ca_clear_subscription). `pass` is the channel's.
    pub(crate) fn end(&self, pass: &ChannelPass<'_>) -> Status {
        let evid = std::mem::replace(&mut lock(&self.raw).0, std::ptr::null_mut());
        if evid.is_null() {
            return Status::NORMAL;
        }
        // SAFETY: `raw` gave the id to us alone, and with the channel's pass it has not gone with the channel.
        Status(unsafe { pass.api().ca_clear_subscription(evid) })
    }

    /// Keeps an update until it is delivered; returns its index and how many older ones it pushed out.
    pub(crate) fn keep(&self, answer: Answer) -> (u64, usize) {
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
    pub(crate) fn take(&self, index: u64) -> Option<Answer> {
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

    /// The oldest update that waits to be delivered, ahead of all else in the queue.
    pub fn take_next(&self) -> Option<Answer> {
        lock(&self.pending).drop_first()
    }

    pub(crate) fn is_dropped(&self, index: u64) -> bool {
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
