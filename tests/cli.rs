//! The built program, run as an operator runs it.

#![expect(clippy::expect_used, reason = "what is not there in a test fails it")]
#![expect(clippy::disallowed_methods, reason = "a test may start programs")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tortie");

/// A program run to its end.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn command(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null());
    command
}

fn outcome(mut command: Command) -> Outcome {
    let output = command.output().expect("the program");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Outcome {
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// Runs the program without the configuration of the machine.
fn tortie(arguments: &[&str]) -> Outcome {
    let mut arguments = arguments.to_vec();
    arguments.extend(["--config-file", "/nonexistent/felix.cfg"]);
    outcome(command(Path::new(PROGRAM), &arguments))
}

fn plain(arguments: &[&str]) -> Outcome {
    outcome(command(Path::new(PROGRAM), arguments))
}

/// A directory of the test's own, removed in the end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let name = format!("tortie-cli-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    fn with(name: &str, files: &[(&str, &str)]) -> Self {
        let directory = Self::new(name);
        for (file, text) in files {
            fs::write(directory.0.join(file), text).expect("a file");
        }
        directory
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a path in UTF-8")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const BAD: &str = "\
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: neither}
spec: {node: host}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: caret}
spec:
  selector: role = 'web'
  ingress:
    - {action: Allow, destination: {ports: [80]}}
---
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: second}
spec: {node: host, interfaceName: eth0, profiles: [gone]}
---
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: first}
spec: {node: host, interfaceName: eth0}
---
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: default}
spec: {logPrefix: x, iptablesRefreshInterval: soon}
";

#[test]
fn check_finds_nothing_wrong_with_the_examples() {
    let found = tortie(&["check", "examples", "--hostname", "my-host"]);
    assert_eq!(
        (found.code, found.stdout.as_str(), found.stderr.as_str()),
        (Some(0), "", "no problems in 4 resources\n")
    );
    let found = tortie(&["check", "examples", "-o", "json"]);
    assert_eq!((found.code, found.stdout.as_str()), (Some(0), "[]\n"));
}

#[test]
fn check_tells_every_problem_with_its_place() {
    let directory = Directory::with("check", &[("bad.yaml", BAD), ("worse.yml", "a: [\n")]);
    let found = tortie(&["check", directory.path(), "--hostname", "host"]);
    let text = found.stdout.replace(directory.path(), "DIR");
    insta::with_settings!({ omit_expression => true }, {
        insta::assert_snapshot!("check", format!("{text}--\n{}", found.stderr));
    });
    assert_eq!(found.code, Some(1));

    let found = tortie(&[
        "check",
        directory.path(),
        "--hostname",
        "host",
        "-o",
        "json",
    ]);
    let text = found.stdout.replace(directory.path(), "DIR");
    let values: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(
        values[0],
        serde_json::json!({
            "file": "DIR/bad.yaml",
            "line": 4,
            "object": "HostEndpoint(neither)",
            "field": "spec",
            "reason": "'interfaceName' or 'expectedIPs' must be present",
            "severity": "rejected",
        })
    );
    assert_eq!(found.code, Some(1));
}

#[test]
fn trouble_is_told_from_an_answer() {
    let found = tortie(&["check", "/nonexistent/resources"]);
    assert_eq!((found.code, found.stdout.as_str()), (Some(2), ""));
    assert_eq!(
        found.stderr,
        "tortie: read the resources: list the resource directory `/nonexistent/resources`: \
         No such file or directory (os error 2)\n"
    );
}

#[test]
fn render_prints_the_ruleset_of_the_examples() {
    let found = tortie(&["render", "examples", "--hostname", "my-host"]);
    assert_eq!((found.code, found.stderr.as_str()), (Some(0), ""));
    insta::assert_snapshot!("render_examples", found.stdout);
}

