//! The form of the file: a line that says what it is, one about it, one for each resource, and a checksum.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::error::{KeepError, ReadError};
use crate::model::{Resource, ResourceKey};

/// The word that the file begins with; the number of its form follows.
const WORD: &str = "tortie-last-good";
/// The form. Another one is another number: what is read in the wrong form would be the wrong policy.
const FORM: u32 = 1;
/// The word before the checksum.
const CHECKSUM: &str = "sha256";
/// The most that is read: some ten times what 10,000 policies of ten rules or 1,000,000 prefixes take.
const SIZE_MAX: u64 = 512 << 20;
/// Who may read and write it.
const MODE: u32 = 0o600;
/// Who may look into its directory, where that is made.
const DIRECTORY_MODE: u32 = 0o700;
/// What is not for others.
const OTHERS: u32 = 0o077;

/// The resources in force, by key.
pub type Resources = BTreeMap<ResourceKey, Arc<Resource>>;

/// Whose resources they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// The host's name in the datastore.
    pub name: String,
    /// The kind of datastore.
    pub datastore: String,
}

/// What a file held.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// When it came into force.
    pub time: SystemTime,
    /// What that was.
    pub resources: Resources,
}

/// What the second line says.
#[derive(Debug, Serialize, Deserialize)]
struct About {
    host: Host,
    /// Whole seconds since 1970.
    time: u64,
    resources: usize,
}

/// Writes the file, which takes the place of the one before at once and as a whole.
///
/// # Errors
/// Fails where that cannot be done; the file before then stays.
pub fn write(
    path: &Path,
    host: &Host,
    time: SystemTime,
    resources: &Resources,
) -> Result<(), KeepError> {
    let directory = directory(path);
    DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(directory)
        .map_err(KeepError::Directory)?;
    let fresh = beside(path);
    // One that a process left behind has whatever mode and whatever links.
    match fs::remove_file(&fresh) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            return Err(KeepError::Create(source));
        }
        Ok(()) | Err(_) => {}
    }
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(&fresh)
        .map_err(KeepError::Create)?;
    let about = About {
        host: host.clone(),
        time: time
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
        resources: resources.len(),
    };
    let written = fill(file, &about, resources).and_then(|file| {
        file.sync_all()
            .and_then(|()| fs::rename(&fresh, path))
            .and_then(|()| File::open(directory)?.sync_all())
            .map_err(KeepError::Settle)
    });
    if written.is_err() {
        // What is there in part takes room, which may be what is missing.
        let _ = fs::remove_file(&fresh);
    }
    written
}

fn fill(file: File, about: &About, resources: &Resources) -> Result<File, KeepError> {
    let mut out = BufWriter::new(Summed::new(file));
    writeln!(out, "{WORD} {FORM}").map_err(KeepError::Write)?;
    line(&mut out, about)?;
    for resource in resources {
        line(&mut out, &resource)?;
    }
    let Summed { mut inner, digest } = out
        .into_inner()
        .map_err(|error| KeepError::Write(error.into_error()))?;
    writeln!(inner, "{CHECKSUM} {}", hexadecimal(digest)).map_err(KeepError::Write)?;
    Ok(inner)
}

/// Writes a line of JSON, which has no line breaks of its own.
fn line(out: &mut impl Write, value: &impl Serialize) -> Result<(), KeepError> {
    serde_json::to_writer(&mut *out, value).map_err(|error| {
        if error.is_io() {
            KeepError::Write(error.into())
        } else {
            KeepError::Encode(error)
        }
    })?;
    out.write_all(b"\n").map_err(KeepError::Write)
}

/// Reads the file of a host; `None` where there is none.
///
/// # Errors
/// Fails where it is not wholly as it was written for this host.
pub fn read(path: &Path, host: &Host) -> Result<Option<Kept>, ReadError> {
    let file = match open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ReadError::Read(error)),
    };
    let metadata = file.metadata().map_err(ReadError::Read)?;
    if !metadata.is_file() {
        return Err(ReadError::Kind);
    }
    let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    if owner != nix::unistd::geteuid().as_raw() || mode & OTHERS != 0 {
        return Err(ReadError::Open { owner, mode });
    }
    if metadata.len() > SIZE_MAX {
        return Err(ReadError::Large { most: SIZE_MAX });
    }
    parse(file.take(SIZE_MAX), host).map(Some)
}

/// Opens it for reading; neither a link to elsewhere nor a pipe without a writer is waited at.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
        .open(path)
}

fn parse(file: impl Read, host: &Host) -> Result<Kept, ReadError> {
    let mut lines = Lines {
        file: BufReader::new(file),
        digest: Sha256::new(),
        line: Vec::new(),
        number: 0,
    };
    let first = String::from_utf8_lossy(lines.next()?);
    match first.split_once(' ') {
        Some((WORD, form)) if form == FORM.to_string() => {}
        Some((WORD, form)) => {
            let found = form.chars().take(16).collect();
            return Err(ReadError::Form { found, read: FORM });
        }
        Some(_) | None => return Err(ReadError::Foreign),
    }
    let about: About = lines.json()?;
    if about.host.name != host.name {
        return Err(ReadError::Host {
            found: about.host.name,
        });
    }
    if about.host.datastore != host.datastore {
        return Err(ReadError::Datastore {
            found: about.host.datastore,
        });
    }
    let mut resources = Resources::new();
    for _ in 0..about.resources {
        let (key, resource) = lines.json()?;
        resources.insert(key, resource);
    }
    let expected = format!("{CHECKSUM} {}", hexadecimal(lines.digest.clone()));
    if lines.next()? != expected.as_bytes() || !lines.is_at_end()? {
        return Err(ReadError::Checksum);
    }
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(about.time));
    Ok(Kept {
        time: time.unwrap_or(SystemTime::UNIX_EPOCH),
        resources,
    })
}

/// The lines of a file, and the checksum of those that were read.
struct Lines<R> {
    file: BufReader<R>,
    digest: Sha256,
    line: Vec<u8>,
    number: usize,
}

impl<R: Read> Lines<R> {
    /// Returns the next line without its end.
    fn next(&mut self) -> Result<&[u8], ReadError> {
        self.line.clear();
        self.number += 1;
        self.file
            .read_until(b'\n', &mut self.line)
            .map_err(ReadError::Read)?;
        self.digest.update(&self.line);
        self.line.strip_suffix(b"\n").ok_or(ReadError::Short)
    }

    fn json<T: for<'de> Deserialize<'de>>(&mut self) -> Result<T, ReadError> {
        let line = self.number + 1;
        serde_json::from_slice(self.next()?).map_err(|source| ReadError::Line { line, source })
    }

    fn is_at_end(&mut self) -> Result<bool, ReadError> {
        Ok(self.file.fill_buf().map_err(ReadError::Read)?.is_empty())
    }
}

/// A writer that knows the checksum of what was written.
struct Summed<W> {
    inner: W,
    digest: Sha256,
}

impl<W> Summed<W> {
    fn new(inner: W) -> Self {
        Self {
            inner,
            digest: Sha256::new(),
        }
    }
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.digest.update(bytes.get(..count).unwrap_or(bytes));
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn hexadecimal(digest: Sha256) -> String {
    let digits: Vec<String> = digest
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    digits.concat()
}

/// Returns the directory that a path leads into.
fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}

/// Returns the path of the file that is written before it takes its place.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".new");
    name.into()
}

#[cfg(test)]
mod tests;
