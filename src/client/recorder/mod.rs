//! Recorders: the updates of many PVs, in memory, without an event for each.
//!
//! * [`session`] the channels of a recorder that is running
//! * [`recorded_pv`] one PV of a session: its connection, and its updates
//! * [`update_buffer`] what was recorded and not yet read
//!
//! The way of an update: [`RecorderSession::open`](session::RecorderSession::open) subscribes to each PV with
//! `Channel::record`. The backend calls `RecordedPv::record` for each update, which appends a
//! [`RecordedUpdate`](update_buffer::RecordedUpdate) to the [`UpdateBuffer`](update_buffer::UpdateBuffer). A reader takes all
//! that there is with [`UpdateBuffer::read`](update_buffer::UpdateBuffer::read).

pub mod recorded_pv;
pub mod session;
pub mod update_buffer;
