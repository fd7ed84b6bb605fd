//! The connection of a channel, and who waits for the connection.

use super::Channel;
use crate::backend::ConnectionInfo;
use crate::client::event::{Event, UserData};
use crate::client::pending_io::{PendingGuard, PendingIo};
use crate::client::recorder::recorded_pv::RecordedPv;
use crate::protocol::error::Result;
use crate::sync::lock;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The native type of a channel that is not connected (TYPENOTCONN).
pub(super) const NOT_CONNECTED: i32 = -1;

/// The handler of the connection, and who waits for it.
///
/// | guard | is put in by | is taken out by |
/// |---|---|---|
/// | `guard` | `create`, if there is no handler | the first `connected`; whoever sets a handler, puts the channel into a group, or clears it |
/// | one of `awaited` | `await_connection`, while not connected | the next `connected`; `cancel_await`; whoever clears the channel |
///
/// Guards are taken out under the lock and dropped after it, since a drop may wake a thread. `await_connection` looks under the
/// lock whether the channel is connected or closed, both of which are set before guards are taken: none is left behind.
pub(super) struct Connection {
    handler: Option<UserData>,
    /// Counts the search as outstanding until the first connection.
    pub(super) guard: Option<PendingGuard>,
    /// Of the groups that wait for the connection.
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

impl Channel {
    /// The server's name and port; `<disconnected>` if there is no server.
    pub fn host_name(self: &Arc<Channel>) -> Result<String> {
        self.io.server(&self.guard()?)
    }

    pub fn connection_handler(&self) -> Option<UserData> {
        lock(&self.connection).handler.clone()
    }

    /// Replaces the connection handler (ca_change_connection_event), and returns the one that this replaced. If there is a
    /// handler, `pend_io` no longer waits for the search.
    pub fn set_connection_handler(
        self: &Arc<Channel>,
        handler: Option<UserData>,
    ) -> Result<Option<UserData>> {
        let _guard = self.guard()?;
        let (old, guard) = {
            let mut connection = lock(&self.connection);
            let old = std::mem::replace(&mut connection.handler, handler);
            let answered = connection.handler.is_some();
            let guard = if answered {
                connection.guard.take()
            } else {
                None
            };
            (old, guard)
        };
        drop(guard);
        Ok(old)
    }

    /// Upcall: the channel is connected, and `info` describes the PV.
    pub fn connected(self: &Arc<Channel>, info: ConnectionInfo) {
        self.element_count
            .store(info.element_count, Ordering::Release);
        self.native_type.store(info.native_type, Ordering::Release);
        self.was_connected.store(true, Ordering::Release);
        self.connection_changed(true);
        self.access_at_connection(info.may_be_read, info.may_be_written);
        // Last, so that the threads that wait for the connection have the mark up to which the access rights handlers are
        // called first.
        let guards = lock(&self.connection).take_guards();
        if self.has_access_handler() && Arc::ptr_eq(&self.queue, &self.context.queue) {
            let mark = self.queue.mark();
            guards.iter().for_each(|guard| guard.deliver_first(mark));
        }
        drop(guards);
    }

    /// Upcall: the channel is no longer connected.
    pub fn disconnected(self: &Arc<Channel>) {
        self.native_type.store(NOT_CONNECTED, Ordering::Release);
        self.element_count.store(0, Ordering::Release);
        self.connection_changed(false);
    }

    /// Tells a recorder whether the channel is connected, and to what.
    pub(crate) fn tell_recorded(&self, recorded: &RecordedPv) {
        let pv = self
            .native_type()
            .map(|native| (native, self.element_count()));
        if let Some(why) = recorded.connection_changed(pv) {
            let text = format!("{} is not recorded: {why}", self.name());
            self.context.queue.push(Event::Warning(text));
        }
    }

    fn connection_changed(self: &Arc<Channel>, up: bool) {
        self.recorded_pvs()
            .iter()
            .for_each(|recorded| self.tell_recorded(recorded));
        if lock(&self.connection).handler.is_some() {
            let channel = self.clone();
            self.queue.push(Event::Connection { channel, up });
        }
    }

    /// Counts the channel as outstanding in `pending` until it is connected or cleared.
    pub fn await_connection(&self, pending: &Arc<PendingIo>) {
        let mut connection = lock(&self.connection);
        if self.native_type().is_none() && !self.is_closed() {
            connection.awaited.push(pending.begin());
        }
    }

    /// The channel no longer counts as outstanding in `pending`.
    pub fn cancel_await(&self, pending: &Arc<PendingIo>) {
        let mut connection = lock(&self.connection);
        let awaited = &mut connection.awaited;
        let forgotten = awaited.extract_if(.., |guard| guard.belongs_to(pending));
        let forgotten: Vec<PendingGuard> = forgotten.collect();
        drop(connection);
        drop(forgotten);
    }
}
