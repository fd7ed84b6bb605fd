//! Which values of a subscription are delivered, and when.

use super::Manner;
use super::properties::{Found, PropertyCell};
use crate::protocol::dbr::Base;
use crate::protocol::value::Dbr;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Values that wait for their properties at most; older ones are dropped, and counted.
const HELD_AT_MOST: usize = 1_000;

/// What a subscription to values needs beside its callback.
///
/// A value whose properties are unknown is *held* until they come, or until the server has said that it gives none; values keep
/// their order. Only the thread that delivers the subscription's events holds and releases.
pub struct ValueMonitor {
    pub manner: Manner,
    pub properties: Option<Arc<PropertyCell>>,
    /// The values come as another type than the PV's own.
    converted: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: VecDeque<Arc<Dbr>>,
    dropped: u64,
}

/// What is to be done with a value.
pub enum Admitted {
    /// Deliver it with these properties.
    Now(Option<Arc<Dbr>>),
    /// It waits. The server has to be asked for the properties.
    Held,
}

impl ValueMonitor {
    pub fn new(
        manner: Manner,
        properties: Option<Arc<PropertyCell>>,
        converted: bool,
    ) -> ValueMonitor {
        ValueMonitor {
            manner,
            properties,
            converted,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Values that were dropped while they waited for their properties.
    pub fn dropped(&self) -> u64 {
        self.state().dropped
    }

    fn find(&self, cell: &PropertyCell, value: &Dbr, native: Option<Base>) -> Found {
        if self.converted {
            cell.find_converted(native)
        } else {
            cell.find(value)
        }
    }

    /// A new value; `native` is the type of the PV as it is now.
    pub fn admit(&self, value: &Arc<Dbr>, native: Option<Base>) -> Admitted {
        let Some(properties) = &self.properties else {
            return Admitted::Now(None);
        };
        let mut state = self.state();
        let found = self.find(properties, value, native);
        match found {
            Found::Known(known) if state.held.is_empty() => Admitted::Now(Some(known)),
            Found::None if state.held.is_empty() => Admitted::Now(None),
            _ => {
                state.held.push_back(value.clone());
                let oldest = if state.held.len() > HELD_AT_MOST {
                    state.dropped += 1;
                    state.held.pop_front()
                } else {
                    None
                };
                drop(state);
                drop(oldest);
                Admitted::Held
            }
        }
    }

    /// The next of the values that were held and can be delivered now.
    pub fn release(&self, native: Option<Base>) -> Option<(Arc<Dbr>, Option<Arc<Dbr>>)> {
        let properties = self.properties.as_ref()?;
        let mut state = self.state();
        let properties = match self.find(properties, state.held.front()?, native) {
            Found::Known(known) => Some(known),
            Found::None => None,
            Found::Unknown => return None,
        };
        Some((state.held.pop_front()?, properties))
    }
}
