//! A directory that is followed while it changes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::time::timeout;

use crate::datastore::{Batch, DirectorySource, Event, read_directory};
use crate::model::{Resource, ResourceKey};

/// How long an event may take before a test gives up.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long nothing must happen before nothing is expected to.
const QUIET: Duration = Duration::from_millis(80);

/// A source and what its updates add up to.
struct Followed {
    root: PathBuf,
    source: DirectorySource,
    state: BTreeMap<ResourceKey, Arc<Resource>>,
    _base: TempDir,
}

fn tier(name: &str, order: usize) -> String {
    format!(
        "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {{name: {name}}}\nspec: {{order: {order}}}\n---\n"
    )
}

/// Writes a file under another name and moves it into place.
fn put(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(&new, path).unwrap();
}

impl Followed {
    /// Follows a directory that holds the files given.
    async fn new(files: &[(&str, &str)]) -> Self {
        let base = TempDir::new().unwrap();
        let root = base.path().join("resources");
        fs::create_dir(&root).unwrap();
        for (name, text) in files {
            fs::write(root.join(name), text).unwrap();
        }
        let source = DirectorySource::open(&root);
        let mut followed = Self {
            root,
            source,
            state: BTreeMap::new(),
            _base: base,
        };
        let first = followed.batch().await;
        assert!(first.in_sync);
        followed
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    async fn event(&mut self) -> Event {
        let event = timeout(DEADLINE, self.source.next())
            .await
            .expect("an event in time");
        if let Event::Batch(batch) = &event {
            for update in &batch.updates {
                match &update.value {
                    Some(value) => self.state.insert(update.key.clone(), value.clone()),
                    None => self.state.remove(&update.key),
                };
            }
        }
        event
    }

    async fn batch(&mut self) -> Batch {
        match self.event().await {
            Event::Batch(batch) => batch,
            other @ (Event::Lost { .. } | Event::Recovered) => panic!("{other:?}"),
        }
    }

    /// Returns the keys that the next batch updates, with `-` in front where they are gone.
    async fn updates(&mut self) -> Vec<String> {
        let shown = |update: &crate::model::Update| {
            format!(
                "{}{}",
                if update.value.is_some() { "" } else { "-" },
                update.key
            )
        };
        self.batch().await.updates.iter().map(shown).collect()
    }

    async fn quiet(&mut self) {
        let event = timeout(QUIET, self.source.next()).await;
        assert!(event.is_err(), "{event:?}");
    }

    /// Takes events until there are no more.
    async fn settle(&mut self) {
        while let Ok(event) = timeout(QUIET, self.source.next()).await {
            if let Event::Batch(batch) = event {
                for update in batch.updates {
                    match update.value {
                        Some(value) => self.state.insert(update.key, value),
                        None => self.state.remove(&update.key),
                    };
                }
            }
        }
    }

    fn order(&self, name: &str) -> Option<f64> {
        let key = ResourceKey::v3(crate::model::Kind::Tier, "", name);
        let Resource::Tier(tier) = &**self.state.get(&key)? else {
            panic!()
        };
        Some(tier.order.value())
    }

    fn problems(&self) -> Vec<String> {
        let root = self.root.to_string_lossy().into_owned();
        self.source
            .problems()
            .map(|problem| problem.to_string().replace(&root, "ROOT"))
            .collect()
    }
}

#[tokio::test]
async fn a_file_that_is_renamed_into_place_is_read_and_no_other() {
    let mut followed = Followed::new(&[("a.yaml", &tier("a", 1)), ("b.yml", &tier("b", 1))]).await;
    assert_eq!(followed.state.len(), 2);
    put(&followed.path("a.yaml"), &tier("a", 2));
    assert_eq!(followed.updates().await, ["Tier(a)"]);
    assert_eq!(followed.order("a"), Some(2.0));
    put(&followed.path("a.yaml"), &tier("a", 2));
    followed.quiet().await;
}

#[tokio::test]
async fn a_file_written_in_place_is_read_when_it_is_closed() {
    let mut followed = Followed::new(&[("a.yaml", &tier("a", 1))]).await;
    let mut file = fs::File::create(followed.path("a.yaml")).unwrap();
    followed.quiet().await;
    std::io::Write::write_all(&mut file, tier("a", 2).as_bytes()).unwrap();
    followed.quiet().await;
    drop(file);
    assert_eq!(followed.updates().await, ["Tier(a)"]);
    assert_eq!(followed.order("a"), Some(2.0));
}

#[tokio::test]
async fn a_deleted_file_deletes_what_it_held() {
    let mut followed = Followed::new(&[("a.yaml", &tier("a", 1)), ("b.yaml", "bad: [")]).await;
    fs::remove_file(followed.path("a.yaml")).unwrap();
    assert_eq!(followed.updates().await, ["-Tier(a)"]);
    assert_eq!(followed.problems().len(), 1);
    fs::remove_file(followed.path("b.yaml")).unwrap();
    assert_eq!(followed.updates().await, [""; 0]);
    assert_eq!(followed.problems(), [""; 0]);
}

#[tokio::test]
async fn an_editor_that_moves_the_old_file_away_deletes_nothing() {
    let mut followed = Followed::new(&[("a.yaml", &tier("a", 1))]).await;
    fs::rename(followed.path("a.yaml"), followed.path("a.yaml~")).unwrap();
    assert!(
        timeout(Duration::from_millis(1), followed.source.next())
            .await
            .is_err()
    );
    let mut file = fs::File::create(followed.path("a.yaml")).unwrap();
    followed.quiet().await;
    std::io::Write::write_all(&mut file, tier("a", 2).as_bytes()).unwrap();
    drop(file);
    fs::remove_file(followed.path("a.yaml~")).unwrap();
    assert_eq!(followed.updates().await, ["Tier(a)"]);
    followed.quiet().await;
}

#[tokio::test]
async fn what_moves_between_files_is_not_deleted() {
    let both = format!("{}{}", tier("a", 1), tier("x", 1));
    let mut followed = Followed::new(&[("a.yaml", &both), ("b.yaml", &tier("b", 1))]).await;
    fs::rename(followed.path("b.yaml"), followed.path("c.yaml")).unwrap();
    followed.quiet().await;
    put(&followed.path("a.yaml"), &tier("a", 1));
    put(&followed.path("d.yaml"), &tier("x", 2));
    assert_eq!(followed.updates().await, ["Tier(x)"]);
    assert_eq!(followed.order("x"), Some(2.0));
    followed.quiet().await;
}

#[tokio::test]
async fn files_changed_together_come_in_one_batch() {
    let mut followed = Followed::new(&[]).await;
    for name in ["a", "b", "c"] {
        fs::write(followed.path(&format!("{name}.yaml")), tier(name, 1)).unwrap();
    }
    assert_eq!(followed.updates().await, ["Tier(a)", "Tier(b)", "Tier(c)"]);
}

#[tokio::test]
async fn the_first_of_two_files_wins_and_the_other_takes_over() {
    let mut followed = Followed::new(&[("b.yaml", &tier("a", 2))]).await;
    fs::write(followed.path("a.yaml"), tier("a", 1)).unwrap();
    let batch = followed.batch().await;
    assert_eq!((batch.updates.len(), batch.problems.len()), (1, 1));
    assert_eq!(followed.order("a"), Some(1.0));
    assert_eq!(
        followed.problems(),
        [
            "ROOT/b.yaml:1: Tier(a): already defined at ROOT/a.yaml:1: this one is ignored"
                .replace("at ROOT", &format!("at {}", followed.root.display()))
                .replace(&*followed.root.to_string_lossy(), "ROOT")
        ]
    );
    fs::remove_file(followed.path("a.yaml")).unwrap();
    assert_eq!(followed.updates().await, ["Tier(a)"]);
    assert_eq!(followed.order("a"), Some(2.0));
    assert_eq!(followed.problems(), [""; 0]);
}

#[tokio::test]
async fn a_file_that_cannot_be_parsed_keeps_its_last_good_resources() {
    let mut followed = Followed::new(&[("a.yaml", &tier("a", 1))]).await;
    fs::write(followed.path("a.yaml"), "a: b\nc: [").unwrap();
    let batch = followed.batch().await;
    assert!(batch.updates.is_empty());
    assert_eq!(batch.problems.len(), 1);
    assert!(followed.problems()[0].starts_with("ROOT/a.yaml:3: cannot be parsed: "));
    put(&followed.path("a.yaml"), &tier("a", 3));
    assert_eq!(followed.updates().await, ["Tier(a)"]);
    assert_eq!(followed.problems(), [""; 0]);
    fs::write(followed.path("a.yaml"), "").unwrap();
    assert_eq!(followed.updates().await, [""; 0]);
    assert!(followed.problems()[0].contains("the file is empty"));
    fs::write(followed.path("a.yaml"), "# nothing any more\n").unwrap();
    assert_eq!(followed.updates().await, ["-Tier(a)"]);
}

#[tokio::test]
async fn a_bad_resource_is_absent_and_harms_no_other() {
    let text = format!("{}{}", tier("a", 1), tier("b", 1));
    let mut followed = Followed::new(&[("a.yaml", &text)]).await;
    put(
        &followed.path("a.yaml"),
        &text.replacen("order: 1", "order: x", 1),
    );
    assert_eq!(followed.updates().await, ["-Tier(a)"]);
    assert_eq!(
        followed.problems(),
        ["ROOT/a.yaml:4: Tier(a): spec.order: expected a number, found \"x\""]
    );
    // The same problem on another line is no new one.
    put(
        &followed.path("a.yaml"),
        &format!("\n{}", text.replacen("order: 1", "order: x", 1)),
    );
    let batch = followed.batch().await;
    assert!(batch.updates.is_empty() && batch.problems.is_empty());
    assert!(followed.problems()[0].starts_with("ROOT/a.yaml:5"));
}

#[tokio::test]
async fn a_swap_of_a_hidden_link_changes_the_files_behind_it() {
    let mut followed = Followed::new(&[]).await;
    for (version, order) in [("..1", 1), ("..2", 2)] {
        fs::create_dir(followed.path(version)).unwrap();
        fs::write(followed.path(version).join("a.yaml"), tier("a", order)).unwrap();
    }
    symlink("..1", followed.path("..data")).unwrap();
    symlink("..data/a.yaml", followed.path("a.yaml")).unwrap();
    assert_eq!(followed.updates().await, ["Tier(a)"]);
    symlink("..2", followed.path("..data_tmp")).unwrap();
    fs::rename(followed.path("..data_tmp"), followed.path("..data")).unwrap();
    assert_eq!(followed.updates().await, ["Tier(a)"]);
    assert_eq!(followed.order("a"), Some(2.0));
    fs::write(followed.path("..2").join("a.yaml"), tier("a", 3)).unwrap();
    assert_eq!(followed.updates().await, ["Tier(a)"]);
    assert_eq!(followed.order("a"), Some(3.0));
}

#[tokio::test]
async fn links_to_directories_and_loops_are_followed_once() {
    let mut followed = Followed::new(&[("a.yaml", &tier("a", 1))]).await;
    let outside = TempDir::new().unwrap();
    fs::write(outside.path().join("b.yaml"), tier("b", 1)).unwrap();
    symlink(".", followed.path("loop")).unwrap();
    symlink(outside.path(), followed.path("outside")).unwrap();
    assert_eq!(followed.updates().await, ["Tier(b)"]);
    assert_eq!(followed.problems(), [""; 0]);
    put(&outside.path().join("b.yaml"), &tier("b", 2));
    assert_eq!(followed.updates().await, ["Tier(b)"]);
    fs::remove_file(followed.path("outside")).unwrap();
    assert_eq!(followed.updates().await, ["-Tier(b)"]);
}

#[tokio::test]
async fn directories_within_are_followed() {
    let mut followed = Followed::new(&[]).await;
    fs::create_dir_all(followed.path("x/y")).unwrap();
    fs::write(followed.path("x/y/a.json"), tier("a", 1)).unwrap();
    fs::write(followed.path("x/.b.yaml"), tier("b", 1)).unwrap();
    assert_eq!(followed.updates().await, ["Tier(a)"]);
    put(&followed.path("x/y/a.json"), &tier("a", 2));
    assert_eq!(followed.updates().await, ["Tier(a)"]);
    fs::rename(followed.path("x"), followed.path("z")).unwrap();
    followed.quiet().await;
    put(&followed.path("z/y/a.json"), &tier("a", 3));
    assert_eq!(followed.updates().await, ["Tier(a)"]);
    fs::remove_dir_all(followed.path("z")).unwrap();
    assert_eq!(followed.updates().await, ["-Tier(a)"]);
}

#[tokio::test]
async fn a_directory_that_goes_is_a_loss_and_no_deletion() {
    let mut followed = Followed::new(&[("a.yaml", &tier("a", 1)), ("b.yaml", &tier("b", 1))]).await;
    let away = followed.root.with_extension("away");
    fs::rename(&followed.root, &away).unwrap();
    assert!(matches!(followed.event().await, Event::Lost { .. }));
    followed.quiet().await;
    assert_eq!(followed.problems().len(), 1);
    assert!(followed.problems()[0].starts_with("ROOT:1: cannot list the resource directory"));
    put(&away.join("a.yaml"), &tier("a", 2));
    fs::remove_file(away.join("b.yaml")).unwrap();
    fs::rename(&away, &followed.root).unwrap();
    assert_eq!(followed.event().await, Event::Recovered);
    followed.settle().await;
    assert_eq!(
        (followed.order("a"), followed.order("b")),
        (Some(2.0), None)
    );
    assert_eq!(followed.problems(), [""; 0]);

    fs::remove_dir_all(&followed.root).unwrap();
    assert!(matches!(followed.event().await, Event::Lost { .. }));
    fs::create_dir(&followed.root).unwrap();
    followed.quiet().await;
    assert_eq!(followed.order("a"), Some(2.0));
    fs::write(followed.path("c.yaml"), tier("c", 1)).unwrap();
    assert_eq!(followed.event().await, Event::Recovered);
    followed.settle().await;
    assert_eq!(
        (followed.order("a"), followed.order("c")),
        (None, Some(1.0))
    );
}

#[tokio::test]
async fn a_directory_that_is_replaced_is_read_by_difference() {
    let mut followed = Followed::new(&[("a.yaml", &tier("a", 1)), ("b.yaml", &tier("b", 1))]).await;
    let new = followed.root.with_extension("new");
    fs::create_dir(&new).unwrap();
    fs::write(new.join("a.yaml"), tier("a", 1)).unwrap();
    fs::write(new.join("b.yaml"), tier("b", 2)).unwrap();
    fs::rename(&followed.root, followed.root.with_extension("old")).unwrap();
    fs::rename(&new, &followed.root).unwrap();
    assert_eq!(followed.updates().await, ["Tier(b)"]);
    put(&followed.path("a.yaml"), &tier("a", 3));
    assert_eq!(followed.updates().await, ["Tier(a)"]);
}

#[tokio::test]
async fn a_walk_leaves_a_file_alone_that_is_being_written() {
    let text = format!("{}{}", tier("a", 1), tier("b", 1));
    let mut followed = Followed::new(&[("a.yaml", &text)]).await;
    let mut file = fs::File::create(followed.path("a.yaml")).unwrap();
    std::io::Write::write_all(&mut file, tier("a", 2).as_bytes()).unwrap();
    fs::create_dir(followed.path("x")).unwrap();
    followed.quiet().await;
    std::io::Write::write_all(&mut file, tier("b", 2).as_bytes()).unwrap();
    drop(file);
    assert_eq!(followed.updates().await, ["Tier(a)", "Tier(b)"]);
}

#[tokio::test]
async fn a_link_to_the_directory_can_be_turned_to_another() {
    let base = TempDir::new().unwrap();
    for (version, order) in [("1", 1), ("2", 2)] {
        fs::create_dir(base.path().join(version)).unwrap();
        fs::write(base.path().join(version).join("a.yaml"), tier("a", order)).unwrap();
    }
    let root = base.path().join("resources");
    symlink("1", &root).unwrap();
    let source = DirectorySource::open(&root);
    let mut followed = Followed {
        root,
        source,
        state: BTreeMap::new(),
        _base: base,
    };
    assert_eq!(followed.updates().await, ["Tier(a)"]);
    let new = followed.root.with_extension("new");
    symlink("2", &new).unwrap();
    fs::rename(&new, &followed.root).unwrap();
    assert_eq!(followed.updates().await, ["Tier(a)"]);
    assert_eq!(followed.order("a"), Some(2.0));
}

/// A place for the lines of a log.
#[derive(Clone, Default)]
struct Lines(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_problem_is_logged_once_in_the_words_that_operators_look_for() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .without_time()
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let bad = "apiVersion: v1\nkind: hostEndpoint\nmetadata: {name: e, node: h}\n---\n\
               apiVersion: projectcalico.org/v3\nkind: BGPPeer\nmetadata: {name: p}\n";
    let mut followed = Followed::new(&[("a.yaml", bad)]).await;
    put(
        &followed.path("a.yaml"),
        &format!("{bad}---\n{}", tier("t", 1)),
    );
    assert_eq!(followed.updates().await, ["Tier(t)"]);
    let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let log: Vec<&str> = log.lines().collect();
    assert_eq!(log.len(), 2, "{log:#?}");
    assert!(log[0].contains(
        "WARN tortie::datastore::files: Validation failed for v1 HostEndpoint(h/e), treating as missing: \
         spec: 'interfaceName' or 'expectedIPs' must be present"
    ), "{log:#?}");
    assert!(
        log[1].contains("INFO") && log[1].contains("BGPPeer"),
        "{log:#?}"
    );
}

#[tokio::test]
async fn a_directory_that_is_not_there_yet_is_waited_for() {
    let base = TempDir::new().unwrap();
    let root = base.path().join("resources");
    let source = DirectorySource::open(&root);
    let mut followed = Followed {
        root,
        source,
        state: BTreeMap::new(),
        _base: base,
    };
    assert!(matches!(followed.event().await, Event::Lost { .. }));
    followed.quiet().await;
    fs::create_dir(&followed.root).unwrap();
    assert_eq!(followed.event().await, Event::Recovered);
    assert!(followed.batch().await.in_sync);
    fs::write(followed.path("a.yaml"), tier("a", 1)).unwrap();
    assert_eq!(followed.updates().await, ["Tier(a)"]);
}

#[tokio::test]
async fn special_files_are_never_opened() {
    let mut followed = Followed::new(&[]).await;
    let mode = nix::sys::stat::Mode::S_IRUSR;
    nix::unistd::mkfifo(&followed.path("pipe.yaml"), mode).unwrap();
    symlink("nowhere", followed.path("dangling.yaml")).unwrap();
    fs::write(followed.path("a.yaml"), tier("a", 1)).unwrap();
    followed.settle().await;
    assert_eq!(followed.order("a"), Some(1.0));
    let problems = followed.problems();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].starts_with("ROOT/dangling.yaml:1: the symbolic link leads nowhere"));
    assert_eq!(problems[1], "ROOT/pipe.yaml:1: not a regular file");
}

