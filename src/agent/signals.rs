//! The signals that the daemon heeds.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that the daemon heeds.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user: [Signal; 2],
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Stop,
    Reload,
    /// What the Go runtime of Felix writes.
    Profile(&'static str),
}

impl Signals {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user: [
                signal(SignalKind::user_defined1())?,
                signal(SignalKind::user_defined2())?,
            ],
        })
    }

    pub(super) async fn next(&mut self) -> Asked {
        let [first, second] = &mut self.user;
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
            _ = first.recv() => Asked::Profile("SIGUSR1"),
            _ = second.recv() => Asked::Profile("SIGUSR2"),
        }
    }

    /// Waits until the end is asked for; what else is asked meanwhile is heard later.
    pub(super) async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
