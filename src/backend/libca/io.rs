//! The traits of the seam, as libca keeps them.

use super::channel::LibcaChannel;
use super::commands::{self, send_gathered};
use super::context::LibcaContext;
use super::group_sender;
use crate::backend::{AnyChannel, Backlog, ChannelIo, Close, Closed, Command, ContextIo};
use crate::ca_sys::LibCa;
use crate::client::channel::{Channel, ChannelGuard};
use crate::client::context::{Context, ContextGuard};
use crate::client::group::channels::GroupChannels;
use crate::client::group::request::GroupRequest;
use crate::client::pending_io::PendingIo;
use crate::protocol::error::Result;
use crate::protocol::status::Status;
use std::sync::Arc;
use std::time::{Duration, Instant};

impl ContextIo for LibcaContext {
    /// From now on libca calls back. It has a pointer to the context, until [`destroy`](LibcaContext::destroy) has returned.
    fn start(&self, context: &Arc<Context>) -> Result<()> {
        self.attached(context, |api| {
            // SAFETY: the thread is in the context. The pointer stays good: the list of living contexts keeps it until `destroy`
            // has had libca forget it.
            unsafe {
                let user = Arc::as_ptr(context).cast_mut().cast();
                api.ca_add_exception_event(Some(self.callbacks().exception), user);
                api.ca_replace_printf_handler(Some(self.callbacks().message));
            }
        })?;
        self.tell_held();
        Ok(())
    }

    fn new_channel(&self) -> AnyChannel {
        AnyChannel::Libca(LibcaChannel::default())
    }

    /// Sends what has gathered (ca_flush_io).
    fn flush(&self, context: &Context) -> Result<()> {
        self.get_coalescer.flush(send_gathered);
        self.circuits.resume();
        // SAFETY: `attached` runs it in a thread of a living context.
        let status = self.attached(context, |api| Status(unsafe { api.ca_flush_io() }))?;
        if status.is_normal() {
            Ok(())
        } else {
            Err(status.into())
        }
    }

    fn submit_group(
        &self,
        context: &ContextGuard<'_>,
        request: &Arc<GroupRequest>,
        group: &GroupChannels,
        indices: Vec<usize>,
    ) -> Backlog {
        group_sender::submit(self, context, request, group, indices)
    }

    fn withdraw(&self, pending: &[Arc<PendingIo>]) {
        self.circuits.withdraw(pending);
    }

    fn has_backlog(&self) -> bool {
        self.circuits.any_has_backlog()
    }

    /// Has libca print what it knows of the context (ca_context_status).
    fn show(&self, context: &Context, level: u32) -> Result<()> {
        let Some(_guard) = context.enter() else {
            return Err(Status::NOCACTX.into());
        };
        self.print(level);
        Ok(())
    }

    /// Nothing more is sent: what waits for a sender thread is forgotten.
    fn stop_sending(&self) {
        self.circuits.close();
    }

    /// Has libca destroy the context (ca_context_destroy), with all pointers to channels, requests and subscriptions. Its channels
    /// are closed before, as far as that is over within `patience`: libca loses some memory of those that are left. `false` where
    /// that was not possible.
    ///
    /// # Safety
    /// The context's gate is closed and empty.
    unsafe fn destroy(&self, channels: &[Arc<Channel>], patience: Duration) -> bool {
        let close_all = |api: &LibCa| {
            let enough = Instant::now() + patience;
            for channel in channels {
                // SAFETY: nobody is in the gate, so nobody uses its channels; the thread is in the context.
                unsafe { channel.libca().close_with_context(api) };
                if Instant::now() >= enough {
                    break;
                }
            }
        };
        // SAFETY: the caller's promise.
        unsafe { self.destroy_after(close_all) }
    }
}

impl ChannelIo for LibcaChannel {
    fn search(&self, creating: &ChannelGuard<'_>, priority: u32) -> Result<()> {
        self.search(creating, priority)
    }

    fn submit(&self, channel: &Arc<Channel>, command: Command<'_>) -> Result<()> {
        commands::submit(self, channel, command)
    }

    fn backlog(&self) -> Option<Arc<PendingIo>> {
        self.backlog()
    }

    fn server(&self, guard: &ChannelGuard<'_>) -> Result<String> {
        self.server(guard)
    }

    fn close(&self, channel: &Arc<Channel>, how: Close) -> Closed {
        self.close(channel, how)
    }
}
