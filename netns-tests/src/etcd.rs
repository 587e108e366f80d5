//! Real etcd servers on the loopback interface of a namespace, and `etcdctl` as a writer.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::agent::{Agent, HOSTNAME, Mark, Owner, WORK_DEADLINE, command_line_with};
use crate::ns::Namespace;
use crate::patience::patient;
use crate::topology::{EXT, World};
use crate::witness;

/// Where resources in v3 form are kept.
pub const V3: &str = "/calico/resources/v3/projectcalico.org";
/// Where resources in v1 form are kept.
pub const V1: &str = "/calico/v1";
/// How long a member may take to serve, on a busy machine.
const SERVING: Duration = Duration::from_secs(30);
/// How long `etcdctl` tries to connect, and how long it then waits for an answer.
const DIALLING: Duration = Duration::from_secs(2);
const ANSWERING: Duration = Duration::from_secs(5);
/// How often it is asked.
const ASKING: Duration = Duration::from_millis(50);

/// Where a member serves that only its own namespace reaches.
const LOCAL: &str = "127.0.0.1";

/// Is one etcd member in a namespace, killed when dropped.
#[derive(Debug)]
pub struct Member<'a> {
    namespace: &'a Namespace,
    /// Where the daemon and its commands run.
    host: &'a Namespace,
    directory: Arc<TempDir>,
    name: String,
    arguments: Vec<String>,
    client: Vec<String>,
    url: String,
    child: Option<Child>,
}

impl<'a> Member<'a> {
    /// Starts a single member that speaks plainly and waits until it serves.
    pub fn start(namespace: &'a Namespace) -> Self {
        Self::with(namespace, "http", &[], &[])
    }

    /// Starts a single member with more arguments, and has `etcdctl` use more of its own.
    pub fn with(namespace: &'a Namespace, scheme: &str, more: &[&str], client: &[&str]) -> Self {
        let url = format!("{scheme}://{LOCAL}:2379");
        let mut member = Self::of(namespace, Arc::new(directory()), "one", url, more);
        member.client = client.iter().map(|text| (*text).to_owned()).collect();
        member.restart();
        member.serving();
        member
    }

    /// Starts a single member on another port than etcd's own.
    pub fn on_port(namespace: &'a Namespace, port: u16) -> Self {
        let url = format!("http://{LOCAL}:{port}");
        let mut member = Self::of(namespace, Arc::new(directory()), "one", url, &[]);
        member.restart();
        member.serving();
        member
    }

    /// Starts a single member on the peer of the host's `eth0`, for a daemon on the host.
    pub fn elsewhere(world: &'a World) -> Self {
        let url = format!("http://{}:2379", EXT.v4);
        let mut member = Self::of(&world.ext, Arc::new(directory()), "one", url, &[]);
        member.host = &world.host;
        member.restart();
        member.serving();
        member
    }

    /// Starts three members of one cluster and waits until they serve.
    pub fn three(namespace: &'a Namespace) -> [Self; 3] {
        Self::three_with(namespace, "http", [&[]; 3], &[])
    }

    /// Starts three members, each with more arguments of its own, and has `etcdctl` use more.
    pub fn three_with(
        namespace: &'a Namespace,
        scheme: &str,
        each: [&[&str]; 3],
        client: &[&str],
    ) -> [Self; 3] {
        let directory = Arc::new(directory());
        let peers = [("a", 12380), ("b", 22380), ("c", 32380)]
            .map(|(name, port)| format!("{name}=http://127.0.0.1:{port}"))
            .join(",");
        let mut members = [
            ("a", 12379, each[0]),
            ("b", 22379, each[1]),
            ("c", 32379, each[2]),
        ]
        .map(|(name, port, more)| {
            let peer = format!("http://127.0.0.1:{}", port + 1);
            let all = [
                "--listen-peer-urls",
                &peer,
                "--initial-advertise-peer-urls",
                &peer,
                "--initial-cluster",
                &peers,
            ];
            let all = [all.as_slice(), more].concat();
            let url = format!("{scheme}://{LOCAL}:{port}");
            let mut member = Self::of(namespace, directory.clone(), name, url, &all);
            member.client = client.iter().map(|text| (*text).to_owned()).collect();
            member
        });
        members.iter_mut().for_each(Self::restart);
        members.iter().for_each(Self::serving);
        members
    }

    fn of(
        namespace: &'a Namespace,
        directory: Arc<TempDir>,
        name: &str,
        url: String,
        more: &[&str],
    ) -> Self {
        let mut arguments: Vec<String> = ["--name", name, "--listen-client-urls", &url]
            .map(str::to_owned)
            .into();
        arguments.extend(["--advertise-client-urls".to_owned(), url.clone()]);
        arguments.extend(more.iter().map(|text| (*text).to_owned()));
        Self {
            namespace,
            host: namespace,
            directory,
            name: name.to_owned(),
            arguments,
            client: Vec::new(),
            url,
            child: None,
        }
    }

