//! DBR structures to Python and numpy values, and back. No other module knows both sides.
//!
//! * `incoming` a [`Dbr`](crate::protocol::value::Dbr) to Python: `value` for a read, `fill` for a callback's dict
//! * `outgoing` a Python value to elements: `target` what it is written to, `numbers`, `strings` and `arrays` the kinds of
//!   values, [`elements`] one number, `wire` the elements that are sent
//! * `many` values for many channels; `recorded` a recorder's updates
//! * [`text`] the text in bytes; [`states`] the names of an enum's states; `names` Python's enums
//! * `preload` numpy, loaded when the package is imported

#[cfg(feature = "python")]
mod arrays;
pub mod elements;
#[cfg(feature = "python")]
mod incoming;
#[cfg(feature = "python")]
pub mod many;
#[cfg(feature = "python")]
pub mod names;
#[cfg(feature = "python")]
mod numbers;
#[cfg(feature = "python")]
mod outgoing;
#[cfg(feature = "python")]
pub mod preload;
#[cfg(feature = "python")]
mod recorded;
pub mod states;
#[cfg(feature = "python")]
mod strings;
#[cfg(feature = "python")]
mod target;
pub mod text;
#[cfg(feature = "python")]
mod wire;

#[cfg(feature = "python")]
pub use incoming::{ArrayCache, Memory, Style, elements, fill, number, value};
#[cfg(feature = "python")]
pub use outgoing::outgoing;
#[cfg(feature = "python")]
pub use recorded::recorded_updates;
#[cfg(feature = "python")]
pub use target::{To, shown};
