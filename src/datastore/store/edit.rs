//! Changing one resource of a file and leaving the text of all others as it is.

use serde_json::{Map, Value as Json};

use super::documents::json;
use crate::datastore::decode::resources;
use crate::datastore::document::{Node, Value, parse};

/// Why a text is not changed.
const APART: &str = "its resources cannot be told apart line by line";

/// Returns a text in which the resource at `index` is replaced by `document`, or removed; `None` where nothing
/// is left.
///
/// What comes of it is read again: unless all other resources are as they were, nothing is changed.
///
/// # Errors
/// Fails with the reason where the resource's lines are not its own.
pub(super) fn edit(
    text: &str,
    index: usize,
    document: Option<(&str, &Map<String, Json>)>,
) -> Result<Option<String>, &'static str> {
    let mut wanted = contents(text).ok_or(APART)?;
    let edited = match document {
        None if wanted.len() <= 1 => return Ok(None),
        _ => changed(text, index, document.map(|(text, _)| text)).ok_or(APART)?,
    };
    match document {
        Some((_, fields)) => fields.clone_into(wanted.get_mut(index).ok_or(APART)?),
        None => drop(wanted.remove(index)),
    }
    if contents(&edited).as_ref() == Some(&wanted) {
        Ok(Some(edited))
    } else {
        Err(APART)
    }
}

/// Returns the resources of a text.
fn contents(text: &str) -> Option<Vec<Map<String, Json>>> {
    let documents = parse(text.as_bytes()).ok()?;
    Some(resources(&documents).into_iter().map(json).collect())
}

/// Changes a text by its lines.
fn changed(text: &str, mut index: usize, new: Option<&str>) -> Option<String> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    // `---` at the margin always begins a document: no text of one may hold it.
    let begins = |line: &&str| {
        line.strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
    };
    let mut starts: Vec<usize> = lines
        .iter()
        .enumerate()
        .filter(|(at, line)| *at > 0 && begins(line))
        .map(|(at, _)| at)
        .collect();
    starts.insert(0, 0);
    for (number, start) in starts.iter().enumerate() {
        let end = starts.get(number + 1).copied().unwrap_or(lines.len());
        let chunk = lines.get(*start..end)?;
        let documents = parse(chunk.concat().as_bytes()).ok()?;
        let within = resources(&documents);
        if index >= within.len() {
            index -= within.len();
            continue;
        }
        let chunk = match (documents.as_slice(), new) {
            (_, None) if within.len() == 1 => String::new(),
            ([only], Some(new)) if std::ptr::eq(only, *within.first()?) => {
                whole(chunk, begins(chunk.first()?), new)
            }
            _ => item(chunk, &within, index, new)?,
        };
        let before = lines.get(..*start)?.concat();
        return Some(before + &chunk + &lines.get(end..)?.concat());
    }
    None
}

fn is_remark(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}

/// Puts a document in the place of another; remarks before and behind it stay.
fn whole(chunk: &[&str], has_marker: bool, new: &str) -> String {
    let (marker, body) = chunk.split_at(usize::from(has_marker));
    let first = body.iter().position(|line| !is_remark(line));
    let first = first.unwrap_or(body.len());
    let last = body.iter().rposition(|line| !is_remark(line));
    let last = last.map_or(first, |last| last + 1);
    let (before, rest) = body.split_at(first);
    let behind = rest.get(last.saturating_sub(first)..).unwrap_or_default();
    // A document may begin on the line of its marker.
    let marker = marker.concat();
    let bare = marker.strip_prefix("---").is_some_and(is_remark);
    let marker = if has_marker && !bare {
        "---\n".to_owned()
    } else {
        marker
    };
    ended(&marker) + &ended(&before.concat()) + new + &behind.concat()
}

/// Returns a text whose last line has an end.
fn ended(text: &str) -> String {
    let end = if text.is_empty() || text.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    format!("{text}{end}")
}

