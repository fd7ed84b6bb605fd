//! Groups: one request to many channels, sent and waited for together.
//!
//! * [`channels`] the channels of a group, and the requests to them that are in flight
//! * [`request`] one request to all channels of a group
//! * [`items`] the values that such a request writes
//! * [`reply`] one channel's part in a request: sent once, answered once
//!
//! The way of a group read: [`GroupChannels::new_request`](channels::GroupChannels::new_request) makes a
//! [`GroupRequest`](request::GroupRequest) with a `GroupReply` for each channel, and
//! [`GroupRequest::start`](request::GroupRequest::start) hands it to the backend's `submit_group`, which sends it channel by
//! channel. What has to wait for a server that does not read comes back as a `Backlog`, for
//! [`GroupRequest::resume`](request::GroupRequest::resume). The backend calls `GroupRequest::answered` for each answer: the
//! value goes into the reply. The last answer drops the request's `PendingGuard`, which wakes the thread that waits; that
//! thread reads [`readings`](request::GroupRequest::readings) and gives the memory back with
//! [`GroupChannels::recycle`](channels::GroupChannels::recycle).

pub mod channels;
pub mod items;
pub mod reply;
pub mod request;
