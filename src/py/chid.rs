//! `chid` and `evid`: the opaque handles of module `ca`.

use super::arguments::{pv_name, whole};
use super::context::current;
use crate::callback::{Callback, Owner, callback};
use crate::calls::{getattr, setattr};
use crate::client::channel::Channel;
use crate::client::event::UserData;
use crate::client::queue::EventQueue;
use crate::convert::names::names;
use crate::dispatch::tell_rights;
use crate::errors::{Failure, eca, outcome, raise, status};
use crate::protocol::error::Error;
use crate::protocol::status::Status;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

/// A channel. Dropping the last reference clears it; callbacks hold one until they are gone.
#[pyclass(frozen, weakref, name = "chid", module = "cachannel.ca")]
pub struct Chid {
    channel: OnceLock<Arc<Channel>>,
    /// Locked by attached threads alone, so that a fork, for which Python has its own lock, does not leave it locked.
    callbacks: Mutex<Callbacks>,
}

#[derive(Default)]
struct Callbacks {
    /// The handler, and handlers that threads are replacing.
    connection: Vec<Arc<Callback>>,
    access: Vec<Arc<Callback>>,
    subscriptions: Vec<Arc<Callback>>,
    /// Each belongs to its request, which goes when the answer was delivered.
    requests: Vec<Weak<Callback>>,
}

impl Callbacks {
    /// All but those of requests.
    fn lasting(&self) -> impl Iterator<Item = &Arc<Callback>> {
        let handlers = self.connection.iter().chain(&self.access);
        handlers.chain(&self.subscriptions)
    }

    fn requests(&self) -> impl Iterator<Item = Arc<Callback>> {
        self.requests.iter().filter_map(Weak::upgrade)
    }

    fn add_request(&mut self, callback: &Arc<Callback>) {
        let requests = &mut self.requests;
        if requests.len() == requests.capacity() {
            // Those of requests that are gone make room; at least half of the room is free then, so that this is seldom.
            requests.retain(|callback| callback.strong_count() > 0);
            requests.reserve(requests.len().max(4));
        }
        requests.push(Arc::downgrade(callback));
    }

    fn connection(&mut self) -> &mut Vec<Arc<Callback>> {
        &mut self.connection
    }

    fn access(&mut self) -> &mut Vec<Arc<Callback>> {
        &mut self.access
    }
}

impl Chid {
    pub fn channel(&self) -> Result<&Arc<Channel>, Error> {
        self.channel.get().ok_or(Status::BADCHID.into())
    }

    fn callbacks(&self) -> MutexGuard<'_, Callbacks> {
        self.callbacks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A callback that was set keeps the channel's object alive, unless the channel was closed meanwhile, or dropped the
    /// callback itself.
    fn hold(this: &Bound<'_, Chid>, callback: &Callback) {
        callback.hold(this.as_any());
        let chid = this.get();
        if chid.channel.get().is_none_or(|channel| channel.is_closed()) {
            chid.let_go(this.py());
        }
    }

    /// Sets a handler with `set`, and drops the one that `set` says it replaced: threads may replace it at the same time.
    fn replace<T: Send>(
        this: &Bound<'_, Chid>,
        handler: Option<&Arc<Callback>>,
        kind: impl FnOnce(&mut Callbacks) -> &mut Vec<Arc<Callback>>,
        set: impl FnOnce(Option<UserData>) -> Result<(Option<UserData>, T), Error> + Send,
    ) -> Result<T, Error> {
        let (py, chid) = (this.py(), this.get());
        // Listed before it is set, because another thread may replace it as soon as it is set.
        kind(&mut chid.callbacks()).extend(handler.cloned());
        let new = handler.map(Callback::handler);
        let set = py.detach(|| set(new));
        match &set {
            Ok(_) => handler.into_iter().for_each(|new| Chid::hold(this, new)),
            Err(_) => handler.into_iter().for_each(|new| chid.remove(py, new)),
        }
        let (old, result) = set?;
        if let Some(old) = old.as_ref().and_then(callback) {
            chid.remove(py, &old);
        }
        Ok(result)
    }

    pub fn add_subscription(this: &Bound<'_, Chid>, callback: Arc<Callback>) {
        this.get().callbacks().subscriptions.push(callback.clone());
        Chid::hold(this, &callback);
    }

    /// A request was sent, whose answer the callback gets.
    pub fn add_request(this: &Bound<'_, Chid>, callback: &Arc<Callback>) {
        this.get().callbacks().add_request(callback);
        Chid::hold(this, callback);
    }

    /// Drops a callback.
    pub fn remove(&self, py: Python<'_>, callback: &Arc<Callback>) {
        let others = |c: &Arc<Callback>| !Arc::ptr_eq(c, callback);
        let mut callbacks = self.callbacks();
        callbacks.connection.retain(others);
        callbacks.access.retain(others);
        callbacks.subscriptions.retain(others);
        drop(callbacks);
        callback.let_go(py);
    }

