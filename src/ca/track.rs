//! One PV's way onto a recorder's tape.

use super::batch::Ticket;
use super::channel::Channel;
use super::dbr::{Base, posix_nanoseconds};
use super::event::Event;
use super::status::Status;
use super::tape::{Row, Tape};
use super::{lock, replace};
use crate::ca_sys::dbr_time_double;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

/// The severity INVALID: there is no value, or none to rely on.
const INVALID: i32 = 3;

/// Told by libca's threads of a PV's updates and of its connection.
pub struct Track {
    tape: Arc<Tape>,
    channel: i64,
    /// Updates are wanted: the PV is connected, and a number.
    open: AtomicBool,
    /// A PV that is no number is told of, because nobody waits to hear of it.
    warns: AtomicBool,
    link: Mutex<Link>,
    /// Counts the PV as outstanding until its first connection.
    ticket: Mutex<Option<Ticket>>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Link {
    Searching,
    Connected,
    Lost,
    /// The PV is no number, and why.
    Refused(Refusal),
    /// Nothing is recorded any more.
    Closed,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    Text,
    Array(usize),
}

impl Refusal {
    /// A recorder has no place for anything but single numbers, and the first of many would mislead.
    fn of(native: Base, element_count: usize) -> Option<Refusal> {
        match (native, element_count) {
            (Base::String, _) => Some(Refusal::Text),
            (_, count) if count > 1 => Some(Refusal::Array(count)),
            _ => None,
        }
    }

    pub fn status(&self) -> Status {
        match self {
            Refusal::Text => Status::BADTYPE,
            Refusal::Array(_) => Status::BADCOUNT,
        }
    }

    pub fn describe(&self) -> String {
        match self {
            Refusal::Text => "it is a STRING, and only numbers are recorded".to_owned(),
            Refusal::Array(count) => {
                format!("it has {count} elements, and only single numbers are recorded")
            }
        }
    }
}

impl Track {
    pub fn new(tape: &Arc<Tape>, channel: usize, ticket: Ticket) -> Arc<Track> {
        Arc::new(Track {
            tape: tape.clone(),
            channel: i64::try_from(channel).unwrap_or(i64::MAX),
            open: AtomicBool::new(false),
            warns: AtomicBool::new(false),
            link: Mutex::new(Link::Searching),
            ticket: Mutex::new(Some(ticket)),
        })
    }

    pub fn link(&self) -> Link {
        lock(&self.link).clone()
    }

    pub fn set_warns(&self) {
        self.warns.store(true, Ordering::Release);
    }

    /// Looks at the channel's connection, which may have changed.
    pub(super) fn look(&self, channel: &Channel) {
        let (ticket, refused) = {
            let mut link = lock(&self.link);
            let now = match (channel.native_type(), &*link) {
                (_, Link::Closed) => return,
                (None, Link::Searching) => Link::Searching,
                (None, _) => Link::Lost,
                (Some(native), _) => match Refusal::of(native, channel.element_count()) {
                    None => Link::Connected,
                    Some(refusal) => Link::Refused(refusal),
                },
            };
            if now == *link {
                return;
            }
            self.open.store(now == Link::Connected, Ordering::Release);
            if now == Link::Lost && *link == Link::Connected {
                self.fail(Status::DISCONN);
            }
            let refused = match &now {
                Link::Refused(refusal) => Some(refusal.describe()),
                _ => None,
            };
            *link = now;
            (lock(&self.ticket).take(), refused)
        };
        drop(ticket);
        if let Some(text) = refused
            && self.warns.load(Ordering::Acquire)
        {
            let text = format!("{} is not recorded: {text}", channel.name());
            channel.context().queue.push(Event::Warning(text));
        }
    }

    /// Nothing comes any more: whoever waits for updates has waited enough.
    pub(super) fn release_readers(&self) {
        replace(&self.ticket, None);
        self.tape.stop();
    }

    pub fn close(&self) {
        self.open.store(false, Ordering::Release);
        replace(&self.link, Link::Closed);
        replace(&self.ticket, None);
    }

    /// An update with a value.
    pub(super) fn record(&self, update: &dbr_time_double) {
        if !self.open.load(Ordering::Acquire) {
            return;
        }
        self.tape.push(Row {
            channel: self.channel,
            time: posix_nanoseconds((update.stamp.secPastEpoch, update.stamp.nsec)),
            value: update.value,
            severity: update.severity.into(),
            status: update.status.into(),
        });
    }

    /// An update without one: the server could not read it, or may not tell.
    pub(super) fn record_failure(&self, status: Status) {
        if self.open.load(Ordering::Acquire) {
            self.fail(status);
        }
    }

    fn fail(&self, status: Status) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_nanos();
        self.tape.push(Row {
            channel: self.channel,
            time: i64::try_from(now).unwrap_or(i64::MAX),
            value: f64::NAN,
            severity: INVALID,
            status: status.0,
        });
    }
}
