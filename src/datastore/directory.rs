//! A directory of files as a datastore.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep_until};

use super::decode::{Origin, Skipped};
use super::error::Error;
use super::files::{Files, Haste, Read, Standing};
use super::load::problem_of;
use super::scan::{Identity, Walk, identity, is_resource_name, stamp, walk};
use super::watch::{Notice, Role, Watcher};
use crate::model::{Problem, Resource, ResourceKey, Severity, Update};

/// How often everything is looked at although nothing was heard of.
const SAFETY_INTERVAL: Duration = Duration::from_secs(60);
/// How often a lost directory, or one that cannot be watched, is looked for.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How long a file may be away before what it held is gone: editors move the old one away before they
/// write the new one.
const VANISH_GRACE: Duration = Duration::from_millis(20);
/// How long a file must not have been written to before a walk takes it to be whole. Word of its being
/// closed is what is waited for; this is for when there was none.
const STILL: Duration = Duration::from_millis(500);
/// How many times more is drained before what is known is delivered.
const MAX_ROUNDS: usize = 64;

/// Something that the datastore has to tell.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Resources or problems have changed.
    Batch(Batch),
    /// The datastore cannot be read; all that was told stays true.
    Lost {
        /// Why.
        reason: String,
    },
    /// The datastore can be read again; a batch with what has changed may follow.
    Recovered,
}

/// Changes that belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The resources that have changed, each once.
    pub updates: Vec<Update>,
    /// Whether a complete snapshot has been delivered, this batch included.
    pub in_sync: bool,
    /// The problems that are new; all of them are `problems()` of the source.
    pub problems: Vec<Problem>,
}

/// A directory of resource files that is read once and then followed.
#[derive(Debug)]
pub struct DirectorySource {
    root: PathBuf,
    files: Files,
    watcher: Option<Watcher>,
    /// Whether something could not be watched, so that only looking helps.
    deaf: bool,
    /// Which directory was read last.
    identity: Option<Identity>,
    directories: BTreeSet<PathBuf>,
    /// Whether symbolic links lead to some of the files.
    linked: bool,
    lost: Option<Problem>,
    in_sync: bool,
    queue: VecDeque<Event>,
    /// Files that are away, and when what they held is gone.
    going: BTreeMap<Arc<Path>, Instant>,
    /// When everything is looked at next; at once, to begin with.
    next_walk: Option<Instant>,
}

impl DirectorySource {
    /// Makes a source that has read nothing; must be called within a runtime.
    pub fn open(path: &Path) -> Self {
        let watcher = Watcher::new()
            .inspect_err(|error| {
                tracing::warn!(%error, "cannot watch files: looking at them every second");
            })
            .ok();
        Self {
            root: path.to_owned(),
            files: Files::new(Origin::File),
            watcher,
            deaf: false,
            identity: None,
            directories: BTreeSet::new(),
            linked: false,
            lost: None,
            in_sync: false,
            queue: VecDeque::new(),
            going: BTreeMap::new(),
            next_walk: None,
        }
    }

