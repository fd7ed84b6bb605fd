//! The contract, held by libca with an IOC.
//!
//! libca reads its environment once and belongs to a whole process. So [`libca_keeps_the_contract`] runs the tests of this file,
//! which are ignored otherwise, in a process of their own: a few at once, as libca waits for 10 s before it looks for a PV whose
//! server has gone. Each has an IOC of its own, on a port of the loopback interface that was free.

use super::{Rig, contract};
use crate::backend::scripted::value::Pv;
use crate::backend::{self, Choice};
use crate::client::context::Context;
use crate::protocol::dbr::Base;
use std::fs;
use std::io::Error;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

/// Seconds after which the process of these tests, and each IOC, ends by itself.
const LIMIT: u32 = 150;

/// Tests that run at once.
const AT_ONCE: usize = 4;

/// The variables that tell the process of these tests what to use.
const LIBCA: &str = "CACHANNEL_CONTRACT_LIBCA";
const PYTHON: &str = "CACHANNEL_CONTRACT_PYTHON";

#[test]
fn libca_keeps_the_contract() {
    let (libca, python) = match find() {
        Ok(found) => found,
        Err(why) => return eprintln!("skipped: {why}"),
    };
    let ports = free_ports(AT_ONCE + 1);
    let (repeater, servers) = ports.split_last().unwrap();
    let servers = servers.iter().map(|port| format!("127.0.0.1:{port}"));
    let servers: Vec<String> = servers.collect();
    let mut process = Command::new(std::env::current_exe().unwrap());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("EPICS_") {
            process.env_remove(name);
        }
    }
    let tests = module_path!().split_once("::").unwrap().1;
    process
        .args([tests, "--ignored"])
        .arg(format!("--test-threads={AT_ONCE}"))
        .stdin(Stdio::null())
        .env(LIBCA, libca)
        .env(PYTHON, python)
        .env("EPICS_CA_ADDR_LIST", servers.join(" "))
        .env("EPICS_CA_AUTO_ADDR_LIST", "NO")
        .env("EPICS_CA_REPEATER_PORT", repeater.to_string())
        .env("EPICS_CAS_INTF_ADDR_LIST", "127.0.0.1")
        .env("EPICS_CAS_BEACON_ADDR_LIST", "127.0.0.1")
        .env("EPICS_CAS_AUTO_BEACON_ADDR_LIST", "NO");
    let ended = process.output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(
        ended.status.success() && said.contains("test result: ok."),
        "{}\n{said}{}",
        ended.status,
        String::from_utf8_lossy(&ended.stderr)
    );
    println!("{said}");
}

/// libca, and a Python that can be an IOC.
fn find() -> Result<(PathBuf, PathBuf), String> {
    let environment = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv");
    let python = environment.join("bin/python");
    let packages = subfolders(&environment.join("lib"))
        .into_iter()
        .map(|python| python.join("site-packages/epicscorelibs/lib"));
    let Some(libraries) = packages.into_iter().find(|folder| folder.is_dir()) else {
        return Err(format!(
            "{} has no epicscorelibs, and so no IOC (make build)",
            environment.display()
        ));
    };
    let chosen = std::env::var_os("CACHANNEL_LIBCA").map(PathBuf::from);
    let bundled = || {
        let is_libca = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("libca.so") || name.starts_with("libca.") && name.ends_with(".dylib")
        };
        let mut found = subfolders(&libraries);
        found.retain(is_libca);
        found.sort();
        found.into_iter().next_back()
    };
    match chosen.or_else(bundled) {
        Some(libca) => Ok((libca, python)),
        None => Err(format!("{} has no libca", libraries.display())),
    }
}

/// What is in a folder; nothing where there is none.
fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.flatten().map(|entry| entry.path()).collect()
}

/// Ports that nobody listens at.
fn free_ports(number: usize) -> Vec<u16> {
    let bind = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let listeners: Vec<TcpListener> = (0..number).map(bind).collect();
    let ports = listeners.iter().map(|l| l.local_addr().unwrap().port());
    ports.collect()
}

/// The ports that libca asks, and no test uses now.
fn unused_ports() -> &'static Mutex<Vec<u16>> {
    static PORTS: OnceLock<Mutex<Vec<u16>>> = OnceLock::new();
    PORTS.get_or_init(|| {
        let addresses = std::env::var("EPICS_CA_ADDR_LIST").unwrap();
        let port = |address: &str| address.rsplit_once(':').unwrap().1.parse().unwrap();
        Mutex::new(addresses.split(' ').map(port).collect())
    })
}

