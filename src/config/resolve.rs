//! From the raw texts of all sources to one configuration.
//!
//! For each option the first source that sets it wins, in this order: command line, `TORTIE_`
//! environment, `FELIX_` environment, configuration file, the environment that calicoctl reads,
//! datastore for this host, datastore by selector, datastore for all hosts, default. Every value is
//! parsed, also one that loses.

use std::collections::BTreeMap;
use std::fmt;

use super::choices::DatastoreKind;
use super::failsafe;
use super::layers::{DetectedHostname, HostnameSource, Layers, client_option};
use super::options::{
    self, DATASTORE_TYPE, FELIX_HOSTNAME, OnFail, Row, Scope, Status, Topic, Zero,
};
use super::problem::{ConfigProblem, Severity, printable, quoted};
use super::schema::{Config, Secret};
use super::types::Input;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    CommandLine,
    /// An environment variable of this name.
    Environment(String),
    /// The configuration file of this path.
    File(String),
    /// The datastore, for this host.
    DatastorePerHost,
    /// The datastore, for hosts that a selector picks.
    DatastoreSelector,
    /// The datastore, for every host.
    DatastoreGlobal,
    /// The kernel's hostname.
    KernelHostname,
    /// The default.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine => f.write_str("command line"),
            Self::Environment(variable) => write!(f, "environment variable {variable}"),
            Self::File(path) => write!(f, "configuration file {path}"),
            Self::DatastorePerHost => f.write_str("datastore (per-host)"),
            Self::DatastoreSelector => f.write_str("datastore (selector-scoped)"),
            Self::DatastoreGlobal => f.write_str("datastore (global)"),
            Self::KernelHostname => f.write_str("kernel hostname"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// What an option is set to, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// Text of the value, `none` or empty for the zero value; a placeholder for a secret.
    pub value: String,
    /// Who says so.
    pub origin: Origin,
    raw: Secret,
}

impl Provenance {
    fn new(row: &Row, raw: &str, origin: Origin) -> Self {
        let value = if row.is_secret() && !raw.is_empty() {
            "<secret>"
        } else {
            raw
        };
        Self {
            value: value.to_owned(),
            origin,
            raw: Secret::new(raw),
        }
    }

    fn input(&self) -> Input<'_> {
        input(self.raw.reveal())
    }

    /// Adds items to a list, those that it does not have.
    fn extended(self, row: &Row, items: &[String]) -> Self {
        let mut raw = match self.input() {
            Input::Zero => String::new(),
            Input::Text(text) => text.to_owned(),
        };
        for item in items {
            if !raw.split(',').any(|known| known.trim() == item) {
                raw.push_str(if raw.is_empty() { "" } else { "," });
                raw.push_str(item);
            }
        }
        Self::new(row, &raw, self.origin)
    }
}

/// A configuration, and how it came about.
#[derive(Debug, Clone)]
pub struct Resolution {
    /// The configuration; not to be run with if the resolution is fatal.
    pub config: Config,
    /// Everything that is wrong, in the order of the sources.
    pub problems: Vec<ConfigProblem>,
    /// Tells that the daemon must not start with this configuration, nor a running one go over to
    /// it.
    pub fatal: bool,
    /// Value and origin of every option, by its canonical name.
    pub provenance: BTreeMap<&'static str, Provenance>,
}

impl Resolution {
    /// Returns the line that tells the value and the source of the host's name, as operators of
    /// Calico look for it.
    pub fn hostname_line(&self) -> String {
        let origin = self.provenance.get(FELIX_HOSTNAME).map_or_else(
            || Origin::Default.to_string(),
            |provenance| provenance.origin.to_string(),
        );
        format!(
            "Parameter {FELIX_HOSTNAME} (Felix compute host hostname) has value '{}' read from \
             {origin}",
            self.config.hostname
        )
    }
}

/// Whether a source can be relied on before the daemon starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Local,
    Datastore,
}

/// One setting of an option in one source.
struct Candidate<'a> {
    raw: &'a str,
    reach: Reach,
    origin: Origin,
}

/// What a candidate comes to.
enum Verdict {
    Good,
    /// The default takes its place, at its priority.
    UseDefault,
    /// It may not be replaced by a default.
    Refused,
}

