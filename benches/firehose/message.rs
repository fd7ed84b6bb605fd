//! Messages of the Channel Access protocol: a header of 16 bytes, big endian, and a payload of a multiple of 8 bytes.

/// The protocol's version that we speak is 4.13.
pub const MINOR_VERSION: u16 = 13;
/// A header is this long, unless its payload is 64 KiB or more.
const HEADER: usize = 16;
const LONG_HEADER: usize = 24;

pub mod command {
    pub const VERSION: u16 = 0;
    pub const EVENT_ADD: u16 = 1;
    pub const EVENT_CANCEL: u16 = 2;
    pub const SEARCH: u16 = 6;
    pub const CLEAR_CHANNEL: u16 = 12;
    pub const READ_NOTIFY: u16 = 15;
    pub const CREATE_CHANNEL: u16 = 18;
    pub const WRITE_NOTIFY: u16 = 19;
    pub const ACCESS_RIGHTS: u16 = 22;
    pub const ECHO: u16 = 23;
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Header {
    pub command: u16,
    pub dbr_type: u16,
    pub count: u16,
    pub first: u32,
    pub second: u32,
}

impl Header {
    pub fn new(command: u16) -> Header {
        Header {
            command,
            ..Header::default()
        }
    }

    pub fn dbr_type(self, dbr_type: u16) -> Header {
        Header { dbr_type, ..self }
    }

    pub fn count(self, count: u16) -> Header {
        Header { count, ..self }
    }

    pub fn parameters(self, first: u32, second: u32) -> Header {
        Header {
            first,
            second,
            ..self
        }
    }

    /// The message without a payload.
    pub fn bytes(&self) -> [u8; HEADER] {
        self.sized(0)
    }

    /// The message with one, whose length is a multiple of 8.
    pub fn with_payload(&self, payload: &[u8]) -> Vec<u8> {
        let size = u16::try_from(payload.len()).expect("a small payload");
        let mut message = self.sized(size).to_vec();
        message.extend_from_slice(payload);
        message
    }

    fn sized(&self, size: u16) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[0..2].copy_from_slice(&self.command.to_be_bytes());
        bytes[2..4].copy_from_slice(&size.to_be_bytes());
        bytes[4..6].copy_from_slice(&self.dbr_type.to_be_bytes());
        bytes[6..8].copy_from_slice(&self.count.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.first.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.second.to_be_bytes());
        bytes
    }
}

/// The complete messages at the beginning of `bytes`, with their payloads, and how many bytes they take.
pub fn messages(bytes: &[u8]) -> (Vec<(Header, &[u8])>, usize) {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some((header, size, length)) = header(&bytes[at..]) {
        let Some(payload) = bytes.get(at + length..at + length + size) else {
            break;
        };
        found.push((header, payload));
        at += length + size;
    }
    (found, at)
}

/// The header at the beginning of `bytes`, the size of its payload, and its own length.
fn header(bytes: &[u8]) -> Option<(Header, usize, usize)> {
    let short = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let long = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let header = Header {
        command: short(0)?,
        dbr_type: short(4)?,
        count: short(6)?,
        first: long(8)?,
        second: long(12)?,
    };
    match short(2)? {
        u16::MAX => {
            let size = usize::try_from(long(16)?).ok()?;
            long(20)?;
            Some((header, size, LONG_HEADER))
        }
        size => Some((header, usize::from(size), HEADER)),
    }
}
