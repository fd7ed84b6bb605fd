//! The channels of a recorder that is running.

use crate::client::channel::Channel;
use crate::client::context::Context;
use crate::client::pending_io::PendingIo;
use crate::client::recorder::recorded_pv::{RecordState, RecordedPv};
use crate::client::recorder::update_buffer::UpdateBuffer;
use crate::protocol::error::{Error, Result, list_names};
use crate::protocol::status::Status;
use crate::sync::lock;
use crate::sync::wait_queue::{Check, Waited};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// | state | moves to | who moves it |
/// |---|---|---|
/// | new | opening | one thread, [`open`](RecorderSession::open), once: it adds one channel after the other |
/// | opening | open | the same thread |
/// | any of these | closed | any thread, [`close`](RecorderSession::close), which takes the channels that there are |
/// | closed | | final; a thread that is opening the session disposes of the channel that it has just made, and adds no more |
///
/// `channels.closed` tells closed from the rest, and is set and read under the lock of `channels`.
pub struct RecorderSession {
    context: Arc<Context>,
    names: Arc<[String]>,
    recorded_pvs: Vec<Arc<RecordedPv>>,
    unconnected: Arc<PendingIo>,
    channels: Mutex<Channels>,
}

#[derive(Default)]
struct Channels {
    all: Vec<Arc<Channel>>,
    closed: bool,
}

impl RecorderSession {
    /// A session of these PVs, into `buffer`; [`open`](RecorderSession::open) starts it.
    pub fn new(
        context: &Arc<Context>,
        names: Arc<[String]>,
        buffer: &Arc<UpdateBuffer>,
    ) -> RecorderSession {
        let unconnected = context.pending_io();
        let recorded = |channel| RecordedPv::new(buffer, channel, unconnected.begin());
        RecorderSession {
            context: context.clone(),
            recorded_pvs: (0..names.len()).map(recorded).collect(),
            names,
            unconnected,
            channels: Mutex::default(),
        }
    }

    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Searches for the PVs and subscribes to them (ca_create_channel, ca_create_subscription). The backend accepts a
    /// subscription to a PV that is not connected yet, and subscribes again with every connection.
    pub fn open(&self, mask: u32) -> Result<()> {
        for (name, recorded) in self.names.iter().zip(&self.recorded_pvs) {
            // The recorded PV itself learns of the connection; the handler is set only so that no `pend_io` waits for it.
            let (user, handler) = (Arc::new(()), Some(recorded.clone() as _));
            let channel = Channel::create(&self.context, name, 0, user, handler, |_| ())?;
            {
                let mut channels = lock(&self.channels);
                if channels.closed {
                    drop(channels);
                    channel.dispose();
                    return Ok(());
                }
                channels.all.push(channel.clone());
            }
            match channel.record(recorded, mask) {
                // Another thread has closed the session meanwhile.
                Err(error) if error.status == Status::BADCHID => {}
                other => other?,
            }
        }
        self.context.flush()
    }

    /// Waits until every PV has connected once. [`verify`](RecorderSession::verify) tells whether each is recorded.
    pub fn wait_connected(&self, deadline: Option<Instant>, check: Check<'_>) -> Waited {
        let pending = [self.unconnected.clone()];
        self.context.wait_done(&pending, deadline, check)
    }

    /// An error if some PVs are not recorded: those that are not numbers, or else those that are not connected.
    pub fn verify(&self) -> Result<()> {
        let states: Vec<RecordState> = self
            .recorded_pvs
            .iter()
            .map(|recorded| recorded.state())
            .collect();
        let named = || self.names.iter().zip(&states);
        let unrecordable: Vec<_> = named()
            .filter_map(|(name, state)| match state {
                RecordState::Unrecordable(reason) => Some((name, reason)),
                _ => None,
            })
            .collect();
        if let [(name, reason), others @ ..] = &unrecordable[..] {
            let mut detail = reason.describe();
            if !others.is_empty() {
                let names = others.iter().map(|(name, _)| name.as_str());
                detail.push_str(&format!("; nor are these numbers: {}", list_names(names)));
            }
            return Err(Error::with_detail(reason.status(), name, detail));
        }
        let searching: Vec<&str> = named()
            .filter(|(_, state)| **state == RecordState::Searching)
            .map(|(name, _)| name.as_str())
            .collect();
        match &searching[..] {
            [] => Ok(()),
            [name] => Err(Error::not_found(name, "")),
            [first, ..] => {
                let listed = list_names(searching.iter().copied());
                let detail = format!("{} PVs did not connect: {listed}", searching.len());
                Err(Error::not_found(first, detail))
            }
        }
    }

    /// From now on, a PV that turns out not to be a number is logged, because no caller waits to be told.
    pub fn set_warns(&self) {
        self.recorded_pvs
            .iter()
            .for_each(|recorded| recorded.set_warns());
    }

    /// Which PVs are connected and recorded.
    pub fn connected(&self) -> Vec<bool> {
        let connected = |recorded: &Arc<RecordedPv>| recorded.state() == RecordState::Connected;
        self.recorded_pvs.iter().map(connected).collect()
    }

    /// Ends the session. The sender threads tell the servers: this waits for no server.
    pub fn close(&self) {
        let channels = {
            let mut channels = lock(&self.channels);
            channels.closed = true;
            std::mem::take(&mut channels.all)
        };
        self.recorded_pvs
            .iter()
            .for_each(|recorded| recorded.close());
        channels.iter().for_each(|channel| channel.dispose());
    }
}
