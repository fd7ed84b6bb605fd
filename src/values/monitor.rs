//! Which values of a subscription are delivered, and when.

use super::Manner;
use super::properties::{Found, PropertyCell};
use crate::protocol::dbr::Base;
use crate::protocol::value::Dbr;
use crate::sync::mailbox::QueueLimits;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long values wait for properties for which the server was asked. One that does not answer is taken for one that has none.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// What a subscription to values needs beside its callback.
///
/// A value whose properties are unknown is *held* until they come, until the server has said that it gives none, or for
/// `PATIENCE`; values keep their order, and of more than the subscription's limits allow the oldest are dropped. Only the thread that delivers the subscription's events holds and releases.
pub struct ValueMonitor {
    pub manner: Manner,
    pub properties: Option<Arc<PropertyCell>>,
    /// The values come as another type than the PV's own.
    converted: bool,
    limits: QueueLimits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: VecDeque<Arc<Dbr>>,
    /// The memory of what is held.
    bytes: usize,
    /// Since when values have been held.
    since: Option<Instant>,
    dropped: u64,
}

impl State {
    fn is_out_of_patience(&self) -> bool {
        self.since.is_some_and(|since| since.elapsed() > PATIENCE)
    }

    fn take_oldest(&mut self) -> Option<Arc<Dbr>> {
        let oldest = self.held.pop_front()?;
        self.bytes -= oldest.heap_len();
        Some(oldest)
    }
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
        limits: QueueLimits,
    ) -> ValueMonitor {
        ValueMonitor {
            manner,
            properties,
            converted,
            limits,
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
        match self.find(properties, value, native) {
            Found::Known(known) if state.held.is_empty() => {
                state.since = None;
                return Admitted::Now(Some(known));
            }
            Found::None if state.held.is_empty() => return Admitted::Now(None),
            Found::Unknown if state.held.is_empty() && state.is_out_of_patience() => {
                return Admitted::Now(None);
            }
            _ => {}
        }
        state.since.get_or_insert_with(Instant::now);
        state.bytes += value.heap_len();
        state.held.push_back(value.clone());
        let mut oldest = Vec::new();
        while state.held.len() > 1
            && (state.held.len() > self.limits.updates || state.bytes > self.limits.bytes)
        {
            oldest.extend(state.take_oldest());
            state.dropped += 1;
        }
        drop(state);
        drop(oldest);
        Admitted::Held
    }

    /// The next of the values that were held and can be delivered now.
    pub fn release(&self, native: Option<Base>) -> Option<(Arc<Dbr>, Option<Arc<Dbr>>)> {
        let properties = self.properties.as_ref()?;
        let mut state = self.state();
        let properties = match self.find(properties, state.held.front()?, native) {
            Found::Known(known) => {
                state.since = None;
                Some(known)
            }
            Found::None => None,
            Found::Unknown if state.is_out_of_patience() => None,
            Found::Unknown => return None,
        };
        Some((state.take_oldest()?, properties))
    }
}