    /// Waits for the next event; nothing is lost where the wait is given up.
    pub async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return event;
            }
            let Some(next_walk) = self.next_walk else {
                self.walk(still());
                self.deliver();
                continue;
            };
            let deadline = self.going.values().copied().fold(next_walk, Instant::min);
            let heard = tokio::select! {
                () = ready(self.watcher.as_ref()) => true,
                () = sleep_until(deadline) => false,
            };
            if !heard && Instant::now() >= next_walk {
                self.walk(still());
            }
            self.follow();
            self.bury();
            self.deliver();
        }
    }

    /// Returns all current problems, by file.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.lost.iter().chain(self.files.problems())
    }

    /// Returns the resources that have been delivered and are in force, by key.
    pub fn objects(&self) -> impl Iterator<Item = (&ResourceKey, &Arc<Resource>)> {
        self.files.objects()
    }

    /// Returns what is passed over, by file.
    pub fn skipped(&self) -> impl Iterator<Item = &Skipped> {
        self.files.skipped()
    }

    /// Takes in all that has been heard.
    fn follow(&mut self) {
        for _ in 0..MAX_ROUNDS {
            let notices = self
                .watcher
                .as_ref()
                .map(Watcher::drain)
                .unwrap_or_default();
            if notices.is_empty() {
                return;
            }
            let mut written = BTreeSet::new();
            let mut linked = false;
            let mut unclear = self.lost.is_some();
            for notice in notices {
                match notice {
                    Notice::Unclear => unclear = true,
                    Notice::Linked => linked = true,
                    Notice::Written(path) => {
                        if is_link(&path) {
                            unclear |= self.concerns(&path);
                        } else if is_resource_name(&path) {
                            written.insert(path);
                        }
                    }
                    Notice::Made(path) => {
                        // A file that has just been made is not whole; a link to one is.
                        let whole = path.symlink_metadata().is_ok_and(|metadata| {
                            metadata.is_symlink() || (metadata.is_file() && metadata.nlink() > 1)
                        });
                        unclear |= whole && self.concerns(&path);
                        if self.files.knows(&path) && path.exists() {
                            self.settle_back(&path);
                        }
                    }
                    Notice::Taken(path) => {
                        unclear |= self.directories.contains(&path)
                            || (self.linked && !is_resource_name(&path));
                        self.miss(&path);
                    }
                    Notice::Attributes(path) => {
                        if self.files.is_unread(&path) {
                            written.insert(path);
                        }
                    }
                }
            }
            if linked {
                self.walk(Haste::Now);
            } else if unclear {
                self.walk(still());
            }
            for path in written {
                self.read(&path.into());
            }
        }
    }

    /// Tells whether a symbolic or hard link that has appeared may change a file.
    fn concerns(&self, path: &Path) -> bool {
        self.linked || is_resource_name(path) || path.is_dir()
    }

    fn read(&mut self, path: &Arc<Path>) {
        if self.lost.is_some() {
            return;
        }
        match self.files.read(path) {
            Read::Done => {
                self.going.remove(path);
            }
            Read::Gone => self.miss(path),
        }
    }

    /// Notes that a known file is away.
    fn miss(&mut self, path: &Path) {
        if !self.files.knows(path) || self.lost.is_some() {
            return;
        }
        if path.symlink_metadata().is_ok() {
            // It has been put back, and word of its being whole will follow.
            self.settle_back(path);
        } else {
            self.await_return(path);
        }
    }

    fn await_return(&mut self, path: &Path) {
        if !self.going.contains_key(path) {
            self.files.stand(path, Standing::Going);
            self.going
                .insert(path.into(), Instant::now() + VANISH_GRACE);
        }
    }

    fn settle_back(&mut self, path: &Path) {
        self.files.stand(path, Standing::Present);
        self.going.remove(path);
    }

    /// Removes the files that have been away for too long.
    fn bury(&mut self) {
        let now = Instant::now();
        let due = |going: &BTreeMap<Arc<Path>, Instant>| {
            going
                .iter()
                .filter(|(_, when)| **when <= now)
                .map(|(path, _)| path.clone())
                .collect()
        };
        let paths: Vec<Arc<Path>> = due(&self.going);
        if paths.is_empty() {
            return;
        }
        if identity(&self.root).ok() != self.identity {
            // The directory itself has gone or been replaced: that is no deletion of files.
            self.walk(still());
        }
        for path in due(&self.going) {
            self.going.remove(&path);
            let within = path
                .parent()
                .is_some_and(|parent| self.directories.contains(parent));
            if within && stamp(&path).is_some() {
                self.read(&path);
            } else {
                self.files.remove(&path);
            }
        }
    }

    /// Looks at everything and reads what has changed.
    fn walk(&mut self, haste: Haste) {
        let walked = self.walk_and_watch();
        let postponed = match walked {
            Ok(found) => self.take(&found, haste),
            Err(error) => {
                self.lose(format!("cannot list the resource directory: {error}"));
                false
            }
        };
        let poll = self.deaf || self.lost.is_some() || postponed;
        let interval = if poll { POLL_INTERVAL } else { SAFETY_INTERVAL };
        self.next_walk = Some(Instant::now() + interval);
    }

    fn walk_and_watch(&mut self) -> std::io::Result<Walk> {
        let Some(watcher) = &mut self.watcher else {
            self.deaf = true;
            return walk(&self.root, &mut |_| {});
        };
        let mut failed = None;
        watcher.begin();
        if let Some((parent, name)) = parent_and_name(&self.root) {
            // Without it, a directory that comes back is found by looking each second.
            let _ = watcher.watch(&parent, Role::Parent(name));
        }
        let walked = walk(&self.root, &mut |directory| {
            if let Err(error) = watcher.watch(directory, Role::Tree)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                failed = Some(error);
            }
        });
        for target in walked.iter().flat_map(|walk| &walk.targets) {
            if let Some((parent, name)) = parent_and_name(target) {
                // A target whose directory cannot be watched is looked at with everything else.
                let _ = watcher.watch(&parent, Role::Target(name));
            }
        }
        watcher.end();
        if let Some(error) = failed.as_ref().filter(|_| !self.deaf) {
            tracing::warn!(%error, "cannot watch all directories: looking at them every second");
        }
        self.deaf = failed.is_some();
        walked
    }

    /// Takes in what a walk has found; tells whether a file was left for the next one.
    fn take(&mut self, found: &Walk, haste: Haste) -> bool {
        let identity = identity(&self.root).ok();
        let doubtful = self.lost.is_some() || self.identity != identity;
        if doubtful && found.files.is_empty() && !self.files.is_empty() {
            // This is what an unmounted file system leaves behind.
            self.lose("an empty directory stands in place of the resource directory".to_owned());
            return false;
        }
        if let Some((path, reason)) = found.failed.first_key_value().filter(|_| !self.in_sync) {
            // Nothing is known of what it holds, and a first snapshot without that would remove it.
            self.lose(format!("{}: {reason}", path.display()));
            return false;
        }
        if self.lost.take().is_some() {
            tracing::info!(path = %self.root.display(), "the resource directory can be read again");
            self.queue.push_back(Event::Recovered);
        }
        self.identity = identity;
        self.directories = found.directories.iter().cloned().collect();
        self.linked = !found.targets.is_empty();
        let compared = self.files.compare(found, haste);
        self.going.retain(|path, _| !found.files.contains_key(path));
        for path in compared.missing {
            self.await_return(&path);
        }
        compared.postponed
    }

    fn lose(&mut self, reason: String) {
        for (path, _) in std::mem::take(&mut self.going) {
            self.files.stand(&path, Standing::Present);
        }
        let problem = problem_of(&self.root, 1, reason, Severity::Rejected);
        if self.lost.as_ref() == Some(&problem) {
            return;
        }
        tracing::warn!("{problem}: keeping what was read before");
        if self.lost.is_none() {
            self.queue.push_back(Event::Lost {
                reason: problem.reason.clone(),
            });
        }
        self.lost = Some(problem);
    }

    /// Puts what has changed into the queue.
    fn deliver(&mut self) {
        if self.lost.is_some() && !self.in_sync {
            return;
        }
        let changes = self.files.settle();
        if self.in_sync && changes.updates.is_empty() && !changes.problems_changed {
            return;
        }
        self.in_sync = true;
        self.queue.push_back(Event::Batch(Batch {
            updates: changes.updates,
            in_sync: true,
            problems: changes.problems,
        }));
    }
}

