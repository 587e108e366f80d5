//! Rules of policies and profiles, in both forms.

use ipnet::IpNet;

use super::value::{
    checked, list, net, port_match, protocol, says_global, selector, selector_of, written,
};
use super::{Context, Origin};
use crate::datastore::field::{Field, Object, quoted};
use crate::datastore::validate;
use crate::model::{Action, Direction, EntityMatch, Form, IcmpMatch, PortMatch, Rule};
use crate::net::{Family, Protocol};
use crate::selector::Selector;

/// The label that holds an endpoint's namespace.
pub(super) const NAMESPACE_LABEL: &str = "projectcalico.org/namespace";
/// The label that holds an endpoint's service account.
pub(super) const SERVICE_ACCOUNT_LABEL: &str = "projectcalico.org/serviceaccount";
/// What stands before the labels of namespaces that endpoints inherit.
pub(super) const NAMESPACE_PREFIX: &str = "pcns.";
/// What stands before the labels of service accounts that endpoints inherit.
pub(super) const SERVICE_ACCOUNT_PREFIX: &str = "pcsa.";
/// The largest ICMP type that a rule may name; 255 is reserved.
const MAX_ICMP_TYPE: i64 = 254;
/// The most pairs of a source's and a destination's named port that a rule may have: each pair is a rule of
/// its own to the kernel, so that two long lists would exhaust the memory.
const MAX_NAMED_PAIRS: usize = 1024;
/// The most named ports that a rule may ask of one packet: each takes four of the 128 expressions that a rule can
/// have (`NFT_RULE_MAXEXPRS` of `net/netfilter/nf_tables_api.c`), and all other criteria together up to 74; a rule
/// with more would have the kernel refuse the transaction.
const MAX_NAMED_TOGETHER: usize = 12;
/// The largest ICMP code.
const MAX_ICMP_CODE: i64 = 255;

/// Where rules stand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) context: Context,
    /// The namespace of their policy, where it has one.
    pub(super) namespace: Option<&'a str>,
}

/// One of the two ends of the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Source,
    Destination,
}

/// Ends the reading of a part of a rule.
///
/// What a person has misspelt would otherwise be a criterion less, and the rule a broader one; calicoctl
/// refuses it too. In a datastore it is a field of a newer Calico.
fn finish(object: Object<'_>, context: Context) {
    match context.origin {
        Origin::File => object.finish_strictly(),
        Origin::Datastore => object.finish(),
    }
}

/// Reads the rules of one direction.
pub(super) fn rules(spec: &Object<'_>, direction: Direction, scope: Scope<'_>) -> Vec<Rule> {
    let name = match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    };
    list(spec, name, |field| rule(field, scope))
}

fn rule(field: &Field<'_>, scope: Scope<'_>) -> Option<Rule> {
    let object = field.object();
    let action = action(&object, scope.context);
    let (protocol, named_family) = protocol_of(&object, "protocol");
    let (not_protocol, _) = protocol_of(&object, "notProtocol");
    let ip_version = ip_version(&object);
    let icmp = icmp_match(&object, Sense::Asked, protocol, scope.context);
    let not_icmp = icmp_match(&object, Sense::Excluded, protocol, scope.context);
    let source = entity(&object, End::Source, scope);
    let destination = entity(&object, End::Destination, scope);
    for (end, entity) in [("source", &source), ("destination", &destination)] {
        check_ports(&object, end, entity, protocol);
    }
    check_families(&object, [&source, &destination]);
    check_named_ports(&object, action, [&source, &destination]);
    match scope.context.form {
        Form::V3 => {
            if let Some(http) = object.get("http") {
                http.warn("not enforced: the rule matches as if this were absent");
            }
            object.ignore(&["metadata"]);
        }
        Form::V1 => {}
    }
    finish(object, scope.context);
    Some(Rule {
        action: action?,
        ip_version: ip_version.or(named_family),
        protocol,
        not_protocol,
        icmp,
        not_icmp,
        source,
        destination,
    })
}

