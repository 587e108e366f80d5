//! What the files of a directory hold, together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::decode::{Decoded, Origin, Skipped};
use super::load::{Loaded, load, load_all, problem_of};
use super::scan::{Seen, Stamp, Walk};
use crate::model::{Place, Problem, Resource, ResourceKey, Severity, Update};

/// The resources of all files, and which of them are in force.
#[derive(Debug)]
pub(super) struct Files {
    origin: Origin,
    states: BTreeMap<Arc<Path>, FileState>,
    /// Who defines each key, the one in force first once the key is settled.
    holders: BTreeMap<ResourceKey, Vec<Holder>>,
    /// What was last told of each key.
    told: BTreeMap<ResourceKey, Arc<Resource>>,
    /// The keys whose holders have changed.
    dirty: BTreeSet<ResourceKey>,
    /// What is wrong with directories.
    directories: BTreeMap<Arc<Path>, Problem>,
    /// Problems that nobody has been told of.
    fresh: Vec<Problem>,
    problems_changed: bool,
}

/// What is known of one file.
#[derive(Debug, Default)]
struct FileState {
    stamp: Option<Stamp>,
    keys: BTreeSet<ResourceKey>,
    /// What is wrong with the file as a whole.
    whole: Option<Problem>,
    problems: Vec<Problem>,
    /// Resources of this file that another one defines before it.
    duplicates: BTreeMap<ResourceKey, Vec<Problem>>,
    skipped: Vec<Skipped>,
}

/// One definition of a key.
#[derive(Debug)]
struct Holder {
    /// Whether its file seems to be gone: it then yields to every other.
    standing: Standing,
    path: Arc<Path>,
    /// Its place among the resources of the file.
    index: usize,
    place: Place,
    value: Arc<Resource>,
}

/// Whether a file is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// It is.
    Present,
    /// It is not, but may be about to be put back.
    Going,
}

/// What has changed since it was last asked.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) updates: Vec<Update>,
    /// Problems that are new.
    pub(super) problems: Vec<Problem>,
    /// Whether a problem has come or gone.
    pub(super) problems_changed: bool,
}

/// Whether a file that somebody may still be writing is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Haste {
    /// It is read.
    Now,
    /// It is read unless it was written to after this time.
    Unless(SystemTime),
}

impl Haste {
    fn finds_moving(self, stamp: &Stamp) -> bool {
        match self {
            Self::Now => false,
            Self::Unless(time) => stamp.is_younger(time),
        }
    }
}

/// What comparing with a walk leaves to be done.
#[derive(Debug)]
pub(super) struct Compared {
    /// Known files that the walk has not seen.
    pub(super) missing: Vec<Arc<Path>>,
    /// Whether a file was not read because somebody may still be writing it.
    pub(super) postponed: bool,
}

/// What became of reading a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// It was there, good or bad.
    Done,
    /// It was not there; what it held stays until it is removed.
    Gone,
}

/// What a problem says, wherever it stands in its file.
type Saying<'a> = (&'a Option<ResourceKey>, &'a str, &'a str, Severity);

fn saying(problem: &Problem) -> Saying<'_> {
    (
        &problem.object,
        &problem.field,
        &problem.reason,
        problem.severity,
    )
}

fn same(a: &Problem, b: &Problem) -> bool {
    saying(a) == saying(b)
}

/// Logs a problem, in the words that Felix has for one that spoils a resource.
pub(super) fn log(problem: &Problem) {
    let Problem {
        place,
        object,
        field,
        reason,
        severity,
    } = problem;
    let at = if field.is_empty() { "" } else { ": " };
    match (severity, object) {
        (Severity::Rejected, Some(object)) => tracing::warn!(
            %place,
            "Validation failed for {object}, treating as missing: {field}{at}{reason}"
        ),
        (Severity::Rejected, None) if !field.is_empty() => tracing::warn!(
            %place,
            "Validation failed for a resource without a key, treating as missing: {field}{at}{reason}"
        ),
        (Severity::Rejected, None) | (Severity::Warning, _) => tracing::warn!("{problem}"),
    }
}

impl Files {
    /// Begins without files.
    pub(super) fn new(origin: Origin) -> Self {
        Self {
            origin,
            states: BTreeMap::new(),
            holders: BTreeMap::new(),
            told: BTreeMap::new(),
            dirty: BTreeSet::new(),
            directories: BTreeMap::new(),
            fresh: Vec::new(),
            problems_changed: false,
        }
    }

    /// Tells whether there is no file.
    pub(super) fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// Tells whether a file is known.
    pub(super) fn knows(&self, path: &Path) -> bool {
        self.states.contains_key(path)
    }

