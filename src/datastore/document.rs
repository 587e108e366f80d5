//! YAML and JSON text as trees of nodes that know their lines.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

/// The largest file that is read, in bytes.
pub const MAX_FILE_SIZE: u64 = 16 << 20;
/// How deep values may be nested; Calico's own resources need about ten levels.
const MAX_DEPTH: usize = 64;
/// How many values the documents of one file may hold, those behind aliases counted each time.
const MAX_NODES: usize = 2_000_000;

/// Why a file's text is no sequence of documents.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct DocumentError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

impl DocumentError {
    fn new(line: usize, reason: impl Into<String>) -> Self {
        Self {
            line,
            reason: reason.into(),
        }
    }
}

impl From<ScanError> for DocumentError {
    fn from(error: ScanError) -> Self {
        Self::new(error.marker().line(), error.info())
    }
}

/// How a scalar was written, which decides whether it can be anything but text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Without quotes: a number, a truth value, or text.
    Plain,
    /// In quotes or as a block: text.
    Quoted,
}

/// A value and the line on which it begins; line 0 where the source has no lines.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The line.
    pub line: usize,
    /// The value.
    pub value: Value,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// One word, kept as it was written.
    Scalar(Arc<str>, Style),
    /// A list.
    Sequence(Vec<Node>),
    /// A map in the order in which it was written, possibly with the same key twice.
    Mapping(Vec<Entry>),
}

/// One key of a map and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: Arc<str>,
    /// The line on which the key stands.
    pub line: usize,
    /// The value.
    pub value: Node,
}

impl Node {
    /// Makes a node from a JSON value, without lines.
    ///
    /// # Errors
    /// Fails where the value is nested too deeply.
    pub fn from_json(value: &serde_json::Value) -> Result<Self, DocumentError> {
        Self::from_json_at(value, 0)
    }

    fn from_json_at(value: &serde_json::Value, depth: usize) -> Result<Self, DocumentError> {
        if depth > MAX_DEPTH {
            return Err(too_deep(0));
        }
        let scalar = |text: &str, style| Value::Scalar(text.into(), style);
        let value = match value {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(truth) => scalar(&truth.to_string(), Style::Plain),
            serde_json::Value::Number(number) => scalar(&number.to_string(), Style::Plain),
            serde_json::Value::String(text) => scalar(text, Style::Quoted),
            serde_json::Value::Array(items) => Value::Sequence(
                items
                    .iter()
                    .map(|v| Self::from_json_at(v, depth + 1))
                    .collect::<Result<_, _>>()?,
            ),
            serde_json::Value::Object(fields) => {
                let entry = |(key, value): (&String, &serde_json::Value)| {
                    let value = Self::from_json_at(value, depth + 1)?;
                    Ok(Entry {
                        key: key.as_str().into(),
                        line: 0,
                        value,
                    })
                };
                Value::Mapping(
                    fields
                        .iter()
                        .map(entry)
                        .collect::<Result<_, DocumentError>>()?,
                )
            }
        };
        Ok(Self { line: 0, value })
    }
}

/// Reads all documents of a file.
///
/// # Errors
/// Fails where the bytes are neither YAML nor JSON, or exceed a limit.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Node>, DocumentError> {
    if bytes.len() as u64 > MAX_FILE_SIZE {
        return Err(DocumentError::new(
            1,
            format!("larger than {MAX_FILE_SIZE} bytes"),
        ));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = good.split(|byte| *byte == b'\n').count();
        DocumentError::new(line, "not UTF-8 text")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    parse_yaml(text).or_else(|error| {
        // YAML is stricter than JSON about tabs and escapes of characters beyond the first plane.
        if text.trim_start().starts_with(['{', '[']) {
            parse_json(text).ok_or(error)
        } else {
            Err(error)
        }
    })
}

/// Reads JSON documents that stand one behind the other; `None` where the text is not JSON.
fn parse_json(text: &str) -> Option<Vec<Node>> {
    serde_json::Deserializer::from_str(text)
        .into_iter::<serde_json::Value>()
        .map(|value| value.ok().and_then(|value| Node::from_json(&value).ok()))
        .collect()
}

fn parse_yaml(text: &str) -> Result<Vec<Node>, DocumentError> {
    let mut builder = Builder::default();
    let mut parser = Parser::new(StrInput::new(text));
    while let Some(event) = parser.next_event() {
        let (event, span) = event?;
        builder.take(event, span)?;
    }
    Ok(builder.documents)
}

fn too_deep(line: usize) -> DocumentError {
    DocumentError::new(line, format!("nested more than {MAX_DEPTH} levels deep"))
}

/// A list or map whose end has not been read.
struct Open {
    line: usize,
    anchor: usize,
    /// Nodes within, this one included.
    nodes: usize,
    /// Levels within, this one included.
    depth: usize,
    content: Content,
}

enum Content {
    Sequence(Vec<Node>),
    Mapping {
        entries: Vec<Entry>,
        key: Option<(Arc<str>, usize)>,
    },
}

