//! Rules in Calico's v3 form.

use serde_json::{Value, json};

use super::show::{Fields, protocol_name, put, put_list};
use crate::model::{Action, EntityMatch, IcmpMatch, PortMatch, Rule};
use crate::net::{Family, Protocol};

/// Returns rules; `None` where there are none.
pub(super) fn rules(rules: &[Rule]) -> Option<Value> {
    (!rules.is_empty()).then(|| rules.iter().map(rule).collect())
}

fn rule(rule: &Rule) -> Value {
    let mut fields = Fields::new();
    fields.insert("action".to_owned(), json!(action(rule.action)));
    let version = rule.ip_version.map(Family::version);
    put(&mut fields, "ipVersion", version.as_ref());
    let protocol = rule
        .protocol
        .map(|protocol| named(protocol, rule.ip_version));
    put(&mut fields, "protocol", protocol.as_ref());
    let not_protocol = rule.not_protocol.map(protocol_name);
    put(&mut fields, "notProtocol", not_protocol.as_ref());
    put(&mut fields, "icmp", rule.icmp.map(icmp).as_ref());
    put(&mut fields, "notICMP", rule.not_icmp.map(icmp).as_ref());
    put(&mut fields, "source", entity(&rule.source).as_ref());
    put(
        &mut fields,
        "destination",
        entity(&rule.destination).as_ref(),
    );
    Value::Object(fields)
}

fn action(action: Action) -> &'static str {
    match action {
        Action::Allow => "Allow",
        Action::Deny => "Deny",
        Action::Log => "Log",
        Action::Pass => "Pass",
    }
}

/// Returns a rule's protocol. The names of the two ICMP protocols stand for their family as well, the numbers
/// do not.
fn named(protocol: Protocol, family: Option<Family>) -> Value {
    let implied = match protocol {
        Protocol::ICMP => Some(Family::V4),
        Protocol::ICMPV6 => Some(Family::V6),
        _ => family,
    };
    if implied == family {
        protocol_name(protocol)
    } else {
        json!(protocol.number())
    }
}

fn icmp(icmp: IcmpMatch) -> Value {
    let mut fields = Fields::new();
    fields.insert("type".to_owned(), json!(icmp.kind));
    put(&mut fields, "code", icmp.code.as_ref());
    Value::Object(fields)
}

fn entity(entity: &EntityMatch) -> Option<Value> {
    let mut fields = Fields::new();
    put_list(&mut fields, "nets", &entity.nets);
    put_list(&mut fields, "notNets", &entity.not_nets);
    let text = |selector: &crate::selector::Selector| selector.as_str().to_owned();
    put(
        &mut fields,
        "selector",
        entity.selector.as_ref().map(text).as_ref(),
    );
    let not_selector = entity.not_selector.as_ref().map(text);
    put(&mut fields, "notSelector", not_selector.as_ref());
    put(&mut fields, "ports", ports(&entity.ports).as_ref());
    put(&mut fields, "notPorts", ports(&entity.not_ports).as_ref());
    (!fields.is_empty()).then_some(Value::Object(fields))
}

fn ports(ports: &[PortMatch]) -> Option<Value> {
    let port = |port: &PortMatch| match port {
        PortMatch::Range(range) if range.is_single() => json!(range.first()),
        PortMatch::Range(range) => json!(format!("{}:{}", range.first(), range.last())),
        PortMatch::Named(name) => json!(name.as_str()),
    };
    (!ports.is_empty()).then(|| ports.iter().map(port).collect())
}
