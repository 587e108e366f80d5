//! Values of the v1 form, as Felix kept them, put into the words of calicoctl's v1 form.

use serde_json::{Map, Value as Json, json};

/// What a rule may do, in exactly these words.
const ACTIONS: [&str; 4] = ["allow", "deny", "log", "next-tier"];

/// A JSON object whose fields are found without regard to case, as Go finds them, and of which `null` is absent.
pub(super) struct Fields<'a>(&'a Map<String, Json>);

impl<'a> Fields<'a> {
    /// Takes a value that must be an object.
    ///
    /// # Errors
    /// Fails where it is something else.
    pub(super) fn of(value: &'a Json) -> Result<Self, String> {
        value
            .as_object()
            .map(Self)
            .ok_or_else(|| "expected a JSON object".to_owned())
    }

    fn get(&self, name: &str) -> Option<&'a Json> {
        let exact = self.0.get(name);
        let found = exact.or_else(|| {
            self.0
                .iter()
                .find(|(known, _)| known.eq_ignore_ascii_case(name))
                .map(|(_, value)| value)
        });
        found.filter(|value| !value.is_null())
    }

    fn copy(&self, name: &str) -> Json {
        self.get(name).cloned().unwrap_or(Json::Null)
    }

    /// Returns the members of several lists, one behind the other.
    ///
    /// # Errors
    /// Fails where one of them is no list.
    fn joined(&self, names: &[&str]) -> Result<Json, String> {
        let mut all = Vec::new();
        for name in names {
            match self.get(name) {
                None => {}
                Some(Json::Array(items)) => all.extend(items.iter().cloned()),
                Some(_) => return Err(format!("{name}: expected a list")),
            }
        }
        Ok(Json::Array(all))
    }
}

/// Returns a host endpoint's document.
pub(super) fn host_endpoint(value: &Json, node: &str, name: &str) -> Result<Json, String> {
    let fields = Fields::of(value)?;
    Ok(json!({
        "apiVersion": "v1",
        "kind": "hostEndpoint",
        "metadata": {"name": name, "node": node, "labels": fields.copy("labels")},
        "spec": {
            "interfaceName": fields.copy("name"),
            "expectedIPs": fields.joined(&["expected_ipv4_addrs", "expected_ipv6_addrs"])?,
            "profiles": fields.copy("profile_ids"),
        },
    }))
}

/// Returns a workload endpoint's document; `name` is orchestrator, workload and endpoint.
pub(super) fn workload_endpoint(
    value: &Json,
    node: &str,
    name: &[String; 3],
) -> Result<Json, String> {
    let fields = Fields::of(value)?;
    let [orchestrator, workload, name] = name;
    let mut nats = Vec::new();
    for list in ["ipv4_nat", "ipv6_nat"] {
        if let Json::Array(items) = fields.joined(&[list])? {
            for item in &items {
                let nat = Fields::of(item).map_err(|reason| format!("{list}: {reason}"))?;
                nats.push(json!({
                    "internalIP": nat.copy("int_ip"),
                    "externalIP": nat.copy("ext_ip"),
                }));
            }
        }
    }
    Ok(json!({
        "apiVersion": "v1",
        "kind": "workloadEndpoint",
        "metadata": {
            "name": name,
            "node": node,
            "orchestrator": orchestrator,
            "workload": workload,
            "labels": fields.copy("labels"),
        },
        "spec": {
            "interfaceName": fields.copy("name"),
            // Absent is Go's empty word, which is not `active` either.
            "state": fields.get("state").cloned().filter(|state| *state != "").unwrap_or(json!("inactive")),
            "mac": fields.copy("mac"),
            "ipNetworks": fields.joined(&["ipv4_nets", "ipv6_nets"])?,
            "ipNATs": nats,
            "ipv4Gateway": fields.copy("ipv4_gateway"),
            "ipv6Gateway": fields.copy("ipv6_gateway"),
            "profiles": fields.copy("profile_ids"),
        },
    }))
}

/// Returns a policy's document.
pub(super) fn policy(value: &Json, name: &str) -> Result<Json, String> {
    let fields = Fields::of(value)?;
    // Python Felix wrote the word where Go Felix writes nothing.
    let order = fields.get("order").filter(|order| **order != "default");
    Ok(json!({
        "apiVersion": "v1",
        "kind": "policy",
        "metadata": {"name": name},
        "spec": {
            "order": order,
            "selector": fields.copy("selector"),
            "doNotTrack": fields.copy("untracked"),
            "preDNAT": fields.copy("pre_dnat"),
            "types": fields.copy("types"),
            "ingress": rules(&fields, "inbound_rules")?,
            "egress": rules(&fields, "outbound_rules")?,
        },
    }))
}

