//! DBR buffers to Python and numpy values, and back. Nothing else knows how a value looks on either side.

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
pub use incoming::{ArrayCache, Memory, Style, fill, value};
#[cfg(feature = "python")]
pub use outgoing::outgoing;
#[cfg(feature = "python")]
pub use recorded::recorded_updates;
#[cfg(feature = "python")]
pub use target::{To, shown};
