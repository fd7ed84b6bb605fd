//! Synchronous groups: gets and puts that one call waits for.

use crate::client::pending_io::{PendingIo, Waiters};
use crate::protocol::error::Result;
use crate::protocol::status::Status;
use crate::sync::lock;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// A context's groups by their ids (CA_SYNC_GID). Any thread may use any group.
///
/// | state of an id | moves to | who moves it |
/// |---|---|---|
/// | unused | a group that nothing is outstanding in | [`create`](SyncGroups::create); an id is given once |
/// | a group | the same id with a new [`PendingIo`] | [`reset`](SyncGroups::reset); what was outstanding counts for the old one |
/// | | deleted, for good | [`delete`](SyncGroups::delete); a thread that waits in it waits on |
#[derive(Default)]
pub struct SyncGroups {
    /// The last id, and the groups.
    state: Mutex<(u32, HashMap<u32, Arc<PendingIo>>)>,
}

impl SyncGroups {
    /// Makes a group, whose waits sleep at `waiters` (ca_sg_create).
    pub fn create(&self, waiters: &Arc<Waiters>) -> u32 {
        let mut state = lock(&self.state);
        state.0 += 1;
        let id = state.0;
        state.1.insert(id, PendingIo::new(waiters));
        id
    }

    /// ca_sg_delete.
    pub fn delete(&self, id: u32) -> Result<()> {
        let removed = lock(&self.state).1.remove(&id);
        removed.map(drop).ok_or(Status::BADSYNCGRP.into())
    }

    /// What counts a group's requests.
    pub fn get(&self, id: u32) -> Result<Arc<PendingIo>> {
        let found = lock(&self.state).1.get(&id).cloned();
        found.ok_or(Status::BADSYNCGRP.into())
    }

    /// The group no longer waits for what is outstanding (ca_sg_reset).
    pub fn reset(&self, id: u32, waiters: &Arc<Waiters>) -> Result<()> {
        let mut state = lock(&self.state);
        let group = state.1.get_mut(&id).ok_or(Status::BADSYNCGRP)?;
        *group = PendingIo::new(waiters);
        Ok(())
    }
}
