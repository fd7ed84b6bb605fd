//! The names of an enum's states: a server sends them, and expects them, in its own bytes.

use super::text::{STATE, STRING, decoded};

/// Whether the server's bytes of a state may be others than the text's UTF-8: Latin-1, or those of a name that was cut within
/// its last character.
pub fn may_differ(text: &str) -> bool {
    !text.is_ascii() || (STATE - 3..STATE).contains(&text.len())
}

/// Whether a state with these bytes is shown as this text: in the list of states, or as a value in a STRING.
pub fn reads_as(state: &[u8], text: &str) -> bool {
    decoded(state, STATE) == text || decoded(state, STRING) == text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_found_in_the_bytes_of_the_server() {
        assert!(reads_as(b"on", "on"));
        assert!(!reads_as(b"on", "off"));
        assert!(reads_as("µA".as_bytes(), "µA"));
        assert!(reads_as(b"\xb5A", "µA"));
        // Right UTF-8 is never read as Latin-1.
        assert!(!reads_as("°".as_bytes(), "Â°"));
    }

    #[test]
    fn so_are_those_that_are_cut() {
        let whole = "123456789012345678901234";
        let cut = [whole.as_bytes(), b"\xc2"].concat();
        assert!(may_differ(whole) && reads_as(&cut, whole));
        assert!(!reads_as(&cut[1..], &whole[1..]));
    }
}
