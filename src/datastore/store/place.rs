//! Putting a file in its place, whole or not at all.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

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
    // A link, unlike a new name, takes nobody's place.
    let linked = std::fs::hard_link(&temporary, path);
    let removed = std::fs::remove_file(&temporary);
    linked?;
    removed?;
    sync_directory(path)
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
