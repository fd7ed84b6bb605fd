//! How a channel is connected, and who waits for that.

use super::Channel;
use crate::backend::libca::send_window::Circuit;
use crate::ca_sys::{self, LibCa};
use crate::client::event::UserData;
use crate::client::pending_io::{PendingGuard, PendingIo};
use crate::protocol::error::Result;
use crate::sync::lock;
use crate::sync::replace;
use std::ffi::{CStr, c_char};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The native type of a channel that is not connected (TYPENOTCONN).
pub(super) const NOT_CONNECTED: i32 = -1;

pub(super) struct Connection {
    handler: Option<UserData>,
    /// Counts the search as outstanding until the first connection.
    pub(super) guard: Option<PendingGuard>,
    /// Of groups that wait for it.
    awaited: Vec<PendingGuard>,
}

impl Connection {
    pub(super) fn new(handler: Option<UserData>, guard: Option<PendingGuard>) -> Connection {
        Connection {
            handler,
            guard,
            awaited: Vec::new(),
        }
    }

    pub(super) fn take_guards(&mut self) -> Vec<PendingGuard> {
        self.guard
            .take()
            .into_iter()
            .chain(std::mem::take(&mut self.awaited))
            .collect()
    }
}

/// What libca tells of a connection.
pub(crate) struct ConnectionInfo {
    native_type: i32,
    element_count: usize,
    server: String,
}

impl ConnectionInfo {
    /// # Safety
    /// `chid` must be alive.
    pub(crate) unsafe fn of(api: &LibCa, chid: ca_sys::chid) -> ConnectionInfo {
        // SAFETY: the caller's promise.
        unsafe {
            ConnectionInfo {
                native_type: i32::from(api.ca_field_type(chid)),
                element_count: usize::try_from(api.ca_element_count(chid)).unwrap_or(0),
                server: host_name(api, chid),
            }
        }
    }
}

/// The server of a channel (ca_get_host_name).
///
/// # Safety
/// `chid` must be alive.
unsafe fn host_name(api: &LibCa, chid: ca_sys::chid) -> String {
    let mut buffer = [0 as c_char; 512];
    // SAFETY: libca writes at most the given length, with its NUL; the id is alive.
    let text = unsafe {
        let length = u32::try_from(buffer.len()).unwrap_or(0);
        api.ca_get_host_name(chid, buffer.as_mut_ptr(), length);
        buffer[buffer.len() - 1] = 0;
        CStr::from_ptr(buffer.as_ptr())
    };
    text.to_string_lossy().into_owned()
}

impl Channel {
    /// The server's name and port, `<disconnected>` where there is none.
    pub fn host_name(&self) -> Result<String> {
        let pass = self.pass()?;
        // SAFETY: the pass keeps the id alive.
        Ok(unsafe { host_name(pass.api(), pass.raw()) })
    }

    pub fn connection_handler(&self) -> Option<UserData> {
        lock(&self.connection).handler.clone()
    }

    /// Replaces the connection handler (ca_change_connection_event); with one, `pend_io` waits for the search no more.
    pub fn set_connection_handler(&self, handler: Option<UserData>) -> Result<()> {
        let _pass = self.pass()?;
        let guard = {
            let mut connection = lock(&self.connection);
            connection.handler = handler;
            let answered = connection.handler.is_some();
            if answered {
                connection.guard.take()
            } else {
                None
            }
        };
        drop(guard);
        Ok(())
    }

    /// Called by libca's thread: the channel is connected now, or (`None`) no longer. `true` where a handler wants to know.
    pub(crate) fn connection_changed(
        self: &Arc<Channel>,
        chid: ca_sys::chid,
        link: Option<ConnectionInfo>,
    ) -> bool {
        if self.raw.load(Ordering::Acquire).is_null() && !self.gate.is_closed() {
            // ca_create_channel has not returned yet, but callbacks may use the channel.
            self.raw.store(chid, Ordering::Release);
        }
        let up = link.is_some();
        if let Some(link) = link {
            let circuit = self.find_circuit(link.server);
            replace(&self.circuit, Some(circuit));
            self.element_count
                .store(link.element_count, Ordering::Release);
            self.native_type.store(link.native_type, Ordering::Release);
        } else {
            self.native_type.store(NOT_CONNECTED, Ordering::Release);
            self.element_count.store(0, Ordering::Release);
            replace(&self.circuit, None);
        }
        self.tracks().iter().for_each(|track| track.look(self));
        if up {
            self.renew_subscriptions();
        }
        let (guards, handled) = {
            let mut connection = lock(&self.connection);
            let guards = up.then(|| connection.take_guards());
            (guards, connection.handler.is_some())
        };
        drop(guards);
        handled
    }

    /// The circuit to a server. libca names a server by its address until it has found its name, so that a circuit may be
    /// known by another name than now: its other channels tell.
    fn find_circuit(&self, server: String) -> Arc<Circuit> {
        let circuits = &self.context.circuits;
        if let Some(circuit) = circuits.find(&server, self.priority) {
            return circuit;
        }
        let mut asked: Vec<Arc<Circuit>> = Vec::new();
        let others = self.context.channels();
        let others = others
            .iter()
            .filter(|other| other.priority == self.priority);
        let known = others.filter_map(|other| {
            let circuit = other.circuit()?;
            if asked.iter().any(|one| Arc::ptr_eq(one, &circuit)) {
                return None;
            }
            let name = other.host_name().ok()?;
            if other.native_type().is_some() {
                // One that has just lost its server tells nothing.
                asked.push(circuit.clone());
            }
            (name == server).then_some(circuit)
        });
        let known = { known }.next();
        circuits.add(server, self.priority, known)
    }

    /// Counts it in `pending` until it is connected, or cleared.
    pub(crate) fn await_connection(&self, pending: &Arc<PendingIo>) {
        let mut connection = lock(&self.connection);
        if self.native_type().is_none() && !self.is_closed() {
            connection.awaited.push(pending.begin());
        }
    }

    pub(crate) fn forget_await(&self, pending: &Arc<PendingIo>) {
        let mut connection = lock(&self.connection);
        let awaited = &mut connection.awaited;
        let forgotten = awaited.extract_if(.., |guard| guard.belongs_to(pending));
        let forgotten: Vec<PendingGuard> = forgotten.collect();
        drop(connection);
        drop(forgotten);
    }
}