#[test]
fn render_takes_interfaces_from_the_command_line() {
    let resources = "\
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: by-address}
spec: {node: host, expectedIPs: [192.0.2.1]}
";
    let directory = Directory::with("interfaces", &[("a.yaml", resources)]);
    let bound = "\"wan\" : jump hep-in-by-address";
    let without = tortie(&["render", directory.path(), "--hostname", "host"]);
    assert!(!without.stdout.contains(bound));
    assert_eq!(
        without.stderr,
        "HostEndpoint(by-address): no interface has any of its expected addresses\n"
    );
    let with = tortie(&[
        "render",
        directory.path(),
        "--hostname",
        "host",
        "--interface",
        "wan=198.51.100.1,192.0.2.1",
    ]);
    assert!(with.stdout.contains(bound), "{}", with.stdout);
    assert_eq!((with.code, with.stderr.as_str()), (Some(0), ""));
    let elsewhere = tortie(&["render", directory.path(), "--hostname", "other"]);
    assert!(!elsewhere.stdout.contains("by-address"));
    let bad = tortie(&[
        "render",
        "examples",
        "--hostname",
        "h",
        "--interface",
        "wan=1.2.3",
    ]);
    assert_eq!(bad.code, Some(2));
    assert!(
        bad.stderr.contains("`1.2.3` is not an IP address"),
        "{}",
        bad.stderr
    );
}

#[test]
fn render_heeds_configuration_objects() {
    let configuration = "\
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: node.host}
spec: {failsafeInboundHostPorts: [{protocol: TCP, port: 2222}]}
";
    let directory = Directory::with("felix", &[("a.yaml", configuration)]);
    let endpoint = "\
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: e}
spec: {node: host, interfaceName: eth0}
";
    fs::write(directory.0.join("b.yaml"), endpoint).expect("a file");
    let found = tortie(&["render", directory.path(), "--hostname", "host"]);
    assert!(
        found.stdout.contains("tcp dport 2222 accept"),
        "{}",
        found.stdout
    );
    assert!(
        !found.stdout.contains("dport 22 accept"),
        "{}",
        found.stdout
    );
}

#[test]
fn get_prints_tables_and_resources() {
    let table = tortie(&["get", "GNPs", "--directory", "examples"]);
    assert_eq!(table.code, Some(0));
    assert_eq!(
        table.stdout,
        "\
NAME             TIER      ORDER   KIND     TYPES            RULES         SELECTOR              FORM
allow-outbound   default   10      normal   Egress           0 in, 2 out   all()                 v3
allow-ssh        default   0       normal   Ingress          3 in, 0 out   all()                 v3
webserver        default   100     normal   Ingress,Egress   1 in, 1 out   role == \"webserver\"   v3
"
    );
    let yaml = tortie(&[
        "get",
        "gnp",
        "webserver",
        "--directory",
        "examples",
        "-o",
        "yaml",
    ]);
    insta::assert_snapshot!("get_yaml", yaml.stdout);
    let json = tortie(&["get", "gnp", "--directory", "examples", "-o", "json"]);
    let value: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(value["kind"], "GlobalNetworkPolicyList");
    assert_eq!(value["items"][1]["metadata"]["name"], "allow-ssh");
    let none = tortie(&["get", "gnp", "nothing", "--directory", "examples"]);
    assert_eq!(
        (none.code, none.stderr.as_str()),
        (
            Some(1),
            "tortie: no GlobalNetworkPolicy `nothing` in examples\n"
        )
    );
    let unknown = tortie(&["get", "things"]);
    assert_eq!(unknown.code, Some(2));
    assert!(
        unknown
            .stderr
            .contains("no such kind; there are ClusterInformation")
    );
}

