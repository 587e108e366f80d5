//! What is enforced on a host that has just booted, before its datastore has said anything.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use netns_tests::Outcome::{Dropped, Open};
use netns_tests::agent::{Directory, Mark};
use netns_tests::etcd::{ETH0, Member, endpoint_key, policy as v1_policy, policy_key};
use netns_tests::resources::{documents, eth0, ingress, local, workload_policy};
use netns_tests::server::Services;
use netns_tests::stage::until;
use netns_tests::vigil::Vigil;
use netns_tests::workloads::Routed;
use netns_tests::{
    Agent, EXT, HOST0, Namespace, Owner, Row, WL0, WL1, World, both_ways, ns, tcp, udp, witness,
};
use nix::sys::signal::Signal;
use tempfile::TempDir;

/// A port that every state allows.
const ALWAYS: u16 = 8054;
/// A port that none does.
const NEVER: u16 = 8057;
const SERVICES: Services = Services {
    tcp: &[22, ALWAYS, 8055, 8056, NEVER],
    udp: &[7001, 7002],
    protocols: &[],
};
/// What the log says of a state that is enforced again.
const ENFORCED: &str = "the last good state is enforced until the datastore has been read";

/// Is the directory in which a host keeps its last good state.
struct State(TempDir);

impl State {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("make a directory"))
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("last-good")
    }

    fn argument(&self) -> String {
        format!("--last-good={}", self.file().display())
    }

    fn launch(&self, world: &World, owner: Owner, directory: &Directory) -> Agent {
        self.launch_as(world, owner, &[], directory)
    }

    fn launch_as(
        &self,
        world: &World,
        owner: Owner,
        settings: &[(&str, &str)],
        directory: &Directory,
    ) -> Agent {
        let argument = self.argument();
        Agent::launch_with(&world.host, owner, settings, directory, &[&argument])
    }
}

/// Does to the host's rules what a boot does.
fn boot(host: &Namespace) {
    host.exec("nft", &["delete", "table", "inet", witness::TABLE], "");
}

/// The host allows these ports and the one that is always open; the first workload is allowed one port.
fn state(ports: &[u16], port: u16) -> String {
    let ports = [ports, &[ALWAYS]].concat();
    let host = format!("{{action: Allow, protocol: TCP, destination: {{ports: {ports:?}}}}}");
    let rule = format!("{{action: Allow, protocol: UDP, destination: {{ports: [{port}]}}}}");
    let ingress_of_workload = format!("types: [Ingress], ingress: [{rule}]");
    documents(&[
        eth0(),
        ingress("host", 10, &host),
        local(WL0, ""),
        workload_policy("workload", 20, &ingress_of_workload),
    ])
}

/// Expects what such a state means, and of the other workload, which no state knows, nothing.
fn policed(ports: &[u16], port: u16) -> Vec<Row> {
    let of_host = |other| {
        if ports.contains(&other) {
            Open
        } else {
            Dropped
        }
    };
    let of_workload = |other| if other == port { Open } else { Dropped };
    vec![
        tcp(EXT, HOST0, 22, Open),
        tcp(EXT, HOST0, ALWAYS, Open),
        tcp(EXT, HOST0, 8055, of_host(8055)),
        tcp(EXT, HOST0, 8056, of_host(8056)),
        tcp(EXT, HOST0, NEVER, Dropped),
        udp(EXT, WL0, 7001, of_workload(7001)),
        udp(EXT, WL0, 7002, of_workload(7002)),
        udp(EXT, WL1, 7001, Dropped),
        udp(WL1, EXT, 7001, Dropped),
    ]
}

