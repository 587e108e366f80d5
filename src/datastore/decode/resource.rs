//! From documents to resources with their keys.

use std::sync::Arc;

use super::Context;
use super::cluster::{
    cluster_information, felix_configuration, ip_pool_v1, ip_pool_v3, node_addresses,
};
use super::host::{host_endpoint_v1, host_endpoint_v3};
use super::kinds::{Recognised, recognise};
use super::meta::{Meta, meta_v3};
use super::policy::{policy_v1, policy_v3, tier};
use super::profile::{profile_v1, profile_v3};
use super::set::network_set;
use super::value::{LabelRule, labels, written};
use super::workload::{workload_endpoint_v1, workload_endpoint_v3};
use crate::datastore::document::{DocumentError, Entry, Node, Value, parse};
use crate::datastore::field::{Field, Object, Report, quoted};
use crate::datastore::validate;
use crate::model::{self, Form, Kind, LabelMap, Place, Problem, Resource, ResourceKey};

/// Who wrote a resource, which decides what it may leave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Origin {
    /// A person, as for calicoctl: the defaults and checks of calicoctl apply.
    #[default]
    File,
    /// A datastore that calicoctl or a server has written: nothing is filled in, and nothing is checked that
    /// Felix does not check when it reads.
    Datastore,
}

/// A resource and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Located {
    /// Its key.
    pub key: ResourceKey,
    /// The resource.
    pub value: Arc<Resource>,
    /// Where it begins.
    pub place: Place,
}

/// A resource of a kind that means nothing to this agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Where it begins.
    pub place: Place,
    /// Its kind, as written.
    pub kind: String,
    /// Its name, empty where it has none.
    pub name: String,
}

/// What documents held.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decoded {
    /// The good resources, in order.
    pub objects: Vec<Located>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What was passed over.
    pub skipped: Vec<Skipped>,
}

/// Decodes the bytes of a file that is shown as `path`.
///
/// # Errors
/// Fails where the bytes are no documents; then nothing of the file can be trusted.
pub fn decode_file(path: &str, bytes: &[u8], origin: Origin) -> Result<Decoded, DocumentError> {
    let path: Arc<str> = path.into();
    let place = |line: usize| Place::File {
        path: path.clone(),
        line: line.max(1),
    };
    Ok(decode_documents(&parse(bytes)?, &place, origin))
}

/// Decodes documents, of which `place` says where a line of them is.
pub fn decode_documents(
    documents: &[Node],
    place: &dyn Fn(usize) -> Place,
    origin: Origin,
) -> Decoded {
    let mut decoder = Decoder {
        place,
        origin,
        decoded: Decoded::default(),
    };
    for document in documents {
        decoder.value(document);
    }
    decoder.decoded
}

/// Returns the resources of documents one by one, those of lists and sequences included, in order.
pub(in crate::datastore) fn resources(documents: &[Node]) -> Vec<&Node> {
    let mut found = Vec::new();
    // What is looked at next stands last.
    let mut pending: Vec<&Node> = documents.iter().rev().collect();
    while let Some(node) = pending.pop() {
        match &node.value {
            Value::Null => {}
            Value::Sequence(items) => pending.extend(items.iter().rev()),
            Value::Mapping(entries) if is_list(node) => pending.extend(items_of(entries).rev()),
            Value::Scalar(..) | Value::Mapping(_) => found.push(node),
        }
    }
    found
}

/// Tells whether a document is a list of resources.
fn is_list(node: &Node) -> bool {
    let report = Report::default();
    let field = Field::root(node, &report);
    let object = field.object();
    let kind = object.text("kind").unwrap_or_default();
    let version = object.text("apiVersion").unwrap_or_default();
    match recognise(version, kind) {
        Recognised::List => true,
        Recognised::Known(..) | Recognised::Other | Recognised::Unknown => false,
    }
}

/// Returns what the lists of a document hold.
fn items_of(entries: &[Entry]) -> impl DoubleEndedIterator<Item = &Node> {
    let is_items = |entry: &&Entry| entry.key.eq_ignore_ascii_case("items");
    entries.iter().filter(is_items).map(|entry| &entry.value)
}

struct Decoder<'a> {
    place: &'a dyn Fn(usize) -> Place,
    origin: Origin,
    decoded: Decoded,
}