#[test]
fn get_knows_every_kind() {
    let directory = Directory::with("kinds", &[("a.yaml", include_str!("kinds.yaml"))]);
    let mut tables = Vec::new();
    for kind in [
        "clusterinformation",
        "felixconfigurations",
        "nodes",
        "ippools",
        "tiers",
        "profiles",
        "gnp",
        "np",
        "sgnp",
        "snp",
        "sknp",
        "gns",
        "ns",
        "hep",
        "wep",
    ] {
        let table = tortie(&["get", kind, "--directory", directory.path()]);
        assert_eq!((table.code, table.stderr.as_str()), (Some(0), ""), "{kind}");
        tables.push(format!("{kind}\n{}", table.stdout));
        let yaml = tortie(&["get", kind, "--directory", directory.path(), "-o", "yaml"]);
        assert_eq!(yaml.code, Some(0), "{kind}");
        // What is printed can be read again.
        let again = Directory::with(&format!("again-{kind}"), &[("a.yaml", &yaml.stdout)]);
        let checked = tortie(&["check", again.path(), "-o", "json"]);
        let problems: serde_json::Value = serde_json::from_str(&checked.stdout).expect("JSON");
        let rejected = problems.as_array().expect("a list").iter();
        let rejected: Vec<_> = rejected
            .filter(|problem| problem["severity"] == "rejected")
            .collect();
        assert_eq!(
            rejected,
            Vec::<&serde_json::Value>::new(),
            "{kind}: {}",
            yaml.stdout
        );
    }
    insta::assert_snapshot!("get_tables", tables.join("\n"));
}

#[test]
fn get_shows_what_an_endpoint_of_this_host_is_bound_to() {
    let endpoint = |name: &str| {
        format!(
            "---\napiVersion: projectcalico.org/v3\nkind: HostEndpoint\nmetadata: {{name: {name}}}\n\
             spec: {{node: here, interfaceName: lo}}\n"
        )
    };
    let text = endpoint("a") + &endpoint("b");
    let directory = Directory::with("bound", &[("a.yaml", &text)]);
    let run = |format: &str| {
        let arguments = [
            "get",
            "hep",
            "--directory",
            directory.path(),
            "-o",
            format,
            "--config-file",
            "/nonexistent",
        ];
        let mut command = command(Path::new(PROGRAM), &arguments);
        command.env("FELIX_FELIXHOSTNAME", "here");
        outcome(command)
    };
    assert_eq!(
        run("table").stdout,
        "\
NAME   NODE   INTERFACE   EXPECTED   PROFILES   FORM   BOUND   PROBLEMS
a      here   lo          -          -          v3     lo      -
b      here   lo          -          -          v3     none    interface `lo` belongs to HostEndpoint(a), whose name comes first
"
    );
    let value: serde_json::Value = serde_json::from_str(&run("json").stdout).expect("JSON");
    assert_eq!(
        value["items"][0]["status"],
        serde_json::json!({ "interfaces": ["lo"] })
    );
    assert_eq!(
        value["items"][1]["status"]["shadowed"],
        serde_json::json!([{ "interface": "lo", "by": "HostEndpoint(a)" }])
    );
}

/// Asks what becomes of a packet at the host of the examples.
fn explain(arguments: &str) -> Outcome {
    let mut words = vec![
        "explain",
        "--directory",
        "examples",
        "--hostname",
        "my-host",
    ];
    words.extend(arguments.split_whitespace());
    tortie(&words)
}

#[test]
fn explain_tells_what_decides() {
    let web = "--from 203.0.113.7 --to 192.0.2.10 --proto tcp --port 80 --in eth0";
    let open = explain(web);
    assert_eq!((open.code, open.stderr.as_str()), (Some(0), ""));
    let other = web.replace("--port 80", "--port 81");
    let closed = explain(&other);
    assert_eq!((closed.code, closed.stderr.as_str()), (Some(1), ""));
    insta::assert_snapshot!("explain", format!("{}--\n{}", open.stdout, closed.stdout));

    let json = explain(&format!("{other} -o json"));
    let value: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(
        (
            json.code,
            &value["verdict"],
            &value["request"]["steps"][2]["because"]
        ),
        (
            Some(1),
            &serde_json::json!("denied"),
            &serde_json::json!("end of tier default: no rule decides")
        )
    );
    let established = explain(&format!("{other} --state established -o yaml"));
    assert_eq!(established.code, Some(0));
    assert!(established.stdout.contains("state: established\n"));
}

