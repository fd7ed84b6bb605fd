//! The texts of an enum's states: a name as the server gives it; the number of a state that has no name.
//!
//! For a state without a name a server sends an empty text, and nothing in that says which state it is. What the PV is when it is
//! asked once more may be another state already. So:
//!
//! * A read whose answer is an empty text goes on before it completes: it asks for the number and for the names of the states, and
//!   its value is made of these alone (`Request::complete`).
//! * A subscription to texts has a second subscription beside it, to the numbers. The updates of both have time stamps: the number
//!   of an empty text is the one with the same stamp ([`EnumTexts`]). Where that does not come, the text stays empty.

use crate::protocol::dbr::DbrClass;
use crate::protocol::validate::Shape;
use crate::protocol::value::Dbr;
use crate::protocol::view::Number;
use std::sync::Arc;

/// An empty text of a state.
pub fn is_empty(dbr: &Dbr) -> bool {
    dbr.shape == Shape::State && dbr.view().string(0).is_empty()
}

/// What the state is called whose number this is: by its name among `states`, or by its number; with the alarm and the time of
/// the number. `None` where it is no number of a state.
pub fn called(form: DbrClass, number: &Dbr, states: &[&[u8]]) -> Option<Arc<Dbr>> {
    let Number::Int(state) = number.view().number(0) else {
        return None;
    };
    let name = usize::try_from(state).ok().and_then(|at| states.get(at));
    let text = match name {
        Some(name) if !name.is_empty() => Dbr::text(form, number, name),
        _ => Dbr::text(form, number, state.to_string().as_bytes()),
    };
    Some(Arc::new(text))
}

/// The updates of a subscription to the texts of an enum, on their way from the server to the mailbox: TIME_STRING, and
/// TIME_ENUM of the second subscription.
///
/// | state | moves to | at |
/// |---|---|---|
/// | nothing waits | a text waits | an empty text, if the number with its stamp has not come before it |
/// | a text waits | nothing waits | its number; a later number or another text, which leave it empty; the answer to a read |
pub struct EnumTexts {
    /// What the program has asked for.
    form: DbrClass,
    /// The newest number that belongs to no text yet.
    number: Option<Arc<Dbr>>,
    /// An empty text without its number.
    waiting: Option<Arc<Dbr>>,
}

impl EnumTexts {
    pub fn new(form: DbrClass) -> EnumTexts {
        EnumTexts {
            form,
            number: None,
            waiting: None,
        }
    }

    /// A text has come. It is returned where it waits for its number now.
    pub fn text(&mut self, text: Arc<Dbr>, deliver: &mut dyn FnMut(Arc<Dbr>)) -> Option<Arc<Dbr>> {
        self.give_up(deliver);
        // A number is for one text: a record may be written without getting a new stamp.
        let number = self.number.take_if(|number| stamp(number) == stamp(&text));
        if !is_empty(&text) {
            deliver(self.in_form(text));
            return None;
        }
        match number {
            Some(number) => self.named(&text, &number, deliver),
            None => self.waiting = Some(text),
        }
        self.waiting.clone()
    }

    /// A number has come.
    pub fn number(&mut self, number: Arc<Dbr>, deliver: &mut dyn FnMut(Arc<Dbr>)) {
        match self.waiting.take_if(|text| stamp(text) <= stamp(&number)) {
            Some(text) if stamp(&text) == stamp(&number) => self.named(&text, &number, deliver),
            late => {
                if let Some(text) = late {
                    deliver(self.in_form(text));
                }
                self.number = Some(number);
            }
        }
    }

    /// The number was read for a text that waited.
    pub fn read(
        &mut self,
        text: &Arc<Dbr>,
        number: Option<&Dbr>,
        deliver: &mut dyn FnMut(Arc<Dbr>),
    ) {
        if let Some(text) = self.waiting.take_if(|waiting| Arc::ptr_eq(waiting, text)) {
            match number.filter(|number| stamp(number) == stamp(&text)) {
                Some(number) => self.named(&text, number, deliver),
                None => deliver(self.in_form(text)),
            }
        }
    }

    /// The text that waits, if any, stays empty.
    pub fn give_up(&mut self, deliver: &mut dyn FnMut(Arc<Dbr>)) {
        if let Some(text) = self.waiting.take() {
            deliver(self.in_form(text));
        }
    }

    fn named(&self, text: &Arc<Dbr>, number: &Dbr, deliver: &mut dyn FnMut(Arc<Dbr>)) {
        let called = called(self.form, number, &[]);
        deliver(called.unwrap_or_else(|| self.in_form(text.clone())));
    }

    fn in_form(&self, text: Arc<Dbr>) -> Arc<Dbr> {
        if self.form == DbrClass::Time {
            return text;
        }
        Arc::new(Dbr::text(self.form, &text, text.view().string(0)))
    }
}

fn stamp(timed: &Dbr) -> (u32, u32) {
    timed.view().stamp()
}

#[cfg(test)]
mod tests;
