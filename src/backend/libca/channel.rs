//! libca's side of a channel: its id, and the circuit by which it is connected.

use super::callback_table::CallbackTable;
use super::circuit::Circuit;
use super::work::Work;
use crate::backend::{Close, Closed};
use crate::ca_sys::{self, LibCa};
use crate::client::channel::{Channel, ChannelGuard};
use crate::client::context::{Context, ContextGuard};
use crate::client::pending_io::PendingIo;
use crate::protocol::error::{Error, Result};
use crate::protocol::status::Status;
use crate::protocol::validate::RequestSpec;
use crate::sync::lock;
use std::ffi::{CStr, c_char, c_ulong, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Mutex};

/// libca holds a pointer to the [`Channel`] that this is part of, from [`search`](LibcaChannel::search) until it is closed: so
/// long the channel's context keeps the channel alive.
///
/// `id` is null before the search and after the close. Whoever uses the id is inside the channel's gate; whoever closes takes
/// the id out, when nobody is inside any more.
#[derive(Default)]
pub struct LibcaChannel {
    id: AtomicPtr<ca_sys::oldChannelNotify>,
    place: Mutex<Place>,
}

/// Where a channel is connected. A channel that is connected and not closed counts as one of its circuit's.
///
/// libca's connection callback sets `circuit`. The thread that closes the channel sets `is_closed`.
#[derive(Default)]
struct Place {
    circuit: Option<Arc<Circuit>>,
    is_closed: bool,
}

/// Permission to call libca with a channel's id: while it lives, neither the channel nor the context is freed.
pub(super) struct Entered<'g> {
    context: ContextGuard<'g>,
    id: ca_sys::chid,
}

impl Entered<'_> {
    pub(super) fn api(&self) -> &'static LibCa {
        self.context.libca().api()
    }

    pub(super) fn id(&self) -> ca_sys::chid {
        self.id
    }

    pub(super) fn callbacks(&self) -> &'static CallbackTable {
        self.context.libca().callbacks()
    }
}

/// How a message gets to libca.
pub(super) enum Route {
    /// libca will not block on it.
    Immediate,
    /// libca may: the circuit's sender thread hands the message on.
    Queued(Arc<Circuit>),
}

impl LibcaChannel {
    /// Starts the search (ca_create_channel).
    pub(super) fn search(&self, creating: &ChannelGuard<'_>, priority: u32) -> Result<()> {
        let channel = creating.channel();
        let io = channel.context().libca();
        let callbacks = io.callbacks();
        io.circuits.search_begins();
        let made = io.attached(channel.context(), |api| {
            let mut id = std::ptr::null_mut();
            let user: *mut c_void = Arc::as_ptr(channel).cast_mut().cast();
            // SAFETY: the thread is in the context; the name ends with NUL and libca copies it; `user` stays good until
            // the channel is closed, because the context keeps the channel; `id` outlives the call.
            let status = unsafe {
                api.ca_create_channel(
                    channel.c_name().as_ptr(),
                    Some(callbacks.connection),
                    user,
                    priority,
                    &raw mut id,
                )
            };
            self.id.store(id, Ordering::Release);
            if !id.is_null() {
                // SAFETY: the id was made just now, and only this channel clears it.
                unsafe { api.ca_replace_access_rights_event(id, Some(callbacks.access_rights)) };
            }
            Status(status)
        })?;
        if made.is_normal() {
            Ok(())
        } else {
            Err(Error::new(made, channel.name()))
        }
    }

    /// The server's name and port, `<disconnected>` where there is none (ca_get_host_name).
    pub(super) fn server(&self, guard: &ChannelGuard<'_>) -> Result<String> {
        let entered = self.enter(guard)?;
        // SAFETY: the id is alive while it is entered.
        Ok(unsafe { host_name(entered.api(), entered.id()) })
    }

    /// What to wait for before more is asked or written; `None` where there is room.
    pub(super) fn backlog(&self) -> Option<Arc<PendingIo>> {
        self.circuit()?.backlog()
    }

    /// Has libca forget the channel (ca_clear_channel): at once; or, where libca could block on that, by the sender thread; or,
    /// where the circuit would go with its last channel, later. The channel's gate is closed and empty.
    pub(super) fn close(&self, channel: &Arc<Channel>, how: Close) -> Closed {
        if let Some(circuit) = self.leave()
            && let Ok(before) = circuit.linger(Box::new(CloseChannel(channel.clone())))
        {
            match before {
                Some(before) if how == Close::Wait && circuit.is_open() => before.run(),
                Some(before) => circuit.send(before),
                None => {}
            }
            return Closed::Later;
        }
        let circuit = match how {
            Close::Wait => self.busy_circuit(),
            Close::Background => {
                let nowhere = || channel.context().libca().circuits.nowhere().clone();
                Some(self.circuit().unwrap_or_else(nowhere))
            }
        };
        let Some(circuit) = circuit else {
            self.close_now(channel);
            return Closed::Done;
        };
        circuit.send(Box::new(CloseChannel(channel.clone())));
        Closed::Later
    }