/// libca, and an IOC that is started and ended as the test says.
struct LibcaRig {
    python: PathBuf,
    port: u16,
    /// The PV's name.
    name: String,
    database: PathBuf,
    ioc: Mutex<Option<Child>>,
}

impl LibcaRig {
    /// In the process of [`libca_keeps_the_contract`] alone.
    fn new() -> Option<LibcaRig> {
        static REPEATER: OnceLock<UdpSocket> = OnceLock::new();
        let (Some(libca), Some(python)) = (std::env::var_os(LIBCA), std::env::var_os(PYTHON))
        else {
            eprintln!("skipped: libca_keeps_the_contract runs this test");
            return None;
        };
        // SAFETY: it may be called at any time.
        unsafe { libc::alarm(LIMIT) };
        REPEATER.get_or_init(|| {
            // Where the repeater's port is taken, libca starts no repeater, which would stay for good.
            let port = std::env::var("EPICS_CA_REPEATER_PORT").unwrap();
            UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port.parse().unwrap())).unwrap()
        });
        let candidates = vec![("the test".to_owned(), libca.into())];
        backend::load(Choice::Libca(candidates)).unwrap();
        let port = unused_ports().lock().unwrap().pop().unwrap();
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("contract:{}:{number}", std::process::id());
        let database = format!("cachannel-{}.db", name.replace(':', "-"));
        Some(LibcaRig {
            python: python.into(),
            port,
            database: std::env::temp_dir().join(database),
            name,
            ioc: Mutex::default(),
        })
    }

    fn signal(&self, signal: i32) {
        let ioc = self.ioc.lock().unwrap();
        let id = ioc.as_ref().expect("the IOC runs").id();
        let id = libc::pid_t::try_from(id).unwrap();
        // SAFETY: the process is a child that was not waited for, so that its id is its own.
        assert_eq!(unsafe { libc::kill(id, signal) }, 0);
        if signal == libc::SIGSTOP {
            let mut status = 0;
            // SAFETY: it writes the status; it returns when all threads of the child have stopped.
            let stopped = unsafe { libc::waitpid(id, &raw mut status, libc::WUNTRACED) };
            assert!(stopped == id && libc::WIFSTOPPED(status), "the IOC is gone");
        }
    }
}

impl Rig for LibcaRig {
    fn context(&self) -> Arc<Context> {
        Context::create(true).unwrap()
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn serve(&self, pv: Pv) {
        self.stop();
        let value = pv.values[0];
        let record = match (pv.native, pv.values.len()) {
            (Base::Double, 1) => ("ao", format!("field(VAL, \"{value}\")")),
            (Base::Long, 1) => ("longout", format!("field(VAL, \"{value}\")")),
            (Base::Double, many) => (
                "waveform",
                format!("field(FTVL, \"DOUBLE\") field(NELM, \"{many}\")"),
            ),
            _ => panic!("no test has such a PV: {pv:?}"),
        };
        let text = format!(
            "record({}, \"{}\") {{ {} }}\n",
            record.0,
            self.name(),
            record.1
        );
        fs::write(&self.database, text).unwrap();
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
        let mut process = Command::new(&self.python);
        process
            .arg(tests.join("ioc.py"))
            .args(["--limit", &LIMIT.to_string(), "--prefix", "", "--access"])
            .arg(tests.join("access.acf"))
            .arg("--database")
            .arg(&self.database)
            .arg("")
            .env("EPICS_CAS_SERVER_PORT", self.port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // SAFETY: it is one system call.
        unsafe { process.pre_exec(end_with_parent) };
        *self.ioc.lock().unwrap() = Some(process.spawn().unwrap());
    }

    fn stop(&self) {
        if let Some(mut ioc) = self.ioc.lock().unwrap().take() {
            ioc.kill().unwrap();
            ioc.wait().unwrap();
        }
    }

    fn hang(&self) {
        self.signal(libc::SIGSTOP);
    }

    fn go_on(&self) {
        self.signal(libc::SIGCONT);
    }
}

impl Drop for LibcaRig {
    fn drop(&mut self) {
        self.stop();
        unused_ports().lock().unwrap().push(self.port);
        fs::remove_file(&self.database).ok();
    }
}

/// An IOC that hangs does not see its standard input close. It ends with the thread that has started it.
fn end_with_parent() -> Result<(), Error> {
    #[cfg(target_os = "linux")]
    // SAFETY: the call takes numbers alone.
    if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } != 0 {
        return Err(Error::last_os_error());
    }
    Ok(())
}

contract!([ignore = "libca_keeps_the_contract runs it"] LibcaRig::new());