fn action(object: &Object<'_>, context: Context) -> Option<Action> {
    if object.text("action").is_none() && context.origin == Origin::Datastore {
        object.refuse_field("action", "is missing and counts as Allow");
        return Some(Action::Allow);
    }
    let text = object.required_text("action")?;
    let known: &[(&str, Action)] = match context.form {
        Form::V3 => &[
            ("Allow", Action::Allow),
            ("Deny", Action::Deny),
            ("Log", Action::Log),
            ("Pass", Action::Pass),
        ],
        Form::V1 => &[
            ("allow", Action::Allow),
            ("deny", Action::Deny),
            ("log", Action::Log),
            ("pass", Action::Pass),
            ("next-tier", Action::Pass),
        ],
    };
    let same = |name: &str| match context.origin {
        Origin::File => name == text,
        Origin::Datastore => name.eq_ignore_ascii_case(text),
    };
    let action = known
        .iter()
        .find(|(name, _)| same(name))
        .map(|(_, action)| *action);
    if action.is_none() {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        let names = names.join(", ");
        object.reject_field("action", format!("{} is none of {names}", quoted(text)));
    }
    action
}

/// Reads a protocol and the family that its name implies; the numbers 1 and 58 imply none.
fn protocol_of(object: &Object<'_>, name: &str) -> (Option<Protocol>, Option<Family>) {
    let Some(field) = object.get(name) else {
        return (None, None);
    };
    let Some(protocol) = protocol(&field) else {
        return (None, None);
    };
    let by_number = field
        .text()
        .is_some_and(|text| text.starts_with(|c: char| c.is_ascii_digit()));
    let family = match protocol {
        Protocol::ICMP if !by_number => Some(Family::V4),
        Protocol::ICMPV6 if !by_number => Some(Family::V6),
        _ => None,
    };
    (Some(protocol), family)
}

fn ip_version(object: &Object<'_>) -> Option<Family> {
    let field = object.get("ipVersion")?;
    match field.integer()? {
        4 => Some(Family::V4),
        6 => Some(Family::V6),
        other => {
            field.reject(format!("must be 4 or 6, not {other}"));
            None
        }
    }
}

/// Whether a criterion asks for something or excludes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sense {
    Asked,
    Excluded,
}

fn icmp_match(
    object: &Object<'_>,
    sense: Sense,
    protocol: Option<Protocol>,
    context: Context,
) -> Option<IcmpMatch> {
    let field = object.get(match sense {
        Sense::Asked => "icmp",
        Sense::Excluded => "notICMP",
    })?;
    let icmp = field.object();
    let part = |name: &str, max: i64| {
        let field = icmp.get(name)?;
        let number = field.integer()?;
        let valid = u8::try_from(number).ok().filter(|_| number <= max);
        if valid.is_none() {
            field.reject(format!("must be from 0 to {max}, not {number}"));
        }
        valid
    };
    let kind = part("type", MAX_ICMP_TYPE);
    let code = part("code", MAX_ICMP_CODE);
    if icmp.get("code").is_some() && icmp.get("type").is_none() {
        field.refuse("an ICMP code needs an ICMP type");
    }
    if protocol != Some(Protocol::ICMP) && protocol != Some(Protocol::ICMPV6) {
        match sense {
            Sense::Asked => field.refuse("an ICMP match needs the protocol icmp or icmpv6"),
            // calicoctl lets it pass.
            Sense::Excluded => {
                field.warn("only ICMP messages meet it: name the protocol icmp or icmpv6");
            }
        }
    }
    finish(icmp, context);
    Some(IcmpMatch { kind: kind?, code })
}

/// Ports need a protocol that has them; only names, which endpoints bind to a protocol, do without.
fn check_ports(rule: &Object<'_>, end: &str, entity: &EntityMatch, protocol: Option<Protocol>) {
    let numeric = |ports: &[PortMatch]| {
        ports.iter().any(|port| match port {
            PortMatch::Range(_) => true,
            PortMatch::Named(_) => false,
        })
    };
    let Some(field) = rule.get(end) else { return };
    for (name, ports) in [("ports", &entity.ports), ("notPorts", &entity.not_ports)] {
        let bad = match protocol {
            Some(protocol) => !ports.is_empty() && !protocol.has_ports(),
            None => numeric(ports),
        };
        if bad {
            field.object().reject_field(
                name,
                "a port needs the rule's protocol to be tcp, udp or sctp",
            );
        }
    }
}

