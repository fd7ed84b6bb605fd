//! Opens libca at run time, once for the process. Where to look is the caller's to say.

use super::bindings::LibCa;
use std::error::Error;
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
            Ok(api) => {
                let found = Loaded {
                    source: candidate.source.clone(),
                    path: candidate.path.clone(),
                    api,
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
}

#[cfg(unix)]
fn open(path: &Path) -> Result<LibCa, libloading::Error> {
    use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
    // SAFETY: the initialisers of libca and libCom only set up their own statics. The library is never closed
    // (`LIBCA` is a static), so the function pointers taken from it stay good for the life of the process.
    unsafe {
        let library = Library::open(Some(path), RTLD_NOW | RTLD_LOCAL)?;
        LibCa::from_library(libloading::Library::from(library))
    }
}

#[cfg(windows)]
fn open(path: &Path) -> Result<LibCa, libloading::Error> {
    use libloading::os::windows::{LOAD_WITH_ALTERED_SEARCH_PATH, Library};
    // SAFETY: as on unix. The altered search path lets ca.dll find Com.dll beside itself.
    unsafe {
        let library = Library::load_with_flags(path, LOAD_WITH_ALTERED_SEARCH_PATH)?;
        LibCa::from_library(libloading::Library::from(library))
    }
}