    /// Tells whether a file could not be read when it was last tried.
    pub(super) fn is_unread(&self, path: &Path) -> bool {
        self.states
            .get(path)
            .is_some_and(|file| file.stamp.is_none())
    }

    /// Takes in what a walk has seen, and reads what has changed.
    pub(super) fn compare(&mut self, walk: &Walk, haste: Haste) -> Compared {
        let failed = |path: &Path| {
            walk.failed
                .keys()
                .any(|directory| path.starts_with(directory))
        };
        let missing: Vec<Arc<Path>> = self
            .states
            .keys()
            .filter(|path| !walk.files.contains_key(*path) && !failed(path))
            .cloned()
            .collect();
        let mut postponed = false;
        let mut changed = Vec::new();
        for (path, seen) in &walk.files {
            let known = self.states.get(path).and_then(|file| file.stamp);
            let unchanged = match (seen, known) {
                (Seen::File(stamp), Some(known)) => {
                    let moving = stamp.is_rewritten(&known) && haste.finds_moving(stamp);
                    postponed |= moving;
                    moving || known == *stamp
                }
                (Seen::File(_), None) | (Seen::Unfit(_), _) => false,
            };
            self.stand(path, Standing::Present);
            if !unchanged {
                changed.push(path.clone());
            }
        }
        for (path, loaded) in changed.iter().zip(load_all(&changed, self.origin)) {
            self.accept(path, loaded);
        }
        let directories: BTreeMap<_, _> = walk
            .failed
            .iter()
            .map(|(path, reason)| {
                (
                    path.clone(),
                    problem_of(path, 1, reason.clone(), Severity::Rejected),
                )
            })
            .collect();
        self.problems_changed |= directories != self.directories;
        let before = std::mem::replace(&mut self.directories, directories);
        let new: Vec<Problem> = self
            .directories
            .iter()
            .filter(|(path, problem)| before.get(*path) != Some(*problem))
            .map(|(_, problem)| problem.clone())
            .collect();
        for problem in new {
            self.tell(problem);
        }
        Compared { missing, postponed }
    }

    fn tell(&mut self, problem: Problem) {
        log(&problem);
        self.fresh.push(problem);
    }

    /// Reads a file again; what cannot be read or parsed leaves its last good resources in force.
    pub(super) fn read(&mut self, path: &Arc<Path>) -> Read {
        let loaded = load(path, self.origin);
        self.accept(path, loaded)
    }

    fn accept(&mut self, path: &Arc<Path>, loaded: Loaded) -> Read {
        match loaded {
            Loaded::Gone => return Read::Gone,
            Loaded::Failed(stamp, problem) => self.fail(path, stamp, problem),
            Loaded::Decoded(stamp, decoded) => self.replace(path, stamp, decoded),
        }
        self.stand(path, Standing::Present);
        Read::Done
    }

    fn fail(&mut self, path: &Arc<Path>, stamp: Option<Stamp>, problem: Problem) {
        let file = self.states.entry(path.clone()).or_default();
        file.stamp = stamp;
        if file.whole.as_ref() == Some(&problem) {
            return;
        }
        let known = file
            .whole
            .as_ref()
            .is_some_and(|known| same(known, &problem));
        file.whole = Some(problem.clone());
        self.problems_changed = true;
        let keeps = file.keys.len();
        if !known {
            self.tell(problem);
            if keeps > 0 {
                let path = path.display();
                tracing::warn!(%path, resources = keeps, "keeping what the file held before");
            }
        }
    }

    fn replace(&mut self, path: &Arc<Path>, stamp: Stamp, decoded: Decoded) {
        let mut state = self.states.remove(path).unwrap_or_default();
        self.release(path, &state.keys);
        state.keys.clear();
        for (index, object) in decoded.objects.into_iter().enumerate() {
            self.dirty.insert(object.key.clone());
            self.holders
                .entry(object.key.clone())
                // Hardly any key has a second one.
                .or_insert_with(|| Vec::with_capacity(1))
                .push(Holder {
                    standing: Standing::Present,
                    path: path.clone(),
                    index,
                    place: object.place,
                    value: object.value,
                });
            state.keys.insert(object.key);
        }
        self.problems_changed |= state.problems != decoded.problems || state.whole.is_some();
        let known: BTreeSet<Saying<'_>> = state.problems.iter().map(saying).collect();
        for problem in &decoded.problems {
            if !known.contains(&saying(problem)) {
                self.tell(problem.clone());
            }
        }
        let known: BTreeSet<(&str, &str)> = state
            .skipped
            .iter()
            .map(|known| (known.kind.as_str(), known.name.as_str()))
            .collect();
        for Skipped { place, kind, name } in &decoded.skipped {
            if !known.contains(&(kind.as_str(), name.as_str())) {
                tracing::info!(%place, kind, name, "skipping a resource that has no effect on policy");
            }
        }
        state.stamp = Some(stamp);
        state.whole = None;
        state.problems = decoded.problems;
        state.skipped = decoded.skipped;
        state.duplicates.retain(|key, _| state.keys.contains(key));
        self.states.insert(path.clone(), state);
    }

