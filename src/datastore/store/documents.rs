//! Documents as they were written.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::contents::bare;
use super::error::StoreError;
use crate::datastore::decode::{Origin, decode_documents, resources};
use crate::datastore::document::{DocumentError, Node, Value, parse};
use crate::datastore::field::{Field, Report};
use crate::datastore::scan::walk;
use crate::model::{Form, Place, Problem, Resource, ResourceKey, Severity};

/// Fields of resources that hold text, be it a word that YAML takes for something else.
const TEXTS: [&str; 17] = [
    "apiVersion",
    "containerID",
    "creationTimestamp",
    "endpoint",
    "interfaceName",
    "kind",
    "name",
    "namespace",
    "node",
    "orchestrator",
    "pod",
    "profiles",
    "resourceVersion",
    "selector",
    "tier",
    "uid",
    "workload",
];
/// Fields of resources that hold maps of texts.
const MAPS_OF_TEXT: [&str; 3] = ["annotations", "labels", "labelsToApply"];
/// Other fields that clients fill in.
const FILLED_IN: [&str; 6] = [
    "defaultAction",
    "metadata",
    "order",
    "spec",
    "status",
    "types",
];

/// A resource as it was written, and what was understood of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// Its key, where it could be made out.
    pub key: Option<ResourceKey>,
    /// Where it begins.
    pub place: Place,
    /// The document, with the fields that mean nothing here.
    pub document: Map<String, Json>,
    /// The resource, unless something is wrong with it or its kind means nothing here.
    pub value: Option<Arc<Resource>>,
    /// What is wrong with it.
    pub problems: Vec<Problem>,
    /// Whose v3 form it is, where it was written in v1 form.
    pub converted: Option<ResourceKey>,
}

impl Written {
    /// Returns the key of a resource that was understood.
    ///
    /// # Errors
    /// Fails where it was not.
    pub(in crate::datastore) fn key(&self) -> Result<&ResourceKey, StoreError> {
        let invalid = || StoreError::Invalid(self.place.clone());
        self.key.as_ref().ok_or_else(invalid)
    }

    /// Returns what was understood.
    ///
    /// # Errors
    /// Fails where nothing was.
    pub(in crate::datastore) fn value(&self) -> Result<&Resource, StoreError> {
        let invalid = || StoreError::Invalid(self.place.clone());
        self.value.as_deref().ok_or_else(invalid)
    }

    /// Returns the same without a version that it was made from.
    pub(super) fn unversioned(&self) -> Self {
        Self {
            document: bare(self.document.clone()),
            ..self.clone()
        }
    }

    /// Tells whether it is of the v1 form.
    pub fn is_v1(&self) -> bool {
        self.key.as_ref().is_some_and(|key| key.form == Form::V1)
    }

    /// Tells whether it cannot be taken as it is.
    pub fn is_rejected(&self) -> bool {
        let rejected = |problem: &Problem| problem.severity == Severity::Rejected;
        self.problems.iter().any(rejected)
    }

    /// Returns the kind, as it was written.
    pub fn kind(&self) -> &str {
        text_of(&self.document, "kind")
    }

    /// Returns the version of the resource that it was made from, empty where it does not say.
    pub fn version(&self) -> &str {
        let metadata = self.document.get("metadata").and_then(Json::as_object);
        match metadata.map_or("", |metadata| text_of(metadata, "resourceVersion")) {
            // No state has it.
            "0" => "",
            version => version,
        }
    }
}

/// Returns a text of a map, empty where there is none.
pub(super) fn text_of<'a>(fields: &'a Map<String, Json>, name: &str) -> &'a str {
    fields.get(name).and_then(Json::as_str).unwrap_or_default()
}

/// Reads the resources of a file that is shown as `path`, as a person writes them.
///
/// # Errors
/// Fails where the bytes are no documents.
pub fn read_documents(path: &str, bytes: &[u8]) -> Result<Vec<Written>, DocumentError> {
    let path: Arc<str> = path.into();
    let place = |line: usize| Place::File {
        path: path.clone(),
        line: line.max(1),
    };
    let documents = parse(bytes)?;
    let found = resources(&documents).into_iter();
    Ok(found.map(|node| Written::of(node, &place)).collect())
}

impl Written {
    /// Reads a document that stands at `place`, as a person writes it.
    ///
    /// # Errors
    /// Fails where it is nested too deeply.
    pub fn from_json(document: &Json, place: &Place) -> Result<Self, DocumentError> {
        let node = Node::from_json(document)?;
        Ok(Self::of(&node, &|_| place.clone()))
    }

    fn of(node: &Node, place: &dyn Fn(usize) -> Place) -> Self {
        let mut decoded = decode_documents(std::slice::from_ref(node), place, Origin::File);
        let object = decoded.objects.pop();
        let named = decoded
            .problems
            .iter()
            .find_map(|problem| problem.object.clone());
        Self {
            key: object.as_ref().map(|object| object.key.clone()).or(named),
            place: place(node.line),
            document: json(node),
            value: object.map(|object| object.value),
            problems: decoded.problems,
            converted: None,
        }
    }
}

/// Returns a document as JSON; what is no map is empty.
pub(super) fn json(node: &Node) -> Map<String, Json> {
    let report = Report::default();
    let document = Field::root(node, &report).json_object();
    settled(node, document)
}