/// Resolves all sources to one configuration and a list of problems.
///
/// A value that cannot be parsed is replaced by the option's default, which then hides lower
/// sources, as in Felix. An option that is marked as not to be defaulted is fatal if a local source
/// is at fault. If the datastore is, the value in force is kept: that of `previous` where it came from
/// the datastore, and otherwise that of the next lower source, so that a bad object in the datastore
/// never takes enforcement away. Of a bad list of failsafe ports the good ones stay open beside these, so
/// that it does not close the way to the host either.
pub fn resolve(layers: &Layers, previous: Option<&Resolution>) -> Resolution {
    let mut problems = layers.problems.clone();
    let candidates = collect(layers, &mut problems);
    let mut winners: BTreeMap<&'static str, Provenance> = BTreeMap::new();
    let mut salvaged: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    let mut scratch = Config::default();
    for row in options::all() {
        // What came from elsewhere, the default above all, would hide the sources below.
        let kept = previous
            .and_then(|previous| previous.provenance.get(row.name))
            .filter(|kept| kept.origin.is_datastore());
        for candidate in candidates.get(row.name).into_iter().flatten() {
            let verdict = judge(row, candidate, layers, kept, &mut scratch, &mut problems);
            if winners.contains_key(row.name) {
                continue;
            }
            let winner = match verdict {
                Verdict::Good => Some(Provenance::new(
                    row,
                    candidate.raw,
                    candidate.origin.clone(),
                )),
                Verdict::UseDefault => {
                    let (raw, _) = default_of(row, layers, &winners);
                    Some(Provenance::new(row, &raw, candidate.origin.clone()))
                }
                Verdict::Refused => {
                    let good = good_items(row, candidate.raw);
                    salvaged.entry(row.name).or_default().extend(good);
                    kept.cloned()
                }
            };
            if let Some(winner) = winner {
                note_effect(row, &winner, &mut problems);
                winners.insert(row.name, winner);
            }
        }
    }
    let mut provenance = BTreeMap::new();
    let mut config = Config::default();
    for row in options::all() {
        let mut value = winners.get(row.name).cloned().unwrap_or_else(|| {
            let (raw, origin) = default_of(row, layers, &winners);
            Provenance::new(row, &raw, origin)
        });
        if let Some(items) = salvaged.get(row.name).filter(|items| !items.is_empty()) {
            value = value.extended(row, items);
        }
        if row.name == FELIX_HOSTNAME && value.origin.is_detected() {
            // The system's word for it, which Felix does not judge either.
            config.hostname.clone_from(&layers.hostname.name);
        } else if let Err(reason) = (row.set)(&mut config, value.input()) {
            problems.push(problem(Severity::Fatal, row.name, &value.origin, reason));
        }
        provenance.insert(row.name, value);
    }
    check_together(&config, &provenance, &mut problems);
    let fatal = problems
        .iter()
        .any(|problem| problem.severity == Severity::Fatal);
    Resolution {
        config,
        problems,
        fatal,
        provenance,
    }
}

impl Config {
    /// Returns the configuration of a host of this name on which nothing is set.
    pub fn default_for(hostname: &str) -> Self {
        let hostname = DetectedHostname {
            name: hostname.to_owned(),
            source: HostnameSource::Kernel,
        };
        let layers = Layers {
            hostname,
            ..Layers::default()
        };
        resolve(&layers, None).config
    }
}

impl Origin {
    /// Tells whether the value is from the datastore.
    fn is_datastore(&self) -> bool {
        match self {
            Self::DatastorePerHost | Self::DatastoreSelector | Self::DatastoreGlobal => true,
            Self::CommandLine
            | Self::Environment(_)
            | Self::File(_)
            | Self::KernelHostname
            | Self::Default => false,
        }
    }

    /// Tells whether the value is the host's own idea of its name.
    fn is_detected(&self) -> bool {
        match self {
            Self::KernelHostname | Self::Default => true,
            Self::Environment(variable) => variable == HOSTNAME_VARIABLE,
            Self::CommandLine
            | Self::File(_)
            | Self::DatastorePerHost
            | Self::DatastoreSelector
            | Self::DatastoreGlobal => false,
        }
    }
}

const HOSTNAME_VARIABLE: &str = "HOSTNAME";

fn input(raw: &str) -> Input<'_> {
    if raw.is_empty() || raw.eq_ignore_ascii_case("none") {
        Input::Zero
    } else {
        Input::Text(raw)
    }
}

