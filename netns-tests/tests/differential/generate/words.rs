//! The words that resources are made of.

use serde_json::{Map, Value, json};

use netns_tests::random::Random;

/// The host under test.
pub(crate) const NODE: &str = "host1";

/// The form of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    V1,
    V3,
}

/// Selectors of endpoints and network sets.
const SELECTORS: &[(usize, &str)] = &[
    (12, "all()"),
    (8, "has(app)"),
    (4, "!has(app)"),
    (6, "app == 'a'"),
    (4, "app == 'b'"),
    (5, "app != 'a'"),
    (4, "app in {'a', 'b'}"),
    (3, "app not in {'a', 'c'}"),
    (6, "role == 'host'"),
    (4, "role != 'host'"),
    (5, "has(env)"),
    (3, "env starts with 'pro'"),
    (2, "env ends with 'v'"),
    (2, "env contains 'o'"),
    (3, "app == 'a' && env == 'prod'"),
    (4, "app == 'b' || role == 'host'"),
    (2, "!(app == 'a' || env == 'dev')"),
    (3, "has(inherited)"),
    (2, "inherited == 'yes' || tagged == ''"),
    (2, "has(tagged)"),
    (2, "zone == 'nowhere'"),
    (2, "projectcalico.org/namespace == 'ns1'"),
    (1, "has(projectcalico.org/namespace)"),
    (1, "projectcalico.org/orchestrator == 'k8s'"),
];

/// Nets of IPv4 around the addresses of the network.
const NETS_V4: &[&str] = &[
    "192.0.2.0/24",
    "192.0.2.2",
    "192.0.2.0/31",
    "203.0.113.0/24",
    "198.51.100.0/24",
    "198.51.100.2/32",
    "10.0.0.0/8",
    "10.65.0.0/16",
    "10.65.0.0/24",
    "10.65.1.0/24",
    "10.65.1.2/32",
    "10.65.1.3/32",
    "10.65.0.1/32",
    "10.66.0.0/16",
    "10.96.0.0/16",
    "172.16.0.0/12",
    "128.0.0.0/1",
    "0.0.0.0/0",
];

/// The same of IPv6.
const NETS_V6: &[&str] = &[
    "2001:db8:1::/64",
    "2001:db8:1::2",
    "2001:db8:1::/127",
    "2001:db8:3::/64",
    "2001:db8:2::/64",
    "2001:db8:2::2/128",
    "fc00::/7",
    "fd65::/64",
    "fd65::/112",
    "fd65:0:0:1::/64",
    "fd65:0:0:1::2/128",
    "fd65:0:0:1::3/128",
    "fd65::1/128",
    "fd66::/16",
    "fd96::/16",
    "2001:db8:99::/48",
    "8000::/1",
    "::/0",
];

/// Names of profiles; two of them are never there.
pub(crate) const PROFILES: &[(usize, &str)] = &[
    (8, "projectcalico-default-allow"),
    (6, "prof-a"),
    (4, "prof-b"),
    (4, "prof-v1"),
    (2, "both-forms"),
    (2, "kns.ns1"),
    (1, "missing"),
];

/// Names of ports that endpoints declare.
const PORT_NAMES: &[&str] = &["web", "dns", "mixed", "nobody"];

/// Namespaces of resources that have one.
pub(crate) const NAMESPACES: &[&str] = &["ns1", "ns2"];

/// Chooses a selector, sometimes of two parts.
pub(crate) fn selector(random: &mut Random) -> String {
    let one = *random.weighted(SELECTORS);
    if random.chance(12) {
        let other = *random.weighted(SELECTORS);
        let joint = *random.pick(&["&&", "||"]);
        return format!("({one}) {joint} !({other})");
    }
    one.to_owned()
}

