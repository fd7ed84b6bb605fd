//! What libca told us, in memory of our own.

use crate::client::channel::Channel;
use crate::client::request::Request;
use crate::client::subscription::Subscription;
use crate::protocol::buffer::Bytes;
use crate::protocol::dbr::{Base, DbrType, View};
use crate::protocol::status::Status;
use crate::protocol::validate::Extent;
use std::any::Any;
use std::sync::Arc;

/// Whatever the layer above wants back with an event: its callback.
pub type UserData = Arc<dyn Any + Send + Sync>;

/// How a value is to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Of a PV of one element, or the one element that was asked for.
    Scalar,
    /// Of a PV that can hold more, however many came.
    Array,
    /// CHARs, which are to be a text.
    Text,
}

/// One DBR structure, copied out of libca.
pub struct Dbr {
    pub dbr_type: DbrType,
    pub count: usize,
    pub shape: Shape,
    bytes: Bytes,
}

impl Dbr {
    /// Copies what libca lends to a callback. `None` where there is nothing, or no memory for it.
    ///
    /// # Safety
    /// `source` must be null or point to a structure of type `dbr_type` with as many elements as `came`.
    pub unsafe fn copy_from(
        dbr_type: DbrType,
        extent: Extent,
        source: *const std::ffi::c_void,
    ) -> Option<Dbr> {
        if source.is_null() {
            return None;
        }
        let copied = dbr_type.size(extent.came)?;
        let len = dbr_type.size(extent.count.max(extent.came))?;
        // SAFETY: `size` is never more than the structure that the caller promises.
        let bytes = unsafe { Bytes::copy_from(source.cast(), copied, len) }?;
        Some(Dbr {
            dbr_type,
            count: extent.count,
            shape: extent.shape,
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
        extent: Extent,
        source: *const std::ffi::c_void,
    ) -> Option<Arc<Dbr>> {
        // SAFETY: the caller's promise.
        let dbr = unsafe { Dbr::copy_from(dbr_type, extent, source) }?;
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

    /// The type that was asked for: a text in CHARs is a STRING.
    pub fn named_type(&self) -> DbrType {
        match self.shape {
            Shape::Text => DbrType::in_form(self.dbr_type.form(), Base::String),
            _ => self.dbr_type,
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
        handler: UserData,
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
