//! A backend for tests: a server that does what a test says, with no network, and no thread of its own but for what follows an
//! upcall.
//!
//! * [`server`] the server of a context, and what a test can have it do
//! * [`sent`] commands that it has accepted
//! * [`value`] values as DBR structures
//!
//! It does what libca never does on request: it answers in any order, connects twice, updates one subscription from two threads
//! at once, and takes long over a close.

mod sent;
pub mod server;
pub mod value;

use super::{
    AnyChannel, AnyContext, Backend, Backlog, ChannelIo, Close, Closed, Command, ContextIo, When,
};
use crate::client::channel::{Channel, ChannelGuard};
use crate::client::context::{Context, ContextGuard};
use crate::client::group::channels::GroupChannels;
use crate::client::group::request::GroupRequest;
use crate::client::pending_io::{PendingIo, Waiters};
use crate::protocol::error::Result;
use sent::Sent;
use server::Server;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Makes contexts with a [`Server`] each.
pub struct Scripted;

pub struct ScriptedContext(Arc<Server>);

pub struct ScriptedChannel(Arc<Server>);

/// The server keeps no more of a subscription than the client does.
pub struct ScriptedSubscription;

impl Scripted {
    /// A context, and its server.
    pub fn context() -> (Arc<Context>, Arc<Server>) {
        let context = Context::with(&Scripted, true).unwrap();
        let AnyContext::Scripted(ScriptedContext(server)) = context.io() else {
            unreachable!("this backend made it")
        };
        let server = server.clone();
        (context, server)
    }
}

impl Backend for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn protocol_version(&self) -> String {
        "4.13".to_owned()
    }

    fn source(&self) -> Option<(String, PathBuf)> {
        None
    }

    fn new_context(&self, waiters: &Arc<Waiters>) -> Result<AnyContext> {
        crate::client::fork::watch();
        Ok(AnyContext::Scripted(ScriptedContext(Server::new(waiters))))
    }
}

impl ContextIo for ScriptedContext {
    fn start(&self, _context: &Arc<Context>) -> Result<()> {
        Ok(())
    }

    fn new_channel(&self) -> AnyChannel {
        AnyChannel::Scripted(ScriptedChannel(self.0.clone()))
    }

    fn flush(&self, _context: &Context) -> Result<()> {
        Ok(())
    }

    fn submit_group(
        &self,
        _context: &ContextGuard<'_>,
        request: &Arc<GroupRequest>,
        group: &GroupChannels,
        indices: Vec<usize>,
    ) -> Backlog {
        if let Some(wait_for) = self.0.backlog() {
            return Backlog {
                indices,
                wait_for: Some(wait_for),
            };
        }
        for index in indices {
            let channel = &group.channels()[index];
            let checked = request.check(index, channel).map(|_| ());
            match checked.and_then(|()| request.command(index, channel).map(|_| ())) {
                Ok(()) => {
                    let sent = Sent::Group(channel.clone(), request.clone(), index);
                    self.0.take(sent);
                }
                Err(status) => request.finish(index, status),
            }
        }
        Backlog::default()
    }

    fn withdraw(&self, pending: &[Arc<PendingIo>]) {
        self.0.withdraw(pending);
    }

    fn has_backlog(&self) -> bool {
        self.0.backlog().is_some()
    }

    fn show(&self, _context: &Context, _level: u32) -> Result<()> {
        Ok(())
    }

    fn stop_sending(&self) {
        self.0.forget_waiting();
    }

    unsafe fn destroy(&self, channels: &[Arc<Channel>], _patience: Duration) -> bool {
        channels.iter().for_each(|channel| self.0.forget(channel));
        true
    }
}

impl ChannelIo for ScriptedChannel {
    fn search(&self, creating: &ChannelGuard<'_>, _priority: u32) -> Result<()> {
        self.0.search(creating.channel());
        Ok(())
    }

    fn submit(&self, channel: &Arc<Channel>, command: Command<'_>) -> Result<()> {
        let Command::Read(request, When::AfterUpcall) = command else {
            return self.0.submit(channel, command);
        };
        let (server, sent) = (self.0.clone(), Sent::Read(request.clone()));
        std::thread::spawn(move || server.take(sent));
        Ok(())
    }

    fn backlog(&self) -> Option<Arc<PendingIo>> {
        self.0.backlog()
    }

    fn server(&self, guard: &ChannelGuard<'_>) -> Result<String> {
        let connected = guard.channel().native_type().is_some();
        let name = if connected {
            "scripted:1"
        } else {
            "<disconnected>"
        };
        Ok(name.to_owned())
    }

    fn close(&self, channel: &Arc<Channel>, how: Close) -> Closed {
        self.0.close(channel, how)
    }
}
