//! What the client writes, and in whose manners.

use std::process::Output;

use netns_tests::World;
use netns_tests::certificates::{Authority, Names};
use netns_tests::etcd::{self, Member, V1, V3, policy_key};
use nix::sys::signal::Signal;

use crate::tls::{secure, settings};
use crate::{SERVICES, protect};

/// One resource of every kind that is kept in etcd, and more.
const KINDS: &str = include_str!("../../../tests/kinds.yaml");
/// The names of those kinds that can be written in v3 form.
const WRITTEN: [&str; 14] = [
    "felixconfiguration",
    "node",
    "ippool",
    "tier",
    "profile",
    "gnp",
    "np",
    "stagedglobalnetworkpolicy",
    "stagednetworkpolicy",
    "stagedkubernetesnetworkpolicy",
    "gns",
    "ns",
    "hep",
    "wep",
];

/// How a command ended.
#[derive(Debug, PartialEq)]
struct Told {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Told {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Demands that it failed for a reason.
    #[track_caller]
    fn failed(&self, reason: &str) {
        assert_eq!((self.code, self.stdout.as_str()), (Some(1), ""), "{self:?}");
        assert!(self.stderr.contains(reason), "{reason}: {self:?}");
    }
}

fn run(member: &Member<'_>, arguments: &str, input: &str) -> Told {
    Told::of(member.tortie(arguments, &[], input))
}

/// Runs a command that succeeds, and returns what it prints.
#[track_caller]
fn done(member: &Member<'_>, arguments: &str, input: &str) -> String {
    let told = run(member, arguments, input);
    assert_eq!(
        (told.code, told.stderr.as_str()),
        (Some(0), ""),
        "{arguments}"
    );
    told.stdout
}

/// A policy in v3 form.
fn policy(name: &str, rest: &str) -> String {
    format!(
        "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {{name: {name}}}\nspec: {{{rest}}}\n"
    )
}

/// Returns the value of a key.
fn value(member: &Member<'_>, key: &str) -> serde_json::Value {
    let text = member.etcdctl(&["get", "--print-value-only", key]);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{key}: {error}: {text:?}"))
}

/// Returns every key.
fn keys(member: &Member<'_>) -> Vec<String> {
    let text = member.etcdctl(&["get", "--prefix", "--keys-only", "/"]);
    let keys = text.lines().filter(|line| !line.is_empty());
    keys.map(str::to_owned).collect()
}

/// Leaves out what every writing changes.
fn lasting(yaml: &str) -> String {
    let changes = ["resourceVersion:", "uid:", "creationTimestamp:"];
    let lines = yaml
        .lines()
        .filter(|line| !changes.iter().any(|field| line.trim().starts_with(field)));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_first_write_makes_a_cluster_ready_and_no_later_one_changes_its_mind() {
    let world = World::new();
    let member = Member::start(&world.host);
    assert_eq!(keys(&member), Vec::<String>::new());
    done(&member, "create -f -", &policy("p", ""));
    let mut all: Vec<String> = [
        "clusterinformations/default",
        "globalnetworkpolicies/p",
        "tiers/default",
        "tiers/kube-admin",
        "tiers/kube-baseline",
    ]
    .map(|key| format!("{V3}/{key}"))
    .into();
    assert_eq!(keys(&member), all);
    let information = format!("{V3}/clusterinformations/default");
    let spec = value(&member, &information)["spec"].clone();
    assert_eq!(spec["datastoreReady"], true);
    let guid = spec["clusterGUID"].as_str().expect("a GUID");
    assert!(
        guid.len() == 32 && guid.chars().all(|c| c.is_ascii_hexdigit()),
        "{guid}"
    );
    // The version is that of calicoctl, which refuses to work with another.
    assert_eq!(spec.as_object().map(serde_json::Map::len), Some(2));
    let stored = value(&member, &all[1]);
    assert_eq!(
        stored["metadata"]["annotations"]["projectcalico.org/metadata"],
        r#"{"name":"p"}"#
    );
    assert!(
        stored["metadata"]["uid"].is_string()
            && stored["metadata"]["creationTimestamp"].is_string()
    );
    // Somebody has locked it, and changed a tier.
    member.put(
        &information,
        r#"{"spec":{"clusterGUID":"x","datastoreReady":false}}"#,
    );
    member.put(&all[4], r#"{"spec":{"order":5}}"#);
    let before: Vec<_> = [&information, &all[4]]
        .map(|key| value(&member, key))
        .into();
    done(&member, "apply -f -", &policy("p", "order: 1"));
    done(&member, "delete gnp p", "");
    let after: Vec<_> = [&information, &all[4]]
        .map(|key| value(&member, key))
        .into();
    assert_eq!(after, before);
    all.remove(1);
    assert_eq!(keys(&member), all);
    for action in ["create", "apply", "replace"] {
        let document = "apiVersion: projectcalico.org/v3\nkind: ClusterInformation\nmetadata: {name: default}\nspec: {datastoreReady: true}\n";
        run(&member, &format!("{action} -f -"), document)
            .failed("ClusterInformation(default): cannot be changed");
    }
}

#[test]
fn what_is_there_is_neither_created_nor_overwritten_unseen() {
    let world = World::new();
    let member = Member::start(&world.host);
    let text = policy("p", "order: 1");
    run(&member, "replace -f -", &text).failed("resource does not exist: GlobalNetworkPolicy(p)");
    run(&member, "delete gnp p", "").failed("resource does not exist: GlobalNetworkPolicy(p)");
    run(&member, "create -f -", &policy("q", "tier: gone"))
        .failed("GlobalNetworkPolicy(q): tier `gone` does not exist");
    done(&member, "create -f -", &text);
    let path = format!("{V3}/globalnetworkpolicies/p");
    run(&member, "create -f -", &policy("p", "order: 2")).failed(&format!(
        "resource already exists: GlobalNetworkPolicy(p), at {path}"
    ));
    done(
        &member,
        "create --skip-exists -f -",
        &policy("p", "order: 2"),
    );
    assert_eq!(value(&member, &path)["spec"]["order"], 1);

    let first = done(&member, "get gnp p -o yaml", "");
    run(&member, "create -f -", &first).failed("metadata.resourceVersion: must not be set");
    let second = first.replace("order: 1", "order: 2");
    done(&member, "replace -f -", &second);
    for command in ["replace -f -", "apply -f -", "delete -f -"] {
        run(&member, command, &second)
            .failed("update conflict: GlobalNetworkPolicy(p) has changed");
    }
    let odd = second.replace("resourceVersion: \"", "resourceVersion: \"x");
    run(&member, "replace -f -", &odd).failed("is no revision of etcd");
    let third = value(&member, &path);
    assert_eq!(third["spec"]["order"], 2);
    // What others keep there stays, and so does who it is.
    let mut kept = third.clone();
    kept["metadata"]["labels"]["other"] = "x".into();
    kept["metadata"]["generation"] = 7.into();
    member.put(&path, &kept.to_string());
    done(&member, "apply -f -", &policy("p", "order: 3"));
    let fourth = value(&member, &path);
    assert_eq!(fourth["metadata"], kept["metadata"]);
    assert_eq!(fourth["spec"]["order"], 3);
    let last = done(&member, "get gnp p -o json", "");
    let told = done(&member, "delete -f -", &last);
    assert_eq!(
        told,
        "Successfully deleted 1 'GlobalNetworkPolicy' resource(s)\n"
    );
    // What has a version and is gone is created by `apply`, as calicoctl does.
    done(&member, "apply -f -", &last);
}

#[test]
fn of_writers_at_the_same_time_one_wins() {
    let world = World::new();
    let member = Member::start(&world.host);
    let all = |command: &str, texts: [String; 4]| {
        std::thread::scope(|scope| {
            let member = &member;
            let writers = texts.map(|text| scope.spawn(move || run(member, command, &text)));
            writers.map(|writer| writer.join().expect("it ends"))
        })
    };
    let won = |told: &[Told; 4]| told.iter().filter(|told| told.code == Some(0)).count();
    let orders = [1, 2, 3, 4].map(|order| format!("order: {order}"));
    let created = all(
        "create -f -",
        orders.clone().map(|order| policy("p", &order)),
    );
    assert_eq!(won(&created), 1, "{created:?}");
    let text = done(&member, "get gnp p -o yaml", "");
    let line = text
        .lines()
        .find(|line| line.contains("order: "))
        .expect("an order");
    let from_one = |order: &String| text.replace(line.trim(), order);
    let replaced = all("replace -f -", orders.each_ref().map(from_one));
    assert_eq!(won(&replaced), 1, "{replaced:?}");
    // Who does not say what the change was made from comes after the others.
    let applied = all("apply -f -", orders.map(|order| policy("p", &order)));
    assert_eq!(won(&applied), 4, "{applied:?}");
}

#[test]
fn one_bad_resource_keeps_all_from_being_written() {
    let world = World::new();
    let member = Member::start(&world.host);
    let good = policy("good", "");
    for (bad, reason) in [
        (
            policy("bad", "selector: '='"),
            "GlobalNetworkPolicy(bad): spec.selector: ",
        ),
        (policy("Bad", ""), "metadata.name"),
        (
            "apiVersion: v1\nkind: policy\nmetadata: {name: bad}\nspec: {ingress: [{}]}\n"
                .to_owned(),
            "action",
        ),
        (
            "apiVersion: projectcalico.org/v3\nkind: BGPPeer\nmetadata: {name: bad}\n".to_owned(),
            "BGPPeer",
        ),
    ] {
        for action in ["create", "apply", "replace"] {
            let told = run(
                &member,
                &format!("{action} -f -"),
                &format!("{good}---\n{bad}"),
            );
            told.failed(reason);
            assert!(
                told.stderr.contains("nothing was written: 1 of 2"),
                "{told:?}"
            );
        }
    }
    assert_eq!(keys(&member), Vec::<String>::new());
}

#[test]
fn every_kind_is_the_same_after_it_was_shown_deleted_and_applied() {
    let world = World::new();
    let member = Member::start(&world.host);
    let documents = KINDS.split("---\n").filter(|document| {
        document.contains("apiVersion: projectcalico.org/v3")
            && !document.contains("kind: ClusterInformation")
    });
    let documents: Vec<&str> = documents.collect();
    let told = done(&member, "create -f -", &documents.join("---\n"));
    assert_eq!(
        told,
        format!("Successfully created {} resource(s)\n", documents.len())
    );
    let whole = |format: &str| {
        WRITTEN.map(|kind| {
            // Every cluster has tiers that cannot be removed.
            let name = if kind == "tier" { "security" } else { "" };
            done(&member, &format!("get {kind} {name} -o {format}"), "")
        })
    };
    let all = whole("yaml");
    for format in ["yaml", "json"] {
        let texts = whole(format);
        let texts = &texts;
        for text in texts {
            let told = done(&member, "delete -f -", text);
            assert!(told.starts_with("Successfully deleted "), "{told}");
        }
        assert_eq!(keys(&member).len(), 4);
        for text in texts {
            done(&member, "apply -f -", text);
        }
        // They carry the versions of before, which a second writing has to find out.
        for text in texts {
            run(&member, "apply -f -", text).failed("update conflict: ");
        }
        for (before, after) in all.iter().zip(&whole("yaml")) {
            assert_eq!(lasting(before), lasting(after));
        }
    }
}

#[test]
fn the_v1_form_is_written_in_v3_form() {
    let world = World::new();
    let member = Member::start(&world.host);
    let endpoint = "- apiVersion: v1\n  kind: hostEndpoint\n  metadata: {name: eth0, node: NODE, labels: {a: b}}\n  spec: {interfaceName: eth0}\n";
    for node in ["one", "two"] {
        let told = run(&member, "apply -f -", &endpoint.replace("NODE", node));
        assert_eq!(told.code, Some(0), "{told:?}");
        assert_eq!(
            told.stdout,
            "Successfully applied 1 'HostEndpoint' resource(s)\n"
        );
        assert!(
            told.stderr
                .contains("warning: 1 host endpoints: in v3 form"),
            "{told:?}"
        );
    }
    // The names of the v1 form are a node's own.
    for node in ["one", "two"] {
        let stored = value(&member, &format!("{V3}/hostendpoints/{node}.eth0"));
        assert_eq!(stored["spec"]["node"], node);
    }
    let told = run(&member, "delete -f -", &endpoint.replace("NODE", "one"));
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(done(&member, "get hep", "").contains("two.eth0"));

    // What is kept in v1 form already is not written beside it.
    let key = format!("{V1}/policy/tier/default/policy/web");
    member.put(
        &key,
        r#"{"order":7,"inbound_rules":[{"action":"allow","src_net":"10.0.0.0/8"}]}"#,
    );
    let shown = done(&member, "get gnp web -o yaml", "");
    assert!(
        shown.starts_with("apiVersion: v1\nkind: policy\n"),
        "{shown}"
    );
    let bare: Vec<&str> = shown
        .lines()
        .filter(|line| !line.contains("resourceVersion"))
        .collect();
    run(&member, "create -f -", &bare.join("\n")).failed(&format!("at {key}"));
    run(&member, "create -f -", &shown).failed("metadata.resourceVersion: must not be set");
    run(&member, "apply -f -", &shown).failed(&format!("at {key}"));
    run(&member, "replace -f -", &shown).failed(&format!("at {key}"));
    let told = run(&member, "delete -f -", &shown);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(!keys(&member).contains(&key));
    let told = run(&member, "apply -f -", &shown);
    assert_eq!(told.code, Some(0), "{told:?}");
    let stored = value(&member, &format!("{V3}/globalnetworkpolicies/web"));
    assert_eq!(stored["spec"]["order"], 7);
    assert_eq!(stored["spec"]["applyOnForward"], true);
    // Options are no resource of the v1 form, and are shown in v3 form.
    member.put(&format!("{V1}/config/LogPrefix"), "x");
    let shown = done(&member, "get felixconfiguration default -o yaml", "");
    assert!(
        shown.contains("config.projectcalico.org/LogPrefix: x\n"),
        "{shown}"
    );
    run(&member, "delete felixconfiguration default", "").failed("one option at a key");
}

#[test]
fn get_shows_what_files_name_in_the_form_in_which_it_is_there() {
    let world = World::new();
    let member = Member::start(&world.host);
    done(&member, "create -f -", &policy("p", "order: 1"));
    let endpoint = "apiVersion: v1\nkind: hostEndpoint\nmetadata: {name: NAME, node: n}\nspec: {interfaceName: eth0}\n";
    let converted = endpoint.replace("NAME", "written");
    run(&member, "create -f -", &converted);
    let kept = endpoint.replace("NAME", "kept");
    member.put(&format!("{V1}/host/n/endpoint/kept"), r#"{"name":"eth1"}"#);
    let shown = |text: &str| run(&member, "get -o yaml -f -", text);
    assert_eq!(
        shown(&policy("p", "")).stdout,
        done(&member, "get gnp p -o yaml", "")
    );
    for (text, name) in [(&converted, "n.written"), (&kept, "kept")] {
        let told = shown(text);
        assert_eq!(told.code, Some(0), "{told:?}");
        assert_eq!(
            told.stdout,
            done(&member, &format!("get hep {name} -o yaml"), "")
        );
    }
    let told = shown(&[policy("gone", ""), policy("p", "")].join("---\n"));
    assert_eq!(
        (told.code, told.stderr.as_str()),
        (
            Some(1),
            "resource does not exist: GlobalNetworkPolicy(gone)\n"
        )
    );
    assert!(told.stdout.contains("name: p\n"), "{told:?}");
}

#[test]
fn the_version_of_what_is_kept_at_several_keys_is_that_of_the_last() {
    let world = World::new();
    let member = Member::start(&world.host);
    let part = |part: &str, value: &str| {
        member.put(&format!("{V1}/policy/profile/web/{part}"), value);
    };
    part("tags", r#"["a"]"#);
    part("rules", r#"{"inbound_rules":[],"outbound_rules":[]}"#);
    let first = done(&member, "get profile web -o yaml", "");
    assert!(first.contains("resourceVersion: "), "{first}");
    part("labels", r#"{"a":"b"}"#);
    run(&member, "delete -f -", &first).failed("update conflict: v1 Profile(web) has changed");
    let second = done(&member, "get profile web -o yaml", "");
    let told = run(&member, "delete -f -", &second);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert_eq!(keys(&member), Vec::<String>::new());
    run(&member, "delete -f -", &second).failed("resource does not exist");
}

#[test]
fn no_policy_is_left_without_its_tier() {
    let world = World::new();
    let member = Member::start(&world.host);
    let tier =
        "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: t}\nspec: {order: 1}\n";
    for _ in 0..20 {
        done(&member, "apply -f -", tier);
        let (removed, created) = std::thread::scope(|scope| {
            let removal = scope.spawn(|| run(&member, "delete tier t", ""));
            let creation = scope.spawn(|| run(&member, "create -f -", &policy("p", "tier: t")));
            (
                removal.join().expect("it ends"),
                creation.join().expect("it ends"),
            )
        });
        // Whichever comes first, the other is refused.
        let codes = [removed.code, created.code];
        assert!(
            codes == [Some(0), Some(1)] || codes == [Some(1), Some(0)],
            "{removed:?} {created:?}"
        );
        run(&member, "delete gnp p --skip-not-exists", "");
    }
}

#[test]
fn namespaces_and_tiers_are_minded() {
    let world = World::new();
    let member = Member::start(&world.host);
    let set = "apiVersion: projectcalico.org/v3\nkind: NetworkSet\nmetadata: {name: s}\nspec: {nets: [10.0.0.0/8]}\n";
    for namespace in ["prod", "test"] {
        done(&member, &format!("create -n {namespace} -f -"), set);
    }
    done(&member, "create -f -", set);
    let namespaces = |arguments: &str| {
        let table = done(&member, &format!("get ns {arguments}"), "");
        let first = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
        table.lines().skip(1).map(first).collect::<Vec<_>>()
    };
    assert_eq!(namespaces(""), ["default", "prod", "test"]);
    assert_eq!(namespaces("-A"), ["default", "prod", "test"]);
    assert_eq!(namespaces("-n prod"), ["prod"]);
    assert_eq!(namespaces("s --namespace test"), ["test"]);
    let shown = done(&member, "get ns s -n prod -o yaml", "");
    run(&member, "apply -n test -f -", &shown).failed("is `prod`, and --namespace is `test`");
    run(&member, "create -n test -f -", &policy("p", ""))
        .failed("a GlobalNetworkPolicy has no namespace");
    run(&member, "delete ns s", "").failed("`s` may be");
    done(&member, "delete ns s -n prod", "");
    done(&member, "delete ns test/s", "");
    assert_eq!(namespaces(""), ["default"]);

    let tier =
        "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: t}\nspec: {order: 1}\n";
    done(&member, "create -f -", tier);
    done(&member, "create -f -", &policy("p", "tier: t"));
    run(&member, "delete tier t", "").failed("GlobalNetworkPolicy(p) stands in it");
    run(&member, "delete tier default", "").failed("every cluster has this tier");
    done(&member, "delete gnp p", "");
    done(&member, "delete tier t", "");
}

#[test]
fn tls_and_logins_are_those_of_the_daemon() {
    let world = World::new();
    let place = tempfile::tempdir().expect("make a directory");
    let authority = Authority::new(place.path(), "authority");
    let server = authority.sign("server", Names::Alternative("IP:127.0.0.1"));
    let client = authority.sign("client", Names::CommonAlone);
    let mut member = secure(&world, &authority, &server, &client);
    for arguments in [
        ["user", "add", "root:secret"].as_slice(),
        &["user", "grant-role", "root", "root"],
        &["role", "add", "writer"],
        &[
            "role",
            "grant-permission",
            "--prefix=true",
            "writer",
            "readwrite",
            "/calico/",
        ],
        &["user", "add", "someone:pass word"],
        &["user", "grant-role", "someone", "writer"],
        &["role", "add", "reader"],
        &[
            "role",
            "grant-permission",
            "--prefix=true",
            "reader",
            "read",
            "/calico/",
        ],
        &["user", "add", "reader:only"],
        &["user", "grant-role", "reader", "reader"],
        &["auth", "enable"],
    ] {
        member.etcdctl(arguments);
    }
    member.log_in("root", "secret");
    let tls = settings(authority.certificate(), &client);
    let run = |login: [&str; 2], arguments: &str, input: &str| {
        let [user, password] = login;
        let mut all = vec![("CALICO_ETCD_USERNAME", user), ("ETCD_PASSWORD", password)];
        all.extend(tls);
        Told::of(member.tortie(arguments, &all, input))
    };
    let told = run(["someone", "pass word"], "create -f -", &policy("p", ""));
    assert_eq!((told.code, told.stderr.as_str()), (Some(0), ""), "{told:?}");
    let shown = run(["reader", "only"], "get gnp -o yaml", "");
    assert_eq!(shown.code, Some(0), "{shown:?}");
    let told = run(["reader", "only"], "create -f -", &policy("q", ""));
    told.failed(
        "change GlobalNetworkPolicy(q): https://127.0.0.1:2379: etcdserver: permission denied",
    );
    assert!(
        told.stderr.contains("warning: it cannot be made sure"),
        "{told:?}"
    );
    run(["someone", "wrong"], "get gnp", "").failed("authentication failed");
    Told::of(member.tortie("get gnp", &[], "")).failed("https://127.0.0.1:2379");
}

#[test]
fn a_cluster_that_does_not_answer_is_named() {
    let world = World::new();
    let mut member = Member::start(&world.host);
    member.signal(Signal::SIGSTOP);
    let url = "http://127.0.0.1:2379";
    for arguments in ["get gnp", "create -f -", "delete gnp p"] {
        run(&member, arguments, &policy("p", "")).failed(&format!("{url} has not answered within"));
    }
    member.end(Signal::SIGKILL);
    for arguments in [
        "get gnp",
        "apply -f -",
        "diff",
        "explain --from 192.0.2.2 --to 192.0.2.1 --proto icmp",
    ] {
        let told = run(&member, arguments, &policy("p", ""));
        assert!(
            told.stderr.contains(&format!("connect to {url}")),
            "{told:?}"
        );
        assert!(told.code.is_some_and(|code| code > 0), "{told:?}");
    }
    // Of several members, one is enough.
    member.restart();
    member.serving();
    let endpoints = [("ETCD_ENDPOINTS", "http://127.0.0.1:1,http://127.0.0.1:2379")];
    let told = Told::of(member.tortie("create -f -", &endpoints, &policy("p", "")));
    assert_eq!((told.code, told.stderr.as_str()), (Some(0), ""), "{told:?}");
}

#[test]
fn a_member_without_its_cluster_is_passed_over_and_named() {
    let world = World::new();
    let mut members = Member::three(&world.host);
    let urls = members.each_ref().map(Member::url).join(",");
    let all = [("ETCD_ENDPOINTS", urls.as_str())];
    let [first, second, third] = &mut members;
    first.end(Signal::SIGKILL);
    second.serving();
    let told = Told::of(second.tortie("create -f -", &all, &policy("p", "")));
    assert_eq!((told.code, told.stderr.as_str()), (Some(0), ""), "{told:?}");
    second.end(Signal::SIGKILL);
    let told = Told::of(third.tortie("create -f -", &all, &policy("q", "")));
    told.failed("no member of etcd can be used: ");
    for member in [first, second, third] {
        assert!(told.stderr.contains(member.url()), "{told:?}");
    }
}

#[test]
fn what_is_shown_of_a_host_comes_from_the_cluster() {
    let world = World::serving(SERVICES);
    let member = Member::start(&world.host);
    let mut agent = protect(&member, &[]);
    let told = run(&member, "diff", "");
    assert_eq!(
        (told.code, told.stderr.as_str()),
        (Some(0), "no difference\n"),
        "{told:?}"
    );
    agent.terminate();
    member.put(&policy_key("web"), &etcd::policy(&[8056]));
    let told = run(&member, "diff", "");
    assert_eq!((told.code, told.stderr.as_str()), (Some(1), ""), "{told:?}");
    assert!(told.stdout.contains("+ tcp dport 8056 accept"), "{told:?}");
    let explain = |port: u16| {
        let arguments =
            format!("explain --from 192.0.2.2 --to 192.0.2.1 --proto tcp --port {port} --in eth0");
        run(&member, &arguments, "")
    };
    assert_eq!(
        [8056, 8055].map(|port| explain(port).code),
        [Some(0), Some(1)]
    );
    let table = done(&member, "get hep", "");
    assert!(
        table
            .lines()
            .any(|line| line.starts_with("e0 ") && line.contains("v1     eth0")),
        "{table}"
    );
    member.put("/calico/v1/Ready", "false");
    assert!(
        explain(8056)
            .stderr
            .contains("does not say that it is ready")
    );
}