#[tokio::test]
async fn two_thousand_files_are_read_and_one_is_found_quickly() {
    let files: Vec<(String, String)> = (0..2000)
        .map(|n| (format!("f{n}.yaml"), tier(&format!("t{n}"), n)))
        .collect();
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(n, t)| (n.as_str(), t.as_str()))
        .collect();
    let mut followed = Followed::new(&files).await;
    assert_eq!(followed.state.len(), 2000);
    let mut fastest = Duration::MAX;
    for order in 0..20 {
        let new = followed.path("new");
        fs::write(&new, tier("t7", 10_000 + order)).unwrap();
        followed.quiet_for(Duration::from_millis(2)).await;
        let start = Instant::now();
        fs::rename(&new, followed.path("f7.yaml")).unwrap();
        assert_eq!(followed.updates().await, ["Tier(t7)"]);
        fastest = fastest.min(start.elapsed());
    }
    println!("rename to update among 2,000 files: {fastest:?}");
    assert!(fastest < Duration::from_millis(5), "{fastest:?}");
    for n in 0..2000 {
        fs::write(
            followed.path(&format!("f{n}.yaml")),
            tier(&format!("t{n}"), n + 1),
        )
        .unwrap();
    }
    followed.settle().await;
    assert!((0..2000).all(|n| {
        followed
            .order(&format!("t{n}"))
            .is_some_and(|order| (order - f64::from(n + 1)).abs() < f64::EPSILON)
    }));
}

