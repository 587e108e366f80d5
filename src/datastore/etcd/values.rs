//! From the values of keys to resources.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::contents::Values;
use super::keys::{Piece, workload_parts};
use super::v1;
use crate::datastore::decode::{Origin, decode_documents};
use crate::datastore::document::Node as Document;
use crate::datastore::validate;
use crate::model::{
    Action, ClusterInformation, EndOfTier, EntityMatch, FelixConfiguration, Form, Kind, LabelMap,
    Node, Order, Place, Policy, Problem, Profile, Resource, ResourceKey, Rule, Severity, Tier,
    TierName,
};

/// The largest value that is read, in bytes: etcd's own limit is a fifth of it unless somebody raises it.
const MAX_VALUE: usize = 8 << 20;
/// The most objects that a value may hold, as rules are. Each takes a hundred times the memory of the shortest text
/// of one.
const MAX_OBJECTS: usize = 100_000;
/// The most values that lists and objects may hold together.
const MAX_ITEMS: usize = 1_000_000;
/// The annotation in which a policy's writer keeps the name that it was given.
pub(super) const NAME_ANNOTATION: &str = "projectcalico.org/metadata";
/// The API version of the v3 form.
const V3: &str = "projectcalico.org/v3";
/// What stands before the name of an option in an annotation of a configuration, which holds its raw text.
const OPTION_ANNOTATION: &str = "config.projectcalico.org/";

/// A value and the key that it stands at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    /// The key.
    pub(super) key: Arc<str>,
    /// The value.
    pub(super) value: Arc<[u8]>,
}

/// What values come to.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Outcome {
    /// The resource, unless it counts as absent.
    pub(super) value: Option<Arc<Resource>>,
    /// What is wrong with it.
    pub(super) problems: Vec<Problem>,
}

impl Outcome {
    fn good(value: Resource) -> Self {
        Self {
            value: Some(Arc::new(value)),
            problems: Vec::new(),
        }
    }

    fn bad(key: &ResourceKey, at: &Arc<str>, reason: String) -> Self {
        Self {
            value: None,
            problems: vec![problem(key, at, reason, Severity::Rejected)],
        }
    }
}

fn problem(key: &ResourceKey, at: &Arc<str>, reason: String, severity: Severity) -> Problem {
    Problem {
        place: Place::Key(at.clone()),
        object: Some(key.clone()),
        field: String::new(),
        reason,
        severity,
    }
}

fn json(bytes: &[u8]) -> Result<Json, String> {
    if bytes.len() > MAX_VALUE {
        return Err(format!("larger than {MAX_VALUE} bytes"));
    }
    // Counted before anything is made of them; those in words count too, which no good value has many of.
    let count = |sign: u8| bytes.split(|byte| *byte == sign).skip(1).count();
    if count(b'{') > MAX_OBJECTS {
        return Err(format!("holds more than {MAX_OBJECTS} objects"));
    }
    if count(b',') > MAX_ITEMS {
        return Err(format!("holds more than {MAX_ITEMS} values"));
    }
    serde_json::from_slice(bytes).map_err(|error| format!("cannot be parsed: {error}"))
}

/// Decodes a value that is a whole resource.
pub(super) fn whole(key: &ResourceKey, held: &Held) -> Outcome {
    let decoded = json(&held.value).and_then(|value| match key.form {
        Form::V3 => whole_v3(key, &held.key, value),
        Form::V1 => whole_v1(key, &held.key, &value),
    });
    decoded.unwrap_or_else(|reason| Outcome::bad(key, &held.key, reason))
}

fn whole_v3(key: &ResourceKey, at: &Arc<str>, value: Json) -> Result<Outcome, String> {
    let (document, remarks) = v3(key, value)?;
    let mut outcome = documents(key, at, &document)?;
    let warnings = remarks
        .into_iter()
        .map(|remark| problem(key, at, remark, Severity::Warning));
    outcome.problems.extend(warnings);
    Ok(outcome)
}

