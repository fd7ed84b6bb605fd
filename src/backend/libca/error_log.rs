//! libCom's error log, through which libca tells most of what goes wrong: it is brought to where libca's other messages go,
//! unless the process has an IOC.
//!
//! The log belongs to the process, and whoever has an IOC in it wants the IOC's messages where they are. An IOC may come
//! later than the first context, and nothing tells of that. So the console that libCom gets here looks for an IOC with each
//! message: it drops the messages of a process that has none, and passes on those of one that has.

use super::contained::contained;
use super::messages;
use super::text::string;
use crate::ca_sys::{self, Errlog};
use crate::client::fork;
use std::ffi::{c_char, c_void};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

/// Has what libca and libCom log go to the contexts, as libca's messages do, and no more to standard error; not where there
/// is an IOC in the process.
pub fn divert() {
    static ONCE: Once = Once::new();
    // Where an ancestor process has begun the log, it has no thread here that would deliver anything.
    if fork::generation() > 0 || has_ioc() {
        return;
    }
    ONCE.call_once(|| {
        if let Some(errlog) = ca_sys::loaded().and_then(ca_sys::Loaded::errlog) {
            // SAFETY: the listener has the type that libCom wants, needs no user pointer, and stays for good, as does libCom.
            unsafe { (errlog.add_listener)(on_logged, std::ptr::null_mut()) };
            console::replace(errlog);
        }
    });
}

/// libCom has logged this.
pub(crate) fn logged(text: &str) {
    if !has_ioc() {
        messages::publish(messages::plain(text));
    }
}

/// What libca and libCom write to the latter's error log.
unsafe extern "C" fn on_logged(_user: *mut c_void, text: *const c_char) {
    contained(|| {
        // SAFETY: libCom lends a text with its NUL.
        let text = unsafe { string(text) };
        logged(&text);
    });
}

/// What libCom writes to the console of the error log.
///
/// # Safety
/// There must be so many bytes.
#[cfg(unix)]
unsafe fn on_console(text: *const c_char, size: usize) {
    contained(|| {
        // SAFETY: the caller's promise.
        let text = unsafe { std::slice::from_raw_parts(text.cast::<u8>(), size) };
        written(text);
    });
}

/// The process has an IOC, or what one is made of: the library of its database.
fn has_ioc() -> bool {
    // What was loaded stays.
    static FOUND: AtomicBool = AtomicBool::new(false);
    FOUND.load(Ordering::Relaxed) || {
        let found = libraries::any_is_a_database();
        FOUND.fetch_or(found, Ordering::Relaxed);
        found
    }
}

#[cfg(unix)]
pub(crate) use console::written;

#[cfg(unix)]
mod console {
    use super::Errlog;
    use super::ca_sys;
    use super::has_ioc;
    use super::on_console;
    use libc::{FILE, c_char, c_int, c_void};
    use std::io::Write;
    use std::ptr::null_mut;
    use std::sync::Once;

    /// Gives libCom a stream that ends in [`written`].
    pub(crate) fn replace(errlog: Errlog) {
        let stream = open();
        if stream.is_null() {
            return;
        }
        // SAFETY: the stream is never closed. Without a buffer nothing waits in it while another stream takes its place.
        unsafe {
            libc::setvbuf(stream, null_mut(), libc::_IONBF, 0);
            (errlog.set_console)(stream.cast());
        }
    }

