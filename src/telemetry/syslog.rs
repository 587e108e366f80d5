//! The system log, by the socket of this host's daemon for it.

use std::fmt::Write as _;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tracing::Level;

/// Where the daemon of the system log listens.
pub(super) const SOCKET: &str = "/dev/log";
/// The facility `user`.
const FACILITY: u8 = 1;
/// Felix's name in the system log, which the filters of those who move from it look for.
const TAG: &str = "calico-felix";
/// The most bytes of one message, as many as the usual daemons take by default.
const LENGTH: usize = 8 << 10;
/// How long one message may wait for a daemon that does not read.
const PATIENCE: Duration = Duration::from_secs(1);

/// Returns a message as `syslog(3)` writes it.
pub(super) fn message(
    level: Level,
    time: Timestamp,
    zone: &TimeZone,
    pid: u32,
    text: &str,
) -> String {
    let severity: u8 = match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    };
    let time = time.to_zoned(zone.clone());
    let mut message = String::with_capacity(text.len() + 48);
    // Writing to a string does not fail.
    let _ = write!(
        message,
        "<{}>{} {TAG}[{pid}]: {text}",
        FACILITY * 8 + severity,
        time.strftime("%b %e %H:%M:%S"),
    );
    if let Some(end) = (0..=LENGTH.min(message.len()))
        .rev()
        .find(|end| message.is_char_boundary(*end))
    {
        message.truncate(end);
    }
    message
}

/// What became of a message.
#[derive(Debug)]
pub(super) enum Sent {
    /// It was taken, and so many before it were not.
    Taken(u64),
    /// It is lost, and this is the first one.
    Lost(io::Error),
    /// It is lost as the one before.
    LostAgain,
}

/// The sender's end of the socket.
#[derive(Debug)]
pub(super) struct Syslog {
    path: PathBuf,
    socket: Option<UnixDatagram>,
    /// The second in which connecting last failed.
    failed: Option<i64>,
    lost: u64,
}

impl Syslog {
    /// Makes a sender, which connects when there is something to send.
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            socket: None,
            failed: None,
            lost: 0,
        }
    }

    /// Sends a message of this `second`, connecting anew where the daemon has been restarted, at most once in each
    /// second.
    pub(super) fn send(&mut self, message: &str, second: i64) -> Sent {
        if self.socket.is_none() && self.failed == Some(second) {
            self.lost += 1;
            return Sent::LostAgain;
        }
        match self.try_send(message) {
            Ok(()) => {
                self.failed = None;
                Sent::Taken(std::mem::take(&mut self.lost))
            }
            Err(cause) => {
                self.socket = None;
                self.failed = Some(second);
                self.lost += 1;
                if self.lost == 1 {
                    Sent::Lost(cause)
                } else {
                    Sent::LostAgain
                }
            }
        }
    }

    fn try_send(&mut self, message: &str) -> io::Result<()> {
        if let Some(socket) = &self.socket {
            match socket.send(message.as_bytes()) {
                Ok(_) => return Ok(()),
                // A daemon that does not read is there all the same.
                Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => return Err(cause),
                Err(_) => self.socket = None,
            }
        }
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.connect(&self.path)?;
        socket.send(message.as_bytes())?;
        self.socket = Some(socket);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz;

    use super::*;

    fn receive(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    #[test]
    fn a_message_has_facility_severity_time_and_name() {
        let time = Timestamp::from_second(1_700_000_000).unwrap();
        let zone = TimeZone::fixed(tz::offset(1));
        let printed = |level| message(level, time, &zone, 7, "WARNING a.rs 1: x");
        assert_eq!(
            printed(Level::WARN),
            "<12>Nov 14 23:13:20 calico-felix[7]: WARNING a.rs 1: x"
        );
        assert!(printed(Level::ERROR).starts_with("<11>"));
        assert!(printed(Level::INFO).starts_with("<14>"));
        assert!(printed(Level::TRACE).starts_with("<15>"));
        let long = message(Level::INFO, time, &zone, 7, &"ä".repeat(LENGTH));
        assert!((LENGTH - 1..=LENGTH).contains(&long.len()));
    }

    #[test]
    fn a_daemon_that_comes_and_goes_costs_only_what_is_sent_meanwhile() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut syslog = Syslog::new(path.clone());
        assert!(matches!(syslog.send("one", 1), Sent::Lost(_)));
        let daemon = UnixDatagram::bind(&path).unwrap();
        assert!(matches!(syslog.send("two", 1), Sent::LostAgain));
        assert!(matches!(syslog.send("three", 2), Sent::Taken(2)));
        assert_eq!(receive(&daemon), "three");
        drop(daemon);
        std::fs::remove_file(&path).unwrap();
        let daemon = UnixDatagram::bind(&path).unwrap();
        assert!(matches!(syslog.send("four", 2), Sent::Taken(0)));
        assert_eq!(receive(&daemon), "four");
    }

    #[test]
    fn a_daemon_that_does_not_read_holds_nobody_up_for_long() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let daemon = UnixDatagram::bind(&path).unwrap();
        let mut syslog = Syslog::new(path);
        let mut sent = 0;
        while matches!(syslog.send("x", 1), Sent::Taken(_)) {
            sent += 1;
            assert!(sent < 100_000, "never full");
        }
        drop(daemon);
    }
}
