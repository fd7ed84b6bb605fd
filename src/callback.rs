//! A user's function, which events refer to, and which Python's garbage collector sees.

use crate::calls::{Released, call, discard, repr};
use crate::client::channel::Channel;
use crate::client::event::UserData;
use crate::convert::Style;
use crate::deferred_decref::DeferredDecref;
use crate::errors::bad_type;
use crate::protocol::status::Status;
use crate::values::monitor::ValueMonitor;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyWeakrefMethods, PyWeakrefReference};
use std::sync::{Arc, Mutex, PoisonError};

/// Shared by the Python object that owns it (which shows it to the collector) and the events that are queued for it.
pub struct Callback {
    call: Mutex<Option<Call>>,
    pub style: Style,
    pub use_numpy: bool,
    /// A function of the package itself, which does not keep its channel alive.
    is_own: bool,
    /// Of a subscription whose callback gets values (`values/mod.rs`) instead of dicts.
    pub values: Option<ValueMonitor>,
}

/// A function of the package itself as a callback: it is dropped with its channel, when nothing else refers to the channel.
#[pyclass(frozen, module = "cachannel._ca")]
pub struct Own {
    function: Py<PyAny>,
}

#[pymethods]
impl Own {
    #[new]
    fn new(function: Py<PyAny>) -> Own {
        Own { function }
    }

    #[pyo3(signature = (*args))]
    fn __call__<'py>(&self, args: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        call(self.function.bind(args.py()), args, None)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.function)
    }
}

struct Call {
    function: DeferredDecref<PyAny>,
    user_args: Option<DeferredDecref<PyAny>>,
    /// The channel's object. In C a channel lives until it is cleared, even if nothing refers to its id, and programs rely on
    /// that: a channel's callbacks may be all that refers to it. The collector does not see this reference, so it takes the
    /// channel, and everything that the callback refers to, for objects that are referred to from outside Python.
    channel: Option<DeferredDecref<PyAny>>,
}

impl Callback {
    /// If `user_args` is given, it is the second argument of the call, and the first argument then has CaChannel's names.
    pub fn new(
        function: &Bound<'_, PyAny>,
        user_args: Option<&Bound<'_, PyAny>>,
        use_numpy: bool,
    ) -> PyResult<Arc<Callback>> {
        Callback::with(function, user_args, use_numpy, None)
    }

    /// A callback that gets values.
    pub fn of_values(function: &Bound<'_, PyAny>, values: ValueMonitor) -> PyResult<Arc<Callback>> {
        Callback::with(function, None, true, Some(values))
    }

    fn with(
        function: &Bound<'_, PyAny>,
        user_args: Option<&Bound<'_, PyAny>>,
        use_numpy: bool,
        values: Option<ValueMonitor>,
    ) -> PyResult<Arc<Callback>> {
        if !function.is_callable() {
            let detail = format!(
                "a callback must be callable, and {} is not",
                repr(function)?.to_string_lossy()
            );
            return Err(bad_type(Status::BADFUNCPTR, detail));
        }
        let own = function.cast_exact::<Own>().ok();
        let function = own.map_or(function, |own| own.get().function.bind(function.py()));
        Ok(Arc::new(Callback {
            call: Mutex::new(Some(Call {
                function: DeferredDecref::new(function.clone()),
                user_args: user_args.cloned().map(DeferredDecref::new),
                channel: None,
            })),
            is_own: own.is_some(),
            values,
            style: if user_args.is_some() {
                Style::Pv
            } else {
                Style::Plain
            },
            use_numpy,
        }))
    }

    /// An optional callback argument; None means none.
    pub fn optional(
        function: Option<&Bound<'_, PyAny>>,
        user_args: Option<&Bound<'_, PyAny>>,
        use_numpy: bool,
    ) -> PyResult<Option<Arc<Callback>>> {
        let new = |function| Callback::new(function, user_args, use_numpy);
        function.map(new).transpose()
    }

