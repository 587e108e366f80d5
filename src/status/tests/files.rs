//! Status files: names, contents, and the folder.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use proptest::prelude::*;

use super::{changes, name, workload, workload_key};
use crate::calc::{LocalEndpoint, LocalWorkload};
use crate::status::facts::{Carrier, Facts, Wiring};
use crate::status::file::{is_ours, wanted};
use crate::status::files::Folder;

/// Returns the one file of a workload that is up.
fn file(workload: LocalWorkload) -> (String, String) {
    let mut facts = Facts::default();
    facts.link(workload.interface.clone(), Some(Carrier::Up));
    facts.wired(&workload.interface, Wiring::Done);
    facts.committed(changes(&[(
        workload_key("w"),
        LocalEndpoint::Workload(workload),
    )]));
    let (name, contents) = wanted(&facts).pop_first().unwrap();
    (name, String::from_utf8(contents).unwrap())
}

#[test]
fn a_file_says_what_the_plugin_expects() {
    let (name, contents) = file(workload("pod", "cali0"));
    assert_eq!(name, "k8s ns%2Fpod eth0");
    assert_eq!(
        contents,
        r#"{"ifaceName":"cali0","mac":"02:00:00:00:00:1f","ipv4Nets":["10.65.0.2/32"],"ipv6Nets":["fd00::2/128"]}"#
    );
    let mut bare = workload("pod", "cali0");
    bare.mac = None;
    bare.nets.clear();
    assert_eq!(file(bare).1, r#"{"ifaceName":"cali0"}"#);
}

#[test]
fn a_workload_that_is_not_up_has_no_file() {
    let mut facts = Facts::default();
    facts.committed(changes(&[(
        workload_key("w"),
        LocalEndpoint::Workload(workload("pod", "cali0")),
    )]));
    assert!(wanted(&facts).is_empty());
    facts.link(name("cali0"), Some(Carrier::Up));
    assert!(wanted(&facts).is_empty());
}

#[test]
fn names_are_escaped_as_segments_of_paths() {
    let mut hostile = workload("pod", "cali0");
    hostile.orchestrator = "..".to_owned();
    hostile.workload = "../../etc/passwd".to_owned();
    hostile.endpoint = "a b\0\n%;,?é~$&+:=@-_.".to_owned();
    assert_eq!(
        file(hostile).0,
        ".. ..%2F..%2Fetc%2Fpasswd a%20b%00%0A%25%3B%2C%3F%C3%A9~$&+:=@-_."
    );
}

proptest! {
    #[test]
    fn no_name_leads_out_of_the_folder(parts in prop::array::uniform3(any::<String>())) {
        let mut hostile = workload("pod", "cali0");
        let [orchestrator, workload, endpoint] = parts;
        hostile.orchestrator = orchestrator;
        hostile.workload = workload;
        hostile.endpoint = endpoint;
        let (name, _) = file(hostile);
        prop_assert!(is_ours(&name));
        prop_assert!(name.is_ascii() && !name.contains(['/', '\0']) && name.len() >= 2);
        let path = Path::new("folder").join(&name);
        prop_assert_eq!(path.parent(), Some(Path::new("folder")));
        prop_assert!(name != "." && name != "..");
    }
}

fn files(names: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
    names
        .iter()
        .map(|(name, contents)| ((*name).to_owned(), contents.as_bytes().to_vec()))
        .collect()
}

fn listed(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let contents = fs::read(entry.path()).unwrap_or_default();
            (entry.file_name().into_string().unwrap(), contents)
        })
        .collect()
}

#[test]
fn the_folder_becomes_what_is_wanted() {
    let place = tempfile::tempdir().unwrap();
    let prefix = place.path().join("run/calico");
    let path = prefix.join("endpoint-status");
    let mut folder = Folder::below(&prefix);
    // Without a workload there is no folder.
    folder.become_what(&BTreeMap::new()).unwrap();
    assert!(!prefix.exists());
    let first = files(&[("k8s a eth0", "1"), ("k8s b eth0", "2")]);
    folder.become_what(&first).unwrap();
    assert_eq!(listed(&path), first);
    let mode = fs::metadata(path.join("k8s a eth0")).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o644);
    let second = files(&[("k8s b eth0", "3")]);
    folder.become_what(&second).unwrap();
    assert_eq!(listed(&path), second);
    // What others do is put right when it is looked at again.
    fs::write(path.join("k8s b eth0"), "x").unwrap();
    fs::write(path.join("k8s stale eth0"), "x").unwrap();
    folder.forget();
    folder.become_what(&second).unwrap();
    assert_eq!(listed(&path), second);
    assert_eq!(fs::read_dir(&prefix).unwrap().count(), 1, "nothing is left");
}

#[test]
fn a_start_removes_stale_files_and_leaves_what_is_not_ours() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("endpoint-status");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("k8s stale eth0"), "x").unwrap();
    fs::write(path.join("notes"), "x").unwrap();
    fs::create_dir(path.join("k8s folder eth0")).unwrap();
    let elsewhere = place.path().join("elsewhere");
    fs::write(&elsewhere, "1").unwrap();
    symlink(&elsewhere, path.join("k8s a eth0")).unwrap();
    symlink(&elsewhere, place.path().join(".endpoint-status.unfinished")).unwrap();
    let wanted = files(&[("k8s a eth0", "2")]);
    Folder::below(place.path()).become_what(&wanted).unwrap();
    let expected = files(&[("k8s a eth0", "2"), ("k8s folder eth0", ""), ("notes", "x")]);
    assert_eq!(listed(&path), expected);
    assert_eq!(fs::read(&elsewhere).unwrap(), b"1", "no link was followed");
}

#[test]
fn one_file_that_cannot_be_written_holds_up_no_other() {
    let place = tempfile::tempdir().unwrap();
    let long = format!("k8s {} eth0", "x".repeat(300));
    let wanted = files(&[("k8s a eth0", "1"), (&long, "2"), ("k8s z eth0", "3")]);
    let mut folder = Folder::below(place.path());
    let failure = folder.become_what(&wanted).unwrap_err();
    assert!(failure.path.ends_with(&long));
    let listed = listed(&place.path().join("endpoint-status"));
    assert_eq!(listed, files(&[("k8s a eth0", "1"), ("k8s z eth0", "3")]));
}
