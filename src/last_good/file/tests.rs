use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::datastore::{Origin, decode_file, read_directory};
use crate::last_good::Keeper;
use crate::model::Order;
use crate::selector::Selector;

fn host() -> Host {
    Host {
        name: "my-host".to_owned(),
        datastore: "etcd".to_owned(),
    }
}

fn time() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

/// Returns what one text of YAML holds.
fn decoded(text: &str) -> Resources {
    let decoded = decode_file("a.yaml", text.as_bytes(), Origin::File).unwrap();
    assert!(decoded.problems.is_empty(), "{:?}", decoded.problems);
    let found = decoded.objects.into_iter();
    found.map(|located| (located.key, located.value)).collect()
}

/// Returns resources of every kind and of both forms, with all that a rule can say.
fn all_kinds() -> Resources {
    decoded(include_str!("all-kinds.yaml"))
}

fn examples() -> Resources {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    read_directory(&path).unwrap().objects.into_iter().collect()
}

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { directory }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("state/last-good")
    }

    fn write(&self, resources: &Resources) {
        write(&self.path(), &host(), time(), resources).unwrap();
    }

    fn read(&self) -> Result<Option<Kept>, ReadError> {
        read(&self.path(), &host())
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }

    /// Puts bytes in the file's place, as if they had been written there.
    fn put(&self, bytes: &[u8]) {
        fs::write(self.path(), bytes).unwrap();
        fs::set_permissions(self.path(), fs::Permissions::from_mode(MODE)).unwrap();
    }

    fn names(&self) -> Vec<OsString> {
        let entries = fs::read_dir(directory(&self.path())).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn what_is_written_is_read_back() {
    for resources in [all_kinds(), examples(), Resources::new()] {
        let place = Place::new();
        assert_eq!(place.read().unwrap(), None);
        place.write(&resources);
        let kept = place.read().unwrap().unwrap();
        assert_eq!(kept.resources, resources);
        assert_eq!(kept.time, time());
    }
}

#[test]
fn the_form_is_what_its_number_says() {
    // Where this differs, `FORM` must become another.
    let place = Place::new();
    place.write(&all_kinds());
    insta::assert_snapshot!(String::from_utf8(place.bytes()).unwrap());
}

#[test]
fn nobody_else_has_access_and_nothing_else_is_left() {
    let place = Place::new();
    place.write(&examples());
    fs::write(beside(&place.path()), "left behind").unwrap();
    place.write(&all_kinds());
    assert_eq!(mode(&place.path()), 0o600);
    assert_eq!(mode(directory(&place.path())), 0o700);
    assert_eq!(place.names(), ["last-good"]);
    assert_eq!(place.read().unwrap().unwrap().resources, all_kinds());
}

#[test]
fn a_write_that_fails_leaves_the_file_before() {
    let place = Place::new();
    place.write(&examples());
    fs::create_dir(beside(&place.path())).unwrap();
    let failed = write(&place.path(), &host(), time(), &all_kinds());
    assert!(matches!(failed, Err(KeepError::Create(_))), "{failed:?}");
    assert_eq!(place.read().unwrap().unwrap().resources, examples());
    let nowhere = Path::new("/proc/tortie/last-good");
    let failed = write(nowhere, &host(), time(), &all_kinds());
    assert!(matches!(failed, Err(KeepError::Directory(_))), "{failed:?}");
}

#[test]
fn a_file_of_somebody_else_is_refused() {
    let place = Place::new();
    place.write(&examples());
    let of = |name: &str, datastore: &str| {
        let host = Host {
            name: name.to_owned(),
            datastore: datastore.to_owned(),
        };
        read(&place.path(), &host)
    };
    let error = of("other", "etcd").unwrap_err();
    assert!(matches!(error, ReadError::Host { .. }), "{error:?}");
    let error = of("my-host", "directory").unwrap_err();
    assert!(matches!(error, ReadError::Datastore { .. }), "{error:?}");
    for mode in [0o640, 0o604, 0o620, 0o666] {
        fs::set_permissions(place.path(), fs::Permissions::from_mode(mode)).unwrap();
        let error = place.read().unwrap_err();
        assert!(matches!(error, ReadError::Open { .. }), "{error:?}");
    }
    let elsewhere = place.path().with_extension("moved");
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(place.path(), &elsewhere).unwrap();
    symlink(&elsewhere, place.path()).unwrap();
    assert!(matches!(place.read(), Err(ReadError::Read(_))));
    fs::remove_file(place.path()).unwrap();
    fs::create_dir(place.path()).unwrap();
    assert!(matches!(place.read(), Err(ReadError::Kind)));
}

#[test]
fn another_form_is_told_from_nonsense() {
    let place = Place::new();
    place.write(&examples());
    let text = String::from_utf8(place.bytes()).unwrap();
    place.put(text.replacen("good 1", "good 2", 1).as_bytes());
    let error = place.read().unwrap_err().to_string();
    assert!(error.contains("form 2"), "{error}");
    for nonsense in ["", "\n", "x\n", "tortie-last-good\n", "\0\0\0\0\n"] {
        place.put(nonsense.as_bytes());
        let error = place.read().unwrap_err();
        assert!(
            matches!(error, ReadError::Foreign | ReadError::Short),
            "{error:?}"
        );
    }
}

#[test]
fn a_file_that_was_cut_or_continued_is_refused() {
    let whole = &*WRITTEN;
    for length in (0..whole.len()).step_by(7).chain([whole.len() - 1]) {
        let result = parse(&whole[..length], &host());
        assert!(result.is_err(), "cut at {length}");
    }
    let longer = [&whole[..], b"\n"].concat();
    assert!(matches!(
        parse(&longer[..], &host()),
        Err(ReadError::Checksum)
    ));
}

/// What a file of all kinds holds.
static WRITTEN: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let place = Place::new();
    place.write(&all_kinds());
    place.bytes()
});

