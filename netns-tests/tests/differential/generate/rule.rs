//! Random rules.

use serde_json::{Map, Value, json};

use super::words::{Form, Nets, families, nets, ports, put, selector};
use netns_tests::random::Random;

/// Where rules stand, as far as it bears on what they may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The form of their resource.
    pub(crate) form: Form,
    /// Whether the resource is a policy; `Pass` and `Log` are rare elsewhere.
    pub(crate) policy: bool,
}

/// Makes the rules of one direction, in many cases with one at the end that meets every packet.
pub(crate) fn rules(random: &mut Random, setting: Setting) -> Vec<Value> {
    let wanted = *random.weighted(&[(3, 0), (6, 1), (6, 2), (4, 3), (2, 4), (1, 6)]);
    let mut rules: Vec<Value> = (0..wanted).map(|_| rule(random, setting)).collect();
    if random.chance(35) {
        let action = *random.weighted(&[(5, "Allow"), (3, "Pass"), (2, "Deny")]);
        rules.push(json!({"action": action_word(action, setting.form)}));
    }
    rules
}

fn action_word(action: &str, form: Form) -> String {
    match form {
        Form::V3 => action.to_owned(),
        Form::V1 => action.to_lowercase(),
    }
}

/// Makes a rule.
pub(crate) fn rule(random: &mut Random, setting: Setting) -> Value {
    let mut rule = Map::new();
    let actions: &[(usize, &str)] = if setting.policy {
        &[(54, "Allow"), (24, "Deny"), (20, "Pass"), (2, "Log")]
    } else {
        &[(70, "Allow"), (26, "Deny"), (4, "Pass")]
    };
    let action = *random.weighted(actions);
    let mut action = action_word(action, setting.form);
    if action == "pass" && random.chance(40) {
        "next-tier".clone_into(&mut action);
    }
    rule.insert("action".into(), json!(action));
    let protocol = protocol(random);
    if let Some((text, _)) = &protocol {
        rule.insert("protocol".into(), text.clone());
    }
    let kind = protocol.map_or(Ported::None, |(_, kind)| kind);
    if kind == Ported::Icmp {
        let echo = |random: &mut Random| {
            let mut icmp = Map::new();
            icmp.insert("type".into(), json!(random.pick(&[8, 128, 8, 128, 0, 3])));
            if random.chance(50) {
                icmp.insert("code".into(), json!(random.pick(&[0, 0, 1])));
            }
            Value::Object(icmp)
        };
        if random.chance(50) {
            let icmp = echo(random);
            rule.insert("icmp".into(), icmp);
        }
        if random.chance(20) {
            let icmp = echo(random);
            rule.insert("notICMP".into(), icmp);
        }
    }
    if random.chance(9) {
        let choices = [
            json!("TCP"),
            json!("UDP"),
            json!(253),
            json!("ICMP"),
            json!(58),
        ];
        rule.insert("notProtocol".into(), random.pick(&choices).clone());
    }
    if random.chance(10) {
        rule.insert("ipVersion".into(), json!(random.pick(&[4, 6])));
    }
    let families = families(random);
    for (name, source) in [("source", true), ("destination", false)] {
        let entity = entity(random, setting.form, families, kind, source);
        put(&mut rule, name, entity);
    }
    Value::Object(rule)
}

/// What ports a rule may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ported {
    /// Names alone, as the rule has no protocol.
    None,
    /// Numbers and names.
    Ports,
    /// None, but types of messages.
    Icmp,
    /// None at all.
    Other,
}

fn protocol(random: &mut Random) -> Option<(Value, Ported)> {
    let choices = [
        (40, json!(null), Ported::None),
        (26, json!("TCP"), Ported::Ports),
        (16, json!("UDP"), Ported::Ports),
        (3, json!(6), Ported::Ports),
        (2, json!("17"), Ported::Ports),
        (1, json!("SCTP"), Ported::Ports),
        (5, json!("ICMP"), Ported::Icmp),
        (5, json!("ICMPv6"), Ported::Icmp),
        (2, json!(1), Ported::Icmp),
        (2, json!(58), Ported::Icmp),
        (4, json!(253), Ported::Other),
        (1, json!(4), Ported::Other),
        (1, json!("UDPLite"), Ported::Other),
    ];
    let weights: Vec<(usize, usize)> = choices
        .iter()
        .enumerate()
        .map(|(at, (weight, _, _))| (*weight, at))
        .collect();
    let (_, text, kind) = choices[*random.weighted(&weights)].clone();
    (!text.is_null()).then_some((text, kind))
}

fn entity(
    random: &mut Random,
    form: Form,
    families: Nets,
    kind: Ported,
    source: bool,
) -> Map<String, Value> {
    let mut entity = Map::new();
    if random.chance(22) {
        let most = if random.chance(15) { 6 } else { 2 };
        put(&mut entity, "nets", nets(random, families, false, most));
    }
    if random.chance(8) {
        put(&mut entity, "notNets", nets(random, families, true, 2));
    }
    if random.chance(20) {
        put(&mut entity, "selector", selector(random));
    }
    if random.chance(8) {
        put(&mut entity, "notSelector", selector(random));
    }
    match form {
        Form::V3 => {
            if random.chance(5) {
                let namespace = *random.pick(&[
                    "global()",
                    "all()",
                    "team == 'red'",
                    "projectcalico.org/name == 'ns1'",
                ]);
                put(&mut entity, "namespaceSelector", namespace);
            }
            if random.chance(1) {
                put(
                    &mut entity,
                    "services",
                    json!({"name": "web", "namespace": "ns1"}),
                );
            }
            if random.chance(3) {
                let choices = [
                    json!({"names": ["acct"]}),
                    json!({"names": ["acct", "other"]}),
                    json!({"selector": "all()"}),
                ];
                put(
                    &mut entity,
                    "serviceAccounts",
                    random.pick(&choices).clone(),
                );
            }
        }
        Form::V1 => {
            if random.chance(5) {
                put(&mut entity, "tag", *random.pick(&["tagged", "nobody"]));
            }
            if random.chance(4) {
                put(&mut entity, "notTag", "tagged");
            }
            if random.chance(8) {
                let net = nets(random, families, false, 1);
                put(&mut entity, "net", net.into_iter().next());
            }
            if random.chance(4) {
                let net = nets(random, families, true, 1);
                put(&mut entity, "notNet", net.into_iter().next());
            }
        }
    }
    let [wanted, unwanted] = if source { [8, 4] } else { [45, 8] };
    let (numbers, names) = match kind {
        Ported::Ports => match *random.weighted(&[(6, 0), (2, 1), (1, 2)]) {
            0 => (true, false),
            1 => (false, true),
            _ => (true, true),
        },
        Ported::None => (false, true),
        Ported::Icmp | Ported::Other => (false, false),
    };
    let [wanted, unwanted] = if kind == Ported::None {
        [wanted / 4, unwanted / 4]
    } else {
        [wanted, unwanted]
    };
    if random.chance(wanted) {
        put(&mut entity, "ports", ports(random, source, numbers, names));
    }
    if random.chance(unwanted) {
        put(
            &mut entity,
            "notPorts",
            ports(random, source, numbers, names),
        );
    }
    entity
}
