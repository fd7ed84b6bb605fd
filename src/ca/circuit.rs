//! How much was sent to a server that it may not have taken yet.
//!
//! libca queues what it is to send, and once more than 256 KiB of it are queued it blocks the caller until the server takes
//! some, or is given up half a minute later. Nothing interrupts that. So nothing is handed to libca while so much may be in
//! its queue: now and then a small read goes along (a probe), whose answer proves that all before it has left. Who finds no
//! room waits for the probes, in a way that can be interrupted.

use super::batch::{Batch, Completion, Ticket};
use super::channel::Channel;
use super::dbr::DbrType;
use super::lock;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, Weak};

/// Unconfirmed bytes from which on others have to wait. libca tells a circuit's server first by address, then by name:
/// one circuit may be taken for two, and both together stay below what blocks.
const WINDOW: u64 = 112 * 1024;
/// Bytes between two probes.
const PROBE_EVERY: u64 = 32 * 1024;
/// A message's header.
const HEADER: usize = 16;

/// The connection to one server at one priority.
pub struct Circuit {
    sent: AtomicU64,
    /// What had been sent when the newest probe was asked for.
    probed: AtomicU64,
    /// What is known to have left.
    confirmed: AtomicU64,
    /// The probes under way.
    probes: Arc<Batch>,
    prober: Mutex<Option<Sender<Probe>>>,
}

/// A context's circuits, by server and priority.
#[derive(Default)]
pub(super) struct Circuits(Mutex<HashMap<(String, u32), Weak<Circuit>>>);

impl Circuits {
    pub(super) fn find(
        &self,
        server: String,
        priority: u32,
        completion: &Arc<Completion>,
    ) -> Arc<Circuit> {
        let mut circuits = lock(&self.0);
        let place = circuits.entry((server, priority)).or_default();
        place.upgrade().unwrap_or_else(|| {
            let circuit = Arc::new(Circuit::new(completion));
            *place = Arc::downgrade(&circuit);
            circuit
        })
    }
}

struct Probe {
    through: Arc<Channel>,
    ticket: Ticket,
}

impl Circuit {
    fn new(completion: &Arc<Completion>) -> Circuit {
        Circuit {
            sent: AtomicU64::new(0),
            probed: AtomicU64::new(0),
            confirmed: AtomicU64::new(0),
            probes: Batch::new(completion),
            prober: Mutex::default(),
        }
    }

    /// What to wait for where there is no room.
    pub fn crowded(&self) -> Option<Arc<Batch>> {
        let unconfirmed = || {
            let confirmed = self.confirmed.load(Ordering::SeqCst);
            self.sent.load(Ordering::SeqCst).saturating_sub(confirmed)
        };
        if unconfirmed() <= WINDOW {
            return None;
        }
        self.look();
        (unconfirmed() > WINDOW).then(|| self.probes.clone())
    }

    /// Where all probes have been answered, what they were sent behind has left.
    fn look(&self) {
        // In this order: a probe has its ticket before `probed` counts it.
        let probed = self.probed.load(Ordering::SeqCst);
        if self.probes.is_done() {
            self.confirmed.fetch_max(probed, Ordering::SeqCst);
        }
    }

    fn count(&self, payload: usize) {
        let bytes = (HEADER + payload) as u64;
        self.sent.fetch_add(bytes, Ordering::SeqCst);
    }

    fn probe_if_due(&self, through: &Arc<Channel>) {
        let sent = self.sent.load(Ordering::SeqCst);
        if sent.saturating_sub(self.probed.load(Ordering::SeqCst)) < PROBE_EVERY {
            return;
        }
        self.look();
        let probe = Probe {
            through: through.clone(),
            ticket: self.probes.ticket(),
        };
        self.probed.fetch_max(sent, Ordering::SeqCst);
        let mut prober = lock(&self.prober);
        if prober.is_none() {
            let (sender, receiver) = channel();
            // On a thread of its own, because libca may block it. It ends with the circuit.
            let started = std::thread::Builder::new()
                .name("cachannel prober".into())
                .spawn(move || work(&receiver));
            *prober = started.is_ok().then_some(sender);
        }
        // Without a prober the ticket is dropped, and libca blocks as it pleases.
        if let Some(sender) = &*prober {
            drop(sender.send(probe));
        }
    }
}

fn work(receiver: &Receiver<Probe>) {
    while let Ok(Probe { through, ticket }) = receiver.recv() {
        // A channel that may not be read has no answer to wait for: the ticket goes.
        let Some(native) = through.native_type() else {
            continue;
        };
        if through
            .get(DbrType::plain(native), 1, None, Some(ticket))
            .is_ok()
        {
            drop(through.context().flush());
        }
    }
}

/// One message being handed to libca.
pub(super) struct Sending<'c> {
    circuit: Option<Arc<Circuit>>,
    channel: &'c Arc<Channel>,
}

impl<'c> Sending<'c> {
    /// Goes out behind all that was gathered.
    pub(super) fn start(channel: &'c Arc<Channel>, payload: usize) -> Sending<'c> {
        channel.context().gathered.hand_on();
        Sending::counted(channel, payload)
    }

    /// Is gathered itself.
    pub(super) fn behind(channel: &'c Arc<Channel>) -> Sending<'c> {
        Sending::counted(channel, 0)
    }

    fn counted(channel: &'c Arc<Channel>, payload: usize) -> Sending<'c> {
        let circuit = channel.circuit();
        if let Some(circuit) = &circuit {
            circuit.count(payload);
        }
        Sending { circuit, channel }
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        if let Some(circuit) = &self.circuit {
            circuit.probe_if_due(self.channel);
        }
    }
}
