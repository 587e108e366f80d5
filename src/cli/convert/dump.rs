//! Keys and values as the tools of etcd print them.

use serde_json::{Map, Value};

/// A key and its value.
pub(super) type KeyValue = (String, String);

/// How the keys of Calico begin.
const ROOT: &str = "/calico/";

/// Returns the keys and values of a dump; `None` where a text is none.
pub(super) fn entries(bytes: &[u8]) -> Option<Vec<KeyValue>> {
    let text = std::str::from_utf8(bytes).ok()?.trim_start();
    if text.starts_with(ROOT) {
        return Some(lines(text));
    }
    let Ok(Value::Object(fields)) = serde_json::from_str(text) else {
        return None;
    };
    match (fields.get("kvs"), fields.get("node")) {
        (Some(Value::Array(pairs)), _) => pairs.iter().map(pair).collect(),
        (_, Some(Value::Object(node))) => Some(nodes(node)),
        _ => None,
    }
}

/// Reads lines of a key and a value, or of a key with the value on the next line.
fn lines(text: &str) -> Vec<KeyValue> {
    let mut entries: Vec<KeyValue> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        if line.starts_with(ROOT) {
            let (key, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            entries.push((key.to_owned(), value.trim().to_owned()));
        } else if let Some((_, value)) = entries.last_mut() {
            value.push_str(line);
        }
    }
    entries
}

/// Reads a pair of etcd's v3 interface.
fn pair(pair: &Value) -> Option<KeyValue> {
    let text = |name: &str| {
        let encoded = pair.get(name).and_then(Value::as_str).unwrap_or_default();
        String::from_utf8(base64(encoded)?).ok()
    };
    Some((text("key")?, text("value")?))
}

/// Reads the tree of etcd's v2 interface.
fn nodes(root: &Map<String, Value>) -> Vec<KeyValue> {
    let mut entries = Vec::new();
    let mut pending = vec![root];
    while let Some(node) = pending.pop() {
        let text = |name: &str| node.get(name).and_then(Value::as_str);
        if let (Some(key), Some(value)) = (text("key"), text("value")) {
            entries.push((key.to_owned(), value.to_owned()));
        }
        let within = node.get("nodes").and_then(Value::as_array);
        pending.extend(within.into_iter().flatten().filter_map(Value::as_object));
    }
    entries.sort();
    entries
}

/// Decodes base64 by RFC 4648; `None` where the text is something else.
fn base64(text: &str) -> Option<Vec<u8>> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut decoded = Vec::with_capacity(text.len() / 4 * 3);
    let mut held = 0_u32;
    let mut bits = 0;
    for letter in text.trim_end_matches('=').bytes() {
        let value = LETTERS.iter().position(|known| *known == letter)?;
        held = (held << 6 | u32::try_from(value).ok()?) & 0xffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            decoded.push(u8::try_from(held >> bits & 0xff).ok()?);
        }
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dumps_of_every_tool_say_the_same() {
        let wanted = vec![
            ("/calico/v1/Ready".to_owned(), "true".to_owned()),
            (
                "/calico/v1/policy/profile/p/tags".to_owned(),
                "[\"a\"]".to_owned(),
            ),
        ];
        for text in [
            "/calico/v1/Ready\ntrue\n/calico/v1/policy/profile/p/tags\n[\"a\"]\n",
            "/calico/v1/Ready true\n\n/calico/v1/policy/profile/p/tags\t[\"a\"]\n",
            r#"{"header":{},"kvs":[{"key":"L2NhbGljby92MS9SZWFkeQ==","value":"dHJ1ZQ=="},
                {"key":"L2NhbGljby92MS9wb2xpY3kvcHJvZmlsZS9wL3RhZ3M=","value":"WyJhIl0="}],"count":2}"#,
            r#"{"action":"get","node":{"key":"/calico/v1","dir":true,"nodes":[
                {"key":"/calico/v1/policy/profile","dir":true,"nodes":[
                {"key":"/calico/v1/policy/profile/p/tags","value":"[\"a\"]"}]},
                {"key":"/calico/v1/Ready","value":"true"}]}}"#,
        ] {
            assert_eq!(entries(text.as_bytes()), Some(wanted.clone()), "{text}");
        }
        assert_eq!(entries(b"apiVersion: v1\nkind: node\n"), None);
        assert_eq!(entries(br#"{"apiVersion":"v1","kind":"node"}"#), None);
    }
}
