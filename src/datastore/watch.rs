//! Word from the kernel that files have changed.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd, RawFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// How many reads one drain makes at most; each brings some hundred events.
const MAX_READS: usize = 4096;

/// Why a directory is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Role {
    /// It is the directory of resources, or lies within.
    Tree,
    /// A symbolic link leads into it, to what has this name.
    Target(OsString),
    /// The directory of resources lies in it, under this name.
    Parent(OsString),
}

/// What an event means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Notice {
    /// A file has been written or moved here: it is whole.
    Written(PathBuf),
    /// Something has been made here, and may not be whole.
    Made(PathBuf),
    /// Something has been taken away.
    Taken(PathBuf),
    /// Who may read a file, or the like, has changed.
    Attributes(PathBuf),
    /// Something has changed whose effect only a walk can tell.
    Unclear,
    /// The same, and what a symbolic link leads to is whole.
    Linked,
}

/// An inotify instance as the runtime wants it.
#[derive(Debug)]
struct Instance(Inotify);

impl AsRawFd for Instance {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// The directories that are watched.
#[derive(Debug)]
pub(super) struct Watcher {
    instance: AsyncFd<Instance>,
    watched: BTreeMap<i32, Watched>,
    /// What was watched before the walk that is under way.
    before: BTreeMap<i32, Watched>,
}

#[derive(Debug)]
struct Watched {
    descriptor: nix::sys::inotify::WatchDescriptor,
    /// One directory may be watched for several reasons.
    reasons: Vec<(PathBuf, Role)>,
}

impl Watcher {
    /// Makes a watcher that watches nothing.
    ///
    /// # Errors
    /// Fails where the system has no instance to spare.
    pub(super) fn new() -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe; here the descriptor is owned for as long as it is registered"
        )]
        let instance = AsyncFd::with_interest(Instance(inotify), Interest::READABLE)?;
        Ok(Self {
            instance,
            watched: BTreeMap::new(),
            before: BTreeMap::new(),
        })
    }

    /// Begins to say anew what is watched.
    pub(super) fn begin(&mut self) {
        self.before = std::mem::take(&mut self.watched);
    }

    /// Watches a directory.
    ///
    /// # Errors
    /// Fails where it does not exist or the system has no watch to spare.
    pub(super) fn watch(&mut self, path: &Path, role: Role) -> io::Result<()> {
        let coming_and_going = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_ONLYDIR;
        let contents = coming_and_going
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF;
        // A later role of the same directory replaces the flags: the parent, with the fewest, comes first.
        let flags = match role {
            Role::Tree | Role::Target(_) => contents,
            Role::Parent(_) => coming_and_going,
        };
        let descriptor = self.instance.get_ref().0.add_watch(path, flags)?;
        let watched = self
            .watched
            .entry(descriptor.as_raw())
            .or_insert_with(|| Watched {
                descriptor,
                reasons: Vec::new(),
            });
        watched.reasons.push((path.to_owned(), role));
        Ok(())
    }

    /// Ends what `begin` began: what was not named again is watched no more.
    pub(super) fn end(&mut self) {
        for (number, old) in std::mem::take(&mut self.before) {
            if !self.watched.contains_key(&number) {
                // It may be gone already, and its watch with it.
                let _ = self.instance.get_ref().0.rm_watch(old.descriptor);
            }
        }
    }

    /// Waits until there is something to drain; nothing is lost where the wait is given up.
    pub(super) async fn ready(&self) {
        if self.instance.readable().await.is_err() {
            // The runtime is going down: there will be no more events.
            std::future::pending::<()>().await;
        }
    }

    /// Returns everything that is known by now.
    pub(super) fn drain(&self) -> Vec<Notice> {
        let mut notices = Vec::new();
        for _ in 0..MAX_READS {
            let read = |instance: &Instance| instance.0.read_events().map_err(io::Error::from);
            match self.instance.try_io(Interest::READABLE, read) {
                Ok(events) => {
                    for event in &events {
                        self.explain(event, &mut notices);
                    }
                }
                Err(error) if error.raw_os_error() == Some(Errno::EINTR as i32) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    notices.push(Notice::Unclear);
                    break;
                }
            }
        }
        notices
    }

    fn explain(&self, event: &InotifyEvent, notices: &mut Vec<Notice>) {
        if event
            .mask
            .intersects(AddWatchFlags::IN_Q_OVERFLOW | AddWatchFlags::IN_UNMOUNT)
        {
            notices.push(Notice::Unclear);
            return;
        }
        let Some(watched) = self.watched.get(&event.wd.as_raw()) else {
            return;
        };
        for (path, role) in &watched.reasons {
            notices.extend(notice(event, path, role));
        }
    }
}

fn notice(event: &InotifyEvent, path: &Path, role: &Role) -> Option<Notice> {
    let has = |flags| event.mask.intersects(flags);
    let Some(name) = &event.name else {
        // Word of the directory itself; that it is no longer watched says nothing by itself.
        let gone = has(AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF);
        return gone.then_some(Notice::Unclear);
    };
    match role {
        Role::Parent(child) => return (child == name).then_some(Notice::Unclear),
        Role::Target(target) if target != name => return None,
        Role::Target(_) if has(AddWatchFlags::IN_CREATE) => {
            return Some(Notice::Made(path.join(name)));
        }
        Role::Target(_) => return Some(Notice::Linked),
        Role::Tree => {}
    }
    let path = path.join(name);
    if has(AddWatchFlags::IN_ISDIR) {
        let moved = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_ATTRIB;
        return has(moved).then_some(Notice::Unclear);
    }
    if has(AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVED_TO) {
        Some(Notice::Written(path))
    } else if has(AddWatchFlags::IN_CREATE) {
        Some(Notice::Made(path))
    } else if has(AddWatchFlags::IN_DELETE | AddWatchFlags::IN_MOVED_FROM) {
        Some(Notice::Taken(path))
    } else if has(AddWatchFlags::IN_ATTRIB) {
        Some(Notice::Attributes(path))
    } else {
        None
    }
}