    /// What libCom writes to its console.
    pub(crate) fn written(text: &[u8]) {
        if !has_ioc() {
            return;
        }
        // Where standard error is closed, nobody listens.
        std::io::stderr().write_all(text).ok();
        // libCom sees whether standard error is a terminal, and colours what it writes there. It waits for the calling thread
        // as it changes consoles. Where there is no thread to be had for that, this one stays.
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let thread = std::thread::Builder::new().name("cachannel errlog".into());
            drop(thread.spawn(give_back));
        });
    }

    fn give_back() {
        if let Some(errlog) = ca_sys::loaded().and_then(ca_sys::Loaded::errlog) {
            // SAFETY: libCom takes null for standard error.
            unsafe { (errlog.set_console)(null_mut()) };
        }
    }

    #[cfg(target_os = "macos")]
    fn open() -> *mut FILE {
        type Read = unsafe extern "C" fn(*mut c_void, *mut c_char, c_int) -> c_int;
        type Write = unsafe extern "C" fn(*mut c_void, *const c_char, c_int) -> c_int;
        type Seek = unsafe extern "C" fn(*mut c_void, libc::fpos_t, c_int) -> libc::fpos_t;
        type Close = unsafe extern "C" fn(*mut c_void) -> c_int;
        unsafe extern "C" {
            fn funopen(
                cookie: *const c_void,
                read: Option<Read>,
                write: Option<Write>,
                seek: Option<Seek>,
                close: Option<Close>,
            ) -> *mut FILE;
        }
        unsafe extern "C" fn write(
            _cookie: *mut c_void,
            text: *const c_char,
            size: c_int,
        ) -> c_int {
            // SAFETY: the stream lends so many bytes for this call.
            unsafe { on_console(text, usize::try_from(size).unwrap_or(0)) };
            size
        }
        // SAFETY: `write` has the type that is wanted, and needs no cookie.
        unsafe { funopen(std::ptr::null(), None, Some(write), None, None) }
    }

    #[cfg(not(target_os = "macos"))]
    fn open() -> *mut FILE {
        /// cookie_io_functions_t
        #[repr(C)]
        struct Functions {
            read: Option<unsafe extern "C" fn(*mut c_void, *mut c_char, usize) -> isize>,
            write: Option<unsafe extern "C" fn(*mut c_void, *const c_char, usize) -> isize>,
            seek: Option<unsafe extern "C" fn(*mut c_void, *mut i64, c_int) -> c_int>,
            close: Option<unsafe extern "C" fn(*mut c_void) -> c_int>,
        }
        unsafe extern "C" {
            fn fopencookie(
                cookie: *mut c_void,
                mode: *const c_char,
                functions: Functions,
            ) -> *mut FILE;
        }
        unsafe extern "C" fn write(
            _cookie: *mut c_void,
            text: *const c_char,
            size: usize,
        ) -> isize {
            // SAFETY: the stream lends so many bytes for this call.
            unsafe { on_console(text, size) };
            size.cast_signed()
        }
        let functions = Functions {
            read: None,
            write: Some(write),
            seek: None,
            close: None,
        };
        // SAFETY: `write` has the type that is wanted, and needs no cookie.
        unsafe { fopencookie(null_mut(), c"w".as_ptr(), functions) }
    }
}

/// Windows has no streams that end in a function: an IOC that comes later does not get its console back.
#[cfg(windows)]
mod console {
    use super::Errlog;

    pub(crate) fn replace(errlog: Errlog) {
        // SAFETY: it takes nothing that would have to live on.
        unsafe { (errlog.to_console)(0) };
    }
}

#[cfg(unix)]
mod libraries {
    use std::ffi::CStr;

    #[cfg(not(target_os = "macos"))]
    pub(crate) fn any_is_a_database() -> bool {
        use libc::{c_int, c_void, dl_phdr_info};
        unsafe extern "C" fn look(
            library: *mut dl_phdr_info,
            _size: usize,
            _user: *mut c_void,
        ) -> c_int {
            // SAFETY: the system lends the structure, and the path in it, for this call.
            let path = unsafe {
                let path = (*library).dlpi_name;
                (!path.is_null()).then(|| CStr::from_ptr(path))
            };
            path.is_some_and(is_a_database).into()
        }
        // SAFETY: `look` has the type that is wanted, and needs no user pointer.
        unsafe { libc::dl_iterate_phdr(Some(look), std::ptr::null_mut()) != 0 }
    }

    #[cfg(target_os = "macos")]
    #[allow(deprecated)] // in favour of another crate
    pub(crate) fn any_is_a_database() -> bool {
        // SAFETY: the names of libraries that are loaded stay good; where one was closed meanwhile, an index gives null.
        let path = |index| unsafe {
            let path = libc::_dyld_get_image_name(index);
            (!path.is_null()).then(|| CStr::from_ptr(path))
        };
        // SAFETY: it only counts.
        let number = unsafe { libc::_dyld_image_count() };
        (0..number).filter_map(path).any(is_a_database)
    }

    /// libdbCore in EPICS 7 and 3.15, libdbIoc in 3.14.
    fn is_a_database(path: &CStr) -> bool {
        let path = path.to_string_lossy();
        let file = path.rsplit('/').next().unwrap_or_default();
        file.starts_with("libdbCore.") || file.starts_with("libdbIoc.")
    }
}

#[cfg(windows)]
mod libraries {
    pub(crate) fn any_is_a_database() -> bool {
        use libloading::os::windows::Library;
        let mut names = ["dbCore.dll", "dbIoc.dll"].iter();
        names.any(|name| Library::open_already_loaded(*name).is_ok())
    }
}
