//! Keys and values of etcd as documents.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::command::Remarks;
use super::dump::KeyValue;

/// What stands before the keys of the v1 form.
pub(super) const V1: &str = "/calico/v1/";
/// What stands before the keys of the v3 form.
const V3: &str = "/calico/resources/v3/projectcalico.org/";
/// What stands before the name of a parameter in an annotation that sets it.
pub(super) const CONFIG: &str = "config.projectcalico.org/";

type Fields = Map<String, Value>;

/// Returns the documents that keys and values stand for, each with its first key.
pub(super) fn documents(entries: &[KeyValue], remarks: &mut Remarks) -> Vec<(String, Value)> {
    let mut reader = Reader {
        remarks,
        documents: Vec::new(),
        profiles: BTreeMap::new(),
        nodes: BTreeMap::new(),
        configurations: BTreeMap::new(),
        cluster: Fields::new(),
        others: 0,
    };
    for (key, value) in entries {
        reader.take(key, value);
    }
    reader.finish()
}

struct Reader<'a> {
    remarks: &'a mut Remarks,
    documents: Vec<(String, Value)>,
    profiles: BTreeMap<String, Profile>,
    /// The addresses of hosts.
    nodes: BTreeMap<String, Option<String>>,
    /// Annotations by the name of the configuration.
    configurations: BTreeMap<String, Fields>,
    cluster: Fields,
    others: usize,
}

/// What the keys of one profile say.
#[derive(Default)]
struct Profile {
    metadata: Fields,
    spec: Fields,
    /// Whether one of them is that of its rules, which may be none.
    has_rules: bool,
}