/// Expects what the guard does: the host is open, and its workloads are cut off.
fn guarded() -> Vec<Row> {
    let mut rows: Vec<Row> = [22, ALWAYS, 8055, NEVER]
        .map(|port| tcp(EXT, HOST0, port, Open))
        .into();
    rows.push(tcp(HOST0, EXT, 8055, Open));
    for (from, to) in [
        (EXT, WL0),
        (WL0, EXT),
        (WL0, WL1),
        (WL0, HOST0),
        (HOST0, WL0),
    ] {
        rows.push(udp(from, to, 7001, Dropped));
    }
    rows
}

/// Returns how many transactions a daemon has committed since a mark.
fn rounds(agent: &Agent, mark: &Mark) -> usize {
    agent.lines_with(mark, "applied") + agent.lines_with(mark, "no change")
}

both_ways! {
    fn workloads_are_cut_off_from_the_first_moment_and_the_host_is_not(owner) {
        let world = World::serving(SERVICES).with_workloads(2);
        world.wire_workloads();
        world.expect("nothing is there", [udp(EXT, WL0, 7001, Open), udp(WL0, WL1, 7001, Open)]);
        let away = [("ETCD_ENDPOINTS", "http://127.0.0.1:1")];
        let start = || Agent::without_directory(&world.host, owner, &away, &[]);
        let mut agent = start();
        agent.line(&Mark::beginning(), "the guard", |line| line.contains("guard: "));
        world.expect("guarded", guarded());
        let before = witness::identities(&world.host);
        agent.kill();
        world.expect("guarded by nobody", guarded());
        let agent = start();
        agent.warned(&Mark::beginning(), "127.0.0.1:1");
        assert_eq!(witness::identities(&world.host), before, "it stands already");
        assert!(agent.has_said(&Mark::beginning(), "guard: it is still there"));
        assert!(!agent.has_said(&Mark::beginning(), "in-sync"));
    }

    fn a_guard_of_a_daemon_that_came_no_further_is_no_policy(owner) {
        let world = World::serving(SERVICES).with_workloads(2);
        let (directory, kept) = (Directory::new(), State::new());
        directory.put("resources.yaml", &state(&[8055], 7001));
        let mut agent = kept.launch(&world, owner, &directory);
        agent.started();
        assert!(agent.terminate().success());

        directory.vanish();
        boot(&world.host);
        let mut agent = Agent::launch(&world.host, owner, &[], &directory);
        agent.line(&Mark::beginning(), "the guard", |line| line.contains("guard: "));
        agent.kill();
        world.expect("the guard alone", guarded());
        let agent = kept.launch(&world, owner, &directory);
        agent.line(&Mark::beginning(), "the last good state", |line| line.contains(ENFORCED));
        agent.logged("applied");
        world.routed(&[WL0], Routed::Yes);
        world.expect("from the file", policed(&[8055], 7001));
    }

    fn what_was_in_force_is_again_until_the_directory_is_there(owner) {
        let world = World::serving(SERVICES).with_workloads(2);
        let (directory, kept) = (Directory::new(), State::new());
        directory.put("resources.yaml", &state(&[8055], 7001));
        let mut agent = kept.launch(&world, owner, &directory);
        agent.started();
        world.routed(&[WL0], Routed::Yes);
        world.expect("as ever", policed(&[8055], 7001));
        assert!(agent.terminate().success());
        let mode = std::fs::metadata(kept.file()).expect("it is kept").permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);

        directory.vanish();
        boot(&world.host);
        world.host.sysctl("net/ipv4/ip_forward", "0");
        let agent = kept.launch(&world, owner, &directory);
        agent.line(&Mark::beginning(), "the last good state", |line| line.contains(ENFORCED));
        agent.logged("applied");
        world.expect("from the file", policed(&[8055], 7001));
        assert!(!agent.has_said(&Mark::beginning(), "in-sync"));

        let vigil = Vigil::keep(&world, NEVER, ALWAYS);
        let mark = agent.mark();
        directory.put_hidden("resources.yaml", &state(&[8056], 7002));
        directory.reappear();
        agent.line(&mark, "the directory was read", |line| line.contains("in-sync"));
        assert_eq!(rounds(&agent, &mark), 1, "one difference, one round");
        world.expect("from the directory", policed(&[8056], 7002));
        vigil.finish();
        directory.put("resources.yaml", &documents(&[eth0()]));
        agent.line(&mark, "the workload has gone", |line| line.contains("endpoints=1"));
        world.routed(&[WL0], Routed::No);
    }
}

