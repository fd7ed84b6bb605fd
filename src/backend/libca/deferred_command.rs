//! What a circuit's sender thread is to do.

use super::channel::LibcaChannel;
use super::commands::payload;
use super::group_sender::QueuedShare;
use super::send_window::message;
use super::subscription::LibcaSubscription;
use crate::backend::{Command, When};
use crate::client::channel::{Channel, ChannelGuard};
use crate::client::context::Context;
use crate::client::pending_io::PendingIo;
use crate::client::request::Request;
use crate::client::subscription::Subscription;
use crate::protocol::buffer::Bytes;
use crate::protocol::error::Error;
use crate::protocol::status::Status;
use crate::protocol::validate::RequestSpec;
use std::sync::Arc;

/// What a request takes, beside the value in it, about.
const OVERHEAD: usize = 256;

/// Something that libca may block on.
pub(super) enum DeferredCommand {
    Read(Arc<Request>),
    /// Writes are sent even where the channel is cleared meanwhile: they have a guard.
    Write {
        guard: ChannelGuard<'static>,
        spec: RequestSpec,
        data: Bytes,
        /// Of who waits to hear whether the server takes it.
        pending: Option<Arc<PendingIo>>,
    },
    WriteNotify(ChannelGuard<'static>, Arc<Request>, Bytes),
    Subscribe(Arc<Subscription>),
    Unsubscribe(Arc<Subscription>),
    /// Makes a subscription anew: the PV is no longer what it was.
    Renew(Arc<Subscription>),
    /// What is left of the requests to a group.
    Group(QueuedShare),
    /// Has libca forget a channel that is closed.
    Close(Arc<Channel>),
}

impl DeferredCommand {
    pub(super) fn of(guard: &ChannelGuard<'_>, command: Command<'_>) -> DeferredCommand {
        match command {
            Command::Read(request, _) => DeferredCommand::Read(request.clone()),
            Command::Write(spec, data, pending) => DeferredCommand::Write {
                guard: guard.owned(),
                spec,
                data: Bytes::of(data),
                pending: pending.cloned(),
            },
            Command::WriteNotify(request, data) => {
                DeferredCommand::WriteNotify(guard.owned(), request.clone(), Bytes::of(data))
            }
            Command::Subscribe(subscription) => DeferredCommand::Subscribe(subscription.clone()),
            Command::Unsubscribe(subscription) => {
                DeferredCommand::Unsubscribe(subscription.clone())
            }
        }
    }

    /// The command as it was given, where it was one.
    fn command(&self) -> Option<Command<'_>> {
        Some(match self {
            DeferredCommand::Read(request) => Command::Read(request, When::Now),
            DeferredCommand::Write {
                spec,
                data,
                pending,
                ..
            } => Command::Write(*spec, data.as_slice(), pending.as_ref()),
            DeferredCommand::WriteNotify(_, request, data) => {
                Command::WriteNotify(request, data.as_slice())
            }
            DeferredCommand::Subscribe(subscription) => Command::Subscribe(subscription),
            DeferredCommand::Unsubscribe(subscription) => Command::Unsubscribe(subscription),
            DeferredCommand::Renew(_) | DeferredCommand::Group(_) | DeferredCommand::Close(_) => {
                return None;
            }
        })
    }

    fn channel(&self) -> Option<Arc<Channel>> {
        match self {
            DeferredCommand::Read(request) => Some(request.channel.clone()),
            DeferredCommand::Write { guard, .. } | DeferredCommand::WriteNotify(guard, ..) => {
                Some(guard.channel().clone())
            }
            DeferredCommand::Subscribe(subscription)
            | DeferredCommand::Unsubscribe(subscription)
            | DeferredCommand::Renew(subscription) => subscription.channel(),
            DeferredCommand::Group(_) => None,
            DeferredCommand::Close(channel) => Some(channel.clone()),
        }
    }

    pub(super) fn run(self) {
        let Some(channel) = self.channel() else {
            if let DeferredCommand::Group(share) = self {
                share.run();
            }
            return;
        };
        match &self {
            DeferredCommand::Renew(subscription) => {
                LibcaSubscription::renew(&channel, subscription)
            }
            DeferredCommand::Close(_) => {
                channel.libca().close_now(&channel);
                channel.released();
            }
            DeferredCommand::Write { guard, .. } | DeferredCommand::WriteNotify(guard, ..) => {
                self.execute(&channel, guard);
            }
            _ => match channel.guard() {
                Ok(guard) => self.execute(&channel, &guard),
                Err(error) => self.failed(&channel, &error),
            },
        }
    }

    fn execute(&self, channel: &Arc<Channel>, guard: &ChannelGuard<'_>) {
        let io: &LibcaChannel = channel.libca();
        if let Some(command) = self.command()
            && let Err(error) = io.execute(guard, command)
        {
            channel.command_failed(command, &error);
        }
    }

    fn failed(&self, channel: &Arc<Channel>, error: &Error) {
        if let Some(command) = self.command() {
            channel.command_failed(command, error);
        }
    }

    /// There is no thread to be had for it, and nobody to whom that can be said at once.
    pub(super) fn fail(self) {
        // A share of a group request tells as it goes.
        if let Some(channel) = self.channel() {
            self.failed(&channel, &Error::from(Status::ALLOCMEM));
        }
    }

    /// Who waits in `pending` waits for it.
    pub(super) fn waits_in(&self, pending: &Arc<PendingIo>) -> bool {
        match self {
            DeferredCommand::Read(request) | DeferredCommand::WriteNotify(_, request, _) => {
                request.waits_in(pending)
            }
            DeferredCommand::Write {
                pending: Some(own), ..
            } => Arc::ptr_eq(own, pending),
            DeferredCommand::Group(share) => share.is_of(pending),
            _ => false,
        }
    }

    /// It is not sent: whoever has waited for it does not any more.
    pub(super) fn withdraw(self) {
        match self {
            DeferredCommand::Read(_) | DeferredCommand::WriteNotify(..) => {
                if let Some(channel) = self.channel() {
                    self.failed(&channel, &Error::from(Status::TIMEOUT));
                }
            }
            rest => drop(rest),
        }
    }

    /// It concerns nobody who waits, and may as well be done when there is a thread again.
    pub(super) fn is_retryable(&self) -> bool {
        matches!(
            self,
            DeferredCommand::Renew(_) | DeferredCommand::Unsubscribe(_) | DeferredCommand::Close(_)
        )
    }

    /// It waits for a thread: nobody else would tell of updates that do not come until then.
    pub(super) fn put_off(&self) {
        if let DeferredCommand::Renew(subscription) = self
            && let Some(channel) = subscription.channel()
        {
            let error = Error::new(Status::ALLOCMEM, channel.name());
            channel.report_subscription(subscription, &error);
        }
    }

    /// What the circuit has counted as sent for it.
    pub(super) fn counted(&self) -> u64 {
        match (self, self.command()) {
            (DeferredCommand::Group(share), _) => share.counted,
            (DeferredCommand::Unsubscribe(_), _) | (_, None) => 0,
            (_, Some(command)) => message(payload(command)),
        }
    }

    pub(super) fn context(&self) -> Option<Arc<Context>> {
        match self {
            DeferredCommand::Group(share) => Some(share.context().clone()),
            _ => self.channel().map(|channel| channel.context().clone()),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            DeferredCommand::Write { data, .. } | DeferredCommand::WriteNotify(_, _, data) => {
                OVERHEAD + data.as_slice().len()
            }
            DeferredCommand::Group(share) => share.bytes,
            DeferredCommand::Read(_) => OVERHEAD,
            _ => 0,
        }
    }
}
