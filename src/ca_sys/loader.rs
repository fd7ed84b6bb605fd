//! Opens libca at run time, once for the process. Where to look is the caller's to say.

use super::bindings::LibCa;
use std::error::Error;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A place where libca may be.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Who named it, for messages: `CACHANNEL_LIBCA`, `epicscorelibs`, …
    pub source: String,
    /// A file, or a bare library name that the system's loader resolves.
    pub path: PathBuf,
}

/// The open library and where it came from.
pub struct Loaded {
    pub source: String,
    pub path: PathBuf,
    api: LibCa,
    errlog: Option<Errlog>,
}

/// What libCom calls with each message of its error log.
pub type ErrlogListener = unsafe extern "C" fn(user: *mut c_void, message: *const c_char);

/// libCom's error log. It is no part of libca, which does without where these are not found.
#[derive(Clone, Copy)]
pub struct Errlog {
    /// errlogAddListener
    pub add_listener: unsafe extern "C" fn(listener: ErrlogListener, user: *mut c_void),
    /// errlogSetConsole: the C stream (FILE) to which the messages also go; standard error where null
    #[cfg(unix)]
    pub set_console: unsafe extern "C" fn(stream: *mut c_void) -> c_int,
    /// eltc: whether the messages also go to the console
    #[cfg(windows)]
    pub to_console: unsafe extern "C" fn(yes: c_int) -> c_int,
}

/// No candidate could be opened: each with the loader's reason.
#[derive(Debug)]
pub struct LoadError {
    pub tried: Vec<(Candidate, String)>,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (candidate, why) in &self.tried {
            writeln!(
                f,
                "  {}: {}: {}",
                candidate.source,
                candidate.path.display(),
                why
            )?;
        }
        Ok(())
    }
}

static LIBCA: OnceLock<Loaded> = OnceLock::new();

/// Opens the first candidate that is a libca with every function of the bindings; later calls keep the first answer.
pub fn load(candidates: &[Candidate]) -> Result<&'static Loaded, LoadError> {
    if let Some(already) = LIBCA.get() {
        return Ok(already);
    }
    let mut tried = Vec::new();
    for candidate in candidates {
        match open(&candidate.path) {
            Ok((api, errlog)) => {
                let found = Loaded {
                    source: candidate.source.clone(),
                    path: candidate.path.clone(),
                    api,
                    errlog,
                };
                return Ok(LIBCA.get_or_init(|| found));
            }
            Err(why) => {
                // The reason proper is what the system's loader said.
                let why = why
                    .source()
                    .map_or_else(|| why.to_string(), ToString::to_string);
                tried.push((candidate.clone(), why));
            }
        }
    }
    Err(LoadError { tried })
}

/// The library that [`load`] opened.
pub fn loaded() -> Option<&'static Loaded> {
    LIBCA.get()
}

impl Loaded {
    /// libca's functions.
    pub fn api(&self) -> &LibCa {
        &self.api
    }

    /// The version of Channel Access that it speaks, such as "4.13".
    pub fn version(&self) -> String {
        // SAFETY: ca_version gives a constant text.
        let text = unsafe { CStr::from_ptr(self.api.ca_version()) };
        text.to_string_lossy().into_owned()
    }

    /// The error log of libca's libCom.
    pub fn errlog(&self) -> Option<Errlog> {
        self.errlog
    }
}

/// # Safety
/// `library` must be libCom, or have it among its dependencies where the system looks through these.
unsafe fn errlog(library: &libloading::Library) -> Option<Errlog> {
    // SAFETY: the types are those of libCom's errlog.h.
    unsafe {
        Some(Errlog {
            add_listener: *library.get(b"errlogAddListener\0").ok()?,
            #[cfg(unix)]
            set_console: *library.get(b"errlogSetConsole\0").ok()?,
            #[cfg(windows)]
            to_console: *library.get(b"eltc\0").ok()?,
        })
    }
}

#[cfg(unix)]
fn open(path: &Path) -> Result<(LibCa, Option<Errlog>), libloading::Error> {
    use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
    // SAFETY: the initialisers of libca and libCom only set up their own statics. The library is never closed
    // (`LIBCA` is a static), so the function pointers taken from it stay good for the life of the process.
    unsafe {
        let library = libloading::Library::from(Library::open(Some(path), RTLD_NOW | RTLD_LOCAL)?);
        let errlog = errlog(&library);
        Ok((LibCa::from_library(library)?, errlog))
    }
}

#[cfg(windows)]
fn open(path: &Path) -> Result<(LibCa, Option<Errlog>), libloading::Error> {
    use libloading::os::windows::{LOAD_WITH_ALTERED_SEARCH_PATH, Library};
    // SAFETY: as on unix. The altered search path lets ca.dll find Com.dll beside itself.
    unsafe {
        let library = Library::load_with_flags(path, LOAD_WITH_ALTERED_SEARCH_PATH)?;
        let api = LibCa::from_library(libloading::Library::from(library))?;
        // Windows does not look through dependencies. The handle is never closed, either.
        let com = Library::open_already_loaded("Com.dll").ok();
        let com = com.map(|com| std::mem::ManuallyDrop::new(libloading::Library::from(com)));
        Ok((api, com.and_then(|com| errlog(&com))))
    }
}