/// Changes an item of a block sequence.
fn item(chunk: &[&str], within: &[&Node], index: usize, new: Option<&str>) -> Option<String> {
    let node = within.get(index)?;
    match node.value {
        Value::Mapping(_) => {}
        Value::Null | Value::Scalar(..) | Value::Sequence(_) => return None,
    }
    let is_dash = |line: &str| {
        let line = line.trim_start_matches(' ');
        line.strip_prefix('-')
            .is_some_and(|rest| rest.trim().is_empty() || rest.starts_with(' '))
    };
    // The map begins on the line of its dash, or below it.
    let above = chunk.get(..node.line)?;
    let start = above.iter().rposition(|line| !is_remark(line))?;
    let start = if is_dash(chunk.get(start)?) {
        start
    } else {
        let above = chunk.get(..start)?;
        above.iter().rposition(|line| !is_remark(line))?
    };
    let line = chunk.get(start).filter(|line| is_dash(line))?;
    let depth = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let indent = depth(line);
    let rest = chunk.get(start + 1..)?;
    let ends = |line: &&str| !is_remark(line) && depth(line) <= indent;
    let end = rest.iter().position(ends).unwrap_or(rest.len());
    // Remarks behind the item are about the next one.
    let own = rest.get(..end)?.iter().rposition(|line| !is_remark(line));
    let end = start + 1 + own.map_or(0, |own| own + 1);
    let mut text = chunk.get(..start)?.concat();
    for (number, line) in new.into_iter().flat_map(str::lines).enumerate() {
        let mark = if number == 0 { "- " } else { "  " };
        let line = format!("{:indent$}{mark}{line}", "");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    Some(text + &chunk.get(end..)?.concat())
}

#[cfg(test)]
mod tests {
    use super::super::documents::write_yaml;
    use super::*;

    fn node(name: &str) -> Json {
        serde_json::json!({
            "apiVersion": "v1", "kind": "node", "metadata": { "name": name }, "spec": {}
        })
    }

    fn replaced(text: &str, index: usize) -> Result<String, &'static str> {
        let new = node("new");
        let fields = new.as_object().unwrap();
        edit(text, index, Some((&write_yaml(&new), fields))).map(Option::unwrap)
    }

    fn removed(text: &str, index: usize) -> Result<Option<String>, &'static str> {
        edit(text, index, None)
    }

    const NEW: &str = "apiVersion: v1\nkind: node\nmetadata:\n  name: new\nspec: {}\n";

    #[test]
    fn a_document_is_changed_among_others() {
        let [a, b, c] = ["a", "b", "c"].map(|name| {
            format!("{{apiVersion: v1, kind: node, metadata: {{name: {name}}}}} # {name}\n")
        });
        let text = format!("# all\n\n{a}# behind a\n---\n# before b\n{b}\n--- {c}");
        let with = replaced(&text, 1).unwrap();
        assert_eq!(
            with,
            format!("# all\n\n{a}# behind a\n---\n# before b\n{NEW}\n--- {c}")
        );
        let with = replaced(&text, 2).unwrap();
        assert_eq!(
            with,
            format!("# all\n\n{a}# behind a\n---\n# before b\n{b}\n---\n{NEW}")
        );
        let with = replaced(&text, 0).unwrap();
        assert_eq!(
            with,
            format!("# all\n\n{NEW}# behind a\n---\n# before b\n{b}\n--- {c}")
        );
        let without = removed(&text, 1).unwrap().unwrap();
        assert_eq!(without, format!("# all\n\n{a}# behind a\n--- {c}"));
        assert_eq!(removed(&a, 0), Ok(None));
    }

    #[test]
    fn an_item_is_changed_among_others() {
        let text = "\
# nodes
- apiVersion: v1
  kind: node
  metadata:
    name: a   # first

# second
-
  apiVersion: v1
  kind: node
  metadata: {name: b, labels: {x: \"y
  z\"}}
---
apiVersion: v1
kind: List
items:
  - apiVersion: v1
    kind: node
    metadata: {name: c}
  - {apiVersion: v1, kind: node, metadata: {name: d}}
";
        let item = |indent: &str| {
            let joined = NEW.trim_end().replace('\n', &format!("\n{indent}  "));
            format!("{indent}- {joined}\n")
        };
        let first = "- apiVersion: v1\n  kind: node\n  metadata:\n    name: a   # first\n";
        assert_eq!(
            replaced(text, 0).unwrap(),
            text.replacen(first, &item(""), 1)
        );
        assert_eq!(
            removed(text, 0).unwrap().unwrap(),
            text.replacen(first, "", 1)
        );
        let third = "  - apiVersion: v1\n    kind: node\n    metadata: {name: c}\n";
        assert_eq!(
            replaced(text, 2).unwrap(),
            text.replacen(third, &item("  "), 1)
        );
        let fourth = "  - {apiVersion: v1, kind: node, metadata: {name: d}}\n";
        assert_eq!(
            removed(text, 3).unwrap().unwrap(),
            text.replacen(fourth, "", 1)
        );
        let second = removed(text, 1).unwrap().unwrap();
        assert!(
            second.contains("# second\n---\n") && !second.contains("name: b"),
            "{second}"
        );
    }

    #[test]
    fn what_cannot_be_told_apart_is_refused() {
        let flow = "[{apiVersion: v1, kind: node, metadata: {name: a}},\n {apiVersion: v1, kind: node, metadata: {name: b}}]";
        assert_eq!(replaced(flow, 0), Err(APART));
        assert_eq!(removed(flow, 1), Err(APART));
        let anchored = "- &a\n  apiVersion: v1\n  kind: node\n  metadata: {name: a}\n- *a\n";
        assert_eq!(removed(anchored, 0), Err(APART));
    }
}