impl Reader<'_> {
    fn take(&mut self, key: &str, value: &str) {
        if key.starts_with(V3) {
            if let Some(document) = self.json(key, value) {
                self.documents.push((key.to_owned(), document));
            }
            return;
        }
        let parts: Vec<String> = key
            .strip_prefix(V1)
            .unwrap_or_default()
            .split('/')
            .map(|part| part.replace("%2f", "/").replace("%25", "%"))
            .collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        match parts.as_slice() {
            ["Ready"] => {
                let ready = json!(value == "true");
                self.cluster.insert("datastoreReady".to_owned(), ready);
            }
            ["config", "ClusterGUID"] => {
                self.cluster.insert("clusterGUID".to_owned(), json!(value));
            }
            ["config", "ClusterType"] => {
                self.cluster.insert("clusterType".to_owned(), json!(value));
            }
            ["config", "CalicoVersion"] => {}
            ["config", name] => self.configure("default", name, value),
            ["host", host, "config", name] => {
                let lower = host.to_ascii_lowercase();
                let letters =
                    |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
                if lower.chars().all(letters) {
                    self.configure(&format!("node.{lower}"), name, value);
                } else {
                    let text = "no name of v3 form has its host in it: the parameter is left out";
                    self.remarks.warn(key, text);
                }
            }
            ["host", host, "bird_ip"] => {
                self.nodes
                    .insert((*host).to_owned(), Some(value.to_owned()));
            }
            ["host", host, "metadata"] => {
                self.nodes.entry((*host).to_owned()).or_default();
            }
            ["host", host, "endpoint", name] => {
                let document = |fields| host_endpoint(host, name, fields);
                self.put(key, value, document);
            }
            [
                "host",
                host,
                "workload",
                orchestrator,
                workload,
                "endpoint",
                name,
            ] => {
                let identity = [*host, *orchestrator, *workload, *name];
                self.put(key, value, |fields| workload_endpoint(identity, fields));
            }
            ["policy", "tier", tier, "policy", name] => {
                if *tier != "default" {
                    let text = "its tier has no meaning to Calico 2: it is put into tier `default`";
                    self.remarks.warn(key, text);
                }
                self.put(key, value, |fields| policy(name, fields));
            }
            [
                "policy",
                "profile",
                name,
                part @ ("rules" | "tags" | "labels"),
            ] => {
                self.profile(key, name, part, value);
            }
            ["ipam", "v4" | "v6", "pool", cidr] => {
                let cidr = cidr.replacen('-', "/", 1);
                self.put(key, value, |fields| pool(&cidr, fields));
            }
            _ => self.others += 1,
        }
    }

    fn json(&mut self, key: &str, value: &str) -> Option<Value> {
        match serde_json::from_str(value) {
            Ok(value) => Some(value),
            Err(error) => {
                self.remarks
                    .reject(key, format_args!("its value is not JSON: {error}"));
                None
            }
        }
    }

    fn put(&mut self, key: &str, value: &str, document: impl FnOnce(Fields) -> Value) {
        match self.json(key, value) {
            Some(Value::Object(fields)) => {
                self.documents
                    .push((key.to_owned(), document(given(fields))));
            }
            Some(_) => self.remarks.reject(key, "its value is no map"),
            None => {}
        }
    }

    fn configure(&mut self, configuration: &str, name: &str, value: &str) {
        let annotations = self
            .configurations
            .entry(configuration.to_owned())
            .or_default();
        annotations.insert(format!("{CONFIG}{name}"), json!(value));
    }

    fn profile(&mut self, key: &str, name: &str, part: &str, value: &str) {
        let Some(value) = self.json(key, value) else {
            return;
        };
        let profile = self.profiles.entry(name.to_owned()).or_default();
        match value {
            Value::Object(fields) if part == "rules" => {
                rules_of(&mut given(fields), &mut profile.spec);
                profile.has_rules = true;
            }
            Value::Null => {}
            value @ (Value::Object(_)
            | Value::Array(_)
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)) => {
                profile.metadata.insert(part.to_owned(), value);
            }
        }
    }

    /// Puts together what stands in several keys.
    fn finish(mut self) -> Vec<(String, Value)> {
        for (name, mut profile) in self.profiles {
            let key = format!("{V1}policy/profile/{name}");
            if !profile.has_rules {
                for direction in ["ingress", "egress"] {
                    let deny = json!([{ "action": "deny" }]);
                    profile.spec.insert(direction.to_owned(), deny);
                }
                let text =
                    "has no rules, and so denies in Felix 2: it has been given rules that do";
                self.remarks.warn(&key, text);
            }
            profile.metadata.insert("name".to_owned(), json!(name));
            let document = v1("profile", &profile.metadata, &profile.spec);
            self.documents.push((key, document));
        }
        for (name, address) in self.nodes {
            let metadata = fields([("name", json!(name))]);
            let address = address.filter(|address| !address.is_empty());
            let bgp = address.map(|address| ("bgp", json!({ "ipv4Address": address })));
            let document = v1("node", &metadata, &fields(bgp));
            self.documents.push((format!("{V1}host/{name}"), document));
        }
        for (name, annotations) in self.configurations {
            let document = json!({
                "apiVersion": "projectcalico.org/v3",
                "kind": "FelixConfiguration",
                "metadata": { "name": name, "annotations": annotations },
                "spec": {},
            });
            self.documents
                .push((format!("{V1}config of {name}"), document));
        }
        if !self.cluster.is_empty() {
            let document = json!({
                "apiVersion": "projectcalico.org/v3",
                "kind": "ClusterInformation",
                "metadata": { "name": "default" },
                "spec": self.cluster,
            });
            self.documents.push((format!("{V1}Ready"), document));
        }
        if self.others > 0 {
            let text = "have no effect on policy and are left out";
            self.remarks
                .warn(format_args!("{} other keys", self.others), text);
        }
        self.documents
    }
}

/// Leaves out fields without a value, which Go writes for what is absent.
fn given(fields: Fields) -> Fields {
    let given = fields.into_iter().filter(|(_, value)| !value.is_null());
    given.collect()
}

