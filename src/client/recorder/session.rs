//! The channels of a recorder that runs.

use crate::client::channel::Channel;
use crate::client::context::Context;
use crate::client::pending_io::PendingIo;
use crate::client::recorder::recorded_pv::{RecordState, RecordedPv};
use crate::client::recorder::update_buffer::UpdateBuffer;
use crate::protocol::error::{Error, Result};
use crate::protocol::status::Status;
use crate::sync::lock;
use crate::sync::wait_queue::{Check, Waited};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// PVs that an error names.
const SHOWN: usize = 10;

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
    /// Of these PVs, onto this buffer; it has yet to be opened.
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

    /// Searches for the PVs and subscribes to them (ca_create_channel, ca_create_subscription). libca takes a
    /// subscription to a PV that it has not found yet, and renews it with every connection.
    pub fn open(&self, mask: u32) -> Result<()> {
        for (name, recorded) in self.names.iter().zip(&self.recorded_pvs) {
            // The connection is the recorded's to know of: the handler is there so that no pend_io waits for it.
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
                // Closed meanwhile, by whoever has closed all this.
                Err(error) if error.status == Status::BADCHID => {}
                other => other?,
            }
        }
        self.context.flush()
    }

    /// Waits until every PV has connected once; how, is for the caller to see.
    pub fn wait_connected(&self, deadline: Option<Instant>, check: Check<'_>) -> Waited {
        let pending = [self.unconnected.clone()];
        self.context.wait_done(&pending, deadline, check)
    }

    /// What keeps it from recording all of its PVs, by name: those that are no numbers, or else those not connected.
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
                detail.push_str(&format!("; nor are these numbers: {}", list(names)));
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
                let listed = list(searching.iter().copied());
                let detail = format!("{} PVs did not connect: {listed}", searching.len());
                Err(Error::not_found(first, detail))
            }
        }
    }

    /// From now on a PV that turns out to be no number is logged: nobody waits to hear of it.
    pub fn set_warns(&self) {
        self.recorded_pvs
            .iter()
            .for_each(|recorded| recorded.set_warns());
    }

    /// Which PVs are connected, and recorded.
    pub fn connected(&self) -> Vec<bool> {
        let connected = |recorded: &Arc<RecordedPv>| recorded.state() == RecordState::Connected;
        self.recorded_pvs.iter().map(connected).collect()
    }

    /// Nothing is recorded any more. libca is told by the circuits' threads: this waits for no server.
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

fn list<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len() > SHOWN;
    let mut text = names.take(SHOWN).collect::<Vec<_>>().join(", ");
    if more {
        text.push_str(", …");
    }
    text
}
