//! What a supervisor such as systemd is told, by the protocol of `sd_notify(3)`.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// What the supervisor passes by its environment.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    /// `NOTIFY_SOCKET`: where it listens.
    pub(super) socket: Option<OsString>,
    /// `WATCHDOG_USEC`: how long it puts up with silence.
    pub(super) watchdog_micros: Option<String>,
    /// `WATCHDOG_PID`: whose silence is meant.
    pub(super) watchdog_pid: Option<String>,
}

impl Surroundings {
    /// Reads them from this process's environment.
    #[expect(
        clippy::disallowed_methods,
        reason = "what a supervisor passes is no configuration"
    )]
    pub(super) fn read() -> Self {
        Self {
            socket: std::env::var_os("NOTIFY_SOCKET"),
            watchdog_micros: std::env::var("WATCHDOG_USEC").ok(),
            watchdog_pid: std::env::var("WATCHDOG_PID").ok(),
        }
    }
}

/// What there is to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notice<'a> {
    /// What the service is for is done, from now on.
    Ready,
    /// The configuration is being read again; `Ready` follows.
    Reloading,
    /// The service is ending.
    Stopping,
    /// The service is alive.
    Alive,
    /// A line for people.
    Status(&'a str),
}

/// The supervisor, if there is one.
#[derive(Debug, Default)]
pub(super) struct Supervisor {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// Connects to the supervisor.
    ///
    /// # Errors
    /// Fails where it names a socket that cannot be reached.
    pub(super) fn connect(surroundings: &Surroundings) -> io::Result<Self> {
        let Some(path) = surroundings.socket.as_deref().filter(|s| !s.is_empty()) else {
            return Ok(Self::default());
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address(path)?)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: Some(socket),
            watchdog: watchdog(surroundings, std::process::id()),
        })
    }

    /// Returns how long the supervisor puts up with silence, if it listens for life at all.
    pub(super) fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Tells it something.
    ///
    /// # Errors
    /// Fails where the supervisor is gone or has no room for another message.
    pub(super) fn tell(&self, notice: Notice<'_>) -> io::Result<()> {
        let Some(socket) = &self.socket else {
            return Ok(());
        };
        let text = match notice {
            Notice::Ready => "READY=1".to_owned(),
            Notice::Reloading => format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic_micros()),
            Notice::Stopping => "STOPPING=1".to_owned(),
            Notice::Alive => "WATCHDOG=1".to_owned(),
            // One line for each variable.
            Notice::Status(text) => format!("STATUS={}", text.replace('\n', " ")),
        };
        socket.send(text.as_bytes()).map(drop)
    }
}

/// Returns the address that `NOTIFY_SOCKET` means: a path, or with `@` a name of Linux's abstract space.
fn address(text: &OsStr) -> io::Result<SocketAddr> {
    match text.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(text),
        _ => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "neither a path nor an abstract name",
        )),
    }
}

fn watchdog(surroundings: &Surroundings, pid: u32) -> Option<Duration> {
    if let Some(meant) = &surroundings.watchdog_pid
        && meant.parse() != Ok(pid)
    {
        return None;
    }
    let micros = surroundings.watchdog_micros.as_ref()?.parse().ok()?;
    (micros > 0).then(|| Duration::from_micros(micros))
}

/// Returns the time of the clock that the supervisor compares with its own.
fn monotonic_micros() -> i128 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    i128::from(time.tv_sec) * 1_000_000 + i128::from(time.tv_nsec) / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn surroundings(socket: &OsStr) -> Surroundings {
        Surroundings {
            socket: Some(socket.to_owned()),
            watchdog_micros: Some("3000000".to_owned()),
            watchdog_pid: None,
        }
    }

    fn receive(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    #[test]
    fn sockets_with_paths_and_abstract_names_are_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let name = format!("tortie-supervisor-{}", std::process::id());
        let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
        for (listener, text) in [
            (UnixDatagram::bind(&path).unwrap(), path.into_os_string()),
            (
                UnixDatagram::bind_addr(&abstract_name).unwrap(),
                format!("@{name}").into(),
            ),
        ] {
            let supervisor = Supervisor::connect(&surroundings(&text)).unwrap();
            assert_eq!(supervisor.watchdog(), Some(Duration::from_secs(3)));
            for (notice, sent) in [
                (Notice::Ready, "READY=1"),
                (Notice::Stopping, "STOPPING=1"),
                (Notice::Alive, "WATCHDOG=1"),
                (Notice::Status("in force:\n3"), "STATUS=in force: 3"),
            ] {
                supervisor.tell(notice).unwrap();
                assert_eq!(receive(&listener), sent);
            }
            supervisor.tell(Notice::Reloading).unwrap();
            let text = receive(&listener);
            let time = text.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
            assert!(time.parse::<u64>().unwrap() > 0);
        }
    }

    #[test]
    fn a_supervisor_that_does_not_listen_is_an_error_and_none_is_silence() {
        let silent = Supervisor::connect(&Surroundings::default()).unwrap();
        silent.tell(Notice::Ready).unwrap();
        assert_eq!(silent.watchdog(), None);
        let empty = Supervisor::connect(&surroundings(OsStr::new(""))).unwrap();
        empty.tell(Notice::Ready).unwrap();
        for bad in ["@tortie-nobody-listens-here", "/nowhere/notify", "vsock:2"] {
            assert!(Supervisor::connect(&surroundings(OsStr::new(bad))).is_err());
        }
    }

    #[test]
    fn a_supervisor_that_does_not_read_never_blocks() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let _listener = UnixDatagram::bind(&path).unwrap();
        let supervisor = Supervisor::connect(&surroundings(path.as_os_str())).unwrap();
        let mut told = 0;
        while supervisor.tell(Notice::Alive).is_ok() {
            told += 1;
            assert!(told < 100_000, "never full");
        }
    }

    #[test]
    fn a_watchdog_of_another_process_is_not_ours() {
        let of = |micros: &str, pid: Option<&str>| {
            let surroundings = Surroundings {
                socket: None,
                watchdog_micros: Some(micros.to_owned()),
                watchdog_pid: pid.map(str::to_owned),
            };
            watchdog(&surroundings, 7)
        };
        assert_eq!(of("5000", Some("7")), Some(Duration::from_millis(5)));
        assert_eq!(of("5000", Some("8")), None);
        assert_eq!(of("5000", Some("")), None);
        assert_eq!(of("0", None), None);
        assert_eq!(of("soon", None), None);
    }
}
