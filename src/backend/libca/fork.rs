//! What libCom says of a forked process.

use crate::client::fork::generation;
use std::sync::atomic::{AtomicU64, Ordering};

/// Runs the first use of libCom in a process that came from a fork, and returns what libCom says of that. It says it on
/// standard error and nowhere else, so that is a pipe meanwhile; what others write there at that moment is handed on.
#[cfg(unix)]
pub fn overheard<T>(work: impl FnOnce() -> T) -> (T, Option<String>) {
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;
    static HEARD: AtomicU64 = AtomicU64::new(0);
    if HEARD.swap(generation(), Ordering::Relaxed) == generation() {
        return (work(), None);
    }
    let Ok((mut reader, writer)) = std::io::pipe() else {
        return (work(), None);
    };
    let Some(standard) = Standard::replace(writer) else {
        return (work(), None); // closed: nothing is to be heard
    };
    let result = work();
    drop(standard);
    let mut bytes = Vec::new();
    // What is there, without a wait for its end: a program that another thread has just started may have the other end.
    // SAFETY: the pipe is open.
    unsafe { libc::fcntl(reader.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
    reader.read_to_end(&mut bytes).ok();
    let text = String::from_utf8_lossy(&bytes);
    let libcoms = |line: &&str| line.contains("fork()") || line.contains("Undefined Behavior");
    let (said, others): (Vec<&str>, Vec<&str>) = text.split_inclusive('\n').partition(libcoms);
    std::io::stderr().write_all(others.concat().as_bytes()).ok();
    (result, (!said.is_empty()).then(|| said.concat()))
}

#[cfg(not(unix))]
pub fn overheard<T>(work: impl FnOnce() -> T) -> (T, Option<String>) {
    (work(), None)
}

/// Standard error, until it is put back in its place.
#[cfg(unix)]
struct Standard(std::os::fd::OwnedFd);

#[cfg(unix)]
impl Standard {
    fn replace(by: std::io::PipeWriter) -> Option<Standard> {
        use std::os::fd::{AsFd, AsRawFd};
        let standard = std::io::stderr().as_fd().try_clone_to_owned().ok()?;
        // SAFETY: both are open; the second is standard error, which stays open.
        let done = unsafe { libc::dup2(by.as_raw_fd(), libc::STDERR_FILENO) };
        (done >= 0).then_some(Standard(standard))
    }
}

#[cfg(unix)]
impl Drop for Standard {
    fn drop(&mut self) {
        use std::os::fd::AsRawFd;
        // SAFETY: as above.
        unsafe { libc::dup2(self.0.as_raw_fd(), libc::STDERR_FILENO) };
    }
}