#[test]
fn etcd_counts_once_it_is_ready() {
    if !ns::privileged() {
        return;
    }
    let world = World::serving(SERVICES);
    let kept = State::new();
    let argument = kept.argument();
    let mut member = Member::start(&world.host);
    let web = |ports: &[u16]| v1_policy(&[ports, &[ALWAYS]].concat());
    let only = |ports: &[u16]| -> Vec<Row> {
        let expected = |port| if ports.contains(&port) { Open } else { Dropped };
        let mut rows: Vec<Row> = [8055, 8056]
            .map(|port| tcp(EXT, HOST0, port, expected(port)))
            .into();
        rows.extend([tcp(EXT, HOST0, 22, Open), tcp(EXT, HOST0, ALWAYS, Open)]);
        rows
    };
    member.put(&endpoint_key("e0"), ETH0);
    member.put(&policy_key("web"), &web(&[8055]));
    member.put("/calico/v1/Ready", "true");
    let mut agent = member.agent_with(Owner::Disabled, &[], &[&argument]);
    agent.started();
    world.expect("as ever", only(&[8055]));
    agent.terminate();
    member.put("/calico/v1/Ready", "false");
    member.delete(&policy_key("web"));
    member.put(&policy_key("other"), &web(&[8056]));
    member.end(Signal::SIGKILL);
    boot(&world.host);

    let mut agent = member.agent_with(Owner::Disabled, &[], &[&argument]);
    agent.line(&Mark::beginning(), "the last good state", |line| {
        line.contains(ENFORCED)
    });
    agent.logged("applied");
    world.expect("etcd is away", only(&[8055]));
    let vigil = Vigil::keep(&world, NEVER, ALWAYS);
    let mark = agent.mark();
    member.restart();
    member.serving();
    agent.line(&mark, "etcd was read", |line| {
        line.contains("resync: the datastore has been read")
    });
    agent.line(&mark, "it is not ready", |line| {
        line.contains("wait-for-ready: ") && line.contains("is enforced")
    });
    world.expect("etcd is not ready", only(&[8055]));
    let mark = agent.mark();
    member.put("/calico/v1/Ready", "true");
    agent.line(&mark, "etcd is ready", |line| line.contains("in-sync"));
    assert_eq!(rounds(&agent, &mark), 1, "one difference, one round");
    world.expect("etcd is ready", only(&[8056]));
    vigil.finish();
    agent.terminate();
    boot(&world.host);
    member.end(Signal::SIGKILL);
    let agent = member.agent_with(Owner::Disabled, &[], &[&argument]);
    agent.logged("applied");
    world.expect("the later state was kept", only(&[8056]));
}