/// Says in a v3 resource what its key says: that is who it is, whatever it says itself. What it does say otherwise is
/// remarked.
fn v3(key: &ResourceKey, value: Json) -> Result<(Json, Vec<String>), String> {
    let Json::Object(mut object) = value else {
        return Err("expected a JSON object".to_owned());
    };
    let words = [("kind", key.kind.as_str()), ("apiVersion", V3)];
    let remarks = words
        .into_iter()
        .filter_map(|(name, word)| settle(&mut object, name, word));
    let remarks: Vec<String> = remarks.collect();
    let mut metadata = match take(&mut object, "metadata") {
        None => Map::new(),
        Some(Json::Object(metadata)) => metadata,
        Some(_) => return Err("metadata: expected a JSON object".to_owned()),
    };
    for (field, text) in [("name", &key.name), ("namespace", &key.scope)] {
        take(&mut metadata, field);
        if !text.is_empty() {
            metadata.insert(field.to_owned(), text.as_ref().into());
        }
    }
    object.insert("metadata".to_owned(), Json::Object(metadata));
    Ok((Json::Object(object), remarks))
}

/// Takes a field out, in whatever case it is written; `null` is absent.
fn take(object: &mut Map<String, Json>, name: &str) -> Option<Json> {
    let exact = object.remove(name);
    let others: Vec<String> = object
        .keys()
        .filter(|known| known.eq_ignore_ascii_case(name))
        .cloned()
        .collect();
    let others = others.iter().filter_map(|other| object.remove(other));
    exact
        .into_iter()
        .chain(others)
        .find(|value| !value.is_null())
}

/// Has a field say a word, and returns a remark where it said another one.
fn settle(object: &mut Map<String, Json>, name: &str, word: &str) -> Option<String> {
    let is_it = |value: &Json| {
        value
            .as_str()
            .is_some_and(|text| text.is_empty() || text.eq_ignore_ascii_case(word))
    };
    let other = take(object, name).is_some_and(|value| !is_it(&value));
    object.insert(name.to_owned(), word.into());
    other.then(|| format!("{name}: is not `{word}`, as the key has it; the key counts"))
}

/// Decodes a document as files hold them.
fn documents(key: &ResourceKey, at: &Arc<str>, value: &Json) -> Result<Outcome, String> {
    let document = Document::from_json(value).map_err(|error| error.reason)?;
    let place = |_| Place::Key(at.clone());
    let mut decoded = decode_documents(&[document], &place, Origin::Datastore);
    for problem in &mut decoded.problems {
        problem.object = Some(key.clone());
    }
    Ok(Outcome {
        value: decoded.objects.pop().map(|object| object.value),
        problems: decoded.problems,
    })
}

fn whole_v1(key: &ResourceKey, at: &Arc<str>, value: &Json) -> Result<Outcome, String> {
    let Some(document) = whole_v1_document(key, value)? else {
        return tier(key, value).map(Outcome::good);
    };
    let mut outcome = documents(key, at, &document)?;
    if key.kind == Kind::GlobalNetworkPolicy && !key.scope.is_empty() {
        validate::stored_name(&key.scope).map_err(|reason| format!("the tier's name {reason}"))?;
        outcome.value = outcome.value.map(|value| in_tier(&value, &key.scope));
    }
    Ok(outcome)
}

/// Returns a value in the words of calicoctl's v1 form, which has none for tiers.
fn whole_v1_document(key: &ResourceKey, value: &Json) -> Result<Option<Json>, String> {
    let document = match key.kind {
        Kind::HostEndpoint => v1::host_endpoint(value, &key.scope, &key.name)?,
        Kind::WorkloadEndpoint => {
            let parts = workload_parts(&key.name).ok_or("the key names no workload")?;
            v1::workload_endpoint(value, &key.scope, &parts)?
        }
        Kind::GlobalNetworkPolicy => v1::policy(value, &key.name)?,
        Kind::IpPool => v1::pool(value, &key.name)?,
        Kind::Tier => return Ok(None),
        Kind::ClusterInformation
        | Kind::FelixConfiguration
        | Kind::Node
        | Kind::Profile
        | Kind::NetworkPolicy
        | Kind::StagedGlobalNetworkPolicy
        | Kind::StagedNetworkPolicy
        | Kind::StagedKubernetesNetworkPolicy
        | Kind::GlobalNetworkSet
        | Kind::NetworkSet => return Err(format!("{} is not kept under one v1 key", key.kind)),
    };
    Ok(Some(document))
}