    /// Permission to call libca with the id, for whoever is inside the channel's gate.
    pub(super) fn enter<'g>(&self, guard: &'g ChannelGuard<'_>) -> Result<Entered<'g>> {
        let channel = guard.channel();
        let context = channel.context().enter();
        let entered = context.map(|context| Entered {
            context,
            id: self.id.load(Ordering::Acquire),
        });
        entered
            .filter(|entered| !entered.id.is_null())
            .ok_or_else(|| Error::new(Status::BADCHID, channel.name()))
    }

    /// libca's id, for whoever is inside the channel's gate; null where there is none.
    pub(super) fn id(&self) -> ca_sys::chid {
        self.id.load(Ordering::Acquire)
    }

    /// In libca's connection callback: the callback may come before ca_create_channel has returned, and other callbacks may use
    /// the channel then.
    pub(super) fn learn_id(&self, id: ca_sys::chid, channel: &Channel) {
        if self.id().is_null() && !channel.is_closing() {
            self.id.store(id, Ordering::Release);
        }
    }

    pub(super) fn set_circuit(&self, circuit: Option<Arc<Circuit>>) {
        let mut place = lock(&self.place);
        let before = std::mem::replace(&mut place.circuit, circuit);
        if !place.is_closed {
            // In this order: it may be the same one.
            if let Some(circuit) = &place.circuit {
                circuit.join();
            }
            if let Some(circuit) = &before {
                circuit.leave();
            }
        }
        drop(place);
        drop(before);
    }

    /// The channel is closed. The circuit, where no other channel is connected by it.
    fn leave(&self) -> Option<Arc<Circuit>> {
        let mut place = lock(&self.place);
        place.is_closed = true;
        // Answers that come yet still count for the circuit: the channel keeps it.
        place.circuit.clone().filter(|circuit| circuit.leave())
    }

    /// The circuit that it is connected by.
    pub(super) fn circuit(&self) -> Option<Arc<Circuit>> {
        lock(&self.place).circuit.clone()
    }

    /// The circuit, where that is not the given one.
    pub(super) fn other_circuit(
        &self,
        circuit: Option<&Arc<Circuit>>,
    ) -> Option<Option<Arc<Circuit>>> {
        let own = &lock(&self.place).circuit;
        let same = own.as_ref().map(Arc::as_ptr) == circuit.map(Arc::as_ptr);
        (!same).then(|| own.clone())
    }

    /// The circuit, where libca could block on it now.
    pub(super) fn busy_circuit(&self) -> Option<Arc<Circuit>> {
        self.circuit().filter(|circuit| !circuit.is_open())
    }

    /// How a message with so many bytes of data gets to libca; and what has been sent with it.
    pub(super) fn route(&self, payload: usize) -> (Route, u64) {
        let Some(circuit) = self.circuit() else {
            return (Route::Immediate, 0);
        };
        match circuit.reserve(payload) {
            (true, sent) => (Route::Immediate, sent),
            (false, sent) => (Route::Queued(circuit), sent),
        }
    }

    /// The channel's gate is closed and empty, and the caller knows that libca will not block, or accepts that it may.
    pub(super) fn close_now(&self, channel: &Channel) {
        if let Some(context) = channel.context().enter() {
            self.clear(context.libca().api());
        }
    }

    /// Before the context goes, unless libca could block on it.
    ///
    /// # Safety
    /// Nobody is in the context's gate, or will be; and the calling thread is in the context.
    pub(super) unsafe fn close_with_context(&self, api: &LibCa) {
        if self.busy_circuit().is_none() {
            self.clear(api);
        }
    }

    fn clear(&self, api: &LibCa) {
        let id = self.id.swap(std::ptr::null_mut(), Ordering::AcqRel);
        if !id.is_null() {
            // SAFETY: nobody is inside the gate or comes in any more, and the id is swapped out: it is cleared once.
            unsafe { api.ca_clear_channel(id) };
        }
    }
}

/// The server of a channel (ca_get_host_name).
///
/// # Safety
/// `id` must be alive.
pub(super) unsafe fn host_name(api: &LibCa, id: ca_sys::chid) -> String {
    let mut buffer = [0 as c_char; 512];
    // SAFETY: libca writes at most the given length, with its NUL; the id is alive.
    let text = unsafe {
        let length = u32::try_from(buffer.len()).unwrap_or(0);
        api.ca_get_host_name(id, buffer.as_mut_ptr(), length);
        buffer[buffer.len() - 1] = 0;
        CStr::from_ptr(buffer.as_ptr())
    };
    text.to_string_lossy().into_owned()
}

/// The element count as C takes it.
pub(super) fn c_count(channel: &Channel, spec: RequestSpec) -> Result<c_ulong> {
    c_ulong::try_from(spec.count).map_err(|_| Error::new(Status::BADCOUNT, channel.name()))
}

/// Closes a channel.
struct CloseChannel(Arc<Channel>);

impl Work for CloseChannel {
    fn run(self: Box<Self>) {
        self.0.libca().close_now(&self.0);
        self.0.released();
    }

    // It is retryable.
    fn fail(self: Box<Self>) {}

    fn withdraw(self: Box<Self>) {}

    fn is_retryable(&self) -> bool {
        true
    }

    fn context(&self) -> Option<Arc<Context>> {
        Some(self.0.context().clone())
    }
}
