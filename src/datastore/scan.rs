//! Finding and reading the files of a directory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use nix::fcntl::OFlag;

use super::document::MAX_FILE_SIZE;

/// How deep directories may be nested.
const MAX_DEPTH: usize = 32;
/// How many links a chain of symbolic links may have, as in the kernel.
const MAX_LINKS: usize = 40;

/// What tells two states of a file apart without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Tells whether it is the same file as before with other contents.
    pub(super) fn is_rewritten(&self, before: &Self) -> bool {
        (self.device, self.inode) == (before.device, before.inode)
            && (self.size, self.modified) != (before.size, before.modified)
    }

    /// Tells whether the file was written to after a time.
    pub(super) fn is_younger(&self, time: SystemTime) -> bool {
        let since = time
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let (seconds, nanoseconds) = self.modified;
        (seconds, nanoseconds)
            > (
                i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
                i64::from(since.subsec_nanos()),
            )
    }
}

/// Which directory it is, whatever its path: device, inode, and when it was made, for inodes are used
/// again.
pub(super) type Identity = (u64, u64, Option<SystemTime>);

fn identity_of(metadata: &Metadata) -> Identity {
    (metadata.dev(), metadata.ino(), metadata.created().ok())
}

/// Returns which directory a path leads to.
///
/// # Errors
/// Fails where the path leads to none.
pub(super) fn identity(path: &Path) -> io::Result<Identity> {
    let metadata = std::fs::metadata(path)?;
    if metadata.is_dir() {
        Ok(identity_of(&metadata))
    } else {
        Err(io::Error::new(
            io::ErrorKind::NotADirectory,
            "not a directory",
        ))
    }
}

/// Tells whether a file of this name holds resources.
pub(super) fn is_resource_name(name: &Path) -> bool {
    let hidden = name.file_name().is_none_or(|name| {
        name.as_encoded_bytes()
            .first()
            .is_none_or(|byte| *byte == b'.')
    });
    let extension = name.extension().map(std::ffi::OsStr::to_ascii_lowercase);
    let wanted = ["yaml", "yml", "json"];
    !hidden && extension.is_some_and(|extension| wanted.iter().any(|known| extension == *known))
}

fn is_hidden(name: &std::ffi::OsStr) -> bool {
    name.as_encoded_bytes()
        .first()
        .is_some_and(|byte| *byte == b'.')
}

/// What a walk through a directory has found.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// The files that hold resources, by path.
    pub(super) files: BTreeMap<Arc<Path>, Seen>,
    /// The directories walked through.
    pub(super) directories: Vec<PathBuf>,
    /// What symbolic links lead to, every link of a chain.
    pub(super) targets: BTreeSet<PathBuf>,
    /// What could not be walked through, with the reason.
    pub(super) failed: BTreeMap<Arc<Path>, String>,
}

/// A file that has been seen but not read.
#[derive(Debug)]
pub(super) enum Seen {
    /// It can be read.
    File(Stamp),
    /// It cannot, for this reason.
    Unfit(String),
}

/// Walks through a directory and those within, each once, and calls `enter` before each is listed.
///
/// # Errors
/// Fails where the directory itself cannot be listed.
pub(super) fn walk(root: &Path, enter: &mut dyn FnMut(&Path)) -> io::Result<Walk> {
    let mut walk = Walk::default();
    let mut visited = BTreeSet::from([identity(root)?]);
    let names = {
        enter(root);
        list(root)?
    };
    walk.directories.push(root.to_owned());
    let mut pending = vec![(root.to_owned(), names, 0)];
    while let Some((directory, names, depth)) = pending.pop() {
        let mut within = Vec::new();
        for name in names {
            let path = directory.join(&name);
            match look(&path, &mut walk.targets) {
                Look::Directory(identity) => {
                    if !is_hidden(&name) && depth < MAX_DEPTH && visited.insert(identity) {
                        within.push(path);
                    }
                }
                Look::File(seen) => {
                    if is_resource_name(Path::new(&name)) {
                        walk.files.insert(path.into(), seen);
                    }
                }
                Look::Gone => {}
            }
        }
        for path in within.into_iter().rev() {
            enter(&path);
            match list(&path) {
                Ok(names) => {
                    walk.directories.push(path.clone());
                    pending.push((path, names, depth + 1));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    walk.failed
                        .insert(path.into(), format!("cannot list the directory: {error}"));
                }
            }
        }
    }
    Ok(walk)
}

