//! A context's circuits, by server and priority.

use super::circuit::{Circuit, Shared};
use crate::client::pending_io::{PendingIo, Waiters};
use crate::sync::lock;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

pub(super) struct Circuits {
    waiters: Arc<Waiters>,
    /// A circuit may be known by two names of its server.
    connected: Mutex<HashMap<(String, u32), Weak<Circuit>>>,
    /// For channels that are not connected.
    nowhere: Arc<Circuit>,
    shared: Arc<Shared>,
}

impl Circuits {
    pub(super) fn new(waiters: &Arc<Waiters>) -> Circuits {
        let shared = Arc::<Shared>::default();
        Circuits {
            waiters: waiters.clone(),
            connected: Mutex::default(),
            nowhere: Arc::new(Circuit::new(waiters, &shared)),
            shared,
        }
    }

    pub(super) fn nowhere(&self) -> &Arc<Circuit> {
        &self.nowhere
    }

    /// The circuit to a server, if it is known by this name.
    pub(super) fn find(&self, server: &str, priority: u32) -> Option<Arc<Circuit>> {
        let circuits = lock(&self.connected);
        let place = circuits
            .iter()
            .find(|(known, _)| known.0 == server && known.1 == priority);
        place.and_then(|(_, circuit)| circuit.upgrade())
    }

    /// A circuit gets a name: `known`, which has another one so far, or a new one.
    pub(super) fn add(
        &self,
        server: String,
        priority: u32,
        known: Option<Arc<Circuit>>,
    ) -> Arc<Circuit> {
        let new = || Arc::new(Circuit::new(&self.waiters, &self.shared));
        let circuit = known.unwrap_or_else(new);
        let mut circuits = lock(&self.connected);
        circuits.retain(|_, circuit| circuit.strong_count() > 0);
        circuits.insert((server, priority), Arc::downgrade(&circuit));
        circuit
    }

    /// See [`Shared::search_begins`].
    pub(super) fn search_begins(&self) {
        self.shared.search_begins();
    }

    /// See [`Shared::resume`].
    pub(super) fn resume(&self) {
        self.shared.resume();
    }

    /// Some circuit has more than enough to do.
    pub(super) fn any_has_backlog(&self) -> bool {
        self.shared.any_has_backlog()
    }

    fn all(&self) -> Vec<Arc<Circuit>> {
        let connected = lock(&self.connected);
        let connected = connected.values().filter_map(Weak::upgrade);
        connected.chain([self.nowhere.clone()]).collect()
    }

    /// See [`Circuit::withdraw`].
    pub(super) fn withdraw(&self, pending: &[Arc<PendingIo>]) {
        self.all()
            .iter()
            .for_each(|circuit| circuit.withdraw(pending));
    }

    pub(super) fn close(&self) {
        self.all().iter().for_each(|circuit| circuit.close());
        // What is queued for a circuit that is closed is forgotten.
        self.shared.resume();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::pending_io::DroppedAnswers;
    use crate::client::queue::EventQueue;

    #[test]
    fn a_circuit_that_gets_another_name_is_the_same() {
        let queue = Arc::<EventQueue>::default();
        let circuits = Circuits::new(&Waiters::new(queue, DroppedAnswers::default));
        assert!(circuits.find("10.0.0.1:5064", 0).is_none());
        let circuit = circuits.add("10.0.0.1:5064".to_owned(), 0, None);
        circuits.add("ioc:5064".to_owned(), 0, Some(circuit.clone()));
        for name in ["10.0.0.1:5064", "ioc:5064"] {
            assert!(Arc::ptr_eq(&circuits.find(name, 0).unwrap(), &circuit));
            assert!(circuits.find(name, 1).is_none(), "another priority");
        }
        drop(circuit);
        assert!(circuits.find("ioc:5064", 0).is_none());
    }
}