/// Sorts what every source says by option, the strongest first.
fn collect<'a>(
    layers: &'a Layers,
    problems: &mut Vec<ConfigProblem>,
) -> BTreeMap<&'static str, Vec<Candidate<'a>>> {
    let mut all: BTreeMap<&'static str, Vec<Candidate<'a>>> = BTreeMap::new();
    let file_path = &layers.file_path;
    let variable = |prefix: &'static str| {
        move |name: &str| Origin::Environment(format!("{prefix}{}", name.to_ascii_uppercase()))
    };
    let mut add = |map, reach, origin: &dyn Fn(&str) -> Origin| {
        collect_layer(map, reach, origin, &mut all, problems);
    };
    add(&layers.command_line, Reach::Local, &|_| Origin::CommandLine);
    add(
        &layers.tortie_environment,
        Reach::Local,
        &variable("TORTIE_"),
    );
    add(&layers.felix_environment, Reach::Local, &variable("FELIX_"));
    add(&layers.file, Reach::Local, &|_| {
        Origin::File(file_path.clone())
    });
    add(&layers.client_environment, Reach::Local, &|name| {
        Origin::Environment(name.to_owned())
    });
    add(&layers.datastore_per_host, Reach::Datastore, &|_| {
        Origin::DatastorePerHost
    });
    add(&layers.datastore_selector, Reach::Datastore, &|_| {
        Origin::DatastoreSelector
    });
    add(&layers.datastore_global, Reach::Datastore, &|_| {
        Origin::DatastoreGlobal
    });
    all
}

/// Adds what one source says; of several names of one option the canonical one is the strongest,
/// and of several spellings of one name the last in order.
fn collect_layer<'a>(
    map: &'a BTreeMap<String, String>,
    reach: Reach,
    origin: &dyn Fn(&str) -> Origin,
    all: &mut BTreeMap<&'static str, Vec<Candidate<'a>>>,
    problems: &mut Vec<ConfigProblem>,
) {
    let mut of_layer: BTreeMap<&'static str, Vec<(bool, &'a str, Candidate<'a>)>> = BTreeMap::new();
    for (name, raw) in map.iter().rev() {
        let origin = origin(name);
        let Some(row) = options::find(name).or_else(|| options::find(client_option(name)?)) else {
            // Where its `=` is forgotten, a name has the value in it, which may be a password.
            let first = name.split_whitespace().next().unwrap_or_default();
            let reason = "there is no option of this name; ignored";
            problems.push(problem(Severity::Warning, first, &origin, reason));
            continue;
        };
        if row.flags.scope == Scope::Local && reach == Reach::Datastore {
            let reason = "only the environment, the configuration file and the command line may \
                          set it; ignored";
            problems.push(problem(Severity::Warning, row.name, &origin, reason));
            continue;
        }
        if raw.trim().is_empty() {
            let reason = "an empty value is ignored; say `none` to turn the default off";
            problems.push(problem(Severity::Warning, row.name, &origin, reason));
            continue;
        }
        let alias = row
            .aliases
            .iter()
            .any(|alias| alias.eq_ignore_ascii_case(name));
        let candidate = Candidate { raw, reach, origin };
        of_layer
            .entry(row.name)
            .or_default()
            .push((alias, name, candidate));
    }
    for (option, mut settings) in of_layer {
        settings.sort_by_key(|(alias, _, _)| *alias);
        let mut settings = settings.into_iter();
        if let Some((_, winner, first)) = settings.next() {
            let value = first.raw;
            let list = all.entry(option).or_default();
            list.push(first);
            for (_, loser, candidate) in settings {
                if candidate.raw != value {
                    let reason = format!("overridden by `{winner}` in the same source");
                    problems.push(problem(Severity::Warning, loser, &candidate.origin, reason));
                }
                list.push(candidate);
            }
        }
    }
}

/// Parses one setting and reports what is wrong with it.
fn judge(
    row: &Row,
    candidate: &Candidate<'_>,
    layers: &Layers,
    kept: Option<&Provenance>,
    scratch: &mut Config,
    problems: &mut Vec<ConfigProblem>,
) -> Verdict {
    let input = input(candidate.raw);
    let refused_zero = input == Input::Zero && row.flags.zero == Zero::Refused;
    let reason = if refused_zero {
        "it cannot be turned off".to_owned()
    } else {
        match (row.set)(scratch, input) {
            Ok(()) => {
                let missing = layers.missing_files.get(candidate.raw);
                if let Some(missing) = missing.filter(|_| row.names_required_file()) {
                    let reason = format!("{}: {missing}; it is waited for", quoted(candidate.raw));
                    problems.push(problem(
                        Severity::Warning,
                        row.name,
                        &candidate.origin,
                        reason,
                    ));
                }
                return Verdict::Good;
            }
            Err(reason) => reason,
        }
    };
    let dies = refused_zero || row.flags.on_fail == OnFail::Die;
    let (severity, consequence, verdict) = match (dies, candidate.reach) {
        (false, _) => {
            let default = match row.default {
                "" => "the default takes its place".to_owned(),
                default => format!("the default {} takes its place", quoted(default)),
            };
            (Severity::Warning, default, Verdict::UseDefault)
        }
        (true, Reach::Local) => (
            Severity::Fatal,
            "tortie does not start with it".to_owned(),
            Verdict::Refused,
        ),
        (true, Reach::Datastore) => {
            let consequence = match kept {
                Some(_) => "the value in force stays",
                None => "it is passed over",
            };
            let beside = match good_items(row, candidate.raw).as_slice() {
                [] => "",
                [_, ..] => ", and its good items count beside what decides in its place",
            };
            let consequence = format!("{consequence}{beside}");
            (Severity::Error, consequence, Verdict::Refused)
        }
    };
    let shown = if row.is_secret() {
        "the value".to_owned()
    } else {
        quoted(candidate.raw)
    };
    let reason = format!("{shown}: {reason}; {consequence}");
    problems.push(problem(severity, row.name, &candidate.origin, reason));
    verdict
}

