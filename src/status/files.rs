//! The directory of status files, and the thread that keeps it.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::complaints::Complaints;
use super::facts::Facts;
use super::file::{is_ours, wanted};
use super::settings::Settings;

/// The folder below the prefix.
const FOLDER: &str = "endpoint-status";
/// A file that is being written: beside the folder, since whoever watches that takes every file in it for a status.
const UNFINISHED: &str = ".endpoint-status.unfinished";
/// How often the folder is looked at, in case somebody else has changed it.
const LOOK: Duration = Duration::from_secs(10);
/// How long what failed waits for the next attempt.
const RETRY: Duration = Duration::from_secs(1);
/// Who may read the files.
const MODE: u32 = 0o644;

/// Keeps the files until nobody tells anything any more.
pub(super) async fn keep(
    mut settings: watch::Receiver<Settings>,
    mut facts: watch::Receiver<Facts>,
) {
    let mut prefix: Option<PathBuf> = None;
    let mut folder: Option<Folder> = None;
    let mut complaints = Complaints::default();
    loop {
        let wanted_prefix = settings.borrow_and_update().files.clone();
        if wanted_prefix != prefix {
            folder = wanted_prefix.as_deref().map(Folder::below);
            prefix = wanted_prefix;
        }
        let outcome = match &mut folder {
            Some(folder) => update(folder, &mut facts),
            None => Ok(()),
        };
        let failed = outcome.is_err();
        match outcome {
            Ok(()) => complaints.settle("files"),
            Err(failure) => complaints.add(&failure.path.display(), &failure.cause),
        }
        let holds_files = folder.as_ref().is_some_and(Folder::holds_files);
        tokio::select! {
            changed = settings.changed() => if changed.is_err() { return },
            // What fails is not tried more often because more is to be done.
            changed = facts.changed(), if !failed => if changed.is_err() { return },
            () = sleep(if failed { RETRY } else { LOOK }), if failed || holds_files => {
                folder.iter_mut().for_each(Folder::forget);
            }
        }
    }
}

/// Brings the folder to what is wanted, once that is known.
fn update(folder: &mut Folder, facts: &mut watch::Receiver<Facts>) -> Result<(), Failure> {
    // Copied, so that whoever tells of the next thing does not wait for files.
    let facts = facts.borrow_and_update().clone();
    if facts.are_whole() {
        folder.become_what(&wanted(&facts))
    } else {
        Ok(())
    }
}

/// What could not be done, and with which file.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) path: PathBuf,
    pub(super) cause: io::Error,
}

impl Failure {
    fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |cause| Self { path, cause }
    }
}

/// The folder of status files.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    unfinished: PathBuf,
    /// What is in it; `None` where that has to be found out.
    present: Option<BTreeMap<String, Vec<u8>>>,
}

impl Folder {
    /// Names the folder below a prefix.
    pub(super) fn below(prefix: &Path) -> Self {
        Self {
            path: prefix.join(FOLDER),
            unfinished: prefix.join(UNFINISHED),
            present: None,
        }
    }

    /// Tells whether it is known to hold files of ours.
    pub(super) fn holds_files(&self) -> bool {
        self.present.as_ref().is_some_and(|files| !files.is_empty())
    }

    /// Has the next update look at what is there.
    pub(super) fn forget(&mut self) {
        self.present = None;
    }

    /// Makes the folder hold these files of ours and no others; without any it is not made.
    ///
    /// # Errors
    /// Fails with the first thing that could not be done, after everything that could be.
    pub(super) fn become_what(
        &mut self,
        wanted: &BTreeMap<String, Vec<u8>>,
    ) -> Result<(), Failure> {
        let mut present = match self.present.take() {
            Some(present) => present,
            None => self.read(wanted).map_err(Failure::at(&self.path))?,
        };
        let mut outcome = Ok(());
        let stale = present.keys().filter(|name| !wanted.contains_key(*name));
        for name in stale.cloned().collect::<Vec<_>>() {
            let path = self.path.join(&name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    outcome = outcome.and(Err(Failure::at(&path)(error)));
                }
                Ok(()) | Err(_) => {
                    present.remove(&name);
                }
            }
        }
        for (name, contents) in wanted {
            if present.get(name) == Some(contents) {
                continue;
            }
            let path = self.path.join(name);
            match self.write(&path, contents) {
                Ok(()) => {
                    present.insert(name.clone(), contents.clone());
                }
                Err(error) => outcome = outcome.and(Err(Failure::at(&path)(error))),
            }
        }
        self.present = Some(present);
        outcome
    }

    /// Reads what is there, as far as it matters: the contents of files that are wanted.
    fn read(&self, wanted: &BTreeMap<String, Vec<u8>>) -> io::Result<BTreeMap<String, Vec<u8>>> {
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => return Err(error),
        };
        let mut present = BTreeMap::new();
        for entry in entries {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            // What is no file is not ours, and what links lead to is not read.
            let Ok(metadata) = fs::symlink_metadata(entry.path()) else {
                continue;
            };
            if !is_ours(&name) || metadata.is_dir() {
                continue;
            }
            let same_length = wanted
                .get(&name)
                .and_then(|contents| u64::try_from(contents.len()).ok());
            let contents = if metadata.is_file() && same_length == Some(metadata.len()) {
                fs::read(entry.path()).unwrap_or_default()
            } else {
                Vec::new()
            };
            present.insert(name, contents);
        }
        Ok(present)
    }

    /// Writes a file beside the folder and moves it into place, so that nobody reads half of it.
    fn write(&self, path: &Path, contents: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.path)?;
        match fs::remove_file(&self.unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(MODE)
            .open(&self.unfinished)?;
        file.write_all(contents)?;
        fs::rename(&self.unfinished, path)
    }
}