/// Writes fields that clients look at as calicoctl writes them: by their own names, which may be read in any case, and
/// with text where text belongs, since calicoctl takes no number for it.
fn settled(node: &Node, fields: Map<String, Json>) -> Map<String, Json> {
    let known = |name: &str| {
        let all = TEXTS.iter().chain(&MAPS_OF_TEXT).chain(&FILLED_IN);
        all.copied().find(|known| known.eq_ignore_ascii_case(name))
    };
    let exact: BTreeSet<String> = fields.keys().cloned().collect();
    let settle = |(name, value): (String, Json)| {
        let own = known(&name).filter(|own| *own == name || !exact.contains(*own));
        let is_text = own.is_some_and(|own| TEXTS.contains(&own) || MAPS_OF_TEXT.contains(&own));
        let value = match entry(node, &name) {
            Some(node) if is_text => texts(node, value),
            Some(node) => within(node, value),
            None => value,
        };
        (own.map_or(name, str::to_owned), value)
    };
    fields.into_iter().map(settle).collect()
}

/// Returns the value of a map's entry.
fn entry<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    let Value::Mapping(entries) = &node.value else {
        return None;
    };
    let entry = entries.iter().find(|entry| *entry.key == *name);
    entry.map(|entry| &entry.value)
}

/// Settles the maps within a value.
fn within(node: &Node, value: Json) -> Json {
    match (&node.value, value) {
        (_, Json::Object(fields)) => Json::Object(settled(node, fields)),
        (Value::Sequence(nodes), Json::Array(items)) => {
            let items = nodes.iter().zip(items);
            items.map(|(node, item)| within(node, item)).collect()
        }
        (_, value) => value,
    }
}

/// Makes text of a value, of what a list holds, or of what a map holds.
fn texts(node: &Node, value: Json) -> Json {
    match (&node.value, value) {
        (Value::Scalar(text, _), Json::Bool(_) | Json::Number(_)) => Json::String(text.to_string()),
        (Value::Sequence(nodes), Json::Array(items)) => {
            let items = nodes.iter().zip(items);
            items.map(|(node, item)| texts(node, item)).collect()
        }
        (_, Json::Object(fields)) => {
            let text = |(name, value): (String, Json)| {
                let value = match entry(node, &name) {
                    Some(node) => texts(node, value),
                    None => value,
                };
                (name, value)
            };
            Json::Object(fields.into_iter().map(text).collect())
        }
        (_, value) => value,
    }
}

/// Returns the files of resources in a directory and those within, in the order in which they are read.
///
/// # Errors
/// Fails where a directory cannot be listed.
pub fn resource_files(root: &Path) -> io::Result<Vec<PathBuf>> {
    let walk = walk(root, &mut |_| {})?;
    if let Some((path, reason)) = walk.failed.first_key_value() {
        return Err(io::Error::other(format!("`{}`: {reason}", path.display())));
    }
    Ok(walk.files.keys().map(|path| path.to_path_buf()).collect())
}

/// Returns a value as YAML that is read back as the same.
pub fn write_yaml(value: &Json) -> String {
    let same = |text: &String| {
        let again = parse(text.as_bytes()).ok();
        let again = again.as_deref().and_then(<[Node]>::first).map(|node| {
            let report = Report::default();
            Field::root(node, &report).json()
        });
        again.as_ref() == Some(value)
    };
    let yaml = serde_saphyr::to_string(value).ok().filter(same);
    // JSON is YAML as well.
    let mut text = yaml.unwrap_or_else(|| format!("{value:#}"));
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_look_like_something_else_stay_texts() {
        for text in [
            "",
            "true",
            "no",
            "~",
            "null",
            "1",
            "1e3",
            "0x1f",
            "a: b",
            "- a",
            "#",
            "'",
            "a\nb",
            " a",
            "a\n",
            "*a",
            "é",
            "{",
            "1:2",
            "2020-01-01",
            "all()",
            "\"x\"",
            "a\tb",
            ".5",
            "---",
        ] {
            let value = serde_json::json!({ "a": [text], text: 1.5, "b": {}, "c": [] });
            let again = parse(write_yaml(&value).as_bytes()).unwrap();
            assert_eq!(Json::Object(json(&again[0])), value, "{text:?}");
        }
    }

    #[test]
    fn documents_are_found_wherever_they_stand() {
        let text = "\
- {apiVersion: v1, kind: node, metadata: {name: a}}
- apiVersion: projectcalico.org/v3
  kind: NodeList
  items:
    - {apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: b}}
    - {apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: B}}
---
---
{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {name: c}}
---
7
";
        let found = read_documents("f", text.as_bytes()).unwrap();
        let keys: Vec<String> = found
            .iter()
            .map(|written| {
                written
                    .key
                    .as_ref()
                    .map_or(String::new(), ToString::to_string)
            })
            .collect();
        assert_eq!(keys, ["v1 Node(a)", "Node(b)", "Node(B)", "", ""]);
        let rejected: Vec<bool> = found.iter().map(Written::is_rejected).collect();
        assert_eq!(rejected, [false, false, true, false, true]);
        assert_eq!(found[3].kind(), "BGPPeer");
    }
}