impl Followed {
    async fn quiet_for(&mut self, time: Duration) {
        assert!(timeout(time, self.source.next()).await.is_err());
    }
}

/// A small generator of numbers, so that a failure can be run again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}

#[tokio::test]
async fn any_sequence_of_changes_ends_in_what_a_fresh_reading_gives() {
    for seed in 0..6 {
        let mut dice = Dice(seed);
        let links = seed % 3 == 0;
        let mut followed = Followed::new(&[]).await;
        for _ in 0..60 {
            let directory = ["", "x/", "y/"][dice.roll(3)];
            let name = format!("{directory}{}.yaml", ["a", "b", "c"][dice.roll(3)]);
            let path = followed.path(&name);
            let text: String = (0..=dice.roll(4))
                .map(|_| tier(["r", "s", "t", "u"][dice.roll(4)], dice.roll(5)))
                .collect();
            // What cannot be done in the present state is not done.
            let _ = match dice.roll(9) {
                0 => fs::remove_file(&path),
                1 => fs::create_dir(followed.path(["x", "y"][dice.roll(2)])),
                2 => fs::remove_dir_all(followed.path(["x", "y"][dice.roll(2)])),
                3 => fs::rename(followed.path("x"), followed.path("y")),
                4 => fs::rename(&path, followed.path(["a.yaml", "b.yaml"][dice.roll(2)])),
                5 => fs::hard_link(&path, followed.path("c.yaml")),
                6 if links => symlink("x/a.yaml", &path),
                _ => fs::write(&path, text),
            };
            if dice.roll(4) == 0 {
                let _ = timeout(Duration::from_millis(3), followed.event()).await;
            }
        }
        followed.settle().await;
        let fresh = read_directory(&followed.root).unwrap();
        let fresh: BTreeMap<_, _> = fresh.objects.into_iter().collect();
        // A link that leads nowhere keeps what it led to, which a fresh reading cannot know.
        let dangling = links
            && followed
                .problems()
                .iter()
                .any(|problem| problem.contains("nowhere"));
        assert!(
            dangling || followed.state == fresh,
            "seed {seed}: {:#?}",
            followed.problems()
        );
    }
}

#[test]
fn a_directory_that_cannot_be_listed_is_an_error_when_read_once() {
    let error = read_directory(Path::new("/nonexistent")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "list the resource directory `/nonexistent`"
    );
}
