//! The daemon with no more than the unit for systemd allows it: one capability, these system calls and families of
//! addresses, a file system that it can write a few directories of, and no child.

mod unit;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use netns_tests::Outcome::{Dropped, Open};
use netns_tests::agent::{Agent, Owner, binary};
use netns_tests::certificates::{Authority, Names, Pair};
use netns_tests::etcd::{Member, V3};
use netns_tests::server::Services;
use netns_tests::stage::until;
use netns_tests::workloads::{Routed, hardware_address};
use netns_tests::{EXT, HOST0, Namespace, Row, WL0, World, ns, tcp, udp};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

const SERVICES: Services = Services {
    tcp: &[22, 8055, 8056],
    udp: &[7001, 7002],
    protocols: &[],
};
const HEALTH: u16 = 9099;
const METRICS: u16 = 9091;
/// Where lock files are.
const LOCKS: &str = "/run/tortie";
/// `CAP_NET_ADMIN`, as `/proc` shows sets.
const NET_ADMIN: &str = "0000000000001000";
const NONE: &str = "0000000000000000";
/// Has the rest of the arguments run where only these directories can be written to. What the kernel shows of itself stays
/// as it is, as with the unit.
const CONFINE: &str = r#"
set -e
umask "$UMASK"
for directory in $WRITABLE; do mount --bind "$directory" "$directory"; done
findmnt --raw --noheadings --output TARGET | while read -r target; do
  case "$target" in /proc | /proc/* | /sys | /sys/* | /dev | /dev/*) continue ;; esac
  case " $WRITABLE " in *" $target "*) continue ;; esac
  mount -o remount,bind,ro "$target" || true
done
exec "$@"
"#;

/// Is where the daemon keeps its files.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("make a directory"));
        for folder in ["log", "state", "calico", "tls"] {
            fs::create_dir(place.path(folder)).expect("make a folder");
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn kept(&self) -> PathBuf {
        self.path("state/last-good")
    }

    fn text(&self, name: &str) -> String {
        text(&self.path(name))
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("paths of tests are UTF-8").to_owned()
}

/// Returns the command that runs the daemon as the unit does.
fn confined(place: &Place) -> Command {
    let calls: Vec<&str> = unit::system_calls().into_iter().collect();
    let families: Vec<String> = unit::families().iter().map(u8::to_string).collect();
    let capability = unit::setting("CapabilityBoundingSet").trim_start_matches("CAP_");
    let bounding = format!("-all,+{}", capability.to_lowercase());
    let writable = ["log", "state", "calico"].map(|name| place.text(name));
    let mut command = Command::new("env");
    command
        .arg(format!("WRITABLE={} {LOCKS}", writable.join(" ")))
        .arg(format!("UMASK={}", unit::setting("UMask")))
        .args(["unshare", "--mount", "--propagation", "private"])
        .args(["sh", "-c", CONFINE, "sh"])
        .args(["setpriv", "--no-new-privs", "--bounding-set", &bounding])
        .args(["--inh-caps", "-all", "--ambient-caps", "-all"])
        .arg(env!("CARGO_BIN_EXE_confined"))
        .args([calls.join(","), families.join(",")])
        .arg(binary());
    command
}

/// Stores what is policed: the host allows one port, and its workload another.
fn fill(member: &Member<'_>, tcp: u16, udp: u16) {
    let resource = |kind: &str, name: &str, mut spec: Value, labels: Value| {
        let take =
            |name: &str, spec: &mut Value| spec.as_object_mut().and_then(|spec| spec.remove(name));
        let metadata =
            json!({ "name": name, "namespace": take("namespace", &mut spec), "labels": labels });
        let document = json!({
            "apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": metadata, "spec": spec,
        });
        document.to_string()
    };
    let allow = |protocol: &str, port: u16| json!([{ "action": "Allow", "protocol": protocol, "destination": { "ports": [port] } }]);
    let policy = |selector: &str, rules: Value| json!({ "order": 10, "selector": selector, "types": ["Ingress"], "ingress": rules });
    let host = json!({ "node": "host1", "interfaceName": "eth0" });
    let workload = json!({
        "namespace": "default", "node": "host1", "orchestrator": "k8s", "pod": "wl0", "endpoint": "eth0",
        "interfaceName": "cali0", "mac": hardware_address(WL0),
        "ipNetworks": [format!("{}/32", WL0.v4), format!("{}/128", WL0.v6)],
    });
    let ready = json!({ "datastoreReady": true });
    for (path, kind, name, spec, labels) in [
        (
            "clusterinformations/default",
            "ClusterInformation",
            "default",
            ready,
            json!({}),
        ),
        (
            "hostendpoints/eth0",
            "HostEndpoint",
            "eth0",
            host,
            json!({ "role": "host" }),
        ),
        (
            "workloadendpoints/default/host1-k8s-wl0-eth0",
            "WorkloadEndpoint",
            "host1-k8s-wl0-eth0",
            workload,
            json!({ "role": "workload" }),
        ),
        (
            "globalnetworkpolicies/default.host",
            "GlobalNetworkPolicy",
            "default.host",
            policy("role == 'host'", allow("TCP", tcp)),
            json!({}),
        ),
        (
            "globalnetworkpolicies/default.workload",
            "GlobalNetworkPolicy",
            "default.workload",
            policy("role == 'workload'", allow("UDP", udp)),
            json!({}),
        ),
    ] {
        member.put(&format!("{V3}/{path}"), &resource(kind, name, spec, labels));
    }
}

/// Expects that of each pair of ports this one alone is open.
fn policed(tcp_port: u16, udp_port: u16) -> Vec<Row> {
    let of = |port, open| if port == open { Open } else { Dropped };
    vec![
        tcp(EXT, HOST0, 22, Open),
        tcp(EXT, HOST0, 8055, of(8055, tcp_port)),
        tcp(EXT, HOST0, 8056, of(8056, tcp_port)),
        udp(EXT, WL0, 7001, of(7001, udp_port)),
        udp(EXT, WL0, 7002, of(7002, udp_port)),
    ]
}

/// Tells whether the daemon answers a request for a page.
fn asked(host: &Namespace, port: u16, path: &str) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        std::io::Result::Ok(answer)
    };
    host.run(|| ask().is_ok_and(|answer| answer.contains(" 200 ")))
}

/// Returns what `/proc` says of the daemon.
fn facts(agent: &Agent) -> BTreeMap<String, String> {
    let status =
        fs::read_to_string(format!("/proc/{}/status", agent.pid())).expect("the daemon lives");
    let lines = status.lines().filter_map(|line| line.split_once(':'));
    lines
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}

/// Returns every file below a path, with its mode.
fn modes(path: &Path) -> BTreeMap<PathBuf, u32> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(path).expect("list a directory").flatten() {
        let path = entry.path();
        let mode = entry
            .metadata()
            .expect("look at a file")
            .permissions()
            .mode();
        if path.is_dir() {
            found.extend(modes(&path));
        }
        found.insert(path, mode & 0o7777);
    }
    found
}

fn secure<'a>(world: &'a World, authority: &Authority, server: &Pair, client: &Pair) -> Member<'a> {
    let (ca, path) = (text(authority.certificate()), |path: &PathBuf| text(path));
    let (certificate, key) = (path(&server.certificate), path(&server.key));
    let (client_certificate, client_key) = (path(&client.certificate), path(&client.key));
    Member::with(
        &world.host,
        "https",
        &[
            "--cert-file",
            &certificate,
            "--key-file",
            &key,
            "--trusted-ca-file",
            &ca,
            "--client-cert-auth",
        ],
        &[
            "--cacert",
            &ca,
            "--cert",
            &client_certificate,
            "--key",
            &client_key,
        ],
    )
}

/// Demands that the daemon has one capability, a filter, and a file system that it cannot write.
fn is_confined(agent: &Agent) {
    let facts = facts(agent);
    for (name, value) in [
        ("CapEff", NET_ADMIN),
        ("CapPrm", NET_ADMIN),
        ("CapBnd", NET_ADMIN),
        ("CapInh", NONE),
        ("CapAmb", NONE),
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
    ] {
        assert_eq!(facts[name], value, "{name}");
    }
    let mounts =
        fs::read_to_string(format!("/proc/{}/mountinfo", agent.pid())).expect("the daemon lives");
    let mut mounts = mounts.lines().map(|line| line.split(' ').skip(4));
    let root = mounts.find_map(|mut fields| (fields.next() == Some("/")).then(|| fields.next()));
    let options = root.flatten().expect("there is a root");
    assert!(options.split(',').any(|option| option == "ro"), "{options}");
}

/// Has the daemon do all that it ever does.
fn keep_busy(world: &World, place: &Place, member: &mut Member<'_>, agent: &Agent) {
    let (log, kept) = (place.path("log").join("felix.log"), place.kept());
    world.routed(&[WL0], Routed::Yes);
    until("health", || asked(&world.host, HEALTH, "/readiness"));
    until("metrics", || asked(&world.host, METRICS, "/metrics"));
    until("a status file", || modes(&place.path("calico")).len() > 1);
    until("the state is kept", || kept.exists());
    let mark = agent.mark();
    agent.signal(Signal::SIGHUP);
    agent.line(&mark, "SIGHUP", |line| {
        line.contains("reading the configuration again")
    });
    fs::rename(&log, place.path("log").join("felix.log.1")).expect("rotate the log");
    fill(member, 8056, 7002);
    world.eventually("after a change", policed(8056, 7002));
    until("the new log", || log.exists());
    member.end(Signal::SIGKILL);
    agent.line(&mark, "etcd is away", |line| {
        line.contains("the datastore is lost")
    });
    member.restart();
    member.serving();
    agent.line(&mark, "etcd is back", |line| {
        line.contains("the datastore is back")
    });
    world.host.ip("link set cali0 down\nlink set cali0 up\n");
    fill(member, 8055, 7002);
    world.eventually("the last change", policed(8055, 7002));
}

/// Demands that others can neither read nor write what the daemon has made.
fn is_private(world: &World, place: &Place) {
    let made = ["log", "state", "calico"].map(|name| modes(&place.path(name)));
    let mut made: BTreeMap<PathBuf, u32> = made.into_iter().flatten().collect();
    assert!(made.len() >= 4, "{made:?}");
    let namespace = Path::new("/proc/thread-self/ns/net");
    let namespace = world.host.run(|| fs::metadata(namespace));
    let lock = format!("{}.lock", namespace.expect("a namespace").ino());
    let mut locks = modes(Path::new(LOCKS));
    locks.retain(|path, _| path.ends_with(&lock));
    assert_eq!(locks.len(), 1, "the lock file stays");
    made.extend(locks);
    for (path, mode) in made {
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
    }
}

#[test]
fn all_of_it_works_with_what_the_unit_allows_and_nobody_else_sees_its_files() {
    if !ns::privileged() {
        return;
    }
    fs::create_dir_all(LOCKS).expect("make the directory of locks");
    let world = World::serving(SERVICES).with_workloads(1);
    let place = Place::new();
    let authority = Authority::new(&place.path("tls"), "ca");
    let local = Names::Alternative("IP:127.0.0.1");
    let (server, client) = (
        authority.sign("server", local),
        authority.sign("client", local),
    );
    let mut member = secure(&world, &authority, &server, &client);
    fill(&member, 8055, 7001);
    let settings = [
        ("ETCD_ENDPOINTS", member.url().to_owned()),
        ("ETCD_CA_CERT_FILE", text(authority.certificate())),
        ("ETCD_CERT_FILE", text(&client.certificate)),
        ("ETCD_KEY_FILE", text(&client.key)),
        ("FELIX_HEALTHENABLED", "true".to_owned()),
        ("FELIX_PROMETHEUSMETRICSENABLED", "true".to_owned()),
        ("FELIX_LOGFILEPATH", place.text("log/felix.log")),
        ("FELIX_LOGSEVERITYFILE", "Debug".to_owned()),
        ("FELIX_ENDPOINTSTATUSPATHPREFIX", place.text("calico")),
        ("FELIX_ENDPOINTREPORTINGENABLED", "true".to_owned()),
        ("FELIX_REPORTINGINTERVALSECS", "1".to_owned()),
    ];
    let settings = settings.each_ref().map(|(name, value)| (*name, &**value));
    let keep = format!("--last-good={}", place.kept().display());
    let start = || {
        let command = confined(&place);
        Agent::started_by(command, &world.host, Owner::usual(), &settings, &[&keep])
    };

    let mut agent = start();
    agent.started();
    is_confined(&agent);
    world.expect("confined", policed(8055, 7001));
    keep_busy(&world, &place, &mut member, &agent);
    assert!(agent.terminate().success());

    member.end(Signal::SIGKILL);
    let table = ["delete", "table", "inet", "tortie"];
    world.host.exec("nft", &table, "");
    let mut agent = start();
    agent.logged("applied");
    world.expect("from the file", policed(8055, 7002));
    assert!(agent.terminate().success());
    is_private(&world, &place);
}

#[test]
fn the_filter_ends_who_starts_a_child() {
    let calls: Vec<&str> = unit::system_calls().into_iter().collect();
    let run = |script: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_confined"));
        command.args([&calls.join(","), "1", "sh", "-c", script]);
        command.status().expect("start the program")
    };
    assert!(run("exit 0").success());
    assert!(!run("(exit 0); exit 0").success());
}