fn fields<'a>(pairs: impl IntoIterator<Item = (&'a str, Value)>) -> Fields {
    let pairs = pairs.into_iter();
    pairs
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn v1(kind: &str, metadata: &Fields, spec: &Fields) -> Value {
    json!({ "apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": spec })
}

/// Moves fields under other names.
fn rename(from: &mut Fields, to: &mut Fields, names: &[(&str, &str)]) {
    for (old, new) in names {
        if let Some(value) = from.remove(*old) {
            to.insert((*new).to_owned(), value);
        }
    }
}

/// Moves lists of both families into one.
fn join(from: &mut Fields, to: &mut Fields, names: [&str; 2], new: &str) {
    let lists = names
        .into_iter()
        .filter_map(|name| match from.remove(name)? {
            Value::Array(items) => Some(items),
            Value::Null => None,
            other @ (Value::Object(_) | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
                Some(vec![other])
            }
        });
    to.insert(new.to_owned(), Value::Array(lists.flatten().collect()));
}

fn host_endpoint(node: &str, name: &str, mut value: Fields) -> Value {
    let mut metadata = fields([("name", json!(name)), ("node", json!(node))]);
    let mut spec = Fields::new();
    rename(&mut value, &mut metadata, &[("labels", "labels")]);
    rename(
        &mut value,
        &mut spec,
        &[("name", "interfaceName"), ("profile_ids", "profiles")],
    );
    let addresses = ["expected_ipv4_addrs", "expected_ipv6_addrs"];
    join(&mut value, &mut spec, addresses, "expectedIPs");
    v1("hostEndpoint", &metadata, &spec)
}

fn workload_endpoint(identity: [&str; 4], mut value: Fields) -> Value {
    let [node, orchestrator, workload, name] = identity;
    let mut metadata = fields([
        ("name", json!(name)),
        ("node", json!(node)),
        ("orchestrator", json!(orchestrator)),
        ("workload", json!(workload)),
    ]);
    let mut spec = Fields::new();
    rename(&mut value, &mut metadata, &[("labels", "labels")]);
    let names = [
        ("name", "interfaceName"),
        ("profile_ids", "profiles"),
        ("state", "state"),
        ("mac", "mac"),
        ("ipv4_gateway", "ipv4Gateway"),
        ("ipv6_gateway", "ipv6Gateway"),
    ];
    rename(&mut value, &mut spec, &names);
    spec.retain(|_, value| value.as_str() != Some(""));
    join(
        &mut value,
        &mut spec,
        ["ipv4_nets", "ipv6_nets"],
        "ipNetworks",
    );
    join(&mut value, &mut spec, ["ipv4_nat", "ipv6_nat"], "ipNATs");
    for nat in spec
        .get_mut("ipNATs")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Value::Object(old) = nat {
            let mut new = Fields::new();
            rename(
                old,
                &mut new,
                &[("int_ip", "internalIP"), ("ext_ip", "externalIP")],
            );
            *nat = Value::Object(new);
        }
    }
    v1("workloadEndpoint", &metadata, &spec)
}

fn policy(name: &str, mut value: Fields) -> Value {
    let mut spec = Fields::new();
    rules_of(&mut value, &mut spec);
    let names = [
        ("order", "order"),
        ("selector", "selector"),
        ("types", "types"),
        ("untracked", "doNotTrack"),
        ("pre_dnat", "preDNAT"),
    ];
    rename(&mut value, &mut spec, &names);
    // In Calico 1 the word stood for none.
    spec.retain(|name, value| !(name == "order" && value.as_str() == Some("default")));
    v1("policy", &fields([("name", json!(name))]), &spec)
}

