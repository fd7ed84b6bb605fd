//! Reads, writes and subscriptions of class PV, of `caget` with a format, and of `cachannel.aio`: of one channel or of many, with
//! values that carry what came along.

use super::chid::Chid;
use super::event_loop::Wait;
use super::subscription::Evid;
use crate::callback::Callback;
use crate::client::channel::Channel;
use crate::client::context::Context;
use crate::client::pending_io::PendingIo;
use crate::client::request::Request;
use crate::client::subscription::{
    LIMITS, Subscription, SubscriptionSpec, WantedCount, WantedType,
};
use crate::convert::names::names;
use crate::convert::{To, outgoing};
use crate::errors::bad_argument;
use crate::protocol::constants::DBE_PROPERTY;
use crate::protocol::dbr::{Base, DbrClass, DbrType};
use crate::protocol::error::Error;
use crate::protocol::status::Status;
use crate::protocol::validate::RequestSpec;
use crate::values::make;
use crate::values::monitor::ValueMonitor;
use crate::values::properties::{Found, PropertyCell};
use crate::values::update::Update;
use crate::values::{Face, Manner};
use pyo3::prelude::*;
use pyo3::types::PyList;
use std::sync::Arc;

/// How values are asked for and shown: what the functions here have in common.
#[pyclass(frozen, module = "cachannel._ca")]
pub struct ValueSpec {
    form: DbrClass,
    /// `None`: the PV's own type.
    datatype: Option<DbrType>,
    /// An array of CHAR is the text in it.
    texts: bool,
    /// An enum is asked for as STRING.
    enum_texts: bool,
    /// `None`: as many as there are; -1: as many as the PV can hold.
    count: Option<i64>,
    manner: Manner,
}

#[pymethods]
impl ValueSpec {
    /// `form`: 0 the value alone, 1 with alarm and time, 2 with alarm and properties. `datatype`: the number of a DBR type.
    /// `texts`: CHAR arrays as texts; `enum_texts`: enums as the texts that the server has for their states; `state_texts`: enums
    /// as the names of their states, by the PV's properties; `as_bytes`: texts as bytes; `aio`: as aioca has values.
    #[new]
    #[pyo3(signature = (form, datatype=None, count=None, *, texts=false, enum_texts=false, state_texts=false, as_bytes=false, aio=false))]
    #[allow(clippy::too_many_arguments, clippy::fn_params_excessive_bools)] // what a value can be asked for as
    fn new(
        form: u8,
        datatype: Option<i64>,
        count: Option<i64>,
        texts: bool,
        enum_texts: bool,
        state_texts: bool,
        as_bytes: bool,
        aio: bool,
    ) -> PyResult<ValueSpec> {
        let form = match form {
            0 => DbrClass::Plain,
            1 => DbrClass::Time,
            2 => DbrClass::Ctrl,
            _ => return Err(bad_argument(format!("a format is 0, 1 or 2, not {form}"))),
        };
        let number = datatype;
        let datatype = datatype.and_then(DbrType::new);
        if let (Some(number), None) = (number, datatype) {
            return Err(bad_argument(format!("{number} is no DBR type")));
        }
        if let Some(count) = count.filter(|count| *count < -1) {
            let detail = format!("an element count is 0 or more, or -1 for all, not {count}");
            return Err(bad_argument(detail));
        }
        Ok(ValueSpec {
            form,
            datatype,
            texts,
            enum_texts,
            count,
            manner: Manner {
                face: if aio { Face::Aio } else { Face::Pv },
                state_texts,
                as_bytes,
            },
        })
    }
}

impl ValueSpec {
    /// The form for a type: of a STRING there are no properties, but a time.
    fn form_of(&self, base: Base) -> DbrClass {
        match (self.form, base) {
            (DbrClass::Ctrl, Base::String) => DbrClass::Time,
            (form, _) => form,
        }
    }

