//! The datastore client of the built program.

#![expect(clippy::expect_used, reason = "what is not there in a test fails it")]
#![expect(clippy::disallowed_methods, reason = "a test may start programs")]

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A directory of resources, removed in the end.
struct Resources(PathBuf);

/// A program run to its end.
struct Outcome {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Resources {
    fn new(name: &str) -> Self {
        let name = format!("tortie-client-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a path in UTF-8")
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).expect("a file");
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).expect("a file")
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("a directory");
        let name = |entry: fs::DirEntry| entry.file_name().into_string().expect("UTF-8");
        let mut names: Vec<String> = entries
            .map(|entry| name(entry.expect("an entry")))
            .collect();
        names.sort();
        names
    }

    /// Runs a command on the directory, with `input` on standard input.
    fn run(&self, arguments: &str, input: &str) -> Outcome {
        let arguments = format!(
            "{arguments} --config-file /nonexistent --directory {}",
            self.path()
        );
        let outcome = tortie(&arguments, input);
        Outcome {
            stdout: outcome.stdout.replace(self.path(), "DIR"),
            stderr: outcome.stderr.replace(self.path(), "DIR"),
            ..outcome
        }
    }

    /// Runs a command that succeeds, and returns what it prints.
    #[track_caller]
    fn done(&self, arguments: &str, input: &str) -> String {
        let found = self.run(arguments, input);
        assert_eq!(
            (found.code, found.stderr.as_str()),
            (Some(0), ""),
            "{arguments}"
        );
        found.stdout
    }
}