fn pool(cidr: &str, value: Fields) -> Value {
    let mut value = value;
    let mut spec = Fields::new();
    rename(
        &mut value,
        &mut spec,
        &[("masquerade", "nat-outgoing"), ("disabled", "disabled")],
    );
    let enabled = value
        .get("ipip")
        .and_then(Value::as_str)
        .is_some_and(|device| !device.is_empty());
    let mode = value.remove("ipip_mode").unwrap_or_else(|| json!(""));
    spec.insert(
        "ipip".to_owned(),
        json!({ "enabled": enabled, "mode": mode }),
    );
    v1("ipPool", &fields([("cidr", json!(cidr))]), &spec)
}

/// Moves the rules of both directions.
fn rules_of(value: &mut Fields, spec: &mut Fields) {
    for (old, new) in [("inbound_rules", "ingress"), ("outbound_rules", "egress")] {
        if let Some(Value::Array(rules)) = value.remove(old) {
            let rules = rules.into_iter().map(|rule| match rule {
                Value::Object(fields) => rule_of(given(fields)),
                other @ (Value::Null
                | Value::Array(_)
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)) => other,
            });
            spec.insert(new.to_owned(), rules.collect());
        }
    }
}

/// Returns a rule as files write it. What is not known stays, so that it is refused: without it the rule would
/// match more.
fn rule_of(value: Fields) -> Value {
    let mut rule = Fields::new();
    let mut parts: BTreeMap<&str, Fields> = BTreeMap::new();
    for (name, value) in value {
        let (negated, plain) = match name.strip_prefix('!') {
            Some(plain) => (true, plain),
            None => (false, name.as_str()),
        };
        let (end, field) = match plain {
            // It has never had an effect in Felix 2.
            "log_prefix" => continue,
            "icmp_type" | "icmp_code" => (if negated { "notICMP" } else { "icmp" }, &plain[5..]),
            _ => match plain.split_once('_') {
                Some(("src", field)) => ("source", field),
                Some(("dst", field)) => ("destination", field),
                Some(_) | None => ("", plain),
            },
        };
        let field = match (end, negated, field) {
            ("", false, "ip_version") => "ipVersion".to_owned(),
            ("icmp" | "notICMP", _, field) | (_, false, field) => field.to_owned(),
            (_, true, field) => {
                let mut letters = field.chars();
                let first = letters.next().map(|first| first.to_ascii_uppercase());
                "not".chars().chain(first).chain(letters).collect()
            }
        };
        if end.is_empty() {
            rule.insert(field, value);
        } else {
            parts.entry(end).or_default().insert(field, value);
        }
    }
    let action = rule.entry("action").or_insert_with(|| json!("allow"));
    if action.as_str() == Some("") {
        *action = json!("allow");
    }
    for (name, part) in parts {
        rule.insert(name.to_owned(), Value::Object(part));
    }
    Value::Object(rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_a_rule_has_its_place() {
        let rule = json!({
            "action": "", "ip_version": 4, "protocol": "tcp", "!protocol": "udp",
            "icmp_type": 8, "icmp_code": 0, "!icmp_type": 3, "log_prefix": "x",
            "src_net": "10.0.0.0/8", "!src_net": "10.1.0.0/16", "src_nets": ["192.0.2.0/24"],
            "src_ports": [1, "2:3"], "!dst_ports": [4], "dst_tag": "t", "!dst_tag": "u",
            "src_selector": "has(a)", "!src_selector": "has(b)", "!new_thing": 1,
        });
        let Value::Object(rule) = rule else { panic!() };
        assert_eq!(
            rule_of(rule),
            json!({
                "action": "allow", "ipVersion": 4, "protocol": "tcp", "notProtocol": "udp",
                "icmp": { "type": 8, "code": 0 }, "notICMP": { "type": 3 },
                "source": {
                    "net": "10.0.0.0/8", "notNet": "10.1.0.0/16", "nets": ["192.0.2.0/24"],
                    "ports": [1, "2:3"], "selector": "has(a)", "notSelector": "has(b)",
                },
                "destination": { "notPorts": [4], "tag": "t", "notTag": "u" },
                "notNew_thing": 1,
            })
        );
    }
}
