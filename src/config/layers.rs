//! The sources of a configuration, each as a map of names to raw text.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use super::options::{self, DATASTORE_TYPE, ETCD_PASSWORD};
use super::problem::ConfigProblem;

/// Everything that a configuration is made of, before any of it is parsed.
///
/// Names are matched without regard to case.
#[derive(Clone, Default)]
pub struct Layers {
    /// What the command line says, by option.
    pub command_line: BTreeMap<String, String>,
    /// Variables that begin with `TORTIE_`, by what follows.
    pub tortie_environment: BTreeMap<String, String>,
    /// Variables that begin with `FELIX_`, by what follows.
    pub felix_environment: BTreeMap<String, String>,
    /// The configuration file.
    pub file: BTreeMap<String, String>,
    /// Path of the configuration file, for messages.
    pub file_path: String,
    /// Variables that calicoctl reads too, by their whole name.
    pub client_environment: BTreeMap<String, String>,
    /// What the datastore says about this host.
    pub datastore_per_host: BTreeMap<String, String>,
    /// What the datastore says about hosts that a selector picks, this one among them.
    pub datastore_selector: BTreeMap<String, String>,
    /// What the datastore says about every host.
    pub datastore_global: BTreeMap<String, String>,
    /// The host's own idea of its name.
    pub hostname: DetectedHostname,
    /// Files that are waited for and that are not there yet, with the reason.
    pub missing_files: BTreeMap<String, String>,
    /// What went wrong while the sources were read.
    pub problems: Vec<ConfigProblem>,
}

impl fmt::Debug for Layers {
    /// Prints names and no values, since a value may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layers")
            .field("command_line", &self.command_line.keys())
            .field("tortie_environment", &self.tortie_environment.keys())
            .field("felix_environment", &self.felix_environment.keys())
            .field("file", &self.file.keys())
            .field("client_environment", &self.client_environment.keys())
            .field("datastore_per_host", &self.datastore_per_host.keys())
            .field("datastore_selector", &self.datastore_selector.keys())
            .field("datastore_global", &self.datastore_global.keys())
            .field("hostname", &self.hostname)
            .finish_non_exhaustive()
    }
}

/// The host's own idea of its name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DetectedHostname {
    /// The name, empty if there is none.
    pub name: String,
    /// Who says so.
    pub source: HostnameSource,
}

impl DetectedHostname {
    /// Takes a name as the system gives it: in lower case, without spaces around it.
    pub fn new(name: &str, source: HostnameSource) -> Self {
        Self {
            name: name.trim().to_lowercase(),
            source,
        }
    }
}

/// Who gives the host's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HostnameSource {
    /// The kernel.
    #[default]
    Kernel,
    /// The environment variable `HOSTNAME`.
    Variable,
}

/// Variables that calicoctl and other Calico programs read, each also with `CALICO_` before it.
const CLIENT_VARIABLES: [(&str, &str); 8] = [
    ("DATASTORE_TYPE", DATASTORE_TYPE),
    ("ETCD_ENDPOINTS", "EtcdEndpoints"),
    ("ETCD_DISCOVERY_SRV", "EtcdDiscoverySrv"),
    ("ETCD_USERNAME", "EtcdUsername"),
    ("ETCD_PASSWORD", ETCD_PASSWORD),
    ("ETCD_KEY_FILE", "EtcdKeyFile"),
    ("ETCD_CERT_FILE", "EtcdCertFile"),
    ("ETCD_CA_CERT_FILE", "EtcdCaFile"),
];

const CALICO_PREFIX: &str = "CALICO_";

/// Returns the option that a client's variable sets.
pub(super) fn client_option(variable: &str) -> Option<&'static str> {
    let name = variable.strip_prefix(CALICO_PREFIX).unwrap_or(variable);
    CLIENT_VARIABLES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, option)| *option)
}

impl Layers {
    /// Takes an environment apart.
    pub fn set_environment(&mut self, variables: &BTreeMap<String, String>) {
        self.tortie_environment = with_prefix(variables, "TORTIE_");
        self.felix_environment = with_prefix(variables, "FELIX_");
        self.client_environment = CLIENT_VARIABLES
            .iter()
            .filter_map(|(name, _)| {
                [format!("{CALICO_PREFIX}{name}"), (*name).to_owned()]
                    .into_iter()
                    .find_map(|name| {
                        let value = variables.get(&name).filter(|value| !value.is_empty())?;
                        Some((name, value.clone()))
                    })
            })
            .collect();
    }

    /// Reads resources from a directory, whatever the other sources say.
    pub fn set_directory(&mut self, path: &Path) {
        let path = path.to_string_lossy().into_owned();
        self.command_line
            .insert(DATASTORE_TYPE.to_owned(), "directory".to_owned());
        self.command_line.insert("DatastorePath".to_owned(), path);
    }

    /// Returns the paths of files that are waited for, as the local sources name them.
    pub(super) fn required_files(&self) -> Vec<String> {
        let named = [
            &self.command_line,
            &self.tortie_environment,
            &self.felix_environment,
            &self.file,
        ]
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.as_str(), value));
        let client = self
            .client_environment
            .iter()
            .filter_map(|(variable, value)| Some((client_option(variable)?, value)));
        named
            .chain(client)
            .filter(|(name, value)| {
                options::find(name).is_some_and(options::Row::names_required_file)
                    && !value.is_empty()
                    && !value.eq_ignore_ascii_case("none")
            })
            .map(|(_, value)| value.clone())
            .collect()
    }
}

/// Returns the variables that begin with a prefix in any case, by what follows it.
fn with_prefix(variables: &BTreeMap<String, String>, prefix: &str) -> BTreeMap<String, String> {
    variables
        .iter()
        .filter_map(|(name, value)| {
            let (head, rest) = name.split_at_checked(prefix.len())?;
            head.eq_ignore_ascii_case(prefix)
                .then(|| (rest.to_owned(), value.clone()))
        })
        .collect()
}
