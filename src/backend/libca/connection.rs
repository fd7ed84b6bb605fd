//! What libca tells of a connection.

use super::channel::host_name;
use super::circuit::Circuit;
use super::context::LibcaContext;
use super::subscription;
use crate::backend::ConnectionInfo;
use crate::ca_sys::{self, LibCa};
use crate::client::channel::Channel;
use std::sync::Arc;

/// The channel is connected, or no longer.
///
/// # Safety
/// `id` must be the channel's, in libca's connection callback.
pub(super) unsafe fn changed(channel: &Arc<Channel>, api: &LibCa, id: ca_sys::chid, up: bool) {
    let io = channel.libca();
    io.learn_id(id, channel);
    if !up {
        io.set_circuit(None);
        channel.disconnected();
        return;
    }
    // SAFETY: the caller's promise.
    let (info, server) = unsafe {
        let info = ConnectionInfo {
            native_type: i32::from(api.ca_field_type(id)),
            element_count: usize::try_from(api.ca_element_count(id)).unwrap_or(0),
            may_be_read: api.ca_read_access(id) != 0,
            may_be_written: api.ca_write_access(id) != 0,
        };
        (info, host_name(api, id))
    };
    let circuit = find_circuit(channel.context().libca(), channel, server);
    io.set_circuit(Some(circuit));
    channel.connected(info);
    // Before any update of the new connection: updates come in this thread.
    subscription::look_at_all(channel);
}

/// The circuit to a server. libca names a server by its address until it has found the name, so that a circuit may be
/// known by another name than now: its other channels tell.
fn find_circuit(context: &LibcaContext, channel: &Channel, server: String) -> Arc<Circuit> {
    let priority = channel.priority();
    if let Some(circuit) = context.circuits.find(&server, priority) {
        return circuit;
    }
    let mut asked: Vec<Arc<Circuit>> = Vec::new();
    let others = channel.context().channels();
    let others = others.iter().filter(|other| other.priority() == priority);
    let known = others.filter_map(|other| {
        let circuit = other.libca().circuit()?;
        if asked.iter().any(|one| Arc::ptr_eq(one, &circuit)) {
            return None;
        }
        let name = other.host_name().ok()?;
        if other.native_type().is_some() {
            // A channel that has just lost its server tells nothing.
            asked.push(circuit.clone());
        }
        (name == server).then_some(circuit)
    });
    let known = { known }.next();
    context.circuits.add(server, priority, known)
}