impl Drop for Resources {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn tortie(arguments: &str, input: &str) -> Outcome {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tortie"))
        .args(arguments.split_whitespace())
        .env_clear()
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    let mut stdin = child.stdin.take().expect("standard input");
    // A program that ends without reading is no fault of the test.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("an end");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Outcome {
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// A policy in v3 form.
fn policy(name: &str, rest: &str) -> String {
    format!(
        "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {{name: {name}}}\n\
         spec: {{{rest}}}\n"
    )
}

#[test]
fn create_writes_what_is_not_there_with_calicoctls_defaults() {
    let resources = Resources::new("create");
    let text = "\
apiVersion: projectcalico.org/v3
kind: Tier
metadata: {name: security}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: web}
spec: {tier: security, egress: [{action: Allow}]}
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: db}
spec: {ingress: [{action: Allow}], egress: [{action: Deny}]}
---
apiVersion: projectcalico.org/v3
kind: WorkloadEndpoint
metadata: {}
spec: {node: n, orchestrator: cni, containerID: c, endpoint: eth0, interfaceName: cali1, ipNetworks: [10.0.0.1]}
---
apiVersion: v1
kind: HostEndpoint
metadata: {name: Eth_0, node: n}
spec: {interfaceName: eth0}
";
    let told = resources.done("create -f -", text);
    assert_eq!(told, "Successfully created 5 resource(s)\n");
    let mut all = String::new();
    for name in resources.names() {
        let mode = fs::metadata(resources.0.join(&name))
            .expect("a file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o644, "{name}");
        let lines = resources.text(&name);
        let lines = lines
            .lines()
            .filter(|line| !line.contains("creationTimestamp: 20"));
        let lines = lines.collect::<Vec<_>>().join("\n");
        writeln!(all, "## {name}\n{lines}").expect("text");
    }
    insta::assert_snapshot!("create", all);

    let again = resources.run("create -f -", text);
    assert_eq!((again.code, again.stdout.as_str()), (Some(1), ""));
    assert!(
        again
            .stderr
            .contains("resource already exists: Tier(security), at DIR/tier_security.yaml:1\n")
    );
    assert!(again.stderr.ends_with("Failed to create any resources\n"));
    resources.done("create -f - --skip-exists", text);
    let partly = text.replace("name: web", "name: web2");
    let partly = resources.run("create -f -", &partly);
    assert_eq!(partly.code, Some(1));
    assert_eq!(partly.stdout, "Partial success: created 1 of 5 resources\n");
}

#[test]
fn everything_is_checked_before_anything_is_written() {
    let resources = Resources::new("checked");
    let text = policy("good", "")
        + "---\n"
        + &policy("bad", "selector: '=', ingress: [{action: Accept}]")
        + "---\n{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {name: p}}\n";
    let found = resources.run("apply -f -", &text);
    assert_eq!((found.code, found.stdout.as_str()), (Some(1), ""));
    insta::assert_snapshot!("checked", found.stderr);
    assert_eq!(resources.names(), Vec::<String>::new());
    let found = resources.run("create -f -", &policy("p", "tier: gone"));
    assert_eq!(
        (found.code, found.stderr.as_str()),
        (
            Some(1),
            "GlobalNetworkPolicy(p): tier `gone` does not exist: create it first\n\
             Failed to create 'GlobalNetworkPolicy' resource\n"
        )
    );
}

#[test]
fn replace_heeds_the_version_that_a_change_was_made_from() {
    let resources = Resources::new("replace");
    let absent = resources.run("replace -f -", &policy("p", ""));
    assert_eq!(absent.code, Some(1));
    assert!(
        absent
            .stderr
            .starts_with("resource does not exist: GlobalNetworkPolicy(p)\n")
    );
    resources.done("apply -f -", &policy("p", "order: 1"));
    let first = resources.done("get gnp p -o yaml", "");
    assert!(
        first.contains("resourceVersion: ") && first.contains("order: 1\n"),
        "{first}"
    );
    let second = first.replace("order: 1", "order: 2");
    resources.done("replace -f -", &second);
    for action in ["replace", "apply"] {
        let late = resources.run(&format!("{action} -f -"), &second);
        assert_eq!(late.code, Some(1), "{action}");
        assert!(
            late.stderr
                .starts_with("update conflict: GlobalNetworkPolicy(p) has changed")
        );
    }
    // The time of creation outlives a change.
    let created = |text: &str| {
        text.lines()
            .find(|line| line.contains("creation"))
            .map(str::to_owned)
    };
    let third = resources.done("get gnp p -o yaml", "");
    assert_eq!(created(&first), created(&third));
    assert!(created(&first).is_some());
}

#[test]
fn a_version_is_asked_of_what_is_removed_and_refused_of_what_is_created() {
    let resources = Resources::new("versions");
    resources.done("create -f -", &policy("p", "order: 1"));
    let first = resources.done("get gnp p -o yaml", "");
    resources.done("apply -f -", &policy("p", "order: 2"));
    let late = resources.run("delete -f -", &first);
    assert_eq!(late.code, Some(1));
    assert!(
        late.stderr
            .starts_with("update conflict: GlobalNetworkPolicy(p)")
    );
    let second = resources.done("get gnp p -o yaml", "");
    resources.done("delete -f -", &second);
    let again = resources.run("create -f -", &second);
    assert_eq!(again.code, Some(1));
    assert!(
        again
            .stderr
            .starts_with("GlobalNetworkPolicy(p): metadata.resourceVersion: must not")
    );
    resources.done("apply -f -", &second);
}

#[test]
fn a_namespace_is_put_where_there_is_none_and_looked_for() {
    let resources = Resources::new("namespaces");
    let set = "{apiVersion: projectcalico.org/v3, kind: NetworkSet, metadata: {name: s}, spec: {nets: [10.0.0.0/8]}}";
    resources.done("create -n prod -f -", set);
    resources.done("create -f -", set);
    assert_eq!(
        resources.names(),
        ["networkset_default_s.yaml", "networkset_prod_s.yaml"]
    );
    let shown = resources.done("get ns -n prod -o yaml", "");
    assert!(
        shown.contains("namespace: prod") && !shown.contains("namespace: default"),
        "{shown}"
    );
    assert_eq!(resources.done("get ns -A", "").lines().count(), 3);
    for (arguments, reason) in [
        (
            "get gnp -n prod",
            "tortie: a GlobalNetworkPolicy has no namespace\n",
        ),
        (
            "delete gnp p -n prod",
            "tortie: a GlobalNetworkPolicy has no namespace\n",
        ),
    ] {
        let found = resources.run(arguments, "");
        assert_eq!((found.code, found.stderr.as_str()), (Some(1), reason));
    }
    let other = resources.run("apply -n test -f -", &shown);
    assert!(
        other
            .stderr
            .contains("metadata.namespace: is `prod`, and --namespace is `test`"),
        "{}",
        other.stderr
    );
    resources.done("delete ns s -n prod", "");
    assert_eq!(resources.names(), ["networkset_default_s.yaml"]);
}

#[test]
fn other_resources_of_a_file_stay_as_they_are() {
    let resources = Resources::new("beside");
    let [a, b] = ["a", "b"].map(|name| format!("# about {name}\n{}", policy(name, "order:   7")));
    resources.put("all.yaml", &format!("{a}---\n{b}"));
    resources.done("apply -f -", &policy("a", "order: 1"));
    let text = resources.text("all.yaml");
    assert!(
        text.starts_with("# about a\napiVersion") && text.contains("order: 1\n"),
        "{text}"
    );
    assert!(text.ends_with(&format!("---\n{b}")), "{text}");
    assert_eq!(resources.names(), ["all.yaml"]);
    let told = resources.done("delete gnp a", "");
    assert_eq!(
        told,
        "Successfully deleted 1 'GlobalNetworkPolicy' resource(s)\n"
    );
    assert_eq!(resources.text("all.yaml"), format!("---\n{b}"));
    resources.done(
        "delete -f -",
        &policy("b", "nonsense: [}").replace("[}", "1"),
    );
    assert_eq!(resources.names(), Vec::<String>::new());
    let gone = resources.run("delete gnp b", "");
    assert_eq!(gone.code, Some(1));
    resources.done("delete gnp b --skip-not-exists", "");

    let flow = "[{apiVersion: v1, kind: node, metadata: {name: a}},\n {apiVersion: v1, kind: node, metadata: {name: b}}]";
    resources.put("flow.yaml", flow);
    let refused = resources.run("delete node a", "");
    assert_eq!(refused.code, Some(1));
    assert!(
        refused
            .stderr
            .starts_with("v1 Node(a) stands in `DIR/flow.yaml`, and its resources cannot"),
        "{}",
        refused.stderr
    );
    assert_eq!(resources.text("flow.yaml"), flow);
    resources.put(
        "twice.yaml",
        "{apiVersion: v1, kind: node, metadata: {name: a}}",
    );
    let twice = resources.run("delete node a", "");
    assert!(
        twice
            .stderr
            .contains("is defined at DIR/flow.yaml:1 and at DIR/twice.yaml:1")
    );
}

#[test]
fn what_get_prints_can_be_applied_again_and_changes_nothing() {
    let resources = Resources::new("again");
    let files = [
        include_str!("kinds.yaml"),
        include_str!("fixtures/v1_forms/resources.yaml"),
    ];
    resources.put("kinds.yaml", files[0]);
    resources.put("v1.yaml", files[1]);
    let kinds = [
        "clusterinformation",
        "felixconfiguration",
        "node",
        "ippool",
        "tier",
        "profile",
        "gnp",
        "np",
        "gns",
        "ns",
        "hep",
        "wep",
    ];
    let other = Resources::new("again-other");
    for kind in kinds {
        for format in ["yaml", "json"] {
            let text = resources.done(&format!("get {kind} -o {format}"), "");
            other.run(&format!("apply -f - {}", ""), &text);
            let tables = [&resources, &other].map(|each| each.done(&format!("get {kind}"), ""));
            assert_eq!(tables[0], tables[1], "{kind}");
        }
    }
    let rendered = [&resources, &other].map(|each| {
        tortie(
            &format!("render {} --hostname host -c /none", each.path()),
            "",
        )
        .stdout
    });
    assert_eq!(rendered[0], rendered[1]);
}

#[test]
fn get_shows_what_files_name() {
    let resources = Resources::new("get-files");
    let set = "apiVersion: projectcalico.org/v3\nkind: NetworkSet\nmetadata: {name: s, namespace: prod}\nspec: {nets: [10.0.0.0/8]}\n";
    let node = "apiVersion: v1\nkind: node\nmetadata: {name: n}\n";
    let (one, two) = (policy("one", "order: 1"), policy("two", "order: 2"));
    resources.done(
        "create -f -",
        &[one.as_str(), two.as_str(), set, node].join("---\n"),
    );

    let other = Resources::new("get-files-names");
    // Only the name matters.
    other.put("a.yaml", &policy("one", "selector: '='"));
    other.put("b.yaml", &[set, node].join("---\n"));
    let all = format!("get -f {0}/a.yaml -f {0}/b.yaml", other.path());
    let table = resources.done(&all, "");
    let first = |line: &str| {
        line.split_whitespace()
            .take(2)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let lines: Vec<String> = table.lines().map(first).collect();
    assert_eq!(
        lines,
        [
            "NAME LABELS",
            "n -",
            "",
            "NAME TIER",
            "one default",
            "",
            "NAMESPACE NAME",
            "prod s"
        ]
    );
    let table = resources.done(&format!("get --filename {}", other.path()), "");
    assert_eq!(table.lines().map(first).collect::<Vec<_>>(), lines);

    // One is shown as itself, several as a list; both can be applied.
    assert_eq!(
        resources.done("get -o yaml -f -", &policy("two", "")),
        resources.done("get gnp two -o yaml", "")
    );
    let list = resources.done(&format!("{all} -o json"), "");
    assert!(list.contains("\"kind\": \"List\""), "{list}");
    resources.done("apply -f -", &list);
    assert_eq!(resources.done(&format!("{all} -o json"), ""), list);

    let found = resources.run(
        "get -o yaml -f -",
        &[policy("gone", ""), one.clone(), policy("lost", "")].join("---\n"),
    );
    assert_eq!(found.code, Some(1));
    assert!(found.stdout.contains("name: one\n"), "{}", found.stdout);
    assert_eq!(
        found.stderr,
        "resource does not exist: GlobalNetworkPolicy(gone)\n\
         resource does not exist: GlobalNetworkPolicy(lost)\n"
    );
    let bare = set.replace(", namespace: prod", "");
    let found = resources.run("get -f -", &bare);
    assert_eq!(
        found.stderr,
        "resource does not exist: NetworkSet(default/s)\n"
    );
    assert!(resources.done("get -n prod -f -", &bare).contains("prod"));
    let found = resources.run("get -n test -f -", set);
    assert!(
        found.stderr.contains("--namespace is `test`"),
        "{}",
        found.stderr
    );
    let found = resources.run("get -f -", &policy("", ""));
    assert_eq!((found.code, found.stdout.as_str()), (Some(1), ""));
    assert!(
        found.stderr.contains("1 cannot be named"),
        "{}",
        found.stderr
    );
    assert_eq!(resources.run("get gnp -f -", &one).code, Some(2));
    assert_eq!(resources.run("get", "").code, Some(2));
}

#[test]
fn the_v1_form_has_versions_too() {
    let resources = Resources::new("v1-versions");
    let node = "apiVersion: v1\nkind: node\nmetadata: {name: web1}\n";
    resources.done("create -f -", node);
    let first = resources.done("get node web1 -o yaml", "");
    resources.done(
        "replace -f -",
        &first.replace("name: web1", "name: web1\n  labels: {a: b}"),
    );
    for command in ["replace -f -", "delete -f -"] {
        let found = resources.run(command, &first);
        assert_eq!(found.code, Some(1), "{command}");
        assert!(
            found.stderr.starts_with("update conflict: "),
            "{}",
            found.stderr
        );
    }
    let second = resources.done("get node web1 -o yaml", "");
    resources.done("delete -f -", &second);
}

#[test]
fn configuration_that_the_daemon_refuses_is_not_written() {
    let resources = Resources::new("felix");
    let felix = |spec: &str| {
        format!(
            "apiVersion: projectcalico.org/v3\nkind: FelixConfiguration\nmetadata: {{name: default}}\nspec: {{{spec}}}\n"
        )
    };
    resources.done("create -f -", &felix("logPrefix: x, bpfEnabled: false"));
    let before = resources.text("felixconfiguration_default.yaml");
    for (spec, reason) in [
        ("chainInsertMode: Bogus", "ChainInsertMode: `Bogus`"),
        (
            "failsafeInboundHostPorts: [{protocol: tcp, port: 99999}]",
            "FailsafeInboundHostPorts: `tcp:99999`",
        ),
    ] {
        for action in ["create", "apply", "replace"] {
            let found = resources.run(
                &format!("{action} -f -"),
                &[policy("p", ""), felix(spec)].join("---\n"),
            );
            assert_eq!((found.code, found.stdout.as_str()), (Some(1), ""), "{spec}");
            assert!(
                found.stderr.contains(&format!(
                    "standard input:6: FelixConfiguration(default): {reason}"
                )),
                "{}",
                found.stderr
            );
        }
    }
    assert_eq!(resources.names().len(), 1);
    assert_eq!(resources.text("felixconfiguration_default.yaml"), before);
    // What the default takes the place of is told, and written.
    let found = resources.run(
        "apply -f -",
        &felix("unheardOf: 1, prometheusMetricsPort: 99999"),
    );
    assert_eq!(found.code, Some(0), "{}", found.stderr);
    for option in ["unheardOf", "PrometheusMetricsPort"] {
        let warning = format!("warning: standard input:1: FelixConfiguration(default): {option}: ");
        assert!(found.stderr.contains(&warning), "{}", found.stderr);
    }
}

#[test]
fn clients_wait_for_each_other() {
    let resources = Resources::new("two");
    std::thread::scope(|scope| {
        for number in 0..4 {
            let resources = &resources;
            scope.spawn(move || resources.done("create -f -", &policy(&format!("p{number}"), "")));
        }
    });
    assert_eq!(resources.names().len(), 4);
}

#[test]
fn convert_puts_v1_into_v3_and_says_what_differs() {
    let found = tortie("convert -f tests/fixtures/v1_forms/resources.yaml", "");
    assert_eq!(found.code, Some(0), "{}", found.stderr);
    insta::assert_snapshot!("convert", format!("{}--\n{}", found.stdout, found.stderr));
    let resources = Resources::new("converted");
    resources.done("create -f -", &found.stdout);
}

#[test]
fn what_is_converted_in_several_steps_fits_together() {
    let profile = "- {apiVersion: v1, kind: profile, metadata: {name: Web_1}, spec: {ingress: [{action: allow}]}}\n";
    let endpoint = "- {apiVersion: v1, kind: hostEndpoint, metadata: {name: E0, node: n}, spec: {interfaceName: eth0, profiles: [Web_1]}}\n";
    let apart = [profile, endpoint].map(|text| tortie("convert -f -", text));
    let together = tortie("convert -f -", &[profile, endpoint].concat());
    let steps: Vec<&str> = apart.iter().map(|found| found.stdout.as_str()).collect();
    assert_eq!(steps.join("---\n"), together.stdout);
    assert!(
        apart[1]
            .stderr
            .contains("its profile `Web_1` is named `web-1`"),
        "{}",
        apart[1].stderr
    );
}

#[test]
fn convert_reads_keys() {
    let dump = r#"
/calico/v1/Ready true
/calico/v1/config/LogSeverityScreen debug
/calico/v1/host/n/config/InterfacePrefix tap
/calico/v1/host/n/bird_ip 192.0.2.1
/calico/v1/host/n/endpoint/E {"name":"eth0","expected_ipv4_addrs":["192.0.2.1"],"labels":{"a":"b"},"profile_ids":["P"]}
/calico/v1/host/n/workload/k8s/ns.pod-1/endpoint/eth0 {"state":"active","name":"cali1","mac":null,"ipv4_nets":["10.65.0.2/32"],"ipv6_nets":[],"profile_ids":["P"],"labels":null,"ipv4_nat":[{"int_ip":"10.65.0.2","ext_ip":"198.51.100.7"}]}
/calico/v1/policy/tier/default/policy/web {"order":100,"selector":"role == \"web\"","untracked":true,"inbound_rules":[{"action":"allow","protocol":"tcp","dst_ports":[80,"8000:8099"],"src_net":"10.0.0.0/8"},{"action":"next-tier","src_tag":"mgmt"}],"outbound_rules":[{}]}
/calico/v1/policy/profile/P/rules {"inbound_rules":[{"action":"deny","!src_tag":"mgmt"}],"outbound_rules":[]}
/calico/v1/policy/profile/P/tags ["mgmt"]
/calico/v1/policy/profile/P/labels {"x":"y"}
/calico/v1/ipam/v4/pool/10.65.0.0-16 {"cidr":"10.65.0.0/16","ipip":"tunl0","ipip_mode":"cross-subnet","masquerade":true}
/calico/bgp/v1/global/as_num 64512
"#;
    let found = tortie("convert -f -", dump);
    assert_eq!(found.code, Some(0), "{}", found.stderr);
    insta::assert_snapshot!(
        "convert_keys",
        format!("{}--\n{}", found.stdout, found.stderr)
    );
    let bad = dump
        .replace("\"src_tag\":\"mgmt\"}", "\"src_zone\":1}")
        .replace("true\n", "true\n/calico/v1/host/n/endpoint/x {\n");
    let found = tortie("convert -f -", &bad);
    assert_eq!((found.code, found.stdout.as_str()), (Some(1), ""));
    assert!(
        found.stderr.contains("its value is not JSON"),
        "{}",
        found.stderr
    );
    assert!(found.stderr.contains("zone"), "{}", found.stderr);
}

#[test]
fn convert_puts_configuration_of_both_forms_together() {
    let dump = r#"
/calico/v1/Ready true
/calico/v1/config/LogSeverityScreen debug
/calico/v1/config/FailsafeInboundHostPorts 22
/calico/v1/config/ReportingIntervalSecs 7
/calico/resources/v3/projectcalico.org/felixconfigurations/default {"apiVersion":"projectcalico.org/v3","kind":"FelixConfiguration","metadata":{"name":"default"},"spec":{"failsafeInboundHostPorts":[{"protocol":"tcp","port":2222}],"reportingInterval":"9s"}}
/calico/resources/v3/projectcalico.org/clusterinformations/default {"apiVersion":"projectcalico.org/v3","kind":"ClusterInformation","metadata":{"name":"default"},"spec":{"datastoreReady":false}}
"#;
    let found = tortie("convert -f -", dump);
    assert_eq!(found.code, Some(0), "{}", found.stderr);
    for line in [
        "port: 2222",
        "reportingInterval: 9s",
        "config.projectcalico.org/LogSeverityScreen: debug",
        "datastoreReady: false",
    ] {
        assert!(found.stdout.contains(line), "{line} in {}", found.stdout);
    }
    for option in [
        "config.projectcalico.org/Failsafe",
        "config.projectcalico.org/Reporting",
    ] {
        assert!(
            !found.stdout.contains(option),
            "{option} in {}",
            found.stdout
        );
    }
    assert_eq!(
        found.stderr.matches("is added to that").count(),
        2,
        "{}",
        found.stderr
    );
}

#[test]
fn convert_takes_what_stands_twice_once_and_refuses_what_differs() {
    let profile = |name: &str, action: &str| {
        format!(
            "apiVersion: v1
kind: profile
metadata: {{name: {name}}}
spec: {{ingress: [{{action: {action}}}]}}
"
        )
    };
    let twice = [
        profile("P1", "allow"),
        profile("p1", "allow"),
        profile("P1", "allow"),
    ]
    .join(
        "---
",
    );
    let found = tortie("convert -f -", &twice);
    assert_eq!(found.code, Some(0), "{}", found.stderr);
    assert_eq!(
        found.stdout.matches("kind: Profile").count(),
        2,
        "{}",
        found.stdout
    );
    // A name that can stay does: others refer to it.
    assert!(
        found.stderr.contains("v1 Profile(P1): is named `p1-2`"),
        "{}",
        found.stderr
    );
    let differing = [profile("p1", "allow"), profile("p1", "deny")].join(
        "---
",
    );
    let found = tortie("convert -f -", &differing);
    assert_eq!((found.code, found.stdout.as_str()), (Some(1), ""));
    assert!(
        found.stderr.contains("it differs from what stands at"),
        "{}",
        found.stderr
    );
}

#[test]
fn convert_names_what_hosts_and_profiles_come_to() {
    let dump = r#"
/calico/v1/host/Node1/config/LogPrefix x
/calico/v1/host/no_name/config/LogPrefix x
/calico/v1/host/Node1/endpoint/e {"name":"eth0","profile_ids":["tagged"]}
/calico/v1/policy/profile/tagged/tags ["a"]
/calico/v1/policy/profile/open/rules {"inbound_rules":null,"outbound_rules":[]}
"#;
    let found = tortie("convert -f -", dump);
    assert_eq!(found.code, Some(0), "{}", found.stderr);
    assert!(
        found.stdout.contains("name: node.node1"),
        "{}",
        found.stdout
    );
    assert_eq!(
        found.stdout.matches("action: Deny").count(),
        2,
        "{}",
        found.stdout
    );
    for text in [
        "/calico/v1/host/no_name/config/LogPrefix: no name of v3 form",
        "`Node1`: is the node of endpoints and has capital letters",
        "/calico/v1/policy/profile/tagged: has no rules",
    ] {
        assert!(found.stderr.contains(text), "{text} in {}", found.stderr);
    }
}