/// Returns the good items of a bad list of failsafe ports, and none of any other option.
fn good_items(row: &Row, raw: &str) -> Vec<String> {
    if row.lists_failsafe_ports() {
        failsafe::good_items(raw)
    } else {
        Vec::new()
    }
}

/// Returns the default of an option, which for some depends on the host or on other options.
fn default_of(
    row: &Row,
    layers: &Layers,
    winners: &BTreeMap<&'static str, Provenance>,
) -> (String, Origin) {
    if row.name == FELIX_HOSTNAME {
        let origin = match layers.hostname.source {
            HostnameSource::Kernel => Origin::KernelHostname,
            HostnameSource::Variable => Origin::Environment(HOSTNAME_VARIABLE.to_owned()),
        };
        return (layers.hostname.name.clone(), origin);
    }
    if row.name == DATASTORE_TYPE {
        let etcd =
            options::all().any(|row| row.topic == Topic::Etcd && winners.contains_key(row.name));
        let kind = if etcd {
            DatastoreKind::Etcd
        } else {
            DatastoreKind::Directory
        };
        return (kind.to_string(), Origin::Default);
    }
    (row.default.to_owned(), Origin::Default)
}

/// Says so if an option that somebody has set does nothing.
fn note_effect(row: &Row, winner: &Provenance, problems: &mut Vec<ConfigProblem>) {
    let reason = match row.status {
        Status::Works => return,
        Status::Planned => "accepted; it takes effect in a later release".to_owned(),
        Status::Accepted(why) => format!("accepted, without effect: {why}"),
    };
    problems.push(problem(Severity::Note, row.name, &winner.origin, reason));
}

/// Checks what one option alone does not show.
fn check_together(
    config: &Config,
    provenance: &BTreeMap<&'static str, Provenance>,
    problems: &mut Vec<ConfigProblem>,
) {
    let mut refuse = |option: &str, reason: &str| {
        let origin = provenance
            .get(option)
            .map_or(Origin::Default, |provenance| provenance.origin.clone());
        problems.push(problem(Severity::Fatal, option, &origin, reason));
    };
    if config.hostname.is_empty() {
        refuse(FELIX_HOSTNAME, "this host has no name; set one");
    }
    let etcd = &config.datastore.etcd;
    match config.datastore.kind {
        DatastoreKind::Directory => {}
        DatastoreKind::Kubernetes => {
            refuse(DATASTORE_TYPE, "the Kubernetes datastore is not supported");
        }
        DatastoreKind::Etcd => {
            if etcd.discovery_srv.is_some() && !etcd.endpoints.is_empty() {
                refuse(
                    "EtcdDiscoverySrv",
                    "it cannot be set together with EtcdEndpoints",
                );
            }
            if etcd.discovery_srv.is_some() && etcd.endpoints.is_empty() {
                refuse(
                    "EtcdDiscoverySrv",
                    "members are not looked up; name them in EtcdEndpoints",
                );
            }
            if etcd.discovery_srv.is_none() && etcd.urls().is_empty() {
                refuse(
                    "EtcdEndpoints",
                    "neither it nor EtcdAddr says where etcd is",
                );
            }
            if etcd.key_file.is_some() != etcd.cert_file.is_some() {
                refuse("EtcdKeyFile", "a client's key and certificate go together");
            }
        }
    }
}

fn problem(
    severity: Severity,
    subject: &str,
    place: &Origin,
    reason: impl Into<String>,
) -> ConfigProblem {
    ConfigProblem {
        severity,
        subject: Some(printable(subject)),
        place: printable(&place.to_string()),
        reason: printable(&reason.into()),
    }
}