#[test]
fn a_file_that_cannot_be_trusted_is_none() {
    if !ns::privileged() {
        return;
    }
    let world = World::serving(SERVICES).with_workloads(2);
    world.wire_workloads();
    let (directory, kept) = (Directory::new(), State::new());
    directory.put("resources.yaml", &state(&[8055], 7001));
    let mut agent = kept.launch(&world, Owner::Disabled, &directory);
    agent.started();
    agent.terminate();
    directory.vanish();
    let good = std::fs::read(kept.file()).expect("it is kept");
    let text = String::from_utf8(good.clone()).expect("it is text");
    let opened = text.replace("8055", "8057");
    let cases: [(&str, Vec<u8>, u32, &str); 6] = [
        ("its checksum is another", opened.into(), 0o600, "host1"),
        (
            "it ends too early",
            good[..good.len() / 2].to_vec(),
            0o600,
            "host1",
        ),
        (
            "form 9",
            text.replacen("good 1", "good 9", 1).into(),
            0o600,
            "host1",
        ),
        (
            "does not begin as such a file does",
            b"\x7fELF\n".to_vec(),
            0o600,
            "host1",
        ),
        ("has mode 0644", good.clone(), 0o644, "host1"),
        ("it is of the host \"host1\"", good, 0o600, "host2"),
    ];
    for (reason, bytes, mode, host) in cases {
        std::fs::write(kept.file(), bytes).expect("alter the file");
        set_mode(&kept.file(), mode);
        boot(&world.host);
        let settings = [("FELIX_FELIXHOSTNAME", host)];
        let mut agent = kept.launch_as(&world, Owner::Disabled, &settings, &directory);
        let path = kept.file().display().to_string();
        let warning = agent.warned(&Mark::beginning(), &path);
        assert!(warning.contains(reason), "{reason}: {warning}");
        world.expect(reason, guarded());
        assert!(!agent.has_said(&Mark::beginning(), ENFORCED), "{reason}");
        agent.kill();
    }
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("change the mode");
}

/// Is a file system of a few pages.
struct Small(TempDir);

impl Small {
    fn new() -> Self {
        let place = tempfile::tempdir().expect("make a directory");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=4k,mode=700", "tmpfs"]);
        let status = mount.arg(place.path()).status().expect("start mount");
        assert!(status.success(), "mount: {status}");
        Self(place)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_state_that_cannot_be_kept_keeps_nothing_from_being_enforced() {
    if !ns::privileged() {
        return;
    }
    let world = World::serving(SERVICES);
    let full = Small::new();
    let nowhere = Path::new("/proc/tortie/last-good");
    let more: Vec<String> = (0..100)
        .map(|number| ingress(&format!("more-{number}"), 500, "{action: Deny}"))
        .collect();
    for (path, reason) in [
        (full.0.path().join("last-good").as_path(), "No space left"),
        (nowhere, "make its directory"),
    ] {
        let directory = Directory::new();
        let text = |port| [state(&[port], 7001), documents(&more)].concat();
        directory.put("resources.yaml", &text(8055));
        let argument = format!("--last-good={}", path.display());
        let mut agent =
            Agent::launch_with(&world.host, Owner::Disabled, &[], &directory, &[&argument]);
        agent.started();
        let warning = agent.warned(&Mark::beginning(), &path.display().to_string());
        assert!(warning.contains(reason), "{reason}: {warning}");
        agent.apply(&text(8056));
        world.expect(
            "policy goes on",
            [tcp(EXT, HOST0, 8055, Dropped), tcp(EXT, HOST0, 8056, Open)],
        );
        assert!(agent.terminate().success());
        assert!(!path.exists());
        boot(&world.host);
    }
}

#[test]
fn where_felix_has_left_its_rules_nothing_is_cut_off() {
    if !ns::privileged() {
        return;
    }
    let world = World::serving(SERVICES).with_workloads(1);
    world.wire_workloads();
    world.host.exec(
        "iptables-nft-restore",
        &[],
        "*filter\n:cali-FORWARD - [0:0]\n-A FORWARD -m comment --comment \"cali:wUHhoiAYhphO9Mso\" -j cali-FORWARD\nCOMMIT\n",
    );
    let away = [("ETCD_ENDPOINTS", "http://127.0.0.1:1")];
    let agent = Agent::without_directory(&world.host, Owner::Disabled, &away, &[]);
    agent.line(&Mark::beginning(), "Felix is seen", |line| {
        line.contains("no guard is set up")
    });
    until("it waits for etcd", || {
        agent.has_said(&Mark::beginning(), "the datastore is lost")
    });
    assert!(!witness::exists(&world.host));
    world.expect("Felix polices", [udp(EXT, WL0, 7001, Open)]);
}