/// Waits until a watcher has heard something; without one, for ever.
async fn ready(watcher: Option<&Watcher>) {
    match watcher {
        Some(watcher) => watcher.ready().await,
        None => std::future::pending().await,
    }
}

fn is_link(path: &Path) -> bool {
    path.symlink_metadata()
        .is_ok_and(|metadata| metadata.is_symlink())
}

/// Leaves files alone that somebody may still be writing.
fn still() -> Haste {
    Haste::Unless(SystemTime::now() - STILL)
}

/// Splits a path into the directory it lies in and its name there.
fn parent_and_name(path: &Path) -> Option<(PathBuf, OsString)> {
    let name = path.file_name()?.to_owned();
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    Some((parent.unwrap_or(Path::new(".")).to_owned(), name))
}

/// What a datastore holds.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The resources in force, by key.
    pub objects: Vec<(ResourceKey, Arc<Resource>)>,
    /// What is wrong, by place.
    pub problems: Vec<Problem>,
    /// What was passed over, by place.
    pub skipped: Vec<Skipped>,
}

/// Reads a directory once.
///
/// # Errors
/// Fails where the directory cannot be listed.
pub fn read_directory(path: &Path) -> Result<Snapshot, Error> {
    let found = walk(path, &mut |_| {}).map_err(|source| Error::ListDirectory {
        path: path.to_owned(),
        source,
    })?;
    let mut files = Files::new(Origin::File);
    files.compare(&found, Haste::Now);
    files.settle();
    Ok(Snapshot {
        objects: files
            .objects()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
        problems: files.problems().cloned().collect(),
        skipped: files.skipped().cloned().collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_start_waits_for_directories_that_cannot_be_listed() {
        let root = std::env::temp_dir().join(format!("tortie-unlisted-{}", std::process::id()));
        let within = root.join("within");
        std::fs::create_dir_all(&within).unwrap();
        let found = walk(&root, &mut |_| {}).unwrap();
        let mut unlisted = walk(&root, &mut |_| {}).unwrap();
        unlisted
            .failed
            .insert(within.into(), "input/output error".to_owned());
        let mut source = DirectorySource::open(&root);
        let mut told = |found: &Walk| {
            source.take(found, Haste::Now);
            source.deliver();
            source.queue.drain(..).collect::<Vec<_>>()
        };
        let events = told(&unlisted);
        assert!(matches!(events[..], [Event::Lost { .. }]), "{events:?}");
        let events = told(&found);
        assert!(
            matches!(events[..], [Event::Recovered, Event::Batch(_)]),
            "{events:?}"
        );
        // Later it is a problem, and what is known stays.
        let [Event::Batch(batch)] = &told(&unlisted)[..] else {
            panic!("no batch");
        };
        assert!(batch.updates.is_empty() && batch.problems.len() == 1);
        std::fs::remove_dir_all(&root).unwrap();
    }
}