/// A finished node with its size.
#[derive(Clone)]
struct Sized {
    node: Node,
    nodes: usize,
    depth: usize,
}

/// Builds trees from a parser's events.
#[derive(Default)]
struct Builder {
    documents: Vec<Node>,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Sized>,
    total: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), DocumentError> {
        let line = span.start.line();
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            Event::DocumentStart(_) => self.anchors.clear(),
            Event::Alias(anchor) => {
                // An anchor is known once its node is complete, so a loop finds none.
                let Some(target) = self.anchors.get(&anchor).cloned() else {
                    return Err(DocumentError::new(
                        line,
                        "an alias stands within what it names",
                    ));
                };
                self.spend(target.nodes, line)?;
                self.put(target, line)?;
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.spend(1, line)?;
                let node = Node {
                    line,
                    value: scalar(&text, style, tag.as_deref()),
                };
                self.finish(
                    Sized {
                        node,
                        nodes: 1,
                        depth: 1,
                    },
                    anchor,
                    line,
                )?;
            }
            Event::SequenceStart(anchor, _) => {
                self.begin(line, anchor, Content::Sequence(Vec::new()))?;
            }
            Event::MappingStart(anchor, _) => {
                self.begin(
                    line,
                    anchor,
                    Content::Mapping {
                        entries: Vec::new(),
                        key: None,
                    },
                )?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    self.close(open)?;
                }
            }
        }
        Ok(())
    }

    fn spend(&mut self, nodes: usize, line: usize) -> Result<(), DocumentError> {
        self.total += nodes;
        if self.total > MAX_NODES {
            return Err(DocumentError::new(
                line,
                format!("holds more than {MAX_NODES} values"),
            ));
        }
        Ok(())
    }

    fn begin(&mut self, line: usize, anchor: usize, content: Content) -> Result<(), DocumentError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep(line));
        }
        self.spend(1, line)?;
        self.open.push(Open {
            line,
            anchor,
            nodes: 1,
            depth: 1,
            content,
        });
        Ok(())
    }

    fn close(&mut self, open: Open) -> Result<(), DocumentError> {
        let value = match open.content {
            Content::Sequence(items) => Value::Sequence(items),
            Content::Mapping { entries, .. } => Value::Mapping(merged(entries)?),
        };
        let node = Node {
            line: open.line,
            value,
        };
        let finished = Sized {
            node,
            nodes: open.nodes,
            depth: open.depth,
        };
        self.finish(finished, open.anchor, open.line)
    }

    fn finish(&mut self, node: Sized, anchor: usize, line: usize) -> Result<(), DocumentError> {
        if anchor != 0 {
            self.spend(node.nodes, line)?;
            self.anchors.insert(anchor, node.clone());
        }
        self.put(node, line)
    }

    fn put(&mut self, child: Sized, line: usize) -> Result<(), DocumentError> {
        let level = self.open.len();
        let Some(parent) = self.open.last_mut() else {
            self.documents.push(child.node);
            return Ok(());
        };
        if level + child.depth > MAX_DEPTH {
            return Err(too_deep(line));
        }
        parent.nodes += child.nodes;
        parent.depth = parent.depth.max(child.depth + 1);
        match &mut parent.content {
            Content::Sequence(items) => items.push(child.node),
            Content::Mapping { entries, key } => match key.take() {
                Some((key, line)) => entries.push(Entry {
                    key,
                    line,
                    value: child.node,
                }),
                None => match child.node.value {
                    Value::Scalar(text, _) => *key = Some((text, line)),
                    Value::Null => *key = Some(("null".into(), line)),
                    Value::Sequence(_) | Value::Mapping(_) => {
                        return Err(DocumentError::new(line, "a key must be a single word"));
                    }
                },
            },
        }
        Ok(())
    }
}

/// Reads a scalar by its style and tag.
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    let tagged_text = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
    if style != ScalarStyle::Plain || tagged_text {
        return Value::Scalar(text.into(), Style::Quoted);
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        _ => Value::Scalar(text.into(), Style::Plain),
    }
}

/// Resolves the merge key `<<`: the maps it names give what the map itself does not.
///
/// Left alone it would be an unknown field, and a rule's criteria behind it would be lost.
fn merged(entries: Vec<Entry>) -> Result<Vec<Entry>, DocumentError> {
    if !entries.iter().any(|entry| &*entry.key == "<<") {
        return Ok(entries);
    }
    let (merges, mut own): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|entry| &*entry.key == "<<");
    let mut keys: BTreeSet<Arc<str>> = own.iter().map(|entry| entry.key.clone()).collect();
    for merge in merges {
        let line = merge.line;
        let sources = match merge.value.value {
            Value::Sequence(items) => items,
            Value::Mapping(_) | Value::Null | Value::Scalar(..) => vec![merge.value],
        };
        for source in sources {
            let Value::Mapping(source) = source.value else {
                return Err(DocumentError::new(line, "`<<` merges maps only"));
            };
            for entry in source {
                if keys.insert(entry.key.clone()) {
                    own.push(entry);
                }
            }
        }
    }
    Ok(own)
}
