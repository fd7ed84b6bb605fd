//! Commands that the scripted backend has accepted.

use crate::backend::{Command, When};
use crate::client::channel::Channel;
use crate::client::group::request::GroupRequest;
use crate::client::pending_io::{PendingGuard, PendingIo};
use crate::client::request::Request;
use crate::client::subscription::Subscription;
use crate::protocol::error::Error;
use crate::protocol::status::Status;
use crate::protocol::validate::RequestSpec;
use std::sync::Arc;

/// A command that was accepted.
#[derive(Clone)]
pub enum Sent {
    Read(Arc<Request>),
    Write(Arc<Channel>, RequestSpec, Vec<u8>, Option<Arc<PendingIo>>),
    WriteNotify(Arc<Request>, Vec<u8>),
    Subscribe(Arc<Channel>, Arc<Subscription>),
    Group(Arc<Channel>, Arc<GroupRequest>, usize),
}

impl Sent {
    pub(super) fn of(channel: &Arc<Channel>, command: Command<'_>) -> Option<Sent> {
        Some(match command {
            Command::Read(request, _) => Sent::Read(request.clone()),
            Command::Write(spec, data, pending) => {
                Sent::Write(channel.clone(), spec, data.to_vec(), pending.cloned())
            }
            Command::WriteNotify(request, data) => {
                Sent::WriteNotify(request.clone(), data.to_vec())
            }
            Command::Subscribe(subscription) => {
                Sent::Subscribe(channel.clone(), subscription.clone())
            }
            Command::Unsubscribe(_) => return None,
        })
    }

    pub(super) fn channel(&self) -> &Arc<Channel> {
        match self {
            Sent::Read(request) | Sent::WriteNotify(request, _) => &request.channel,
            Sent::Write(channel, ..) | Sent::Subscribe(channel, _) | Sent::Group(channel, ..) => {
                channel
            }
        }
    }

    pub(super) fn is_of(&self, channel: &Arc<Channel>) -> bool {
        Arc::ptr_eq(self.channel(), channel)
    }

    pub(super) fn waits_in(&self, pending: &Arc<PendingIo>) -> bool {
        match self {
            Sent::Read(request) | Sent::WriteNotify(request, _) => request.waits_in(pending),
            Sent::Write(.., own) => own.as_ref().is_some_and(|own| Arc::ptr_eq(own, pending)),
            Sent::Subscribe(..) => false,
            Sent::Group(_, request, _) => Arc::ptr_eq(request.pending_io(), pending),
        }
    }

    /// Counts a write as outstanding for who waits to hear of it.
    pub(super) fn guard(&self) -> Option<PendingGuard> {
        match self {
            Sent::Write(.., Some(pending)) => Some(pending.begin()),
            _ => None,
        }
    }

    pub(super) fn size(&self) -> usize {
        match self {
            Sent::Write(_, _, data, _) | Sent::WriteNotify(_, data) => data.len(),
            _ => 16,
        }
    }

    /// It comes to this, without an answer of the server.
    pub fn fail(&self, status: Status) {
        let channel = self.channel();
        let error = Error::new(status, channel.name());
        match self {
            Sent::Read(request) => {
                let command = Command::Read(request, When::Now);
                channel.command_failed(command, &error);
            }
            Sent::WriteNotify(request, data) => {
                channel.command_failed(Command::WriteNotify(request, data), &error);
            }
            Sent::Write(_, spec, data, pending) => {
                channel.command_failed(Command::Write(*spec, data, pending.as_ref()), &error);
            }
            Sent::Subscribe(_, subscription) => {
                channel.command_failed(Command::Subscribe(subscription), &error);
            }
            Sent::Group(_, request, index) => request.finish(*index, status),
        }
    }
}