fn list(directory: &Path) -> io::Result<Vec<std::ffi::OsString>> {
    let mut names = std::fs::read_dir(directory)?
        .map(|e| Ok(e?.file_name()))
        .collect::<io::Result<Vec<_>>>()?;
    names.sort_unstable();
    Ok(names)
}

enum Look {
    Directory(Identity),
    File(Seen),
    Gone,
}

/// Looks at a path without opening it, and follows symbolic links.
fn look(path: &Path, targets: &mut BTreeSet<PathBuf>) -> Look {
    let own = match std::fs::symlink_metadata(path) {
        Ok(own) => own,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Look::Gone,
        Err(error) => return Look::File(Seen::Unfit(format!("cannot be looked at: {error}"))),
    };
    let metadata = if own.is_symlink() {
        note_targets(path, targets);
        match std::fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) => {
                return Look::File(Seen::Unfit(format!(
                    "the symbolic link leads nowhere: {error}"
                )));
            }
        }
    } else {
        own
    };
    if metadata.is_dir() {
        Look::Directory(identity_of(&metadata))
    } else if metadata.is_file() {
        Look::File(Seen::File(Stamp::of(&metadata)))
    } else {
        Look::File(Seen::Unfit("not a regular file".to_owned()))
    }
}

/// Notes what a symbolic link leads to, for a change there changes the file.
fn note_targets(path: &Path, targets: &mut BTreeSet<PathBuf>) {
    let mut at = path.to_owned();
    for _ in 0..MAX_LINKS {
        let Ok(next) = std::fs::read_link(&at) else {
            break;
        };
        at = at.parent().unwrap_or(Path::new("/")).join(next);
        targets.insert(at.clone());
    }
    targets.extend(std::fs::canonicalize(path));
}

/// A file's bytes, or what kept them.
#[derive(Debug)]
pub(super) enum Reading {
    /// The bytes and the stamp that goes with them.
    Bytes(Vec<u8>, Stamp),
    /// The file cannot be read now, for this reason.
    Failed(String),
    /// There is no such file.
    Gone,
}

/// Reads a file if it is a regular one.
pub(super) fn read(path: &Path) -> Reading {
    match look(path, &mut BTreeSet::new()) {
        Look::File(Seen::File(_)) => {}
        Look::File(Seen::Unfit(reason)) => return Reading::Failed(reason),
        Look::Directory(_) => return Reading::Failed("not a regular file".to_owned()),
        Look::Gone => return Reading::Gone,
    }
    match read_regular(path) {
        Ok(reading) => reading,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Reading::Gone,
        Err(error) => Reading::Failed(format!("cannot be read: {error}")),
    }
}

fn read_regular(path: &Path) -> io::Result<Reading> {
    // The file may have become a pipe since it was looked at; opening one must not block.
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file: File = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(Reading::Failed("not a regular file".to_owned()));
    }
    if metadata.len() > MAX_FILE_SIZE {
        return Ok(Reading::Failed(format!(
            "larger than {MAX_FILE_SIZE} bytes"
        )));
    }
    // One byte more than there is, so that the end is found without growing.
    let expected = usize::try_from(metadata.len()).unwrap_or_default();
    let mut bytes = Vec::with_capacity(expected + 1);
    file.take(MAX_FILE_SIZE + 1).read_to_end(&mut bytes)?;
    Ok(Reading::Bytes(bytes, Stamp::of(&metadata)))
}

/// Returns the stamp of a file that can be read, following symbolic links.
pub(super) fn stamp(path: &Path) -> Option<Stamp> {
    std::fs::metadata(path)
        .ok()
        .filter(Metadata::is_file)
        .map(|metadata| Stamp::of(&metadata))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_resources_are_read() {
        for good in ["a.yaml", "a.yml", "a.json", "dir/a.b.YAML"] {
            assert!(is_resource_name(Path::new(good)), "{good}");
        }
        for bad in [
            ".a.yaml",
            "a.yaml~",
            "a.yaml.swp",
            ".yaml",
            "..data",
            "a",
            "a.txt",
            "#a.yaml#",
        ] {
            assert!(!is_resource_name(Path::new(bad)), "{bad}");
        }
    }
}
