//! How values are asked for.

use crate::client::subscription::{SubscriptionSpec, WantedCount, WantedType};
use crate::errors::bad_argument;
use crate::protocol::dbr::{Base, DbrClass, DbrType};
use crate::protocol::validate::RequestSpec;
use crate::values::{Face, Manner};
use pyo3::prelude::*;

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
    pub(super) manner: Manner,
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

    /// Whether values come as another type than the PV's own, maybe.
    pub(super) fn converts(&self) -> bool {
        self.datatype.is_some() || self.enum_texts
    }

    /// The request to a PV of this type and element count.
    pub(super) fn read_spec(&self, native: Base, held: usize) -> RequestSpec {
        let count = match self.count {
            None => Some(0),
            Some(count) => usize::try_from(count).ok(),
        };
        // One element is one, however it is counted.
        let count = if held == 1 { None } else { count };
        RequestSpec::of_text(self.dbr_type(native, held), native, count, held)
    }

    pub(super) fn subscription_spec(&self, mask: u32) -> SubscriptionSpec {
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
                None | Some(0) => WantedCount::Present,
                Some(count) => {
                    usize::try_from(count).map_or(WantedCount::Native, WantedCount::Fixed)
                }
            },
            mask,
        }
    }
}
