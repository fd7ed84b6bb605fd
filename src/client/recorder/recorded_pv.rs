//! One PV of a recorder: whether it is recorded, and its updates on their way into the buffer.

use crate::client::pending_io::PendingGuard;
use crate::client::recorder::update_buffer::{RecordedUpdate, UpdateBuffer};
use crate::protocol::dbr::{Base, posix_nanoseconds};
use crate::protocol::status::Status;
use crate::protocol::value::ScalarUpdate;
use crate::sync::lock;
use crate::sync::replace;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

/// The severity INVALID: there is no value, or the value is not reliable.
const INVALID: i32 = 3;

/// The backend's threads report a PV's updates and its connection to it.
///
/// | state | moves to | who moves it |
/// |---|---|---|
/// | `Searching` | `Connected`, `Unrecordable` | the upcall `connected`; the thread that subscribes, if the channel is connected |
/// | `Connected`, `Unrecordable` | `Lost` | the upcall `disconnected` |
/// | | each other | the upcall `connected`, if the PV is not what it was |
/// | `Lost` | `Connected`, `Unrecordable` | the upcall `connected` |
/// | any | `Closed` | whoever ends the session: [`close`](RecordedPv::close) |
/// | `Closed` | | final |
///
/// `open` is true in `Connected` alone; it is stored under the lock of the state. An update reads it without the lock: one that is
/// under way while the state changes may still be recorded.
pub struct RecordedPv {
    buffer: Arc<UpdateBuffer>,
    channel: i64,
    /// Updates are recorded: the PV is connected, and a number.
    open: AtomicBool,
    /// A PV that turns out not to be a number is logged, because no caller waits to be told.
    warns: AtomicBool,
    state: Mutex<RecordState>,
    /// Counts the PV as outstanding until its first connection.
    guard: Mutex<Option<PendingGuard>>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum RecordState {
    Searching,
    Connected,
    Lost,
    /// The PV cannot be recorded, because it is not a number.
    Unrecordable(Unrecordable),
    /// The session has ended.
    Closed,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Unrecordable {
    Text,
    Array(usize),
}

impl Unrecordable {
    /// A recorder records single numbers only: the first element of an array would mislead.
    fn of(native: Base, element_count: usize) -> Option<Unrecordable> {
        match (native, element_count) {
            (Base::String, _) => Some(Unrecordable::Text),
            (_, count) if count > 1 => Some(Unrecordable::Array(count)),
            _ => None,
        }
    }

    pub fn status(&self) -> Status {
        match self {
            Unrecordable::Text => Status::BADTYPE,
            Unrecordable::Array(_) => Status::BADCOUNT,
        }
    }

    pub fn describe(&self) -> String {
        match self {
            Unrecordable::Text => "it is a STRING, and only numbers are recorded".to_owned(),
            Unrecordable::Array(count) => {
                format!("it has {count} elements, and only single numbers are recorded")
            }
        }
    }
}

impl RecordedPv {
    pub fn new(buffer: &Arc<UpdateBuffer>, channel: usize, guard: PendingGuard) -> Arc<RecordedPv> {
        Arc::new(RecordedPv {
            buffer: buffer.clone(),
            channel: i64::try_from(channel).unwrap_or(i64::MAX),
            open: AtomicBool::new(false),
            warns: AtomicBool::new(false),
            state: Mutex::new(RecordState::Searching),
            guard: Mutex::new(Some(guard)),
        })
    }

    pub fn state(&self) -> RecordState {
        lock(&self.state).clone()
    }

    pub fn set_warns(&self) {
        self.warns.store(true, Ordering::Release);
    }

    /// The PV's connection may have changed: `pv` is the type and element count of a connected PV. Returns a text for the log
    /// if the PV cannot be recorded and no caller waits to be told.
    pub(crate) fn connection_changed(&self, pv: Option<(Base, usize)>) -> Option<String> {
        let (guard, unrecordable) = {
            let mut state = lock(&self.state);
            let now = match (pv, &*state) {
                (_, RecordState::Closed) => return None,
                (None, RecordState::Searching) => RecordState::Searching,
                (None, _) => RecordState::Lost,
                (Some((native, count)), _) => match Unrecordable::of(native, count) {
                    None => RecordState::Connected,
                    Some(reason) => RecordState::Unrecordable(reason),
                },
            };
            if now == *state {
                return None;
            }
            self.open
                .store(now == RecordState::Connected, Ordering::Release);
            if now == RecordState::Lost && *state == RecordState::Connected {
                self.fail(Status::DISCONN);
            }
            let unrecordable = match &now {
                RecordState::Unrecordable(reason) => Some(reason.describe()),
                _ => None,
            };
            *state = now;
            (lock(&self.guard).take(), unrecordable)
        };
        drop(guard);
        unrecordable.filter(|_| self.warns.load(Ordering::Acquire))
    }

    /// No more updates come: waits for them end.
    pub(crate) fn release_readers(&self) {
        replace(&self.guard, None);
        self.buffer.stop();
    }

    /// The session ends: nothing more is recorded.
    pub fn close(&self) {
        {
            let mut state = lock(&self.state);
            *state = RecordState::Closed;
            self.open.store(false, Ordering::Release);
        }
        replace(&self.guard, None);
    }

    /// An update with a value.
    pub(crate) fn record(&self, update: ScalarUpdate) {
        if !self.open.load(Ordering::Acquire) {
            return;
        }
        self.buffer.push(RecordedUpdate {
            channel: self.channel,
            time: posix_nanoseconds(update.stamp),
            value: update.value,
            severity: update.severity.into(),
            status: update.status.into(),
        });
    }

    /// An update without a value: the server could not read the value, or must not send it.
    pub(crate) fn record_failure(&self, status: Status) {
        if self.open.load(Ordering::Acquire) {
            self.fail(status);
        }
    }

    fn fail(&self, status: Status) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_nanos();
        self.buffer.push(RecordedUpdate {
            channel: self.channel,
            time: i64::try_from(now).unwrap_or(i64::MAX),
            value: f64::NAN,
            severity: INVALID,
            status: status.0,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::pending_io::{DroppedAnswers, PendingIo, Waiters};
    use crate::client::queue::EventQueue;
    use std::sync::Barrier;

    #[test]
    fn nothing_is_recorded_after_the_end_though_the_pv_connects_meanwhile() {
        let waiters = Waiters::new(Arc::<EventQueue>::default(), DroppedAnswers::default);
        let buffer = Arc::new(UpdateBuffer::new(1, 10));
        buffer.start();
        let both = Barrier::new(2);
        for _ in 0..20_000 {
            let pending = PendingIo::new(&waiters);
            let recorded = RecordedPv::new(&buffer, 0, pending.begin());
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    both.wait();
                    recorded.connection_changed(Some((Base::Double, 1)));
                });
                both.wait();
                recorded.close();
            });
            recorded.record(ScalarUpdate {
                value: 1.0,
                stamp: (1, 0),
                severity: 0,
                status: 0,
            });
            assert!(buffer.is_empty());
            assert_eq!(recorded.state(), RecordState::Closed);
            assert!(pending.is_done());
        }
    }
}