    fn dbr_type(&self, native: Base, held: usize) -> DbrType {
        match self.datatype {
            Some(special) if special.number() >= DbrType::FORMS => special,
            Some(plain) => DbrType::in_form(self.form_of(plain.base()), plain.base()),
            None if self.texts && native == Base::Char && held > 1 => {
                // A text in CHARs has properties only where it has no time.
                DbrType::in_form(self.form, Base::String)
            }
            None if self.enum_texts && native == Base::Enum => {
                DbrType::in_form(self.form_of(Base::String), Base::String)
            }
            None => DbrType::in_form(self.form_of(native), native),
        }
    }

    /// The request to a PV of this type and element count.
    fn read_spec(&self, native: Base, held: usize) -> RequestSpec {
        let count = match self.count {
            None => Some(0),
            Some(count) => usize::try_from(count).ok(),
        };
        // One element is one, however it is counted.
        let count = if held == 1 { None } else { count };
        RequestSpec::of_text(self.dbr_type(native, held), native, count, held)
    }

    fn subscription_spec(&self, mask: u32) -> SubscriptionSpec {
        SubscriptionSpec {
            dbr_type: match self.datatype {
                Some(special) if special.number() >= DbrType::FORMS => WantedType::Fixed(special),
                Some(plain) => {
                    let form = self.form_of(plain.base());
                    WantedType::Text(DbrType::in_form(form, plain.base()))
                }
                None if self.texts => WantedType::Readable(self.form),
                None => WantedType::AnyNative(self.form),
            },
            count: match self.count {
                None => WantedCount::Fixed(0),
                Some(count) => {
                    usize::try_from(count).map_or(WantedCount::Native, WantedCount::Fixed)
                }
            },
            mask,
        }
    }
}

/// A PV's properties, kept up to date as long as its channel lives.
#[pyclass(frozen, name = "Properties", module = "cachannel._ca")]
pub struct PyProperties {
    cell: Arc<PropertyCell>,
    channel: Arc<Channel>,
}

#[pymethods]
impl PyProperties {
    #[new]
    fn new(py: Python<'_>, chid: &Bound<'_, Chid>) -> PyResult<PyProperties> {
        let channel = chid.get().channel()?.clone();
        let cell = Arc::<PropertyCell>::default();
        let spec = SubscriptionSpec {
            dbr_type: WantedType::AnyNative(DbrClass::Ctrl),
            count: WantedCount::Fixed(1),
            mask: DBE_PROPERTY,
        };
        let handler = cell.clone();
        py.detach(|| channel.subscribe(spec, handler))?;
        Ok(PyProperties { cell, channel })
    }

    /// What is known of them, as an Update; None where nothing is.
    #[getter]
    fn latest(&self) -> Option<Update> {
        let known = self.cell.latest()?;
        Some(Update::of_properties(&self.channel, known))
    }

    /// Whether there is nothing to wait for: they are known for the PV as it is now, or are known not to exist.
    #[getter]
    fn settled(&self) -> bool {
        let native = self.channel.native_type();
        native.is_none_or(|native| !matches!(self.cell.find_for(native), Found::Unknown))
    }
}