impl Decoder<'_> {
    /// Takes a resource, or a list of them; lists within lists end with the depth of the document.
    fn value(&mut self, node: &Node) {
        match &node.value {
            Value::Null => {}
            Value::Sequence(items) => {
                for item in items {
                    self.value(item);
                }
            }
            Value::Scalar(..) | Value::Mapping(_) => self.resource(node),
        }
    }

    fn resource(&mut self, node: &Node) {
        let report = Report::new(self.origin);
        let field = Field::root(node, &report);
        let object = field.object();
        let kind = object.required_text("kind").unwrap_or_default();
        let version = object.required_text("apiVersion").unwrap_or_default();
        let mut key = None;
        if !report.rejected() {
            match recognise(version, kind) {
                Recognised::Known(form, kind) => {
                    let context = Context {
                        form,
                        origin: self.origin,
                    };
                    let (named, value) = known(&object, kind, context);
                    key = named;
                    object.finish();
                    if let (Some(key), Some(value), false) = (&key, value, report.rejected()) {
                        let place = (self.place)(node.line);
                        self.decoded.objects.push(Located {
                            key: key.clone(),
                            value: Arc::new(value),
                            place,
                        });
                    }
                }
                Recognised::List => self.list(node),
                Recognised::Other => self.skip(node, kind, &object),
                Recognised::Unknown => {
                    let kind = quoted(kind);
                    object.reject_field(
                        "kind",
                        format!("unknown kind {kind} of {}", quoted(version)),
                    );
                }
            }
        }
        for found in report.into_found() {
            self.decoded.problems.push(Problem {
                place: (self.place)(found.line),
                object: key.clone(),
                field: found.field,
                reason: found.reason,
                severity: found.severity,
            });
        }
    }

    fn list(&mut self, node: &Node) {
        let Value::Mapping(entries) = &node.value else {
            return;
        };
        for items in items_of(entries) {
            self.value(items);
        }
    }

    fn skip(&mut self, node: &Node, kind: &str, object: &Object<'_>) {
        let metadata = object.get_or_empty("metadata");
        let name = metadata
            .object()
            .text("name")
            .unwrap_or_default()
            .to_owned();
        let place = (self.place)(node.line);
        self.decoded.skipped.push(Skipped {
            place,
            kind: kind.to_owned(),
            name,
        });
    }
}

/// A key if it could be made out, and the resource if it is whole.
type Outcome = (Option<ResourceKey>, Option<Resource>);

fn known(object: &Object<'_>, kind: Kind, context: Context) -> Outcome {
    match context.form {
        Form::V3 => known_v3(object, kind, context),
        Form::V1 => known_v1(object, kind, context),
    }
}

/// Tells whether a name can be shown in a line of log.
fn presentable(name: &str) -> bool {
    !name.is_empty() && validate::stored_name(name).is_ok()
}

fn known_v3(object: &Object<'_>, kind: Kind, context: Context) -> Outcome {
    object.ignore(&["apiVersion", "kind", "status"]);
    let meta = meta_v3(object, kind, context);
    let metadata_field = object.get_or_empty("metadata");
    let metadata = metadata_field.object();
    let spec_field = object.get_or_empty("spec");
    let spec = spec_field.object();
    let key = (presentable(&meta.name)
        && (meta.namespace.is_empty() || presentable(&meta.namespace)))
    .then(|| ResourceKey::v3(kind, &meta.namespace, &meta.name));
    let mut named = None;
    let resource = match kind {
        Kind::StagedGlobalNetworkPolicy
        | Kind::StagedNetworkPolicy
        | Kind::StagedKubernetesNetworkPolicy => {
            let delete = spec
                .text("stagedAction")
                .is_some_and(|action| action == "Delete");
            return (key, (!delete).then_some(Resource::StagedPolicy));
        }
        Kind::FelixConfiguration => {
            let configuration = felix_configuration(&spec, &spec_field, &meta);
            return (key, Some(Resource::FelixConfiguration(configuration)));
        }
        Kind::Node => {
            let node = model::Node {
                labels: meta.labels,
                addresses: node_addresses(&spec),
            };
            return (key, Some(Resource::Node(node)));
        }
        Kind::WorkloadEndpoint => {
            workload_endpoint_v3(&metadata, &spec, &meta, context).map(|(name, endpoint)| {
                named = Some(ResourceKey::v3(kind, &meta.namespace, &name));
                Resource::WorkloadEndpoint(endpoint)
            })
        }
        Kind::HostEndpoint => {
            host_endpoint_v3(&spec, meta.labels, context).map(Resource::HostEndpoint)
        }
        Kind::GlobalNetworkPolicy | Kind::NetworkPolicy => {
            policy_v3(&spec, kind, &meta.namespace, context).map(Resource::Policy)
        }
        Kind::Tier => tier(&spec, context).map(Resource::Tier),
        Kind::Profile => Some(Resource::Profile(profile_v3(
            &metadata, &spec, &meta.name, context,
        ))),
        Kind::GlobalNetworkSet | Kind::NetworkSet => {
            let Meta {
                namespace, labels, ..
            } = meta;
            Some(Resource::NetworkSet(network_set(
                &spec, &namespace, labels, context,
            )))
        }
        Kind::IpPool => ip_pool_v3(&spec, context).map(Resource::IpPool),
        Kind::ClusterInformation => Some(Resource::ClusterInformation(cluster_information(
            &metadata, &spec, &meta.name,
        ))),
    };
    spec.finish();
    // The name of a workload endpoint may follow from its spec; no other key changes.
    (key.or(named), resource)
}

