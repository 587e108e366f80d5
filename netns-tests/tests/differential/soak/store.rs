//! Where the resources of a soak are.

use std::collections::BTreeMap;

use netns_tests::agent::{Agent, Directory, Owner};
use netns_tests::etcd::{Member, V3};
use netns_tests::relay::Relay;
use netns_tests::writer::{Change, Writer};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tortie::datastore::{EtcdContents, EtcdSettings, EtcdTls, Snapshot, read_directory};

use crate::generate::State;
use crate::network::{Network, Site};
use crate::yaml;

/// The port of etcd: its own is one that is probed.
const PORT: u16 = 12379;

/// The kinds of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Backing {
    Directory,
    Etcd,
}

/// Is a store.
pub(super) enum Store<'a> {
    /// Files.
    Directory {
        directory: Directory,
        files: BTreeMap<String, String>,
        /// A policy beside those of the state.
        guest: Option<String>,
    },
    /// An etcd on the host, and the way by which the daemon reaches it.
    Etcd {
        network: &'a Network,
        member: Box<Member<'a>>,
        relay: Relay,
        keys: BTreeMap<String, String>,
    },
}

impl<'a> Store<'a> {
    /// Makes an empty one.
    pub(super) fn new(backing: Backing, network: &'a Network) -> Self {
        match backing {
            Backing::Directory => Self::Directory {
                directory: Directory::new(),
                files: BTreeMap::new(),
                guest: None,
            },
            Backing::Etcd => {
                let host = network.at(Site::Host);
                let member = Box::new(Member::on_port(host, PORT));
                member.put("/calico/v1/Ready", "true");
                Self::Etcd {
                    network,
                    relay: Relay::start(host, PORT),
                    member,
                    keys: BTreeMap::new(),
                }
            }
        }
    }

    /// Returns what it keeps of a state.
    ///
    /// In etcd, resources of the v1 form have another shape, and both the daemon and the soak reach it by the host's
    /// loopback interface, which an endpoint of all interfaces would police, or one of its name or address.
    pub(super) fn kept(&self, state: &State) -> State {
        let mut state = state.clone();
        match self {
            Self::Directory { .. } => {}
            Self::Etcd { .. } => state.documents.retain(|_, document| {
                let spec = &document["spec"];
                document["apiVersion"] != "v1"
                    && spec["interfaceName"] != "*"
                    && spec["interfaceName"] != "lo"
                    && spec["expectedIPs"] != json!(["127.0.0.1"])
            }),
        }
        state
    }

    /// Has it hold a policy beside the next states, where it has room for any, or none.
    pub(super) fn receive(&mut self, policy: Option<String>) {
        if let Self::Directory { guest, .. } = self {
            *guest = policy;
        }
    }

    /// Tells whether it holds one.
    pub(super) fn has_guest(&self) -> bool {
        match self {
            Self::Directory { guest, .. } => guest.is_some(),
            Self::Etcd { .. } => false,
        }
    }