/// Returns a profile's document, from those of its three values that are there.
pub(super) fn profile(
    name: &str,
    rules_value: &Json,
    tags: Option<&Json>,
    labels: Option<&Json>,
) -> Result<Json, String> {
    let fields = Fields::of(rules_value)?;
    Ok(json!({
        "apiVersion": "v1",
        "kind": "profile",
        "metadata": {"name": name, "tags": tags, "labels": labels},
        "spec": {
            "ingress": rules(&fields, "inbound_rules")?,
            "egress": rules(&fields, "outbound_rules")?,
        },
    }))
}

/// Returns a host's document, of which its address is known.
pub(super) fn node(name: &str, address: &str) -> Json {
    json!({
        "apiVersion": "v1",
        "kind": "node",
        "metadata": {"name": name},
        "spec": {"bgp": {"ipv4Address": address}},
    })
}

/// Returns a pool's document; its key says which it is.
pub(super) fn pool(value: &Json, cidr: &str) -> Result<Json, String> {
    let fields = Fields::of(value)?;
    Ok(json!({
        "apiVersion": "v1",
        "kind": "ipPool",
        "metadata": {"cidr": cidr},
        "spec": {
            "nat-outgoing": fields.copy("masquerade"),
            "disabled": fields.copy("disabled"),
        },
    }))
}

/// Returns a tier's order; the last place where there is none, or the word `default`.
pub(super) fn tier_order(value: &Json) -> Result<Option<f64>, String> {
    let fields = Fields::of(value)?;
    match fields.get("order") {
        None => Ok(None),
        Some(Json::String(word)) if word == "default" => Ok(None),
        Some(order) => match order.as_f64() {
            Some(order) => Ok(Some(order)),
            None => Err("order: expected a number or \"default\"".to_owned()),
        },
    }
}

fn rules(fields: &Fields<'_>, name: &str) -> Result<Json, String> {
    let Json::Array(items) = fields.joined(&[name])? else {
        return Ok(Json::Null);
    };
    let rule = |(index, item): (usize, &Json)| {
        rule(item).map_err(|reason| format!("{name}[{index}]: {reason}"))
    };
    items.iter().enumerate().map(rule).collect()
}

fn rule(value: &Json) -> Result<Json, String> {
    let fields = Fields::of(value)?;
    let action = match fields.get("action") {
        None => "allow",
        Some(action) => match action.as_str() {
            Some("") => "allow",
            Some(word) if ACTIONS.contains(&word) => word,
            Some(_) | None => return Err(format!("action: is none of {}", ACTIONS.join(", "))),
        },
    };
    Ok(object([
        ("action", action.into()),
        ("ipVersion", fields.copy("ip_version")),
        ("protocol", fields.copy("protocol")),
        ("notProtocol", fields.copy("!protocol")),
        ("icmp", icmp(&fields, ["icmp_type", "icmp_code"])),
        ("notICMP", icmp(&fields, ["!icmp_type", "!icmp_code"])),
        ("source", entity(&fields, "src")),
        ("destination", entity(&fields, "dst")),
    ]))
}

/// A code without a type has no effect.
fn icmp(fields: &Fields<'_>, [kind, code]: [&str; 2]) -> Json {
    match fields.get(kind) {
        Some(kind) => object([("type", kind.clone()), ("code", fields.copy(code))]),
        None => Json::Null,
    }
}

fn entity(fields: &Fields<'_>, end: &str) -> Json {
    let field = |name: &str| fields.copy(&format!("{end}_{name}"));
    let negated = |name: &str| fields.copy(&format!("!{end}_{name}"));
    object([
        ("net", field("net")),
        ("nets", field("nets")),
        ("ports", field("ports")),
        ("tag", field("tag")),
        ("selector", field("selector")),
        ("notNet", negated("net")),
        ("notNets", negated("nets")),
        ("notPorts", negated("ports")),
        ("notTag", negated("tag")),
        ("notSelector", negated("selector")),
    ])
}

/// Makes an object of the fields that are there, `null` where there are none: a value may hold very many rules.
fn object<const N: usize>(fields: [(&str, Json); N]) -> Json {
    let fields: Map<String, Json> = fields
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    if fields.is_empty() {
        Json::Null
    } else {
        Json::Object(fields)
    }
}