    /// The callbacks by kind: of the connection, of the access rights, of subscriptions, of requests.
    pub fn all_callbacks(&self) -> [Vec<Arc<Callback>>; 4] {
        let callbacks = self.callbacks();
        [
            callbacks.connection.clone(),
            callbacks.access.clone(),
            callbacks.subscriptions.clone(),
            callbacks.requests().collect(),
        ]
    }

    /// Drops all callbacks, and with them their references.
    pub fn let_go(&self, py: Python<'_>) {
        let callbacks = std::mem::take(&mut *self.callbacks());
        callbacks.lasting().for_each(|callback| callback.let_go(py));
        callbacks
            .requests()
            .for_each(|callback| callback.let_go(py));
    }
}

impl Drop for Chid {
    fn drop(&mut self) {
        if let Some(channel) = self.channel.get() {
            channel.dispose();
        }
        // The callbacks are dropped now, while the thread is attached: the thread that drops the last event may not be.
        Python::attach(|py| self.let_go(py));
    }
}

#[pymethods]
impl Chid {
    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let channel = self.channel()?;
        let state = py.detach(|| channel.state());
        let state = names(py)?.state.get(py, state.into())?;
        Ok(format!(
            "<chid {:?} {}>",
            channel.name(),
            getattr(&state, "name")?
        ))
    }

    /// In a pickle, and in a copy of a containing object, a channel becomes its name: a channel belongs to its process.
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyType>, (String,))> {
        let name = self.channel()?.name().to_owned();
        Ok((py.get_type::<PyString>(), (name,)))
    }

    fn __copy__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Ok(callbacks) = self.callbacks.try_lock() {
            for callback in callbacks.lasting() {
                callback.traverse(&visit)?;
            }
        }
        Ok(())
    }

    fn __clear__(&self) {
        Python::attach(|py| self.let_go(py));
    }
}

/// cs_never_search.
const NEVER_SEARCH: i64 = 4;

/// Starts to connect to a PV (ca_create_channel).
///
/// `name`: str, or bytes in UTF-8, at most 500 bytes. `callback`: called with a dict `chid`, `op` (CA_OP.CONN_UP or
/// CONN_DOWN) whenever the connection changes; without one, `pend_io` waits for the first connection. `priority`: 0 to 99.
///
/// Returns `(ECA, chid)`; the chid is None if the status is not NORMAL: BADSTR for an empty name or one with NUL, STRTOBIG for
/// a longer one, BADPRIORITY. The channel is cleared when the last reference to the chid is dropped. A callback keeps a
/// reference: until `clear_channel`; that of a subscription until `clear_subscription`, that of a handler until it is replaced,
/// that of a request until the answer.
#[pyfunction]
#[pyo3(signature = (name, callback=None, priority=0, *, user_args=None))]
pub fn create_channel<'py>(
    py: Python<'py>,
    name: &Bound<'py, PyAny>,
    callback: Option<&Bound<'py, PyAny>>,
    #[pyo3(from_py_with = whole)] priority: i64,
    user_args: Option<&Bound<'py, PyAny>>,
) -> PyResult<(Bound<'py, PyAny>, Option<Bound<'py, Chid>>)> {
    let callback = Callback::optional(callback, user_args, false)?;
    let (status, chid) = outcome(search(py, name, callback, priority, None, |_| Ok(())))?;
    Ok((eca(py, status)?, chid))
}

/// As `create_channel`, but puts the chid into `holder._chid` before the channel can have an event, and raises: a callback
/// may come before this returns, and finds the object complete.
#[pyfunction]
pub fn open_channel<'py>(
    py: Python<'py>,
    holder: &Bound<'py, PyAny>,
    name: &Bound<'py, PyAny>,
    callback: Option<&Bound<'py, PyAny>>,
    #[pyo3(from_py_with = whole)] priority: i64,
    user_args: &Bound<'py, PyAny>,
) -> PyResult<()> {
    let callback = Callback::optional(callback, Some(user_args), false)?;
    let hold = |chid: Option<&Bound<'py, Chid>>| setattr(holder, intern!(py, "_chid"), chid);
    let made = raise(search(py, name, callback, priority, None, |chid| {
        hold(Some(chid))
    }))?;
    if made.is_err() {
        hold(None)?;
    }
    Ok(made.map(drop)?)
}

