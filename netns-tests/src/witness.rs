//! Two readers of the ruleset that share no code with the product: `nft -j` and rustables.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use rustables::list_rules_for_chain;
use rustables::query::list_objects_with_data;
use rustables::{Chain, Set};
use serde_json::Value;

use crate::ns::Namespace;

/// The product's table.
pub const TABLE: &str = "tortie";

/// Returns `nft list table inet tortie` of the calling thread's namespace, for people.
pub(crate) fn text() -> String {
    let output = Command::new("nft")
        .args(["list", "table", "inet", TABLE])
        .output();
    output.map_or_else(
        |error| error.to_string(),
        |output| {
            String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr)
        },
    )
}

/// Says whether the product's table exists.
pub fn exists(namespace: &Namespace) -> bool {
    tables(namespace).contains(&("inet".to_owned(), TABLE.to_owned()))
}

/// Returns the family and name of every table.
///
/// Read from text: nft 1.0.6 damages its memory when it writes the JSON of a table that persists without an owner.
fn tables(namespace: &Namespace) -> Vec<(String, String)> {
    let listing = namespace.exec("nft", &["list", "tables"], "");
    let words = |line: &str| {
        let (family, name) = line.strip_prefix("table ")?.split_once(' ')?;
        Some((family.to_owned(), name.to_owned()))
    };
    listing.lines().filter_map(words).collect()
}

/// Returns every object of a table as `nft -j` prints it, with counters at zero.
///
/// Handles are kept, so that what was taken out and put back differs.
pub fn listing(namespace: &Namespace, family: &str, table: &str) -> Vec<Value> {
    objects(&namespace.exec("nft", &["-j", "list", "table", family, table], ""))
}

/// Returns every object of the product's table.
pub fn ruleset(namespace: &Namespace) -> Vec<Value> {
    listing(namespace, "inet", TABLE)
}

/// Returns the product's table without the order in which its objects were made: the lines of `nft`, each behind the
/// name of the object that it belongs to, with elements of sets one by one.
pub fn contents(namespace: &Namespace) -> BTreeSet<String> {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut lines = BTreeSet::new();
    for mut object in ruleset(namespace) {
        forget_handles(&mut object);
        for (kind, value) in object.as_object_mut().into_iter().flatten() {
            let name = value["name"].as_str().unwrap_or_default().to_owned();
            let elements = value.as_object_mut().and_then(|value| value.remove("elem"));
            for element in elements.iter().filter_map(Value::as_array).flatten() {
                lines.insert(format!("{kind} {name}: {element}"));
            }
            if kind == "rule" {
                // The order of the rules of a chain matters.
                let place = places.entry(value["chain"].to_string()).or_default();
                *place += 1;
                lines.insert(format!("{kind} {place}: {value}"));
            } else {
                lines.insert(format!("{kind} {name}: {value}"));
            }
        }
    }
    lines
}

fn forget_handles(object: &mut Value) {
    for value in object
        .as_object_mut()
        .into_iter()
        .flat_map(|it| it.values_mut())
    {
        if let Some(fields) = value.as_object_mut() {
            fields.remove("handle");
        }
    }
}

/// Returns the rules of the product's table.
pub fn rules(namespace: &Namespace) -> Vec<Value> {
    ruleset(namespace)
        .iter()
        .filter_map(|object| object.get("rule").cloned())
        .collect()
}

/// Returns the handle of the product's table and its rules with theirs.
///
/// Equal values mean that no rule was taken out and put back: a new rule has a new handle in its table, and
/// a new table, where the handles begin anew, has a new handle of its own.
pub fn identities(namespace: &Namespace) -> (Value, Vec<Value>) {
    let objects = ruleset(namespace);
    let table = objects.iter().find_map(|object| object.get("table"));
    let handle = table.map_or(Value::Null, |table| table["handle"].clone());
    let rules = objects
        .iter()
        .filter_map(|object| object.get("rule").cloned())
        .collect();
    (handle, rules)
}

/// Returns the statements of one kind, for example `log`, in the rules of the product's table.
pub fn statements(namespace: &Namespace, kind: &str) -> Vec<Value> {
    rules(namespace)
        .iter()
        .flat_map(|rule| rule["expr"].as_array().cloned().unwrap_or_default())
        .filter_map(|statement| statement.get(kind).cloned())
        .collect()
}

/// Returns the objects of a listing of `nft -j`.
pub(crate) fn objects(json: &str) -> Vec<Value> {
    let mut value: Value = serde_json::from_str(json).expect("nft prints JSON");
    let Value::Array(objects) = value["nftables"].take() else {
        return Vec::new();
    };
    objects
        .into_iter()
        .filter(|object| object.get("metainfo").is_none())
        .map(|mut object| {
            forget_counters(&mut object, 0);
            object
        })
        .collect()
}