/// Starts a subscription whose callback gets values. The channel need not be connected.
///
/// `mask`: of DBE_VALUE, …; `latest_only`: of the updates that wait for the callback, only the newest is kept; `skips_first`: the
/// value at the time of the subscription is not wanted; `properties`: what comes with the values.
#[pyfunction]
#[pyo3(signature = (chid, callback, spec, mask, properties=None, *, latest_only=false, skips_first=false))]
#[allow(clippy::too_many_arguments)] // what a subscription can be told
pub fn subscribe_values(
    py: Python<'_>,
    chid: &Bound<'_, Chid>,
    callback: &Bound<'_, PyAny>,
    spec: &Bound<'_, ValueSpec>,
    mask: u32,
    properties: Option<&Bound<'_, PyProperties>>,
    latest_only: bool,
    skips_first: bool,
) -> PyResult<Evid> {
    let spec = spec.get();
    let cell = properties.map(|properties| properties.get().cell.clone());
    let monitor = ValueMonitor::new(spec.manner, cell.clone(), skips_first);
    let callback = Callback::of_values(callback, monitor)?;
    let channel = chid.get().channel()?;
    let mut limits = LIMITS;
    if latest_only {
        limits.updates = 1;
    }
    let handler = callback.handler();
    let wanted = spec.subscription_spec(mask);
    let subscription = py.detach(|| channel.subscribe_within(limits, wanted, handler))?;
    if let Some(cell) = cell {
        cell.listen(&subscription);
    }
    Chid::add_subscription(chid, callback.clone());
    if subscription.is_closed() {
        chid.get().remove(py, &callback);
    }
    Ok(Evid {
        subscription,
        chid: chid.clone().unbind(),
    })
}

/// Updates that were dropped while they waited for the PV's properties.
pub fn dropped_while_held(subscription: &Subscription) -> u64 {
    let callback = crate::callback::callback(&subscription.handler);
    callback.map_or(0, |callback| {
        callback.values.as_ref().map_or(0, ValueMonitor::dropped)
    })
}

/// The context of the channels, which is one.
fn context_of(channels: &[Arc<Channel>]) -> PyResult<Arc<Context>> {
    let Some(first) = channels.first() else {
        return Err(bad_argument("there is no channel"));
    };
    let context = first.context();
    if channels
        .iter()
        .any(|channel| !Arc::ptr_eq(channel.context(), context))
    {
        return Err(bad_argument("the channels are not in one context"));
    }
    Ok(context.clone())
}

fn channels_of(chids: &[Bound<'_, Chid>]) -> Result<Vec<Arc<Channel>>, Error> {
    chids
        .iter()
        .map(|chid| chid.get().channel().cloned())
        .collect()
}

/// Waits until the channels are connected.
#[pyfunction]
pub fn wait_for_connections(py: Python<'_>, chids: Vec<Bound<'_, Chid>>) -> PyResult<Wait> {
    let channels = channels_of(&chids)?;
    let context = context_of(&channels)?;
    py.detach(|| {
        // The searches may still wait for a flush.
        drop(context.flush());
        Ok(Wait::for_connections(&context, channels))
    })
}

/// Waits until the channel's server has read so much that more can be sent; None where there is room.
#[pyfunction]
pub fn backlog(chid: &Bound<'_, Chid>) -> PyResult<Option<Wait>> {
    let channel = chid.get().channel()?;
    if channel.is_closed() || !channel.context().has_backlog() {
        return Ok(None);
    }
    let unsent = channel.backlog();
    // What others have sent is not withdrawn with the wait.
    let wait = |unsent: Arc<PendingIo>| {
        let own = channel.context().pending_io();
        let guard = own.begin();
        unsent.then(move || drop(guard));
        Wait::new(channel.context(), own, Vec::new())
    };
    Ok(unsent.map(wait))
}

/// Reads of channels, which were sent.
#[pyclass(frozen, extends = Wait, module = "cachannel._ca")]
pub struct Reads {
    reads: Vec<ReadOne>,
    manner: Manner,
}

struct ReadOne {
    channel: Arc<Channel>,
    request: Result<Arc<Request>, Status>,
    cell: Option<Arc<PropertyCell>>,
    /// The read of the properties, where these were unknown.
    properties: Option<Arc<Request>>,
}

/// Sends a read to each channel, all at once. A channel that cannot be read counts as answered.
///
/// `properties`: those of each channel, for formats that do not bring them themselves.
#[pyfunction]
#[pyo3(signature = (chids, spec, properties=None))]
pub fn read_values<'py>(
    py: Python<'py>,
    chids: Vec<Bound<'py, Chid>>,
    spec: &Bound<'py, ValueSpec>,
    properties: Option<Vec<Bound<'py, PyProperties>>>,
) -> PyResult<Bound<'py, Reads>> {
    let spec = spec.get();
    let channels = channels_of(&chids)?;
    let context = context_of(&channels)?;
    let cells: Vec<_> = properties.map_or_else(Vec::new, |all| {
        all.iter().map(|one| one.get().cell.clone()).collect()
    });
    let pending = context.pending_io();
    let reads = py.detach(|| {
        let all = pending.begin();
        let mut cells = cells.into_iter();
        let reads = channels
            .into_iter()
            .map(|channel| ReadOne::send(channel, spec, cells.next(), &pending))
            .collect();
        // If the flush fails, the circuits are gone, and the requests say so.
        drop(context.flush());
        drop(all);
        reads
    });
    let wait = PyClassInitializer::from(Wait::new(&context, pending, Vec::new()));
    let manner = spec.manner;
    Bound::new(py, wait.add_subclass(Reads { reads, manner }))
}