pub(super) fn search<'py>(
    py: Python<'py>,
    name: &Bound<'py, PyAny>,
    callback: Option<Arc<Callback>>,
    priority: i64,
    queue: Option<Arc<EventQueue>>,
    hold: impl FnOnce(&Bound<'py, Chid>) -> PyResult<()>,
) -> Result<Bound<'py, Chid>, Failure> {
    let name = pv_name(name)?;
    let context = current(py)?;
    // The object is made first, because the channel's first event may come before `create` returns.
    let chid = Bound::new(
        py,
        Chid {
            channel: OnceLock::new(),
            callbacks: Mutex::new(Callbacks {
                connection: callback.iter().cloned().collect(),
                ..Callbacks::default()
            }),
        },
    )?;
    hold(&chid)?;
    let owner = Owner::new(chid.as_any())?;
    let handler = callback.as_ref().map(Callback::handler);
    let priority = u32::try_from(priority).unwrap_or(u32::MAX);
    let object = chid.get();
    let announce = |channel: &Arc<Channel>| {
        // Nobody else sets the channel: the object is new.
        object.channel.set(channel.clone()).ok();
    };
    let queue = queue.unwrap_or_else(|| context.queue.clone());
    py.detach(|| Channel::create_for(queue, &context, &name, priority, owner, handler, announce))?;
    if let Some(callback) = callback {
        Chid::hold(&chid, &callback);
    }
    Ok(chid)
}

/// Closes a channel and ends its subscriptions (ca_clear_channel).
///
/// No callback of the channel starts after this returns; requests in flight get no answer. Returns BADCHID for a channel that
/// was cleared before.
#[pyfunction]
pub fn clear_channel<'py>(
    py: Python<'py>,
    chid: Option<&Bound<'py, Chid>>,
) -> PyResult<Bound<'py, PyAny>> {
    let Some(chid) = chid else {
        return eca(py, Status::BADCHID);
    };
    let channel = match chid.get().channel() {
        Ok(channel) => channel,
        Err(error) => return eca(py, error.status),
    };
    let cleared = py.detach(|| !channel.is_closed() && channel.clear());
    chid.get().let_go(py);
    eca(
        py,
        if cleared {
            Status::NORMAL
        } else {
            Status::BADCHID
        },
    )
}

/// Replaces a channel's connection callback; None removes it (ca_change_connection_event).
///
/// See `create_channel` for the callback's arguments. It is not called for a connection that is up already.
#[pyfunction]
#[pyo3(signature = (chid, callback=None, *, user_args=None))]
pub fn change_connection_event<'py>(
    py: Python<'py>,
    chid: Option<&Bound<'py, Chid>>,
    callback: Option<&Bound<'py, PyAny>>,
    user_args: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let callback = Callback::optional(callback, user_args, false)?;
    let Some(chid) = chid else {
        return eca(py, Status::BADCHID);
    };
    let set = chid.get().channel().and_then(|channel| {
        Chid::replace(chid, callback.as_ref(), Callbacks::connection, |handler| {
            Ok((channel.set_connection_handler(handler)?, ()))
        })
    });
    status(py, set)
}

/// Replaces a channel's access rights callback; None removes it (ca_replace_access_rights_event).
///
/// The callback is called with a dict `chid`, `read_access`, `write_access` (bool): if the channel is connected, by this thread
/// before this returns; then whenever it connects, disconnects (False, False), and whenever the rights change.
#[pyfunction]
#[pyo3(signature = (chid, callback=None, *, user_args=None))]
pub fn replace_access_rights_event<'py>(
    py: Python<'py>,
    chid: Option<&Bound<'py, Chid>>,
    callback: Option<&Bound<'py, PyAny>>,
    user_args: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let callback = Callback::optional(callback, user_args, false)?;
    let Some(chid) = chid else {
        return eca(py, Status::BADCHID);
    };
    let handler = callback.as_ref().map(Callback::handler);
    let channel = match chid.get().channel() {
        Ok(channel) => channel,
        Err(error) => return eca(py, error.status),
    };
    let set = Chid::replace(chid, callback.as_ref(), Callbacks::access, |handler| {
        channel.set_access_handler(handler)
    });
    if let (Ok(Some(rights)), Some(handler)) = (&set, &handler) {
        let told = tell_rights(py, channel, handler, *rights);
        py.detach(|| channel.rights_told(handler));
        told?;
    }
    status(py, set)
}

/// The state of a channel's connection (ca_state): NEVER_SEARCH for None, CLOSED for a cleared one.
#[pyfunction]
#[pyo3(signature = (chid))]
pub fn state<'py>(py: Python<'py>, chid: Option<&Bound<'py, Chid>>) -> PyResult<Bound<'py, PyAny>> {
    let number = match chid {
        None => NEVER_SEARCH,
        Some(chid) => {
            let channel = chid.get().channel()?;
            py.detach(|| channel.state()).into()
        }
    };
    names(py)?.state.get(py, number)
}
