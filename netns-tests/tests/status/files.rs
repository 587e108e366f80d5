//! Status files of workload endpoints.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use netns_tests::agent::{Agent, Mark, Owner};
use netns_tests::etcd::eventually;
use netns_tests::resources::{ALLOW_ALL, eth0, ingress, local};
use netns_tests::workloads::hardware_address;
use netns_tests::{Directory, WL0, World};

use crate::{SERVICES, only};

fn listed(folder: &Path) -> BTreeMap<String, String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return BTreeMap::new();
    };
    entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            Some((name, fs::read_to_string(entry.path()).ok()?))
        })
        .collect()
}

fn becomes(folder: &Path, what: &str, wanted: &[(&str, &str)]) {
    let wanted: BTreeMap<String, String> = wanted
        .iter()
        .map(|(name, contents)| ((*name).to_owned(), (*contents).to_owned()))
        .collect();
    eventually(what, || listed(folder) == wanted);
}

#[test]
fn a_workload_that_is_up_has_a_file() {
    let world = World::serving(SERVICES).with_workloads(1);
    let place = tempfile::tempdir().expect("make a directory");
    let folder = place.path().join("endpoint-status");
    fs::create_dir(&folder).expect("make the folder");
    fs::write(folder.join("k8s default%2Fold eth0"), "{}").expect("write a stale file");
    let directory = Directory::new();
    directory.put("workload.yaml", &local(WL0, ALLOW_ALL));
    directory.put("eth0.yaml", &eth0());
    let prefix = place.path().to_str().expect("paths of tests are UTF-8");
    let settings = [("FELIX_ENDPOINTSTATUSPATHPREFIX", prefix)];
    let mut agent = Agent::on(&world.host, Owner::Disabled, &settings, &directory);
    let contents = format!(
        r#"{{"ifaceName":"cali0","mac":"{}","ipv4Nets":["{}/32"],"ipv6Nets":["{}/128"]}}"#,
        hardware_address(WL0),
        WL0.v4,
        WL0.v6
    );
    let file = [("k8s default%2Fwl0 eth0", contents.as_str())];
    becomes(&folder, "up, and the stale one is gone", &file);
    world.host.ip("link set cali0 down\n");
    becomes(&folder, "down", &[]);
    world.host.ip("link set cali0 up\n");
    becomes(&folder, "up again", &file);
    // What is in force outlives the daemon, and so does the word of it: the next one does not touch the file.
    agent.terminate();
    let number = || {
        let metadata = fs::metadata(folder.join(file[0].0));
        metadata.expect("the file is there").ino()
    };
    let before = number();
    fs::write(folder.join("k8s default%2Fold eth0"), "{}").expect("write a stale file");
    let mut agent = Agent::on(&world.host, Owner::Disabled, &settings, &directory);
    becomes(&folder, "the stale one is gone again", &file);
    assert_eq!(number(), before);
    agent.terminate();
    directory.remove("workload.yaml");
    let _agent = Agent::on(&world.host, Owner::Disabled, &settings, &directory);
    becomes(&folder, "gone meanwhile", &[]);
}

#[test]
fn a_folder_that_cannot_be_written_holds_nothing_up() {
    let world = World::serving(SERVICES).with_workloads(1);
    let place = tempfile::tempdir().expect("make a directory");
    // A file where the folder should be.
    let folder = place.path().join("endpoint-status");
    fs::write(&folder, "").expect("write a file");
    let prefix = place.path().to_str().expect("paths of tests are UTF-8");
    let settings = [("FELIX_ENDPOINTSTATUSPATHPREFIX", prefix)];
    let agent = Agent::with(&world.host, Owner::Disabled, &settings);
    agent.put("workload.yaml", &local(WL0, ALLOW_ALL));
    agent.warned(&Mark::beginning(), "the status is not written");
    agent.put("eth0.yaml", &eth0());
    agent.put(
        "web.yaml",
        &ingress(
            "web",
            1,
            "{action: Allow, protocol: TCP, destination: {ports: [8055]}}",
        ),
    );
    world.expect("policy is enforced", only(&[8055]));
    fs::remove_file(&folder).expect("remove the file");
    eventually("the folder comes", || listed(&folder).len() == 1);
}