proptest! {
    #[test]
    fn a_file_that_was_altered_is_refused(at in any::<prop::sample::Index>(), with in 1u8..) {
        let mut bytes = WRITTEN.clone();
        let at = at.index(bytes.len());
        bytes[at] ^= with;
        prop_assert!(parse(&bytes[..], &host()).is_err());
    }

    #[test]
    fn hostile_bytes_are_refused(body in prop::collection::vec(any::<u8>(), 0..512)) {
        let head = format!("{WORD} {FORM}\n").into_bytes();
        prop_assert!(parse(&body[..], &host()).is_err());
        prop_assert!(parse(&[head, body].concat()[..], &host()).is_err());
    }
}

#[test]
fn values_that_no_decoder_makes_are_refused() {
    let read = |text: &str, from: &str, to: &str| {
        assert!(text.contains(from), "{from} in {text}");
        serde_json::from_str::<(ResourceKey, Resource)>(&text.replacen(from, to, 1))
    };
    let resources = all_kinds();
    let line = |kind: &str| {
        let found = resources.iter().find(|(key, _)| key.to_string() == kind);
        serde_json::to_string(&found.unwrap()).unwrap()
    };
    let policy = line("GlobalNetworkPolicy(all)");
    assert!(read(&policy, "[8080,8090]", "[8080,8090]").is_ok());
    for (from, to) in [
        ("[8080,8090]", "[8090,8080]"),
        ("\"protocol\":6", "\"protocol\":0"),
        ("\"selector\":\"", "\"selector\":\"("),
        ("\"order\":", "\"order\":9221120237041090560,\"was\":"),
    ] {
        assert!(read(&policy, from, to).is_err(), "{to}");
    }
    let endpoint = line("WorkloadEndpoint(prod/node1-k8s-web-eth0)");
    assert!(read(&endpoint, "\"cali0\"", "\"cali/0\"").is_err());
}

#[test]
fn a_selector_put_together_from_long_ones_is_read_back() {
    let long = |label: &str| {
        let text = format!(
            "{label} == '{}'",
            "x".repeat(crate::selector::MAX_LENGTH - 16)
        );
        Selector::parse(&text).unwrap()
    };
    let deep = format!("{}has(a)", "has(b) || (has(c) && (".repeat(100)) + &"))".repeat(100);
    let all = [long("a"), long("b"), Selector::parse(&deep).unwrap()];
    let joined = all.iter().fold(Selector::all(), |all, one| all.and(one));
    let text = serde_json::to_string(&joined).unwrap();
    assert_eq!(serde_json::from_str::<Selector>(&text).unwrap(), joined);
}

#[test]
fn an_order_is_read_back_to_its_last_bit() {
    for number in [0.1 + 0.2, -1e-308, 5e307, f64::INFINITY, f64::NEG_INFINITY] {
        let order = Order::new(number).unwrap();
        let text = serde_json::to_string(&order).unwrap();
        assert_eq!(serde_json::from_str::<Order>(&text).unwrap(), order);
    }
}

fn changes(resources: &Resources) -> BTreeMap<ResourceKey, Option<Arc<Resource>>> {
    let each = resources.iter();
    each.map(|(key, value)| (key.clone(), Some(Arc::clone(value))))
        .collect()
}

#[test]
fn the_keeper_writes_at_its_end_what_it_was_told() {
    let place = Place::new();
    let keeper = Keeper::start(place.path(), host()).unwrap();
    let mut resources = all_kinds();
    keeper.in_force(changes(&resources));
    let (gone, _) = resources.pop_first().unwrap();
    keeper.in_force(BTreeMap::from([(gone, None)]));
    drop(keeper);
    assert_eq!(place.read().unwrap().unwrap().resources, resources);
}

#[test]
fn a_keeper_that_was_told_nothing_or_cannot_write_touches_nothing() {
    let place = Place::new();
    place.write(&examples());
    let before = place.bytes();
    drop(Keeper::start(place.path(), host()).unwrap());
    assert_eq!(place.bytes(), before);
    fs::create_dir(beside(&place.path())).unwrap();
    let keeper = Keeper::start(place.path(), host()).unwrap();
    keeper.in_force(changes(&all_kinds()));
    drop(keeper);
    assert_eq!(place.bytes(), before);
}