/// Keeps the named ports of a rule to what the kernel can hold, for what it refuses keeps all else back.
fn check_named_ports(rule: &Object<'_>, action: Option<Action>, entities: [&EntityMatch; 2]) {
    let named = |ports: &[PortMatch]| {
        let is_named = |port: &&PortMatch| match port {
            PortMatch::Named(_) => true,
            PortMatch::Range(_) => false,
        };
        ports.iter().filter(is_named).count()
    };
    let wanted = entities.map(|entity| named(&entity.ports));
    let pairs = wanted
        .iter()
        .map(|count| (*count).max(1))
        .product::<usize>();
    if pairs > MAX_NAMED_PAIRS {
        rule.field().reject(format!(
            "its named ports make {pairs} pairs of source and destination; at most {MAX_NAMED_PAIRS} are possible"
        ));
    }
    let excluded: usize = entities.iter().map(|entity| named(&entity.not_ports)).sum();
    // A packet is logged once, so that each named port excludes those before it.
    let (together, what) = match action {
        Some(Action::Log) => (
            excluded + wanted.iter().sum::<usize>(),
            "ports by name in a rule that logs",
        ),
        Some(Action::Allow | Action::Deny | Action::Pass) | None => {
            (excluded, "negated ports by name")
        }
    };
    if together > MAX_NAMED_TOGETHER {
        rule.field().reject(format!(
            "has {together} {what}; at most {MAX_NAMED_TOGETHER} are possible"
        ));
    }
}

/// A rule may name nets of both families, and then holds for both; but each list that is given must have nets
/// of the packet's family, so lists of different families together leave nothing to match.
fn check_families(rule: &Object<'_>, entities: [&EntityMatch; 2]) {
    let lists = || {
        entities
            .into_iter()
            .flat_map(|entity| [&entity.nets, &entity.not_nets])
    };
    let possible = |family: Family| {
        lists().all(|nets| nets.is_empty() || nets.iter().any(|net| Family::of_net(net) == family))
    };
    if !Family::BOTH.into_iter().any(possible) {
        rule.field()
            .refuse("its IPv4 and IPv6 nets together leave no packet to match");
    }
}

fn entity(rule: &Object<'_>, end: End, scope: Scope<'_>) -> EntityMatch {
    let name = match end {
        End::Source => "source",
        End::Destination => "destination",
    };
    let Some(field) = rule.get(name) else {
        return EntityMatch::default();
    };
    let object = field.object();
    let ports = list(&object, "ports", port_match);
    let not_ports = list(&object, "notPorts", port_match);
    let mut entity = match scope.context.form {
        Form::V3 => entity_v3(&object, end, scope),
        Form::V1 => entity_v1(&object),
    };
    entity.ports = ports.into();
    entity.not_ports = not_ports.into();
    finish(object, scope.context);
    entity
}

fn not_net(field: &Field<'_>) -> Option<IpNet> {
    let net = net(field)?;
    if net.prefix_len() == 0 {
        field.refuse("a negated net that is the whole address space leaves no packet to match");
    }
    Some(net)
}

fn entity_v1(object: &Object<'_>) -> EntityMatch {
    let mut nets = list(object, "nets", net);
    nets.extend(object.get("net").and_then(|field| net(&field)));
    let mut not_nets = list(object, "notNets", not_net);
    not_nets.extend(object.get("notNet").and_then(|field| not_net(&field)));
    let tag = |name| {
        object.text(name)?;
        checked(&object.get(name)?, validate::v1_name).map(Selector::has)
    };
    let both =
        |a: Option<Selector>, b: Option<Selector>, join: fn(&Selector, &Selector) -> Selector| {
            match (a, b) {
                (Some(a), Some(b)) => Some(join(&a, &b)),
                (a, b) => a.or(b),
            }
        };
    EntityMatch {
        nets: nets.into(),
        not_nets: not_nets.into(),
        selector: both(selector_of(object, "selector"), tag("tag"), Selector::and),
        not_selector: both(selector_of(object, "notSelector"), tag("notTag"), either),
        ports: Box::default(),
        not_ports: Box::default(),
    }
}

