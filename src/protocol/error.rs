//! The error of the layers below Python: a status, the PV that it is about, and what was wrong.

use crate::protocol::status::Status;
use std::fmt;

/// What caused an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ErrorKind {
    /// The channel, the server or the network: an error that Channel Access reports by a status.
    #[default]
    Access,
    /// No server has answered for the PV. Channel Access reports a timeout.
    NotFound,
    /// The caller gave a value that does not convert or fit.
    Value,
    /// The caller gave an object of a type that does not convert.
    Type,
}

#[derive(Clone, Debug)]
pub struct Error {
    pub kind: ErrorKind,
    pub status: Status,
    /// The PV's name, if the error is about a PV.
    pub pv: Option<String>,
    /// What was wrong, and what would be right; the status's own text if empty.
    pub detail: String,
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn new(status: Status, pv: &str) -> Error {
        Error {
            kind: ErrorKind::Access,
            status,
            pv: Some(pv.to_owned()),
            detail: String::new(),
        }
    }

    pub fn not_found(pv: &str, detail: impl Into<String>) -> Error {
        Error {
            kind: ErrorKind::NotFound,
            ..Error::with_detail(Status::TIMEOUT, pv, detail)
        }
    }

    /// Whether Channel Access reports the error by a status.
    pub fn is_status(&self) -> bool {
        matches!(self.kind, ErrorKind::Access | ErrorKind::NotFound)
    }

    pub fn with_detail(status: Status, pv: &str, detail: impl Into<String>) -> Error {
        Error {
            detail: detail.into(),
            ..Error::new(status, pv)
        }
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Error {
        Error {
            kind: ErrorKind::Access,
            status,
            pv: None,
            detail: String::new(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(pv) = &self.pv {
            write!(f, "{pv}: ")?;
        }
        f.write_str(self.status.message())?;
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// The most PVs that an error names.
const SHOWN: usize = 10;

/// The names of PVs for an error's text: the first ones, and an ellipsis if there are more.
pub fn list_names<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len() > SHOWN;
    let mut text = names.take(SHOWN).collect::<Vec<_>>().join(", ");
    if more {
        text.push_str(", …");
    }
    text
}