    pub fn handler(self: &Arc<Callback>) -> UserData {
        self.clone()
    }

    /// Calls the function, unless it was dropped.
    pub fn call(&self, args: Bound<'_, PyAny>) -> PyResult<()> {
        let args = Released::new(args);
        let py = args.py();
        let (function, user_args) = {
            let call = self.call.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(call) = &*call else { return Ok(()) };
            let user_args = call.user_args.as_ref().and_then(|args| args.bound(py));
            (call.function.bound(py), user_args)
        };
        let Some(function) = function else {
            return Ok(());
        };
        let args = match user_args {
            Some(user_args) => PyTuple::new(py, [&*args, &*user_args])?,
            None => PyTuple::new(py, [&*args])?,
        };
        let args = Released::new(args);
        call(&function, &args, None).map(|result| drop(Released::new(result)))
    }

    /// The function, for messages.
    pub fn describe(&self, py: Python<'_>) -> String {
        let call = self.call.lock().unwrap_or_else(PoisonError::into_inner);
        let function = call.as_ref().and_then(|call| call.function.bound(py));
        drop(call);
        match function.map(|function| repr(&function)) {
            Some(Ok(text)) => Released::new(text).to_string_lossy().into_owned(),
            unknown => {
                let error = unknown.and_then(Result::err);
                error.into_iter().for_each(|error| discard(py, error));
                "a callback".to_owned()
            }
        }
    }

    /// Keeps the channel's object alive until the callback is dropped; not if it was dropped already.
    pub fn hold(&self, channel: &Bound<'_, PyAny>) {
        if self.is_own {
            return;
        }
        let kept = DeferredDecref::new(channel.clone());
        let mut call = self.call.lock().unwrap_or_else(PoisonError::into_inner);
        let unwanted = match &mut *call {
            Some(call) => call.channel.replace(kept),
            None => Some(kept),
        };
        drop(call);
        unwanted
            .into_iter()
            .for_each(|kept| kept.release(channel.py()));
    }

    /// No longer keeps the channel's object alive; `true` if it did.
    pub fn unhold(&self, py: Python<'_>) -> bool {
        let mut call = self.call.lock().unwrap_or_else(PoisonError::into_inner);
        let held = call.as_mut().and_then(|call| call.channel.take());
        drop(call);
        held.map(|kept| kept.release(py)).is_some()
    }

    /// Drops the function; a call in progress goes on.
    pub fn let_go(&self, py: Python<'_>) {
        let call = self
            .call
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(call) = call {
            call.function.release(py);
            call.user_args.into_iter().for_each(|args| args.release(py));
            call.channel.into_iter().for_each(|kept| kept.release(py));
        }
    }

    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // The thread that has the lock now refers to the function: the function is in use, which not visiting it says, too.
        if let Ok(call) = self.call.try_lock()
            && let Some(call) = &*call
        {
            visit.call(call.function.get())?;
            visit.call(call.user_args.as_ref().and_then(DeferredDecref::get))?;
        }
        Ok(())
    }
}

/// The callback in the client's user data.
pub fn callback(handler: &UserData) -> Option<Arc<Callback>> {
    handler.clone().downcast::<Callback>().ok()
}

/// A channel's reference to its Python object: weak, so that only callbacks keep the object alive.
pub struct Owner(DeferredDecref<PyWeakrefReference>);

impl Owner {
    pub fn new(object: &Bound<'_, PyAny>) -> PyResult<Arc<Owner>> {
        let weak = PyWeakrefReference::new(object)?;
        Ok(Arc::new(Owner(DeferredDecref::new(weak))))
    }
}

/// The Python object of a channel, while it lives.
pub fn chid_of<'py>(py: Python<'py>, channel: &Channel) -> Option<Released<'py>> {
    let owner = channel.user().downcast_ref::<Owner>()?;
    owner.0.bound(py)?.upgrade().map(Released::new)
}