impl ReadOne {
    fn send(
        channel: Arc<Channel>,
        spec: &ValueSpec,
        cell: Option<Arc<PropertyCell>>,
        pending: &Arc<PendingIo>,
    ) -> ReadOne {
        let native = channel.connected_type();
        let mut properties = None;
        let request = native.and_then(|native| {
            if let Some(cell) = &cell
                && matches!(cell.find_for(native), Found::Unknown)
                && let Some(wanted) = PropertyCell::spec(native)
            {
                properties = channel.get_later(wanted, pending.begin(), None).ok();
            }
            let wanted = spec.read_spec(native, channel.element_count());
            channel.get_later(wanted, pending.begin(), None)
        });
        ReadOne {
            channel,
            request: request.map_err(|error| error.status),
            cell,
            properties,
        }
    }

    fn value<'py>(&self, py: Python<'py>, manner: Manner) -> PyResult<Bound<'py, PyAny>> {
        if let (Some(request), Some(cell)) = (&self.properties, &self.cell)
            && let Some(answer) = request.answer()
            && answer.status != Status::TIMEOUT
        {
            cell.set_if_unknown(&answer);
        }
        let answer = match &self.request {
            Ok(request) => request.answer(),
            Err(status) => return names(py)?.eca.get(py, status.0.into()),
        };
        let status = answer
            .as_ref()
            .map_or(Status::TIMEOUT, |answer| answer.status);
        let Some(dbr) = answer.and_then(|answer| answer.dbr) else {
            return names(py)?.eca.get(py, status.0.into());
        };
        let properties = self.cell.as_ref().and_then(|cell| match cell.find(&dbr) {
            Found::Known(properties) => Some(properties),
            _ => None,
        });
        make::value(py, &self.channel, &dbr, properties, manner)
    }
}

#[pymethods]
impl Reads {
    /// The value of each channel, or the status (ECA) to which its read has come: ECA_TIMEOUT where there is no answer.
    fn results<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let results: PyResult<Vec<_>> = self
            .reads
            .iter()
            .map(|read| read.value(py, self.manner))
            .collect();
        PyList::new(py, results?)
    }
}

/// Writes to channels, which were sent.
#[pyclass(frozen, extends = Wait, module = "cachannel._ca")]
pub struct Writes {
    writes: Vec<Write>,
}

enum Write {
    /// Done when the processing that the write started is complete.
    Notified(Arc<Request>),
    /// Done when it has left the process.
    Handed(Arc<PendingIo>),
    Failed(Status),
}