#[test]
fn explain_finds_interfaces_or_asks_for_them() {
    // The address is the host's, since its endpoint expects it to be.
    let out = "--from 192.0.2.10 --to 203.0.113.7 --proto icmp";
    let found = explain(out);
    assert_eq!((found.code, found.stdout.as_str()), (Some(2), ""));
    assert_eq!(
        found.stderr,
        "tortie: 203.0.113.7 belongs neither to the host nor to a workload of it: \
         name the interface with --out\n"
    );
    for (arguments, code) in [
        (format!("{out} --out eth0"), 0),
        (format!("{out} --out eth1"), 0),
        (
            format!("{out} --in host --out eth1 --interface eth1=192.0.2.11"),
            0,
        ),
        (
            "--from 127.0.0.1 --to 192.0.2.10 --proto tcp --port 1".to_owned(),
            0,
        ),
        (
            "--from 192.0.2.10 --to 192.0.2.10 --proto 253".to_owned(),
            0,
        ),
        (format!("{out} --out eth0 --port 80"), 2),
        ("--from ::1 --to 192.0.2.10 --proto 253".to_owned(), 2),
        (
            "--from 192.0.2.10 --to 203.0.113.7 --proto tcp --out eth0".to_owned(),
            2,
        ),
        (
            "--from 192.0.2.10 --to 203.0.113.7 --proto icmpv6 --out eth0".to_owned(),
            2,
        ),
    ] {
        let found = explain(&arguments);
        assert_eq!(found.code, Some(code), "{arguments}\n{found:?}");
    }
}

#[test]
fn explain_knows_the_interfaces_of_workloads() {
    let workload = |name: &str, number: u8| {
        format!(
            "---\napiVersion: projectcalico.org/v3\nkind: WorkloadEndpoint\n\
             metadata: {{name: host-k8s-{name}-eth0, namespace: default}}\n\
             spec:\n  interfaceName: cali{number}\n  ipNetworks: [10.65.0.{number}/32]\n  \
             profiles: [projectcalico-default-allow]\n"
        )
    };
    let text = workload("a", 1) + &workload("b", 2);
    let directory = Directory::with("workloads", &[("a.yaml", &text)]);
    let explain = |words: &str| {
        let mut arguments = vec!["explain", "--directory", directory.path()];
        arguments.extend(["--hostname", "host", "--proto", "tcp", "--port", "80"]);
        arguments.extend(words.split_whitespace());
        tortie(&arguments)
    };
    for (words, code, begins) in [
        (
            "--from 10.65.0.1 --to 10.65.0.2",
            0,
            "in by cali1, out by cali2, new",
        ),
        (
            "--from 10.65.0.1 --to 192.0.2.1 --dnat 10.65.0.2:8080",
            0,
            "(translated to 10.65.0.2 port 8080), in by cali1, out by cali2, new",
        ),
        (
            "--from 10.65.0.1 --to 192.0.2.1 --out host",
            1,
            "in by cali1, for this host, new",
        ),
        (
            "--from 10.65.0.2 --to 192.0.2.1 --in cali1 --out eth0",
            1,
            "in by cali1, out by eth0, new",
        ),
    ] {
        let found = explain(words);
        let first = found.stdout.lines().next().unwrap_or_default();
        assert_eq!(found.code, Some(code), "{words}\n{found:?}");
        assert!(first.ends_with(begins), "{words}\n{first}");
    }
}

#[test]
fn version_and_help_go_to_stdout() {
    let version = format!("tortie {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(plain(&["version"]).stdout, version);
    assert_eq!(plain(&["--version"]).stdout, version);
    for name in [
        "run", "check", "render", "diff", "get", "create", "apply", "replace", "delete", "convert",
        "explain", "flush", "takeover", "version",
    ] {
        let help = plain(&[name, "-h"]);
        assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""), "{name}");
        assert!(help.stdout.contains("Example"), "{name}");
    }
}