/// Chooses the labels of an endpoint or set.
pub(crate) fn labels(random: &mut Random, role: &str) -> Value {
    let mut labels = Map::new();
    if random.chance(75) {
        labels.insert("app".into(), json!(random.pick(&["a", "b", "c"])));
    }
    if random.chance(50) {
        labels.insert("env".into(), json!(random.pick(&["prod", "dev"])));
    }
    if random.chance(85) {
        labels.insert("role".into(), json!(role));
    }
    if random.chance(8) {
        labels.insert("inherited".into(), json!("no"));
    }
    Value::Object(labels)
}

/// Which families a list of nets is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nets {
    V4,
    V6,
    Both,
}

/// Chooses the families of a rule's nets, one choice for all lists of the rule.
pub(crate) fn families(random: &mut Random) -> Nets {
    *random.weighted(&[(4, Nets::Both), (3, Nets::V4), (2, Nets::V6)])
}

/// Chooses nets; those of a negated list never are a whole address space.
pub(crate) fn nets(random: &mut Random, families: Nets, negated: bool, most: usize) -> Vec<String> {
    let mut chosen = Vec::new();
    let lists: &[&[&str]] = match families {
        Nets::V4 => &[NETS_V4],
        Nets::V6 => &[NETS_V6],
        Nets::Both => &[NETS_V4, NETS_V6],
    };
    for list in lists {
        let list = if negated {
            &list[..list.len() - 1]
        } else {
            list
        };
        chosen.extend(random.some(list, 1, most).into_iter().map(str::to_owned));
    }
    chosen
}

/// Chooses the entries of a rule's list of ports.
pub(crate) fn ports(random: &mut Random, source: bool, numbers: bool, names: bool) -> Vec<Value> {
    let destinations = [
        json!(80),
        json!(81),
        json!(443),
        json!(22),
        json!(53),
        json!(2379),
        json!(8080),
        json!(8082),
        json!(8083),
        json!("8080:8084"),
        json!("80:81"),
        json!("50:100"),
        json!("1:65535"),
        json!("4789"),
    ];
    let sources = [
        json!("20000:39999"),
        json!("40000:65535"),
        json!("1024:65535"),
        json!("1:1023"),
        json!(22),
        json!(80),
        json!(2379),
    ];
    let mut chosen = Vec::new();
    if numbers {
        let list: &[Value] = if source { &sources } else { &destinations };
        let most = if random.chance(10) { 9 } else { 3 };
        chosen.extend(random.some(list, 1, most));
    }
    if names {
        let list = random.some(PORT_NAMES, 1, 2);
        chosen.extend(list.into_iter().map(Value::from));
    }
    chosen
}

/// Chooses the profiles of an endpoint.
pub(crate) fn profiles(random: &mut Random) -> Vec<&'static str> {
    let wanted = *random.weighted(&[(3, 0), (6, 1), (3, 2), (1, 3)]);
    let mut chosen: Vec<&'static str> = Vec::new();
    for _ in 0..wanted {
        let profile = *random.weighted(PROFILES);
        if !chosen.contains(&profile) {
            chosen.push(profile);
        }
    }
    chosen
}

/// Chooses the ports that an endpoint declares.
pub(crate) fn declared_ports(random: &mut Random) -> Vec<Value> {
    let declared = [
        json!({"name": "web", "protocol": "TCP", "port": 80}),
        json!({"name": "web", "protocol": "TCP", "port": 443}),
        json!({"name": "web", "protocol": "UDP", "port": 81}),
        json!({"name": "dns", "protocol": "UDP", "port": 53}),
        json!({"name": "dns", "protocol": "TCP", "port": 53}),
        json!({"name": "mixed", "protocol": "TCP", "port": 81}),
        json!({"name": "mixed", "protocol": "UDP", "port": 80}),
        json!({"name": "mixed", "protocol": "SCTP", "port": 80}),
    ];
    random.some(&declared, 0, 4)
}

/// Puts a field into an object unless it is empty.
pub(crate) fn put(object: &mut Map<String, Value>, name: &str, value: impl Into<Value>) {
    let value = value.into();
    let empty = match &value {
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Null => true,
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    };
    if !empty {
        object.insert(name.to_owned(), value);
    }
}