/// Converts a value for each channel, then sends all; raises, and sends nothing, where one does not convert.
///
/// `wait`: until the processing that the writes started is complete; without, until they have left the process. `properties`: those
/// of each channel, whose states a text to an enum is sent by: they have to be known then.
#[pyfunction]
#[pyo3(signature = (chids, values, datatype=None, *, wait, properties=None))]
pub fn write_values<'py>(
    py: Python<'py>,
    chids: Vec<Bound<'py, Chid>>,
    values: Vec<Bound<'py, PyAny>>,
    datatype: Option<i64>,
    wait: bool,
    properties: Option<Vec<Bound<'py, PyProperties>>>,
) -> PyResult<Bound<'py, Writes>> {
    let channels = channels_of(&chids)?;
    let context = context_of(&channels)?;
    if values.len() != channels.len() {
        return Err(bad_argument("there has to be one value for each channel"));
    }
    let requested = datatype.and_then(DbrType::new);
    let mut converted = Vec::with_capacity(channels.len());
    for (index, (channel, value)) in channels.iter().zip(&values).enumerate() {
        let native = match channel.connected_type() {
            Ok(native) => native,
            Err(error) => {
                converted.push(Err(error.status));
                continue;
            }
        };
        let cell = properties
            .as_ref()
            .and_then(|all| all.get(index))
            .map(|one| one.get().cell.clone());
        let states = move || {
            let known = cell.as_ref().map(|cell| cell.find_for(Base::Enum));
            Ok(match known {
                Some(Found::Known(dbr)) => {
                    let states = dbr.view().states();
                    states.iter().map(|state| state.to_vec()).collect()
                }
                _ => Vec::new(),
            })
        };
        let to = To {
            pv: channel.name(),
            native,
            held: channel.element_count(),
            requested,
            count: None,
            cuts: false,
            states: &states,
        };
        converted.push(Ok(outgoing(value, &to)?));
    }
    let pending = context.pending_io();
    let all = pending.begin();
    let mut writes = Vec::with_capacity(channels.len());
    for (channel, out) in channels.iter().zip(&converted) {
        writes.push(match out {
            Ok(out) => {
                let (dbr_type, count, bytes) = (out.dbr_type, out.count, out.bytes());
                py.detach(|| Write::send(channel, dbr_type, count, bytes, wait, &pending))
            }
            Err(status) => Write::Failed(*status),
        });
    }
    py.detach(|| drop(context.flush()));
    drop(all);
    let parts = writes.iter().filter_map(Write::part).collect();
    let wait = PyClassInitializer::from(Wait::new(&context, pending, parts));
    Bound::new(py, wait.add_subclass(Writes { writes }))
}

impl Write {
    fn send(
        channel: &Arc<Channel>,
        dbr_type: DbrType,
        count: usize,
        bytes: &[u8],
        wait: bool,
        pending: &Arc<PendingIo>,
    ) -> Write {
        if wait {
            let guard = Some(pending.begin());
            return match channel.put_notify(dbr_type, count, bytes, None, guard) {
                Ok(request) => Write::Notified(request),
                Err(error) => Write::Failed(error.status),
            };
        }
        let handed = channel.context().pending_io();
        let sent = channel.put_for(Some(&handed), dbr_type, count, bytes);
        if let Err(error) = sent {
            return Write::Failed(error.status);
        }
        let guard = pending.begin();
        handed.then(move || drop(guard));
        Write::Handed(handed)
    }

    fn part(&self) -> Option<Arc<PendingIo>> {
        match self {
            Write::Handed(handed) => Some(handed.clone()),
            _ => None,
        }
    }

    fn status(&self) -> Status {
        match self {
            Write::Notified(request) => request
                .answer()
                .map_or(Status::TIMEOUT, |answer| answer.status),
            Write::Handed(handed) if handed.is_done() => Status::NORMAL,
            Write::Handed(_) => Status::TIMEOUT,
            Write::Failed(status) => *status,
        }
    }
}

#[pymethods]
impl Writes {
    /// To what each write has come (ECA): ECA_TIMEOUT where it is not done.
    fn results<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let names = names(py)?;
        let results: PyResult<Vec<_>> = self
            .writes
            .iter()
            .map(|write| names.eca.get(py, write.status().0.into()))
            .collect();
        PyList::new(py, results?)
    }
}
