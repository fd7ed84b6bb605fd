//! A user's function, reachable from libca's side and visible to Python's garbage collector.

use crate::ca::channel::Channel;
use crate::ca::event::Handler;
use crate::ca::status::Status;
use crate::calls::{call, repr};
use crate::convert::Style;
use crate::errors::bad_type;
use crate::kept::Kept;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyWeakrefMethods, PyWeakrefReference};
use std::sync::{Arc, Mutex, PoisonError};

/// Shared by the Python object that owns it (which shows it to the collector) and the events on their way.
pub struct Callback {
    call: Mutex<Option<Call>>,
    pub style: Style,
    pub use_numpy: bool,
}

struct Call {
    function: Kept<PyAny>,
    user_args: Option<Kept<PyAny>>,
}

impl Callback {
    /// `user_args`, where given, come second in the call, and the first argument then has CaChannel's names.
    pub fn new(
        function: &Bound<'_, PyAny>,
        user_args: Option<&Bound<'_, PyAny>>,
        use_numpy: bool,
    ) -> PyResult<Arc<Callback>> {
        if !function.is_callable() {
            let detail = format!(
                "a callback must be callable, and {} is not",
                repr(function)?.to_string_lossy()
            );
            return Err(bad_type(Status::BADFUNCPTR, detail));
        }
        Ok(Arc::new(Callback {
            call: Mutex::new(Some(Call {
                function: Kept::new(function.clone()),
                user_args: user_args.cloned().map(Kept::new),
            })),
            style: if user_args.is_some() {
                Style::Pv
            } else {
                Style::Plain
            },
            use_numpy,
        }))
    }

    /// An optional argument; None means none.
    pub fn optional(
        function: Option<&Bound<'_, PyAny>>,
        user_args: Option<&Bound<'_, PyAny>>,
        use_numpy: bool,
    ) -> PyResult<Option<Arc<Callback>>> {
        let new = |function| Callback::new(function, user_args, use_numpy);
        function.map(new).transpose()
    }

    pub fn handler(self: &Arc<Callback>) -> Handler {
        self.clone()
    }

    /// Calls the function, unless it was let go.
    pub fn call(&self, args: Bound<'_, PyAny>) -> PyResult<()> {
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
            Some(user_args) => PyTuple::new(py, [args, user_args])?,
            None => PyTuple::new(py, [args])?,
        };
        call(&function, &args, None)?;
        Ok(())
    }

    /// The function, for messages.
    pub fn describe(&self, py: Python<'_>) -> String {
        let call = self.call.lock().unwrap_or_else(PoisonError::into_inner);
        let function = call.as_ref().and_then(|call| call.function.bound(py));
        drop(call);
        let shown = function.and_then(|function| repr(&function).ok());
        let shown = shown.map(|text| text.to_string_lossy().into_owned());
        shown.unwrap_or_else(|| "a callback".to_owned())
    }

    /// Drops the function; a call under way goes on.
    pub fn let_go(&self, py: Python<'_>) {
        let call = self
            .call
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(call) = call {
            call.function.release(py);
            call.user_args.into_iter().for_each(|args| args.release(py));
        }
    }

    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // Whoever has the lock now holds the function: then it is in use, which not visiting says too.
        if let Ok(call) = self.call.try_lock()
            && let Some(call) = &*call
        {
            visit.call(call.function.get())?;
            visit.call(call.user_args.as_ref().and_then(Kept::get))?;
        }
        Ok(())
    }
}

/// The callback behind a handler of the safe layer.
pub fn callback(handler: &Handler) -> Option<Arc<Callback>> {
    handler.clone().downcast::<Callback>().ok()
}

/// What a channel knows of its Python object.
pub struct Owner {
    /// Weak, so that a channel does not keep its object.
    object: Kept<PyWeakrefReference>,
    /// The same object while it has callbacks of module `ca`'s kind. In C a channel lives until it is cleared, whoever
    /// remembers its id, and programs over `ca` are written so: a callback may be all that knows the channel.
    pin: Mutex<Option<Kept<PyAny>>>,
}

impl Owner {
    pub fn new(object: &Bound<'_, PyAny>) -> PyResult<Arc<Owner>> {
        Ok(Arc::new(Owner {
            object: Kept::new(PyWeakrefReference::new(object)?),
            pin: Mutex::new(None),
        }))
    }

    pub fn pin(&self, py: Python<'_>, object: Option<&Bound<'_, PyAny>>) {
        let object = object.cloned().map(Kept::new);
        let mut pin = self.pin.lock().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *pin, object);
        drop(pin);
        if let Some(old) = old {
            old.release(py);
        }
    }
}

/// The owner of a channel.
pub fn owner(channel: &Channel) -> Option<&Owner> {
    channel.user().downcast_ref::<Owner>()
}

/// The Python object of a channel, while it lives.
pub fn chid_of<'py>(py: Python<'py>, channel: &Channel) -> Option<Bound<'py, PyAny>> {
    owner(channel)?.object.bound(py)?.upgrade()
}