    /// Makes it hold a state and nothing else but for its guest.
    pub(super) fn write(&mut self, state: &State) {
        let state = self.kept(state);
        match self {
            Self::Directory {
                directory,
                files,
                guest,
            } => {
                // An empty file counts as one that is half written.
                let filling = |file: &str| {
                    json!({
                        "apiVersion": "projectcalico.org/v3",
                        "kind": "GlobalNetworkSet",
                        "metadata": {"name": file.replace('.', "-")},
                    })
                };
                let texts = state.files().into_iter().map(|(file, mut documents)| {
                    documents.push(filling(&file));
                    let text = if file.ends_with("json") {
                        serde_json::to_string_pretty(&documents).expect("write JSON")
                    } else {
                        yaml::documents(&documents)
                    };
                    (file, text)
                });
                let without = || yaml::documents(&[filling("guest")]);
                let guest = guest.clone().unwrap_or_else(without);
                for (file, text) in texts.chain([("guest.yaml".to_owned(), guest)]) {
                    if files.get(&file) == Some(&text) {
                        continue;
                    }
                    if directory.path().exists() {
                        directory.put(&file, &text);
                    } else {
                        directory.put_hidden(&file, &text);
                    }
                    files.insert(file, text);
                }
            }
            Self::Etcd {
                network,
                member,
                keys,
                ..
            } => {
                let documents = state.files().into_values().flatten();
                let wanted: BTreeMap<String, String> = documents
                    .map(|document| (key(&document), document.to_string()))
                    .collect();
                let gone = keys.keys().filter(|key| !wanted.contains_key(*key));
                let mut changes: Vec<Change> = gone.map(|key| (key.clone(), None)).collect();
                for (key, value) in &wanted {
                    if keys.get(key) != Some(value) {
                        changes.push((key.clone(), Some(value.clone())));
                    }
                }
                let url = member.url().to_owned();
                network.at(Site::Host).run(|| {
                    let mut writer = Writer::connect(&url);
                    // No more than etcd takes in one transaction.
                    for some in changes.chunks(100) {
                        writer.transaction(some.iter().cloned());
                    }
                });
                *keys = wanted;
            }
        }
    }

    /// Starts a daemon on it, and waits for nothing.
    pub(super) fn launch(
        &self,
        network: &Network,
        owner: Owner,
        environment: &[(&str, &str)],
        argument: &str,
    ) -> Agent {
        let host = network.at(Site::Host);
        match self {
            Self::Directory { directory, .. } => {
                Agent::launch_with(host, owner, environment, directory, &[argument])
            }
            Self::Etcd { relay, .. } => {
                let url = relay.url();
                let more = [environment, &[("ETCD_ENDPOINTS", url.as_str())]].concat();
                Agent::without_directory(host, owner, &more, &[argument])
            }
        }
    }

    /// Reads all of it, as the daemon does.
    pub(super) fn snapshot(&self) -> Snapshot {
        match self {
            Self::Directory { directory, .. } => {
                read_directory(&directory.path()).expect("read the directory")
            }
            Self::Etcd {
                network, member, ..
            } => {
                let settings = EtcdSettings {
                    endpoints: vec![member.url().to_owned()],
                    tls: EtcdTls::default(),
                    login: None,
                };
                let contents = network
                    .at(Site::Host)
                    .run(|| EtcdContents::read(&settings).map(|it| it.snapshot().clone()));
                contents.expect("read etcd")
            }
        }
    }

    /// Puts it out of the daemon's reach.
    pub(super) fn cut(&self) {
        match self {
            Self::Directory { directory, .. } => directory.vanish(),
            Self::Etcd { relay, .. } => relay.shut(),
        }
    }

    /// Has it within reach again.
    pub(super) fn mend(&self) {
        match self {
            Self::Directory { directory, .. } => directory.reappear(),
            Self::Etcd { relay, .. } => relay.reopen(),
        }
    }

    /// Kills the server and starts it again.
    pub(super) fn kill(&mut self) {
        if let Self::Etcd { member, .. } = self {
            member.end(Signal::SIGKILL);
            member.restart();
            member.serving();
        }
    }

    /// Stops the server, has something done, and lets it go on.
    pub(super) fn pause(&self, meanwhile: impl FnOnce()) {
        if let Self::Etcd { member, .. } = self {
            member.signal(Signal::SIGSTOP);
            meanwhile();
            member.signal(Signal::SIGCONT);
            member.serving();
        }
    }
}

/// Returns the key of a resource.
fn key(document: &Value) -> String {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let kind = text(&document["kind"]).to_lowercase();
    let plural = match kind.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{kind}s"),
    };
    let name = text(&document["metadata"]["name"]);
    match &document["metadata"]["namespace"] {
        Value::String(namespace) => format!("{V3}/{plural}/{namespace}/{name}"),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            format!("{V3}/{plural}/{name}")
        }
    }
}