/// Returns the selector of what either of two selects.
fn either(a: &Selector, b: &Selector) -> Selector {
    let neither = Selector::all().and_not(a).and_not(b);
    Selector::all().and_not(&neither)
}

fn entity_v3(object: &Object<'_>, end: End, scope: Scope<'_>) -> EntityMatch {
    let nets = list(object, "nets", net);
    let not_nets = list(object, "notNets", not_net);
    let own = selector_of(object, "selector");
    let not_selector = selector_of(object, "notSelector");
    let namespaces = namespace_selector(object);
    let accounts = service_accounts(object, scope.context);
    let confined = own.is_some()
        || not_selector.is_some()
        || object.get("serviceAccounts").is_some()
        || object.get("namespaceSelector").is_some();
    let namespaces = namespaces.or_else(|| {
        let namespace = scope.namespace.filter(|_| confined)?;
        Some(Selector::equals(NAMESPACE_LABEL, namespace))
    });
    let parts = [namespaces, own, accounts];
    let mut selector = parts.into_iter().flatten().reduce(|a, b| a.and(&b));
    if let Some(services) = object.get("services") {
        check_services(object, &services, end);
        // Services are Kubernetes objects, which no datastore of this agent holds.
        selector = Some(
            selector
                .unwrap_or_else(Selector::all)
                .and(&Selector::none()),
        );
    }
    EntityMatch {
        nets: nets.into(),
        not_nets: not_nets.into(),
        selector,
        not_selector,
        ports: Box::default(),
        not_ports: Box::default(),
    }
}

fn namespace_selector(object: &Object<'_>) -> Option<Selector> {
    let text = object.text("namespaceSelector")?;
    let field = object.get("namespaceSelector")?;
    let selector = selector(&field)?;
    let in_namespace = Selector::has(NAMESPACE_LABEL);
    if says_global(&selector) {
        if text.trim() != "global()" {
            field.reject("global() may only stand alone");
        }
        return Some(Selector::all().and_not(&in_namespace));
    }
    Some(
        selector
            .prefixed(NAMESPACE_PREFIX)
            .replace_all(&in_namespace),
    )
}

fn service_accounts(object: &Object<'_>, context: Context) -> Option<Selector> {
    let field = object.get("serviceAccounts")?;
    let accounts = field.object();
    let names = list(&accounts, "names", checked_account);
    let by_label = selector_of(&accounts, "selector").map(|selector| {
        selector
            .prefixed(SERVICE_ACCOUNT_PREFIX)
            .replace_all(&Selector::has(SERVICE_ACCOUNT_LABEL))
    });
    finish(accounts, context);
    let by_name = (!names.is_empty()).then(|| Selector::one_of(SERVICE_ACCOUNT_LABEL, &names));
    [by_label, by_name]
        .into_iter()
        .flatten()
        .reduce(|a, b| a.and(&b))
}

fn checked_account(field: &Field<'_>) -> Option<String> {
    written(field, |text| {
        validate::resource_name(crate::model::Kind::Node, text)
    })
    .map(str::to_owned)
}

fn check_services(entity: &Object<'_>, services: &Field<'_>, end: End) {
    let object = services.object();
    object.required_text("name");
    object.ignore(&["namespace"]);
    object.finish();
    let excluded: &[&str] = match end {
        End::Source => &["selector", "nets", "serviceAccounts", "namespaceSelector"],
        End::Destination => &[
            "ports",
            "notPorts",
            "selector",
            "nets",
            "serviceAccounts",
            "namespaceSelector",
        ],
    };
    for name in excluded {
        if entity.get(name).is_some() {
            entity.refuse_field(name, "cannot be combined with services");
        }
    }
    services.warn("services are not known to this datastore: the rule never matches");
}
