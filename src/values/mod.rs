//! Values that carry what came with them: numbers, texts and arrays with their time, alarm, units, limits and states.
//!
//! * [`classes`] the Python classes of such values
//! * [`make`] a value of one of these classes from a DBR structure
//! * [`update`] what a value refers to: its attributes are read from there when they are asked for
//! * [`properties`] a PV's units, limits and states, kept up to date
//! * [`monitor`] which values of a subscription are delivered, and when
//!
//! The way through it: `dispatch` or `py::values` has a [`Dbr`](crate::protocol::value::Dbr), asks the PV's
//! [`PropertyCell`](properties::PropertyCell) for what goes with it, and calls [`make::value`]. That makes the plain number, text
//! or array, an object of the class for it, and one [`Update`](update::Update), to which the object refers.

pub mod classes;
pub mod make;
pub mod monitor;
pub mod properties;
pub mod update;

/// How values are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    pub face: Face,
    /// An enum is the name of its state, or its number where that has none.
    pub state_texts: bool,
    /// A text is bytes, as the server sends it.
    pub as_bytes: bool,
}

/// Who gets the values, where the two differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    /// Class PV and `caget`: a record that was never processed has no time, and one element that was asked for is a scalar.
    Pv,
    /// `cachannel.aio`, as aioca: that time is the EPICS epoch, and a PV of several elements gives an array.
    Aio,
}