fn known_v1(object: &Object<'_>, kind: Kind, context: Context) -> Outcome {
    object.ignore(&["apiVersion", "kind"]);
    let metadata_field = object.get_or_empty("metadata");
    let metadata = metadata_field.object();
    // As clients show it.
    metadata.ignore(&["resourceVersion"]);
    let spec_field = object.get_or_empty("spec");
    let spec = spec_field.object();
    let (key, resource) = match kind {
        Kind::HostEndpoint => {
            let (name, node) = (v1_name(&metadata, "name"), v1_node(&metadata));
            let labels = v1_labels(&metadata, kind, context);
            let endpoint = host_endpoint_v1(&spec, node.unwrap_or_default(), labels, context);
            let key = name
                .zip(node)
                .map(|(name, node)| ResourceKey::v1(kind, node, name));
            (key, Some(Resource::HostEndpoint(endpoint)))
        }
        Kind::WorkloadEndpoint => workload_v1(&metadata, &spec, context),
        Kind::GlobalNetworkPolicy => {
            let key = v1_name(&metadata, "name").map(|name| ResourceKey::v1(kind, "", name));
            metadata.ignore(&["annotations"]);
            (key, policy_v1(&spec, context).map(Resource::Policy))
        }
        Kind::Profile => {
            let key = v1_name(&metadata, "name").map(|name| ResourceKey::v1(kind, "", name));
            (
                key,
                Some(Resource::Profile(profile_v1(&metadata, &spec, context))),
            )
        }
        Kind::Node => {
            let key = v1_name(&metadata, "name").map(|name| ResourceKey::v1(kind, "", name));
            let labels = v1_labels(&metadata, kind, context);
            let addresses = node_addresses(&spec);
            (key, Some(Resource::Node(model::Node { labels, addresses })))
        }
        Kind::IpPool => {
            let pool = ip_pool_v1(&metadata, &spec, context);
            let key = pool
                .as_ref()
                .map(|pool| ResourceKey::v1(kind, "", &pool.cidr.to_string()));
            (key, pool.map(Resource::IpPool))
        }
        Kind::ClusterInformation
        | Kind::FelixConfiguration
        | Kind::Tier
        | Kind::NetworkPolicy
        | Kind::StagedGlobalNetworkPolicy
        | Kind::StagedNetworkPolicy
        | Kind::StagedKubernetesNetworkPolicy
        | Kind::GlobalNetworkSet
        | Kind::NetworkSet => {
            object.reject_field("kind", format!("{kind} has no v1 form"));
            (None, None)
        }
    };
    metadata.finish();
    spec.finish();
    (key, resource)
}

fn workload_v1(metadata: &Object<'_>, spec: &Object<'_>, context: Context) -> Outcome {
    metadata.ignore(&["activeInstanceID"]);
    let name = v1_name(metadata, "name");
    let node = v1_node(metadata);
    let orchestrator = v1_name(metadata, "orchestrator");
    let workload = metadata.required_text("workload").and_then(|text| {
        written(&metadata.get("workload")?, validate::v1_workload_name)?;
        Some(text)
    });
    let labels = v1_labels(metadata, Kind::WorkloadEndpoint, context);
    let parts = [
        node.unwrap_or_default(),
        orchestrator.unwrap_or_default(),
        workload.unwrap_or_default(),
        name.unwrap_or_default(),
    ];
    let endpoint = workload_endpoint_v1(spec, parts, labels);
    let [node, orchestrator, workload, name] = parts;
    let key = parts.iter().all(|part| !part.is_empty()).then(|| {
        let name = format!("{orchestrator}/{workload}/{name}");
        ResourceKey::v1(Kind::WorkloadEndpoint, node, &name)
    });
    (key, endpoint.map(Resource::WorkloadEndpoint))
}

fn v1_name<'s>(metadata: &'s Object<'_>, name: &'s str) -> Option<&'s str> {
    let text = metadata.required_text(name)?;
    written(&metadata.get(name)?, validate::v1_name)?;
    Some(text)
}

fn v1_node<'s>(metadata: &'s Object<'_>) -> Option<&'s str> {
    let text = metadata.required_text("node")?;
    written(&metadata.get("node")?, validate::node_name)?;
    Some(text)
}

fn v1_labels(metadata: &Object<'_>, kind: Kind, context: Context) -> LabelMap {
    labels(metadata, "labels", LabelRule::of(kind, context))
}
