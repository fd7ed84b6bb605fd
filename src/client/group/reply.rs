//! One channel's part in a group request: sent once, answered once.

use crate::protocol::status::Status;
use crate::protocol::view::{Number, View};
use crate::sync::reply_state::{Begun, Progress, ReplyState};
use std::ffi::c_void;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// The backend has a pointer to the reply while the request is in flight. The fields are written before the state is published,
/// and not again after that, so that they can be read while other replies of the request are still being written.
pub(crate) struct GroupReply {
    state: ReplyState,
    status: AtomicI32,
    /// Bits of a double.
    value: AtomicU64,
    /// Seconds since the EPICS epoch, and nanoseconds.
    stamp: AtomicU64,
    /// Severity and alarm status.
    alarm: AtomicU32,
    pub(crate) index: u32,
    /// For the backend: what its circuit had been sent up to this request; 0 if that does not matter.
    pub(crate) sent: AtomicU64,
    /// The request that it is part of; see `GroupRequest::of`.
    pub(super) request: AtomicPtr<c_void>,
}

/// How a change of a reply changes the counts of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// Nobody waits for the reply any more.
    pub answered: bool,
    /// The backend no longer has a pointer to the reply.
    pub returned: bool,
}

impl Change {
    const NONE: Change = Change {
        answered: false,
        returned: false,
    };
}

/// A number with its alarm and its time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    pub value: f64,
    /// Seconds since the EPICS epoch, and nanoseconds.
    pub stamp: (u32, u32),
    pub severity: i16,
    pub status: i16,
}

impl GroupReply {
    pub(crate) fn new(index: u32) -> GroupReply {
        GroupReply {
            state: ReplyState::default(),
            status: AtomicI32::new(0),
            value: AtomicU64::new(0),
            stamp: AtomicU64::new(0),
            alarm: AtomicU32::new(0),
            index,
            sent: AtomicU64::new(0),
            request: AtomicPtr::default(),
        }
    }

    /// Prepares the reply for a new request; nobody else refers to it.
    pub(crate) fn reset(&mut self) {
        self.state.reset();
        *self.sent.get_mut() = 0;
    }

    /// The reply is part of a new request, which nobody else has seen yet.
    pub(crate) fn set_requested(&self) {
        self.state.set_requested();
    }

    /// Stores the answer.
    pub(crate) fn answer(&self, status: Status, view: Option<View<'_>>) -> Change {
        match self.state.begin_answer() {
            Begun::Write => {
                self.status.store(status.0, Ordering::Relaxed);
                if let Some(view) = view {
                    self.write(&view);
                }
                self.state.publish();
                Change {
                    answered: true,
                    returned: true,
                }
            }
            Begun::Released => Change {
                answered: false,
                returned: true,
            },
            Begun::Nothing => Change::NONE,
        }
    }

    fn write(&self, view: &View<'_>) {
        let value = match view.number(0) {
            Number::Float(value) => value,
            Number::Int(value) => value as f64,
        };
        self.value.store(value.to_bits(), Ordering::Relaxed);
        if view.dbr_type.form() == crate::protocol::dbr::DbrClass::Time {
            let (seconds, nanoseconds) = view.stamp();
            let stamp = u64::from(seconds) << 32 | u64::from(nanoseconds);
            self.stamp.store(stamp, Ordering::Relaxed);
            let (severity, status) = (view.severity(), view.status());
            let alarm =
                u32::from(severity.cast_unsigned()) << 16 | u32::from(status.cast_unsigned());
            self.alarm.store(alarm, Ordering::Relaxed);
        }
    }

    /// Nobody waits for the reply any more, because its channel is cleared; the backend may still answer.
    pub(crate) fn stop_waiting(&self) -> Change {
        Change {
            answered: self.state.abandon(),
            returned: false,
        }
    }

    pub(crate) fn is_awaited(&self) -> bool {
        self.state.progress() == Progress::Waiting
    }

    /// The status of the answer; `None` while there is none.
    pub(crate) fn outcome(&self) -> Option<Status> {
        match self.state.progress() {
            Progress::Done => Some(Status(self.status.load(Ordering::Relaxed))),
            Progress::Abandoned => Some(Status::CHANDESTROY),
            Progress::Waiting => None,
        }
    }

    /// The value that was read; `None` if the read has not succeeded.
    pub(crate) fn reading(&self) -> Option<Reading> {
        if !self.outcome()?.is_normal() {
            return None;
        }
        let stamp = self.stamp.load(Ordering::Relaxed);
        let alarm = self.alarm.load(Ordering::Relaxed);
        Some(Reading {
            value: f64::from_bits(self.value.load(Ordering::Relaxed)),
            stamp: ((stamp >> 32) as u32, stamp as u32),
            severity: ((alarm >> 16) as u16).cast_signed(),
            status: (alarm as u16).cast_signed(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::dbr::DbrType;

    fn double(value: f64, bytes: &mut Vec<u8>) -> View<'_> {
        *bytes = value.to_ne_bytes().to_vec();
        View::new(DbrType::new(6).unwrap(), 1, bytes)
    }

    #[test]
    fn a_reply_is_answered_once() {
        let (reply, mut bytes) = (GroupReply::new(0), Vec::new());
        let view = Some(double(2.5, &mut bytes));
        assert_eq!(reply.answer(Status::NORMAL, view), Change::NONE);
        reply.set_requested();
        assert_eq!(reply.outcome(), None);
        let change = reply.answer(Status::NORMAL, view);
        assert!(change.answered && change.returned);
        assert_eq!(reply.answer(Status::DISCONN, None), Change::NONE);
        assert!(!reply.stop_waiting().answered);
        assert_eq!(reply.reading().unwrap().value, 2.5);
    }

    #[test]
    fn a_reply_that_nobody_waits_for_keeps_no_answer() {
        let (reply, mut bytes) = (GroupReply::new(0), Vec::new());
        reply.set_requested();
        let stopped = reply.stop_waiting();
        assert!(stopped.answered && !stopped.returned);
        let late = reply.answer(Status::NORMAL, Some(double(2.5, &mut bytes)));
        assert!(!late.answered && late.returned);
        assert_eq!(reply.outcome(), Some(Status::CHANDESTROY));
        assert_eq!(reply.reading(), None);
        assert_eq!(reply.answer(Status::NORMAL, None), Change::NONE);
    }

    #[test]
    fn times_and_alarms_come_along() {
        let mut bytes = Vec::new();
        bytes.extend(17i16.to_ne_bytes());
        bytes.extend(3i16.to_ne_bytes());
        bytes.extend(u32::MAX.to_ne_bytes());
        bytes.extend(999_999_999u32.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend((-0.5f64).to_ne_bytes());
        let reply = GroupReply::new(0);
        reply.set_requested();
        let view = View::new(DbrType::new(20).unwrap(), 1, &bytes);
        reply.answer(Status::NORMAL, Some(view));
        let wanted = Reading {
            value: -0.5,
            stamp: (u32::MAX, 999_999_999),
            severity: 3,
            status: 17,
        };
        assert_eq!(reply.reading(), Some(wanted));
    }
}
