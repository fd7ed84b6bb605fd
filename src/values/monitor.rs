//! Which values of a subscription are delivered, and when.

use super::Manner;
use super::properties::{Found, PropertyCell};
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
    state: Mutex<State>,
}

struct State {
    held: VecDeque<Arc<Dbr>>,
    dropped: u64,
    /// The next value is that of the time of the subscription, which is not wanted.
    skips_first: bool,
}

/// What is to be done with a value.
pub enum Admitted {
    /// Deliver it with these properties.
    Now(Option<Arc<Dbr>>),
    /// It waits. The server has to be asked for the properties.
    Held,
    Skipped,
}

impl ValueMonitor {
    pub fn new(
        manner: Manner,
        properties: Option<Arc<PropertyCell>>,
        skips_first: bool,
    ) -> ValueMonitor {
        ValueMonitor {
            manner,
            properties,
            state: Mutex::new(State {
                held: VecDeque::new(),
                dropped: 0,
                skips_first,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Values that were dropped while they waited for their properties.
    pub fn dropped(&self) -> u64 {
        self.state().dropped
    }

    /// A new value.
    pub fn admit(&self, value: &Arc<Dbr>) -> Admitted {
        let mut state = self.state();
        if std::mem::take(&mut state.skips_first) {
            return Admitted::Skipped;
        }
        let Some(properties) = &self.properties else {
            return Admitted::Now(None);
        };
        let found = properties.find(value);
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
    pub fn release(&self) -> Option<(Arc<Dbr>, Option<Arc<Dbr>>)> {
        let properties = self.properties.as_ref()?;
        let mut state = self.state();
        let properties = match properties.find(state.held.front()?) {
            Found::Known(known) => Some(known),
            Found::None => None,
            Found::Unknown => return None,
        };
        Some((state.held.pop_front()?, properties))
    }
}
