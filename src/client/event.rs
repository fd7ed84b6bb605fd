//! What happened, for whoever delivers it.

use crate::client::channel::Channel;
use crate::client::request::Request;
use crate::client::subscription::Subscription;
use crate::protocol::status::Status;
use crate::protocol::value::Answer;
use std::any::Any;
use std::sync::Arc;

/// Whatever the layer above wants back with an event: its callback.
pub type UserData = Arc<dyn Any + Send + Sync>;

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
    /// A diagnostic that a backend would have printed.
    Message(String),
    /// Something that a program should know and nobody waits to hear.
    Warning(String),
}
