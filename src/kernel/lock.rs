//! The lock that lets one process at a time write the table of a network namespace.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};

use super::claim::{self, Claim, Peer};

/// Where the lock files are.
pub const LOCK_DIRECTORY: &str = "/run/tortie";

/// The network namespace of the calling thread.
const NAMESPACE: &str = "/proc/thread-self/ns/net";

/// More than a process id takes; what else a file holds is not read.
const CONTENT_MAX: u64 = 32;

/// The lock of a network namespace; it is given back when this is dropped.
///
/// The file stays, since who removes a lock file may remove the one that another has just locked.
#[derive(Debug)]
pub struct NamespaceLock {
    file: Flock<File>,
    path: PathBuf,
    /// The name, or why it is not ours; until others are answered.
    name: Option<Result<UnixListener, String>>,
}

impl NamespaceLock {
    /// Takes the lock of the calling thread's network namespace, under [`LOCK_DIRECTORY`] as a rule, and the name that
    /// is seen where the directory is not.
    ///
    /// # Errors
    /// Fails with [`LockError::Held`] where another process has it.
    pub fn acquire(directory: &Path) -> Result<Self, LockError> {
        let namespace = std::fs::metadata(NAMESPACE)
            .map_err(|source| LockError::Namespace { source })?
            .ino();
        let mut lock = Self::acquire_for(directory, namespace)?;
        lock.name = match Claim::attempt(claim::NAME, Peer::may_have_a_table) {
            Claim::Ours(listener) => Some(Ok(listener)),
            Claim::Unclear(reason) => Some(Err(reason)),
            Claim::Held(pid) => {
                return Err(LockError::Held {
                    holder: LockHolder { pid },
                    place: LockPlace::Socket,
                });
            }
        };
        Ok(lock)
    }

    /// Begins to answer others that ask who has it, on a thread that ends with the process.
    ///
    /// # Errors
    /// Fails where the name is not ours, or the system gives no thread. Others that do not see the directory cannot learn
    /// of us then, which is no reason not to go on.
    pub fn answer(&mut self) -> Result<(), String> {
        match self.name.take() {
            None => Ok(()),
            Some(name) => claim::send_away(name?)
                .map_err(|cause| format!("start the thread that answers for the lock: {cause}")),
        }
    }

    /// Returns the path of the lock file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn acquire_for(directory: &Path, namespace: u64) -> Result<Self, LockError> {
        match DirBuilder::new().mode(0o755).create(directory) {
            Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                return Err(LockError::Directory {
                    path: directory.to_owned(),
                    source,
                });
            }
            Ok(()) | Err(_) => {}
        }
        let path = directory.join(format!("{namespace}.lock"));
        let failed = |source| LockError::File {
            path: path.clone(),
            source,
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            // Neither a link to elsewhere nor a pipe without a reader may be waiting there.
            .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
            .open(&path)
            .map_err(failed)?;
        let mut file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => file,
            Err((file, Errno::EWOULDBLOCK)) => {
                return Err(LockError::Held {
                    holder: LockHolder { pid: holder(file) },
                    place: LockPlace::File(path),
                });
            }
            Err((_, errno)) => return Err(failed(errno.into())),
        };
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(failed)?;
        Ok(Self {
            file,
            path,
            name: None,
        })
    }
}

impl Drop for NamespaceLock {
    fn drop(&mut self) {
        // Closing gives the lock back; the name of a process that is gone must not stay.
        let _ = self.file.set_len(0);
    }
}

/// Who has a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockHolder {
    /// The process, where the lock file names one.
    pub pid: Option<u32>,
}

impl std::fmt::Display for LockHolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "process {pid}"),
            None => f.write_str("another process"),
        }
    }
}

/// By what it is known that another process has a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockPlace {
    /// The lock file.
    File(PathBuf),
    /// The name, as where the process sees another directory.
    Socket,
}

impl std::fmt::Display for LockPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "lock file {}", path.display()),
            Self::Socket => write!(f, "socket @{}", claim::NAME),
        }
    }
}

fn holder(file: File) -> Option<u32> {
    let mut text = String::new();
    file.take(CONTENT_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// The lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("{holder} manages this network namespace ({place})")]
    Held {
        /// Who.
        holder: LockHolder,
        /// By what it is known.
        place: LockPlace,
    },
    /// The namespace has no number.
    #[error("read {NAMESPACE}")]
    Namespace {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The directory cannot be made.
    #[error("make the directory {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The lock file cannot be used.
    #[error("lock file {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("tortie-lock-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        path
    }

    fn held_by(directory: &Path) -> Option<u32> {
        match NamespaceLock::acquire_for(directory, 7) {
            Err(LockError::Held { holder, .. }) => holder.pid,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_lock_for_each_namespace_at_a_time() {
        let directory = directory("one");
        let lock = NamespaceLock::acquire_for(&directory, 7).unwrap();
        assert_eq!(held_by(&directory), Some(std::process::id()));
        let other = NamespaceLock::acquire_for(&directory, 8).unwrap();
        assert_ne!(lock.path(), other.path());
        let path = lock.path().to_owned();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&directory).unwrap().mode() & 0o777, 0o755);
        drop(lock);
        assert_eq!(fs::read(&path).unwrap(), b"");
        NamespaceLock::acquire_for(&directory, 7).unwrap();
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn strange_content_names_nobody_and_is_replaced() {
        let directory = directory("content");
        let lock = NamespaceLock::acquire_for(&directory, 7).unwrap();
        for content in [
            b"x\n".to_vec(),
            b"\xff\xfe".to_vec(),
            vec![b'1'; 1 << 16],
            b"-1".to_vec(),
            Vec::new(),
        ] {
            fs::write(lock.path(), content).unwrap();
            assert_eq!(held_by(&directory), None);
        }
        fs::write(lock.path(), "123456789012345678901234567890").unwrap();
        let path = lock.path().to_owned();
        drop(lock);
        let _lock = NamespaceLock::acquire_for(&directory, 7).unwrap();
        let text = fs::read_to_string(path).unwrap();
        assert_eq!(text, format!("{}\n", std::process::id()));
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn links_and_directories_in_its_place_are_refused() {
        let directory = directory("links");
        fs::create_dir(&directory).unwrap();
        std::os::unix::fs::symlink("/dev/null", directory.join("7.lock")).unwrap();
        fs::create_dir(directory.join("8.lock")).unwrap();
        for namespace in [7, 8] {
            let error = NamespaceLock::acquire_for(&directory, namespace).unwrap_err();
            assert!(matches!(error, LockError::File { .. }), "{error:?}");
        }
        let nowhere = directory.join("a/b");
        let error = NamespaceLock::acquire_for(&nowhere, 7).unwrap_err();
        assert!(matches!(error, LockError::Directory { .. }), "{error:?}");
        fs::remove_dir_all(&directory).unwrap();
    }
}