fn forget_counters(value: &mut Value, depth: usize) {
    if depth > 32 {
        return;
    }
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                if key == "packets" || key == "bytes" {
                    *value = Value::from(0);
                } else {
                    forget_counters(value, depth + 1);
                }
            }
        }
        Value::Array(values) => {
            for value in values {
                forget_counters(value, depth + 1);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Counts the objects of the product's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// The rules of each chain.
    pub rules: BTreeMap<String, usize>,
    /// The number of named sets and maps.
    pub sets: usize,
}

/// Counts through `nft -j`.
pub fn counts_of_nft(namespace: &Namespace) -> Counts {
    let objects = ruleset(namespace);
    let mut rules = BTreeMap::new();
    for object in &objects {
        if let Some(name) = object["chain"]["name"].as_str() {
            rules.entry(name.to_owned()).or_default();
        }
        if let Some(name) = object["rule"]["chain"].as_str() {
            *rules.entry(name.to_owned()).or_default() += 1;
        }
    }
    let sets = objects
        .iter()
        .filter(|object| object.get("set").is_some() || object.get("map").is_some())
        .count();
    Counts { rules, sets }
}

/// Counts through rustables, and names the chains whose rules it cannot read: it knows no more of connection
/// tracking than state and mark.
pub fn counts_of_rustables(namespace: &Namespace) -> (Counts, BTreeSet<String>) {
    // NFT_SET_ANONYMOUS (linux/netfilter/nf_tables.h): sets inside a rule, which `nft` does not list.
    const ANONYMOUS: u32 = 1;
    namespace.run(|| {
        let mut rules = BTreeMap::new();
        let mut unread = BTreeSet::new();
        for chain in list!(Chain, message::GETCHAIN) {
            let ours = chain.get_table().is_some_and(|table| table == TABLE);
            let Some(name) = chain.get_name().filter(|_| ours).cloned() else {
                continue;
            };
            match list_rules_for_chain(&chain) {
                Ok(found) => {
                    rules.insert(name, found.len());
                }
                Err(_) => {
                    unread.insert(name);
                }
            }
        }
        let sets = list!(Set, message::GETSET)
            .iter()
            .filter(|set| set.get_table().is_some_and(|table| table == TABLE))
            .filter(|set| set.get_flags().is_none_or(|flags| flags & ANONYMOUS == 0))
            .count();
        (Counts { rules, sets }, unread)
    })
}

/// Demands that both readers see the same table.
///
/// # Panics
/// If they differ, or if rustables cannot read a chain whose rules it should know.
pub fn agree(namespace: &Namespace) {
    let (by_rustables, unread) = counts_of_rustables(namespace);
    let with_ct_status = BTreeSet::from(["output".to_owned(), "output-dnat".to_owned()]);
    assert!(
        unread.is_subset(&with_ct_status),
        "rustables cannot read {unread:?}"
    );
    let mut by_nft = counts_of_nft(namespace);
    by_nft.rules.retain(|name, _| !unread.contains(name));
    assert_eq!(by_nft, by_rustables);
}

/// The message numbers of `linux/netfilter/nf_tables.h`.
mod message {
    pub(super) const GETCHAIN: u16 = 4;
    pub(super) const GETSET: u16 = 10;
}

/// Lists every object of a kind; a macro because rustables keeps the trait of its objects private.
macro_rules! list {
    ($object:ty, $message:expr) => {{
        let mut found: Vec<$object> = Vec::new();
        list_objects_with_data(
            $message,
            &|object: $object, found: &mut Vec<$object>| {
                found.push(object);
                Ok(())
            },
            None,
            &mut found,
        )
        .unwrap_or_else(|error| panic!("rustables lists {}: {error}", stringify!($object)));
        found
    }};
}
use list;

/// Returns the connections that a namespace tracks, one line each.
pub fn connections(namespace: &Namespace) -> Vec<String> {
    ["ipv4", "ipv6"]
        .iter()
        .flat_map(|family| {
            let listing = namespace.exec("conntrack", &["-L", "-f", family], "");
            listing.lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect()
}

/// Returns every table but the product's, as `nft -j` lists it, handles and all.
pub fn foreign(namespace: &Namespace) -> BTreeMap<String, Vec<Value>> {
    tables(namespace)
        .into_iter()
        .filter(|(family, name)| !(family == "inet" && name == TABLE))
        .map(|(family, name)| {
            let objects = listing(namespace, &family, &name);
            (format!("{family} {name}"), objects)
        })
        .collect()
}