#[test]
fn unknown_words_are_refused() {
    for arguments in [
        &["--nonsense"][..],
        &["check"],
        &["check", "examples", "--nonsense"],
        &["fly"],
    ] {
        let found = plain(arguments);
        assert_eq!(
            (found.code, found.stdout.as_str()),
            (Some(2), ""),
            "{arguments:?}"
        );
        assert!(found.stderr.starts_with("error: "), "{}", found.stderr);
    }
}

#[test]
fn a_reader_that_leaves_ends_nothing_with_an_error() {
    let header = String::from(
        "apiVersion: projectcalico.org/v3\nkind: HostEndpoint\nmetadata: {name: e}\n\
         spec: {node: host, interfaceName: eth0}\n---\n\
         apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: p}\n\
         spec: {ingress: [{action: Allow, source: {selector: has(a)}}]}\n---\n\
         apiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata: {name: s, labels: {a: b}}\n\
         spec:\n  nets:\n",
    );
    let net = |index| format!("  - 10.{}.{}.0/24", index / 256, index % 256);
    let nets: Vec<String> = (0..20_000).map(net).collect();
    let directory = Directory::with("pipe", &[("a.yaml", &(header + &nets.join("\n")))]);
    let arguments = ["render", directory.path(), "--hostname", "host"];
    let mut command = command(Path::new(PROGRAM), &arguments);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().expect("stdout"));
    stdout.read_line(&mut line).expect("a line");
    assert_eq!(line, "table inet tortie {\n");
    drop(stdout);
    let mut stderr = String::new();
    let mut stream = child.stderr.take().expect("stderr");
    stream.read_to_string(&mut stderr).expect("text");
    assert_eq!(
        (child.wait().expect("an end").code(), stderr.as_str()),
        (Some(0), "")
    );
}

#[test]
fn a_bad_configuration_is_told_whole_with_its_own_exit_code() {
    let directory = Directory::with(
        "configuration",
        &[("felix.cfg", "[global]\nIptablesMarkMask = 0\nnonsense\n")],
    );
    let file = directory.0.join("felix.cfg");
    let file = file.to_str().expect("UTF-8");
    let mut command = command(Path::new(PROGRAM), &["run", "-c", file]);
    command.env("FELIX_DATASTORETYPE", "stone");
    let found = outcome(command);
    assert_eq!((found.code, found.stdout.as_str()), (Some(78), ""));
    insta::assert_snapshot!(
        "bad_configuration",
        found.stderr.replace(directory.path(), "DIR")
    );
    let render = ["render", "examples", "--hostname", "h", "-c", file];
    assert_eq!(plain(&render).code, Some(78));
}

#[test]
fn it_stands_in_for_felix_under_its_name() {
    let directory = Directory::with("felix-name", &[("felix.cfg", "[global]\nnonsense\n")]);
    let link = directory.0.join("calico-felix");
    std::os::unix::fs::symlink(PROGRAM, &link).expect("a link");
    let version = outcome(command(&link, &["--version"]));
    assert_eq!(version.code, Some(0));
    assert_eq!(
        version.stdout,
        format!("calico-felix {}\n", env!("CARGO_PKG_VERSION"))
    );
    let file = directory.0.join("felix.cfg");
    let file = file.to_str().expect("UTF-8");
    for flags in [&["-c", file][..], &["--config-file", file]] {
        let found = outcome(command(&link, flags));
        assert_eq!(found.code, Some(78), "{}", found.stderr);
        assert!(found.stderr.contains("line 2"), "{}", found.stderr);
    }
    assert_eq!(
        outcome(command(&link, &["check", "examples"])).code,
        Some(2)
    );
}