    /// Takes a file's definitions out.
    fn release(&mut self, path: &Arc<Path>, keys: &BTreeSet<ResourceKey>) {
        for key in keys {
            if let Some(holders) = self.holders.get_mut(key) {
                holders.retain(|holder| holder.path != *path);
            }
            self.dirty.insert(key.clone());
        }
    }

    /// Says whether a file is there.
    pub(super) fn stand(&mut self, path: &Path, standing: Standing) {
        let Some(file) = self.states.get(path) else {
            return;
        };
        for key in &file.keys {
            let holders = self.holders.get_mut(key).into_iter().flatten();
            for holder in holders.filter(|holder| *holder.path == *path) {
                if holder.standing != standing {
                    holder.standing = standing;
                    self.dirty.insert(key.clone());
                }
            }
        }
    }

    /// Forgets a file and what it held.
    pub(super) fn remove(&mut self, path: &Arc<Path>) {
        if let Some(state) = self.states.remove(path) {
            self.release(path, &state.keys);
            self.problems_changed |=
                state.whole.is_some() || !state.problems.is_empty() || !state.duplicates.is_empty();
        }
    }

    /// Settles which definition of each changed key is in force, and returns what that changes.
    pub(super) fn settle(&mut self) -> Changes {
        let mut updates = Vec::new();
        for key in std::mem::take(&mut self.dirty) {
            let value = self.settle_key(&key);
            if self.told.get(&key) == value.as_ref() {
                continue;
            }
            match &value {
                Some(value) => self.told.insert(key.clone(), value.clone()),
                None => self.told.remove(&key),
            };
            updates.push(Update { key, value });
        }
        Changes {
            updates,
            problems: std::mem::take(&mut self.fresh),
            problems_changed: std::mem::take(&mut self.problems_changed),
        }
    }

    fn settle_key(&mut self, key: &ResourceKey) -> Option<Arc<Resource>> {
        let holders = self.holders.get_mut(key)?;
        holders.sort_by(|a, b| (a.standing, &a.path, a.index).cmp(&(b.standing, &b.path, b.index)));
        let Some(winner) = holders.first() else {
            self.holders.remove(key);
            return None;
        };
        let value = winner.value.clone();
        let reason = format!("already defined at {}: this one is ignored", winner.place);
        let mut losers: BTreeMap<Arc<Path>, Vec<Problem>> = BTreeMap::new();
        for (rank, holder) in holders.iter().enumerate() {
            let lost = losers.entry(holder.path.clone()).or_default();
            if rank > 0 && holder.standing == Standing::Present {
                lost.push(Problem {
                    place: holder.place.clone(),
                    object: Some(key.clone()),
                    field: String::new(),
                    reason: reason.clone(),
                    severity: Severity::Warning,
                });
            }
        }
        for (path, lost) in losers {
            let Some(file) = self.states.get_mut(&path) else {
                continue;
            };
            let before = file.duplicates.remove(key).unwrap_or_default();
            self.problems_changed |= before != lost;
            // All of one file say the same, so that the first speaks for the others.
            let new = lost
                .first()
                .filter(|first| !before.iter().any(|old| same(old, first)))
                .cloned();
            if !lost.is_empty() {
                file.duplicates.insert(key.clone(), lost);
            }
            if let Some(new) = new {
                self.tell(new);
            }
        }
        Some(value)
    }

    /// Returns all current problems, by file.
    pub(super) fn problems(&self) -> impl Iterator<Item = &Problem> {
        let files = self.states.values().flat_map(|file| {
            file.whole
                .iter()
                .chain(&file.problems)
                .chain(file.duplicates.values().flatten())
        });
        self.directories.values().chain(files)
    }

    /// Returns what is passed over, by file.
    pub(super) fn skipped(&self) -> impl Iterator<Item = &Skipped> {
        self.states.values().flat_map(|file| &file.skipped)
    }

    /// Returns the resources in force as they were last settled.
    pub(super) fn objects(&self) -> impl Iterator<Item = (&ResourceKey, &Arc<Resource>)> {
        self.told.iter()
    }
}
