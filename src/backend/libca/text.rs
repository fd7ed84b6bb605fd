//! Texts that C lends.

use std::ffi::c_char;

/// What is taken of a text.
const MAX_TEXT: usize = 1024;

/// # Safety
/// `text` must be null, end with a NUL, or be followed by MAX_TEXT bytes.
pub(super) unsafe fn string(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise; strnlen looks at no more, and not beyond a NUL.
    let bytes = unsafe {
        let length = libc::strnlen(text, MAX_TEXT);
        std::slice::from_raw_parts(text.cast::<u8>(), length)
    };
    String::from_utf8_lossy(bytes).into_owned()
}
