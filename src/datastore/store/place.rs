//! Putting a file in its place, whole or not at all.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

/// The mode of a file that a client makes.
const MODE: u32 = 0o644;

/// Makes a file that is not there.
///
/// # Errors
/// Fails where one is, or it cannot be written.
pub(super) fn make(path: &Path, text: &str) -> io::Result<()> {
    let temporary = write_beside(path, text, |file| {
        file.set_permissions(Permissions::from_mode(MODE))
    })?;
    let placed = put(&temporary, path, |from, to| std::fs::hard_link(from, to));
    if let Err(error) = placed {
        // The first error tells more than that of tidying up.
        let _ = std::fs::remove_file(&temporary);
        return Err(error);
    }
    sync_directory(path)
}

/// Gives a file its name, which takes nobody's place: by a link, or otherwise where the file system has none.
fn put(
    temporary: &Path,
    path: &Path,
    link: impl Fn(&Path, &Path) -> io::Result<()>,
) -> io::Result<()> {
    match link(temporary, path) {
        Ok(()) => std::fs::remove_file(temporary),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        Err(error) => match renameat_with(CWD, temporary, CWD, path, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => Err(Errno::EXIST.into()),
            Err(_) => Err(error),
        },
    }
}

/// Writes a file anew, with the mode and the owner that it has.
///
/// # Errors
/// Fails where it cannot be written; then it is as it was.
pub(super) fn rewrite(path: &Path, text: &str) -> io::Result<()> {
    let before = std::fs::symlink_metadata(path)?;
    let temporary = write_beside(path, text, |file| {
        let now = file.metadata()?;
        if (now.uid(), now.gid()) != (before.uid(), before.gid()) {
            std::os::unix::fs::fchown(file, Some(before.uid()), Some(before.gid()))?;
        }
        file.set_permissions(before.permissions())
    })?;
    if let Err(error) = std::fs::rename(&temporary, path) {
        // The first error tells more than that of tidying up.
        let _ = std::fs::remove_file(&temporary);
        return Err(error);
    }
    sync_directory(path)
}

/// Removes a file.
///
/// # Errors
/// Fails where it cannot be removed.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    std::fs::remove_file(path)?;
    sync_directory(path)
}

/// Writes a hidden file into the directory of another, which nobody reads.
fn write_beside(
    path: &Path,
    text: &str,
    dress: impl Fn(&File) -> io::Result<()>,
) -> io::Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    let filled = file
        .write_all(text.as_bytes())
        .and_then(|()| dress(&file))
        .and_then(|()| file.sync_all());
    if let Err(error) = filled {
        // The first error tells more than that of tidying up.
        let _ = std::fs::remove_file(&temporary);
        return Err(error);
    }
    Ok(temporary)
}

/// Makes the names of a directory outlive a loss of power.
fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_put_where_none_is_also_without_links() {
        let linked = |from: &Path, to: &Path| std::fs::hard_link(from, to);
        let refused = |_: &Path, _: &Path| Err(Errno::PERM.into());
        for has_links in [true, false] {
            let put = |from: &Path, to: &Path| {
                if has_links {
                    put(from, to, linked)
                } else {
                    put(from, to, refused)
                }
            };
            let directory = tempfile::tempdir().unwrap();
            let [from, to] = ["from", "to"].map(|name| directory.path().join(name));
            std::fs::write(&from, "first").unwrap();
            put(&from, &to).unwrap();
            assert!(!from.exists());
            std::fs::write(&from, "second").unwrap();
            let error = put(&from, &to).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(std::fs::read_to_string(&to).unwrap(), "first");
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("made");
        make(&path, "text").unwrap();
        assert!(make(&path, "other").is_err());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
