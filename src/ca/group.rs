//! Synchronous groups: gets and puts that one call waits for.

use super::batch::Batch;
use super::context::Context;
use super::error::Result;
use super::lock;
use super::status::Status;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// A context's groups by their ids (CA_SYNC_GID).
#[derive(Default)]
pub struct Groups {
    state: Mutex<(u32, HashMap<u32, Arc<Batch>>)>,
}

impl Context {
    /// ca_sg_create.
    pub fn create_group(&self) -> u32 {
        let mut state = lock(&self.groups.state);
        state.0 += 1;
        let id = state.0;
        state.1.insert(id, Batch::new(&self.completion));
        id
    }

    /// ca_sg_delete.
    pub fn delete_group(&self, id: u32) -> Result<()> {
        let removed = lock(&self.groups.state).1.remove(&id);
        removed.map(drop).ok_or(Status::BADSYNCGRP.into())
    }

    /// The batch that gathers a group's requests.
    pub fn group(&self, id: u32) -> Result<Arc<Batch>> {
        let found = lock(&self.groups.state).1.get(&id).cloned();
        found.ok_or(Status::BADSYNCGRP.into())
    }

    /// ca_sg_reset: what is outstanding is forgotten.
    pub fn reset_group(&self, id: u32) -> Result<()> {
        let mut state = lock(&self.groups.state);
        let group = state.1.get_mut(&id).ok_or(Status::BADSYNCGRP)?;
        *group = Batch::new(&self.completion);
        Ok(())
    }
}