    /// Returns the one of these members that leads.
    pub fn leader(members: &[Self]) -> usize {
        members
            .iter()
            .position(|member| {
                let status = member.status();
                status["leader"] == status["header"]["member_id"]
            })
            .expect("one of them leads")
    }

    /// Has one of these members lead.
    pub fn lead(members: &[Self], index: usize) {
        let leader = Self::leader(members);
        if leader != index {
            let id = members[index].status()["header"]["member_id"].as_u64();
            let id = format!("{:x}", id.expect("a member's id"));
            members[leader].etcdctl(&["move-leader", &id]);
            eventually("it leads", || Self::leader(members) == index);
        }
    }

    fn status(&self) -> Value {
        let text = self.etcdctl(&["endpoint", "status", "-w", "json"]);
        let mut all: Value = serde_json::from_str(&text).expect("etcdctl prints JSON");
        all[0]["Status"].take()
    }

    /// Returns its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the directory of its data.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join(&self.name)
    }

    /// Returns a place for other files of the test.
    pub fn place(&self) -> &Path {
        self.directory.path()
    }

    /// Starts it, on the data that it had.
    pub fn restart(&mut self) {
        self.end(Signal::SIGKILL);
        let mut command = Command::new("etcd");
        command
            .arg("--data-dir")
            .arg(self.data())
            .args(&self.arguments)
            .args(["--logger", "zap", "--log-outputs", "/dev/null"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = self.namespace.run(|| command.spawn()).expect("start etcd");
        self.child = Some(child);
    }

    /// Waits until it answers.
    pub fn serving(&self) {
        let deadline = Instant::now() + patient(SERVING);
        while !self
            .try_etcdctl(&["endpoint", "health"], "")
            .status
            .success()
        {
            assert!(Instant::now() < deadline, "{} does not serve", self.url);
            std::thread::park_timeout(ASKING);
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        if let Some(child) = &self.child {
            let pid = i32::try_from(child.id()).expect("a process id is positive");
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    /// Ends it.
    pub fn end(&mut self, how: Signal) {
        // One that is stopped takes only SIGKILL.
        self.signal(how);
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
    }

    /// Replaces its data by a saved copy, as an operator restores a cluster: it becomes the one that `token` names.
    pub fn restore(&mut self, copy: &Path, token: &str) {
        self.end(Signal::SIGKILL);
        std::fs::remove_dir_all(self.data()).expect("remove the data");
        let (data, copy) = (self.data(), copy.to_string_lossy().into_owned());
        self.etcdctl(&[
            "snapshot",
            "restore",
            &copy,
            "--name",
            &self.name,
            "--initial-cluster",
            &format!("{}=http://localhost:2380", self.name),
            "--initial-advertise-peer-urls",
            "http://localhost:2380",
            "--initial-cluster-token",
            token,
            "--data-dir",
            &data.to_string_lossy(),
        ]);
        self.restart();
        self.serving();
    }

    fn try_etcdctl(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = Command::new("etcdctl");
        command
            .args(["--endpoints", &self.url])
            .arg(format!("--dial-timeout={}s", patient(DIALLING).as_secs()))
            .arg(format!(
                "--command-timeout={}s",
                patient(ANSWERING).as_secs()
            ))
            .args(&self.client)
            .args(arguments)
            .env("ETCDCTL_API", "3");
        self.namespace
            .run(|| crate::ns::output(&mut command, input))
    }

    /// Runs `etcdctl` to its end and returns what it printed.
    pub fn etcdctl(&self, arguments: &[&str]) -> String {
        self.etcdctl_with(arguments, "")
    }

    /// Runs `etcdctl` with an input.
    pub fn etcdctl_with(&self, arguments: &[&str], input: &str) -> String {
        let output = self.try_etcdctl(arguments, input);
        assert!(
            output.status.success(),
            "etcdctl {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Has `etcdctl` log in from now on.
    pub fn log_in(&mut self, user: &str, password: &str) {
        self.client.push(format!("--user={user}:{password}"));
    }

    /// Writes a key.
    pub fn put(&self, key: &str, value: &str) {
        if value.is_empty() {
            // Of an empty input it would say that there is none.
            self.etcdctl(&["put", key, ""]);
        } else {
            self.etcdctl_with(&["put", key], value);
        }
    }

    /// Deletes a key.
    pub fn delete(&self, key: &str) {
        self.etcdctl(&["del", key]);
    }

    /// Writes and deletes keys in one transaction.
    pub fn transaction(&self, changes: &[(&str, Option<&str>)]) {
        let mut text = String::from("\n");
        for (key, value) in changes {
            let line = match value {
                Some(value) => format!("put {key} {}\n", quoted(value)),
                None => format!("del {key}\n"),
            };
            text.push_str(&line);
        }
        self.etcdctl_with(&["txn"], &format!("{text}\n\n"));
    }

    /// Returns the revision that the store is at.
    pub fn revision(&self) -> i64 {
        let text = self.etcdctl(&["get", "/", "-w", "json"]);
        let answer: Value = serde_json::from_str(&text).expect("etcdctl prints JSON");
        answer["header"]["revision"].as_i64().expect("a revision")
    }

    /// Returns a number of those that it counts, summed over its labels.
    pub fn count(&self, metric: &str) -> f64 {
        let address = self.url.trim_start_matches("http://");
        let text = self.namespace.run(|| {
            let mut stream = TcpStream::connect(address).expect("connect to etcd");
            stream
                .write_all(b"GET /metrics HTTP/1.0\r\n\r\n")
                .expect("ask for the metrics");
            let mut text = String::new();
            stream.read_to_string(&mut text).expect("read the metrics");
            text
        });
        let values = text.lines().filter(|line| line.starts_with(metric));
        values
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Starts the daemon on this member, with more settings.
    pub fn agent(&self, owner: Owner, settings: &[(&str, &str)]) -> Agent {
        self.agent_with(owner, settings, &[])
    }

    /// Starts the daemon on this member, with more settings and arguments.
    pub fn agent_with(&self, owner: Owner, settings: &[(&str, &str)], arguments: &[&str]) -> Agent {
        let mut all = vec![("ETCD_ENDPOINTS", self.url.as_str())];
        all.extend(settings);
        Agent::without_directory(self.host, owner, &all, arguments)
    }

    /// Runs a command of the program on this member, with more settings and an input.
    pub fn tortie(&self, arguments: &str, settings: &[(&str, &str)], input: &str) -> Output {
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        let mut all = vec![("ETCD_ENDPOINTS", self.url.as_str())];
        all.extend(settings);
        command_line_with(self.host, Owner::Disabled, &arguments, &all, input)
    }

    /// Demands that the kernel holds what a daemon makes from scratch of what is stored now: it takes the place of
    /// the one that was changed step by step.
    #[track_caller]
    pub fn agrees(&self, agent: &mut Agent, settings: &[(&str, &str)]) {
        let by_steps = witness::contents(self.host);
        agent.terminate();
        self.host
            .exec("nft", &["delete", "table", "inet", witness::TABLE], "");
        *agent = self.agent(Owner::Disabled, settings);
        patiently("all is made from scratch", || {
            agent.has_said(&Mark::beginning(), "in-sync")
        });
        let from_scratch = witness::contents(self.host);
        assert_eq!(by_steps, from_scratch, "by steps, and from scratch");
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        self.end(Signal::SIGKILL);
    }
}

/// Quotes a value for the transactions of `etcdctl`, which reads words as Go's `%q` writes them.
fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("make a directory")
}

/// Returns the key of a host endpoint of this host in v1 form.
pub fn endpoint_key(name: &str) -> String {
    format!("{V1}/host/{HOSTNAME}/endpoint/{name}")
}

/// Returns the key of a policy in v1 form.
pub fn policy_key(name: &str) -> String {
    format!("{V1}/policy/tier/default/policy/{name}")
}

/// Returns a policy in v1 form that allows these TCP ports to endpoints with the role `host`.
pub fn policy(ports: &[u16]) -> String {
    format!(
        r#"{{"order":10,"selector":"role == 'host'","inbound_rules":[{{"action":"allow","protocol":"tcp","dst_ports":{ports:?}}}],"outbound_rules":[]}}"#
    )
}

/// What `eth0` is in v1 form.
pub const ETH0: &str = r#"{"name":"eth0","labels":{"role":"host"}}"#;

/// Waits for what a test has no other sign of.
pub fn eventually(what: &str, done: impl FnMut() -> bool) {
    within(WORK_DEADLINE, what, done);
}

/// Waits for what takes its time where a cluster is large.
pub fn patiently(what: &str, done: impl FnMut() -> bool) {
    within(WORK_DEADLINE * 5, what, done);
}

fn within(limit: Duration, what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + patient(limit);
    while !done() {
        assert!(Instant::now() < deadline, "{what}: the deadline passed");
        std::thread::park_timeout(ASKING);
    }
}
