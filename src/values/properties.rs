//! A PV's properties: units, limits, precision, the names of an enum's states.

use crate::client::subscription::Subscription;
use crate::protocol::dbr::{Base, DbrClass, DbrType};
use crate::protocol::status::Status;
use crate::protocol::validate::RequestSpec;
use crate::protocol::value::{Answer, Dbr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// The properties of one PV, as the server has told them last.
///
/// | state | moves to | who moves it |
/// |---|---|---|
/// | unknown | asked | whoever has a value, and needs the properties for it |
/// | unknown, asked | known, or none | whoever gets an answer, or an update of the subscription to them |
/// | known, none | known | the same, when they change |
/// | any | unknown | whoever delivers that the PV has connected or disconnected: its IOC may have come back with others |
///
/// Properties of another type than a value's are unknown for that value: the PV has come back as something else, and its new
/// properties are on their way.
#[derive(Default)]
pub struct PropertyCell {
    state: Mutex<State>,
    /// The subscriptions whose values wait for the properties, maybe.
    listeners: Mutex<Vec<Weak<Subscription>>>,
}

#[derive(Default)]
struct State {
    /// The newest; they count as unknown where they are `old`.
    known: Option<Arc<Dbr>>,
    /// They are those of an earlier connection.
    old: bool,
    /// The server did not give them when it was asked.
    none: bool,
    asked: bool,
}

/// What there is for a value.
pub enum Found {
    Known(Arc<Dbr>),
    /// There are none.
    None,
    Unknown,
}

impl PropertyCell {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The request for them, of a PV of this type; `None` where the type has none.
    pub fn spec(native: Base) -> Option<RequestSpec> {
        let dbr_type = DbrType::in_form(DbrClass::Ctrl, native);
        (native != Base::String).then(|| RequestSpec::exactly(dbr_type, 1))
    }

    /// The properties for a value.
    pub fn find(&self, value: &Dbr) -> Found {
        self.find_for(value.dbr_type.base())
    }

    /// As [`find`](PropertyCell::find), for values of this type.
    pub fn find_for(&self, base: Base) -> Found {
        if base == Base::String {
            return Found::None;
        }
        let state = self.state();
        match &state.known {
            Some(known) if known.dbr_type.base() == base && !state.old => {
                Found::Known(known.clone())
            }
            _ if state.none => Found::None,
            _ => Found::Unknown,
        }
    }

    /// The properties for a value that has come as another type than that of its PV, `native`; the last ones that were known where
    /// the PV is not connected any more.
    pub fn find_converted(&self, native: Option<Base>) -> Found {
        match native {
            Some(native) => self.find_for(native),
            None => self.latest().map_or(Found::None, Found::Known),
        }
    }

    /// The PV has connected or disconnected.
    pub fn connection_changed(&self) {
        let mut state = self.state();
        state.old = true;
        state.none = false;
        state.asked = false;
    }

    /// What is known, whatever type it is for.
    pub fn latest(&self) -> Option<Arc<Dbr>> {
        self.state().known.clone()
    }

    /// An answer, or an update.
    pub fn set(&self, answer: &Answer) {
        let old = {
            let mut state = self.state();
            state.asked = false;
            match &answer.dbr {
                Some(dbr) => {
                    state.none = false;
                    state.old = false;
                    state.known.replace(dbr.clone())
                }
                None => {
                    // A server that has gone has said nothing of them.
                    state.none = answer.status != Status::DISCONN;
                    None
                }
            }
        };
        drop(old);
    }

    /// As [`set`](PropertyCell::set), but what an update has brought since is kept.
    pub fn set_if_unknown(&self, answer: &Answer) {
        let is_known = {
            let state = self.state();
            let known = state.known.as_ref().filter(|_| !state.old);
            let base = known.map(|known| known.dbr_type.base());
            base.is_some() && base == answer.dbr.as_ref().map(|dbr| dbr.dbr_type.base())
        };
        if !is_known {
            self.set(answer);
        }
    }

    /// `true` for the caller that has to ask the server: nobody else is asking.
    pub fn begin_to_ask(&self) -> bool {
        !std::mem::replace(&mut self.state().asked, true)
    }

    pub fn listen(&self, subscription: &Arc<Subscription>) {
        let mut listeners = self
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|other| other.strong_count() > 0);
        listeners.push(Arc::downgrade(subscription));
    }

    pub fn listeners(&self) -> Vec<Arc<Subscription>> {
        let listeners = self
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        listeners.iter().filter_map(Weak::upgrade).collect()
    }
}
