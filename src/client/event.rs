//! The events of a context, which the queue carries to the thread that delivers them.

use crate::client::channel::Channel;
use crate::client::request::Request;
use crate::client::subscription::Subscription;
use crate::protocol::status::Status;
use crate::protocol::value::Answer;
use std::any::Any;
use std::sync::Arc;

/// What the layer above attaches to a channel, a request or a subscription: its callback.
pub type UserData = Arc<dyn Any + Send + Sync>;

/// An error that a server reported and that belongs to no request, or a fault of a circuit.
pub struct Exception {
    pub channel: Option<Arc<Channel>>,
    pub dbr_type: i64,
    pub count: usize,
    pub status: Status,
    pub op: i64,
    pub context: String,
    pub file: String,
    pub line: u32,
    /// It has ended this subscription, whose callback is not called any more.
    pub ended: Option<Arc<Subscription>>,
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
    /// What somebody who does not sleep waits for is done, or its time is over.
    Done(UserData),
    /// A diagnostic of the backend.
    Message(String),
    /// A warning of the client's own, for the log.
    Warning(String),
}