/// Puts a policy into the tier that its key names.
fn in_tier(value: &Arc<Resource>, tier: &str) -> Arc<Resource> {
    if let Resource::Policy(policy) = value.as_ref() {
        Arc::new(Resource::Policy(Policy {
            tier: TierName::new(tier),
            ..policy.clone()
        }))
    } else {
        Arc::clone(value)
    }
}

fn tier(key: &ResourceKey, value: &Json) -> Result<Resource, String> {
    validate::stored_name(&key.name).map_err(|reason| format!("the tier's name {reason}"))?;
    let order = match v1::tier_order(value)? {
        None => Order::LAST,
        Some(order) => Order::new(order).ok_or("order: expected a number")?,
    };
    Ok(Resource::Tier(Tier {
        order,
        default_action: EndOfTier::Deny,
    }))
}

/// Puts a resource together from the parts that are there.
pub(super) fn composed(key: &ResourceKey, pieces: &BTreeMap<Piece, Held>) -> Outcome {
    if pieces.is_empty() {
        return Outcome::default();
    }
    match key.kind {
        Kind::ClusterInformation => {
            let ready = pieces.get(&Piece::Ready);
            Outcome::good(Resource::ClusterInformation(ClusterInformation {
                datastore_ready: ready.map(|held| &*held.value == b"true"),
                ..ClusterInformation::default()
            }))
        }
        Kind::FelixConfiguration => options(key, pieces),
        Kind::Node => match pieces.get(&Piece::Address) {
            Some(held) => node(key, held),
            None => Outcome::default(),
        },
        Kind::Profile => profile(key, pieces),
        Kind::IpPool
        | Kind::Tier
        | Kind::GlobalNetworkPolicy
        | Kind::NetworkPolicy
        | Kind::StagedGlobalNetworkPolicy
        | Kind::StagedNetworkPolicy
        | Kind::StagedKubernetesNetworkPolicy
        | Kind::GlobalNetworkSet
        | Kind::NetworkSet
        | Kind::HostEndpoint
        | Kind::WorkloadEndpoint => Outcome::default(),
    }
}

fn node(key: &ResourceKey, held: &Held) -> Outcome {
    let text = std::str::from_utf8(&held.value).ok();
    match text.and_then(|text| text.parse::<Ipv4Addr>().ok()) {
        Some(address) => Outcome::good(Resource::Node(Node {
            labels: LabelMap::new(),
            addresses: vec![address.into()],
        })),
        None => Outcome::bad(key, &held.key, "is not an IPv4 address".to_owned()),
    }
}

/// Takes options as annotations, which hold raw texts as these keys do.
fn options(key: &ResourceKey, pieces: &BTreeMap<Piece, Held>) -> Outcome {
    let mut annotations = BTreeMap::new();
    let mut problems = Vec::new();
    for (piece, held) in pieces {
        let option = match piece {
            Piece::Option(option) => option,
            Piece::Ready | Piece::Address | Piece::Rules | Piece::Tags | Piece::Labels => continue,
        };
        match std::str::from_utf8(&held.value) {
            Ok(text) if held.value.len() <= MAX_VALUE => {
                annotations.insert(format!("{OPTION_ANNOTATION}{option}"), text.to_owned());
            }
            Ok(_) | Err(_) => {
                let reason = "is no text that an option could have, ignored".to_owned();
                problems.push(problem(key, &held.key, reason, Severity::Warning));
            }
        }
    }
    Outcome {
        value: Some(Arc::new(Resource::FelixConfiguration(FelixConfiguration {
            node_selector: None,
            created: None,
            annotations,
            spec: Map::new(),
        }))),
        problems,
    }
}

