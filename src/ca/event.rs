//! What libca told us, in memory of our own.

use super::buffer::Bytes;
use super::channel::Channel;
use super::dbr::{self, Base, DbrType, View};
use super::request::Request;
use super::status::Status;
use super::subscription::Subscription;
use std::any::Any;
use std::sync::Arc;

/// Whatever the layer above wants back with an event: its callback.
pub type Handler = Arc<dyn Any + Send + Sync>;

/// One DBR structure, copied out of libca.
pub struct Dbr {
    pub dbr_type: DbrType,
    pub count: usize,
    bytes: Bytes,
}

impl Dbr {
    /// Copies what libca lends to a callback. `None` where there is nothing, or no memory for it.
    ///
    /// # Safety
    /// `source` must be null or point to a structure of type `dbr_type` with `count` elements.
    pub unsafe fn copy_from(
        dbr_type: DbrType,
        count: usize,
        source: *const std::ffi::c_void,
    ) -> Option<Dbr> {
        if source.is_null() {
            return None;
        }
        let len = dbr_type.size(count)?;
        // SAFETY: `size` is never more than the structure that the caller promises.
        let bytes = unsafe { Bytes::copy_from(source.cast(), len) }?;
        Some(Dbr {
            dbr_type,
            count,
            bytes,
        })
    }

    /// As [`copy_from`](Dbr::copy_from), into the memory of one that nobody needs any more, where that is.
    ///
    /// # Safety
    /// As for `copy_from`.
    pub unsafe fn renew(
        spare: Option<Arc<Dbr>>,
        dbr_type: DbrType,
        count: usize,
        source: *const std::ffi::c_void,
    ) -> Option<Arc<Dbr>> {
        // SAFETY: the caller's promise.
        let dbr = unsafe { Dbr::copy_from(dbr_type, count, source) }?;
        let Some(mut place) = spare else {
            return Some(Arc::new(dbr));
        };
        match Arc::get_mut(&mut place) {
            Some(old) => *old = dbr,
            None => return Some(Arc::new(dbr)),
        }
        Some(place)
    }

    pub fn view(&self) -> View<'_> {
        View::new(self.dbr_type, self.count, self.bytes.as_slice())
    }

    /// A text, up to its NUL: of a string type, or in the elements of a CHAR array.
    pub fn text(&self) -> &[u8] {
        match self.dbr_type.base() {
            Base::Char => dbr::text(self.view().value_bytes()),
            _ => self.view().string(0),
        }
    }

    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub fn heap_len(&self) -> usize {
        self.bytes.heap_len()
    }
}

/// The answer to a request, or an update of a subscription: a value where the status is normal.
#[derive(Clone)]
pub struct Answer {
    pub status: Status,
    pub dbr: Option<Arc<Dbr>>,
}

impl Answer {
    pub fn failed(status: Status) -> Answer {
        Answer { status, dbr: None }
    }
}

/// An error that a server reported for no request in particular, or a fault of a circuit.
pub struct Exception {
    pub channel: Option<Arc<Channel>>,
    pub dbr_type: i64,
    pub count: usize,
    pub status: Status,
    pub op: i64,
    pub context: String,
    pub file: String,
    pub line: u32,
}

pub enum Event {
    Connection {
        channel: Arc<Channel>,
        up: bool,
    },
    AccessRights {
        channel: Arc<Channel>,
        read: bool,
        write: bool,
    },
    Update {
        subscription: Arc<Subscription>,
        answer: Answer,
    },
    Reply {
        request: Arc<Request>,
        answer: Answer,
    },
    Exception(Box<Exception>),
    /// A diagnostic that libca would have printed.
    Message(String),
    /// Something that a program should know and nobody waits to hear.
    Warning(String),
}
