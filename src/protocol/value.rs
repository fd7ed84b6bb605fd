//! A value as it was received: one DBR structure in memory of our own.

use super::buffer::Bytes;
use super::dbr::{Base, DbrClass, DbrType, MAX_STRING_SIZE};
use super::status::Status;
use super::validate::{Claim, Extent, RequestSpec, Shape};
use super::view::View;
use std::ffi::c_void;
use std::marker::PhantomData;
use std::sync::Arc;

/// One DBR structure, copied out of the backend's memory.
pub struct Dbr {
    pub dbr_type: DbrType,
    pub count: usize,
    pub shape: Shape,
    bytes: Bytes,
}

impl Dbr {
    /// Copies what a backend lends. `None` if there is nothing, or no memory for it.
    ///
    /// # Safety
    /// `source` must be null or point to a structure of type `dbr_type` with as many elements as `came`.
    pub unsafe fn copy_from(
        dbr_type: DbrType,
        extent: Extent,
        source: *const c_void,
    ) -> Option<Dbr> {
        if source.is_null() {
            return None;
        }
        let copied = dbr_type.size(extent.received)?;
        let len = dbr_type.size(extent.count.max(extent.received))?;
        // SAFETY: `size` is never more than the structure that the caller promises.
        let bytes = unsafe { Bytes::copy_from(source.cast(), copied, len) }?;
        Some(Dbr {
            dbr_type,
            count: extent.count,
            shape: extent.shape,
            bytes,
        })
    }

    /// As [`copy_from`](Dbr::copy_from), into the memory of `spare`, if nobody else refers to that.
    ///
    /// # Safety
    /// As for `copy_from`.
    pub unsafe fn renew(
        spare: Option<Arc<Dbr>>,
        dbr_type: DbrType,
        extent: Extent,
        source: *const c_void,
    ) -> Option<Arc<Dbr>> {
        // SAFETY: the caller's promise.
        let dbr = unsafe { Dbr::copy_from(dbr_type, extent, source) }?;
        let Some(mut place) = spare else {
            return Some(Arc::new(dbr));
        };
        match Arc::get_mut(&mut place) {
            Some(old) => *old = dbr,
            None => return Some(Arc::new(dbr)),
        }
        Some(place)
    }

    /// The text of a state as the STRING type in `form`, with the alarm and the time of `from`, as far as the form has them. `from` has them
    /// in the same places: it is a TIME type where `form` is, and no plain type where `form` is not plain.
    pub fn text(form: DbrClass, from: &Dbr, text: &[u8]) -> Dbr {
        let dbr_type = DbrType::in_form(form, Base::String);
        let start = dbr_type.value_offset();
        let along = from.bytes.as_slice();
        let along = &along[..start.min(along.len())];
        let text = &text[..text.len().min(MAX_STRING_SIZE - 1)];
        let mut bytes = vec![0; start + MAX_STRING_SIZE];
        bytes[..along.len()].copy_from_slice(along);
        bytes[start..start + text.len()].copy_from_slice(text);
        Dbr {
            dbr_type,
            count: 1,
            shape: Shape::State,
            bytes: Bytes::of(&bytes),
        }
    }

    pub fn view(&self) -> View<'_> {
        View::new(self.dbr_type, self.count, self.bytes.as_slice())
    }

    /// The type that was asked for: a text in CHARs was asked for as STRING.
    pub fn requested_type(&self) -> DbrType {
        match self.shape {
            Shape::Text => DbrType::in_form(self.dbr_type.form(), Base::String),
            _ => self.dbr_type,
        }
    }

    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub fn heap_len(&self) -> usize {
        self.bytes.heap_len()
    }
}

/// The answer to a request, or an update of a subscription: with a value if the status is normal.
#[derive(Clone)]
pub struct Answer {
    pub status: Status,
    pub dbr: Option<Arc<Dbr>>,
}

impl Answer {
    pub fn failed(status: Status) -> Answer {
        Answer { status, dbr: None }
    }
}

/// An update of one number with its alarm and its time, for recorders, which get millions of them a second.
#[derive(Clone, Copy, Debug)]
pub struct ScalarUpdate {
    pub value: f64,
    /// Seconds since the EPICS epoch, and nanoseconds.
    pub stamp: (u32, u32),
    pub severity: i16,
    pub status: i16,
}

/// What a backend lends with an answer or an update, until its upcall returns: the server's claim, and the structure.
pub struct Received<'a> {
    claim: Claim,
    data: *const c_void,
    lent: PhantomData<&'a [u8]>,
}

impl<'a> Received<'a> {
    /// # Safety
    /// `data` must be null, or point to a structure of the type and with the elements that are claimed, as far as these are
    /// within what was asked of the channel; for as long as `'a`.
    pub unsafe fn new(
        status: Status,
        dbr_type: i64,
        count: i64,
        data: *const c_void,
    ) -> Received<'a> {
        Received {
            claim: Claim {
                status,
                dbr_type,
                count,
                has_data: !data.is_null(),
            },
            data,
            lent: PhantomData,
        }
    }

    pub fn status(&self) -> Status {
        self.claim.status
    }

    /// A copy, if the answer is what `spec` asks for of a PV that can hold `held` elements; in the memory of `spare`, if there
    /// is one.
    pub fn copy(
        &self,
        spec: RequestSpec,
        held: impl FnOnce() -> usize,
        spare: Option<Arc<Dbr>>,
    ) -> Result<Arc<Dbr>, Status> {
        let extent = spec.check(self.claim, held)?;
        let skipped = if spec.bare {
            spec.dbr_type.value_offset()
        } else {
            0
        };
        // SAFETY: the promise of `new`, for what was checked: behind what is skipped are the elements, as in the plain type.
        let dbr = unsafe {
            let elements = self.data.byte_add(skipped);
            Dbr::renew(spare, spec.value_type(), extent, elements)
        };
        dbr.ok_or(Status::ALLOCMEM)
    }

    /// As [`copy`](Received::copy), as an answer.
    pub fn answer(
        &self,
        spec: RequestSpec,
        held: impl FnOnce() -> usize,
        spare: Option<Arc<Dbr>>,
    ) -> Answer {
        match self.copy(spec, held, spare) {
            Ok(dbr) => Answer {
                status: Status::NORMAL,
                dbr: Some(dbr),
            },
            Err(status) => Answer::failed(status),
        }
    }

    /// The one element, if one element was asked for and came.
    pub fn scalar(&self, dbr_type: DbrType) -> Result<View<'a>, Status> {
        RequestSpec::exactly(dbr_type, 1).check(self.claim, || 1)?;
        let size = dbr_type.size(1).unwrap_or(0);
        // SAFETY: the promise of `new`: a structure of the type that was checked, with its one element.
        let bytes = unsafe { std::slice::from_raw_parts(self.data.cast::<u8>(), size) };
        Ok(View::new(dbr_type, 1, bytes))
    }
}