/// Puts a profile together: each of its values is there or not, good or bad, without the others.
fn profile(key: &ResourceKey, pieces: &BTreeMap<Piece, Held>) -> Outcome {
    let empty = Json::Object(Map::new());
    let mut problems = Vec::new();
    // A bad value counts as absent by itself; an empty profile is what it is tried in.
    let mut read = |piece: &Piece| -> Option<Json> {
        let held = pieces.get(piece)?;
        let document = json(&held.value).and_then(|value| {
            let (rules, tags, labels) = match piece {
                Piece::Rules => (&value, None, None),
                Piece::Tags => (&empty, Some(&value), None),
                Piece::Labels => (&empty, None, Some(&value)),
                Piece::Ready | Piece::Option(_) | Piece::Address => (&empty, None, None),
            };
            let document = v1::profile(&key.name, rules, tags, labels)?;
            Ok((documents(key, &held.key, &document)?, value))
        });
        match document {
            Ok((outcome, value)) => {
                problems.extend(outcome.problems);
                outcome.value.map(|_| value)
            }
            Err(reason) => {
                problems.push(problem(key, &held.key, reason, Severity::Rejected));
                None
            }
        }
    };
    let [rules, tags, labels] =
        [Piece::Rules, Piece::Tags, Piece::Labels].map(|piece| read(&piece));
    if rules.is_none() && tags.is_none() && labels.is_none() {
        return Outcome {
            value: None,
            problems,
        };
    }
    let at = pieces.values().next().map(|held| held.key.clone());
    let document = v1::profile(
        &key.name,
        rules.as_ref().unwrap_or(&empty),
        tags.as_ref(),
        labels.as_ref(),
    );
    let whole = document.and_then(|document| documents(key, &at.unwrap_or_default(), &document));
    let value =
        whole
            .ok()
            .and_then(|outcome| outcome.value)
            .map(|value| match (value.as_ref(), &rules) {
                (Resource::Profile(profile), None) => Arc::new(Resource::Profile(denying(profile))),
                (_, _) => value,
            });
    Outcome { value, problems }
}

/// Has a profile without rules deny, as one that does not exist; its tags and labels are inherited all the same.
fn denying(profile: &Profile) -> Profile {
    let deny = || {
        vec![Rule {
            action: Action::Deny,
            ip_version: None,
            protocol: None,
            not_protocol: None,
            icmp: None,
            not_icmp: None,
            source: EntityMatch::default(),
            destination: EntityMatch::default(),
        }]
    };
    Profile {
        ingress: deny(),
        egress: deny(),
        ..profile.clone()
    }
}

/// Returns a resource as it was written, one of the v1 form in calicoctl's words for it; `None` where these cannot say
/// it.
pub(super) fn document(key: &ResourceKey, values: &Values) -> Option<Map<String, Json>> {
    let read = |held: &Held| json(&held.value).ok();
    let document = match (key.form, &values.whole) {
        (Form::V3, Some(held)) => shown(v3(key, read(held)?).ok()?.0),
        // Of tiers they say nothing, nor of profiles without rules.
        (Form::V1, Some(_)) if key.kind == Kind::GlobalNetworkPolicy && !key.scope.is_empty() => {
            return None;
        }
        (Form::V1, Some(held)) => pruned(whole_v1_document(key, &read(held)?).ok()??),
        (Form::V1, None) if key.kind == Kind::Profile => {
            let piece = |piece| values.pieces.get(&piece).and_then(read);
            let rules = piece(Piece::Rules)?;
            let (tags, labels) = (piece(Piece::Tags), piece(Piece::Labels));
            pruned(v1::profile(&key.name, &rules, tags.as_ref(), labels.as_ref()).ok()?)
        }
        (Form::V1, None) if key.kind == Kind::Node => {
            let held = values.pieces.get(&Piece::Address)?;
            pruned(v1::node(&key.name, std::str::from_utf8(&held.value).ok()?))
        }
        (Form::V3 | Form::V1, None) => return None,
    };
    if let Json::Object(fields) = document {
        Some(fields)
    } else {
        None
    }
}

/// Takes out of a v3 resource what its writer keeps there for itself.
fn shown(mut document: Json) -> Json {
    if let Some(metadata) = document.get_mut("metadata").and_then(Json::as_object_mut)
        && let Some(Json::Object(annotations)) = metadata.get_mut("annotations")
    {
        annotations.remove(NAME_ANNOTATION);
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
    document
}

/// Takes out of a map what is absent or empty.
fn pruned(value: Json) -> Json {
    match value {
        Json::Object(fields) => {
            let fields = fields
                .into_iter()
                .map(|(name, value)| (name, pruned(value)));
            let is_there = |(_, value): &(String, Json)| match value {
                Json::Null => false,
                Json::Array(items) => !items.is_empty(),
                Json::Object(fields) => !fields.is_empty(),
                Json::Bool(_) | Json::Number(_) | Json::String(_) => true,
            };
            Json::Object(fields.filter(is_there).collect())
        }
        Json::Array(items) => items.into_iter().map(pruned).collect(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => value,
    }
}
