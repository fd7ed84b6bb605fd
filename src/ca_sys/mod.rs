//! Raw libca: the generated bindings, the loader that opens the library at run time, and checks of its layouts.

#[allow(
    dead_code,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    clippy::all,
    clippy::undocumented_unsafe_blocks
)] // generated from the C headers, with their names
mod bindings;
mod layout;
mod loader;

pub use bindings::*;
pub use loader::{Candidate, Errlog, ErrlogListener, LoadError, Loaded, load, loaded};
