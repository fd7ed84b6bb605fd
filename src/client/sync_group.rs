//! Synchronous groups: gets and puts that one call waits for.

use crate::client::context::Context;
use crate::client::pending_io::PendingIo;
use crate::protocol::error::Result;
use crate::protocol::status::Status;
use crate::sync::lock;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// A context's groups by their ids (CA_SYNC_GID).
#[derive(Default)]
pub struct Groups {
    state: Mutex<(u32, HashMap<u32, Arc<PendingIo>>)>,
}

impl Context {
    /// ca_sg_create.
    pub fn create_group(&self) -> u32 {
        let mut state = lock(&self.groups.state);
        state.0 += 1;
        let id = state.0;
        state.1.insert(id, PendingIo::new(&self.waiters));
        id
    }

    /// ca_sg_delete.
    pub fn delete_group(&self, id: u32) -> Result<()> {
        let removed = lock(&self.groups.state).1.remove(&id);
        removed.map(drop).ok_or(Status::BADSYNCGRP.into())
    }

    /// The batch that gathers a group's requests.
    pub fn group(&self, id: u32) -> Result<Arc<PendingIo>> {
        let found = lock(&self.groups.state).1.get(&id).cloned();
        found.ok_or(Status::BADSYNCGRP.into())
    }

    /// ca_sg_reset: what is outstanding is forgotten.
    pub fn reset_group(&self, id: u32) -> Result<()> {
        let mut state = lock(&self.groups.state);
        let group = state.1.get_mut(&id).ok_or(Status::BADSYNCGRP)?;
        *group = PendingIo::new(&self.waiters);
        Ok(())
    }
}
