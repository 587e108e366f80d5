//! Fields that several kinds of resource have.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Context, Origin};
use crate::datastore::field::{Field, Object, quoted};
use crate::datastore::validate::{self, Check};
use crate::model::{EndpointPort, Form, Kind, LabelMap, PortMatch, PortName, ProfileId};
use crate::net::{Family, InterfaceName, PortRange, Protocol, parse_net};
use crate::selector::Selector;

/// Reads text that a check must accept.
pub(super) fn checked<'a>(field: &Field<'a>, check: impl Fn(&str) -> Check) -> Option<&'a str> {
    let text = field.text()?;
    match check(text) {
        Ok(()) => Some(text),
        Err(reason) => {
            field.reject(format!("{} {reason}", quoted(text)));
            None
        }
    }
}

/// Reads a name that a check must accept if a person has written it. Felix does not look at stored ones, which are
/// refused only where nothing could hold or show them.
pub(super) fn written<'a>(field: &Field<'a>, check: impl Fn(&str) -> Check) -> Option<&'a str> {
    checked(field, |text| match field.origin() {
        Origin::File => check(text),
        Origin::Datastore => validate::stored_name(text),
    })
}

/// Reads a selector; `None` where it is bad, and reported.
pub(super) fn selector(field: &Field<'_>) -> Option<Selector> {
    let text = field.text()?;
    let longest = match field.origin() {
        Origin::File => validate::MAX_SELECTOR,
        // Felix has no limit; what remains is that of the parser.
        Origin::Datastore => usize::MAX,
    };
    if text.len() > longest {
        field.reject(format!("a selector has at most {longest} bytes"));
        return None;
    }
    match Selector::parse(text) {
        Ok(selector) => Some(selector),
        Err(error) => {
            field.reject(format!("bad selector: {error}\n{}", error.caret(text)));
            None
        }
    }
}

/// Tells whether a selector says `global()`.
pub(super) fn says_global(selector: &Selector) -> bool {
    selector.replace_global(&Selector::none()) != *selector
}

/// Reads a selector of a resource or rule, where `global()` has no meaning.
pub(super) fn local_selector(field: &Field<'_>) -> Option<Selector> {
    let selector = selector(field)?;
    if says_global(&selector) {
        field.reject("global() may only stand alone, as the namespaceSelector of a rule");
        return None;
    }
    Some(selector)
}

/// Reads a selector field; empty text counts as absent.
pub(super) fn selector_of(object: &Object<'_>, name: &str) -> Option<Selector> {
    object.text(name)?;
    local_selector(&object.get(name)?)
}

/// Reads an address; Felix passes over a stored one that is none.
pub(super) fn address(field: &Field<'_>) -> Option<IpAddr> {
    let text = field.text()?;
    let address = text.parse().ok();
    if address.is_none() {
        field.refuse(format!("{} is not an IP address", quoted(text)));
    }
    address
}

/// Reads a prefix or an address, and clears the host bits.
pub(super) fn net(field: &Field<'_>) -> Option<IpNet> {
    let text = field.text()?;
    let net = parse_net(text);
    if net.is_none() {
        field.reject(format!("{} is not a CIDR or IP address", quoted(text)));
    }
    net
}

/// Reads an address and asks for its family.
pub(super) fn address_of(object: &Object<'_>, name: &str, family: Family) {
    let Some(field) = object.get(name) else {
        return;
    };
    if address(&field).is_some_and(|address| Family::of_address(address) != family) {
        field.refuse(format!("must be an {family} address"));
    }
}

/// Reads a protocol by name or number.
pub(super) fn protocol(field: &Field<'_>) -> Option<Protocol> {
    let text = field.text()?;
    match text.parse() {
        Ok(protocol) => Some(protocol),
        Err(error) => {
            field.reject(format!("{} is no protocol: {error}", quoted(text)));
            None
        }
    }
}

/// Reads one entry of a rule's port list.
pub(super) fn port_match(field: &Field<'_>) -> Option<PortMatch> {
    let text = field.text()?;
    let bad = |reason: String| {
        field.reject(reason);
        None
    };
    let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port != 0);
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits(text) || field.as_integer().is_some() {
        return match number(text).filter(|_| digits(text)) {
            Some(port) => Some(PortMatch::Range(PortRange::single(port))),
            None => bad(format!(
                "{} is no port: ports are from 1 to 65535",
                quoted(text)
            )),
        };
    }
    if let Some((first, last)) = text.split_once(':') {
        let ends = Some((first, last)).filter(|(first, last)| digits(first) && digits(last));
        return match ends.and_then(|(first, last)| Some((number(first)?, number(last)?))) {
            Some((first, last)) => match PortRange::new(first, last) {
                Ok(range) => Some(PortMatch::Range(range)),
                Err(error) => bad(error.to_string()),
            },
            None => bad(format!(
                "{} is no port range: write FIRST:LAST with ports from 1 to 65535",
                quoted(text)
            )),
        };
    }
    checked(field, validate::port_name)?;
    if text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'-')
    {
        field.warn(format!(
            "{} is taken for a port's name; a range is written 80:90",
            quoted(text)
        ));
    }
    Some(PortMatch::Named(PortName::new(text)))
}

/// For how many values room is made before any of them has been found to be good.
const USUAL_LENGTH: usize = 64;

/// Reads a list of values, leaving out the bad ones, which are reported.
pub(super) fn list<T>(
    object: &Object<'_>,
    name: &str,
    item: impl Fn(&Field<'_>) -> Option<T>,
) -> Vec<T> {
    let Some(field) = object.get(name) else {
        return Vec::new();
    };
    let items = field.items();
    // Resources are kept for long, so that their lists have no room to spare.
    let mut good = Vec::with_capacity(items.len().min(USUAL_LENGTH));
    good.extend(items.filter_map(|field| item(&field)));
    good.shrink_to_fit();
    good
}

/// Reads the names of an endpoint's profiles.
pub(super) fn profiles(spec: &Object<'_>, form: Form) -> Vec<ProfileId> {
    list(spec, "profiles", |field| {
        written(field, |text| validate::profile_name(form, text)).map(ProfileId::new)
    })
}

/// Reads the name of an interface.
pub(super) fn interface(field: &Field<'_>) -> Option<InterfaceName> {
    let text = checked(field, validate::interface_name)?;
    match text.parse() {
        Ok(name) => Some(name),
        Err(error) => {
            field.reject(format!("{error}"));
            None
        }
    }
}

/// What is asked of labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LabelRule {
    /// What calicoctl asks of one who writes a form.
    Written(Form),
    /// What Felix asks when it reads.
    Stored,
    /// Nothing.
    Any,
}

impl LabelRule {
    /// Returns the rule for the labels of a kind: of what is stored Felix looks at those alone that belong to what
    /// it binds to interfaces or fills sets with by itself.
    pub(super) fn of(kind: Kind, context: Context) -> Self {
        match (context.origin, kind) {
            (Origin::File, _) => Self::Written(context.form),
            (Origin::Datastore, Kind::HostEndpoint | Kind::GlobalNetworkSet | Kind::NetworkSet) => {
                Self::Stored
            }
            (
                Origin::Datastore,
                Kind::ClusterInformation
                | Kind::FelixConfiguration
                | Kind::Node
                | Kind::IpPool
                | Kind::Tier
                | Kind::Profile
                | Kind::GlobalNetworkPolicy
                | Kind::NetworkPolicy
                | Kind::StagedGlobalNetworkPolicy
                | Kind::StagedNetworkPolicy
                | Kind::StagedKubernetesNetworkPolicy
                | Kind::WorkloadEndpoint,
            ) => Self::Any,
        }
    }

    fn check(self, key: &str, value: &str) -> Check {
        match self {
            Self::Written(form) => {
                validate::label_key(form, key).and_then(|()| validate::label_value(value))
            }
            Self::Stored => validate::label_key(Form::V1, key)
                .and_then(|()| validate::stored_label_value(value)),
            Self::Any => Ok(()),
        }
    }
}

/// Reads labels.
pub(super) fn labels(object: &Object<'_>, name: &str, rule: LabelRule) -> LabelMap {
    let Some(field) = object.get(name) else {
        return LabelMap::new();
    };
    let mut labels = LabelMap::new();
    for (key, value) in field.entries() {
        let Some(text) = value.text() else { continue };
        match rule.check(key, text) {
            Ok(()) => {
                labels.insert(key.to_owned(), text.to_owned());
            }
            Err(reason) => value.reject(format!("bad label {}: {reason}", quoted(key))),
        }
    }
    labels
}

/// What becomes of a port that an endpoint declares without a name, for which nothing can ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unnamed {
    /// It spoils the endpoint.
    Rejected,
    /// It is left out.
    LeftOut,
}

/// Reads the ports that an endpoint declares.
pub(super) fn endpoint_ports(spec: &Object<'_>, unnamed: Unnamed) -> Vec<EndpointPort> {
    list(spec, "ports", |field| {
        let port = field.object();
        port.ignore(&["hostPort", "hostIP"]);
        let name = port
            .get("name")
            .and_then(|field| checked(&field, port_name_or_none));
        let protocol = port.get("protocol").map(|field| (protocol(&field), field));
        let number = port.get("port").and_then(|field| port_number(&field));
        if port.get("port").is_none() {
            port.missing("port");
        }
        let protocol = match protocol {
            Some((Some(protocol), field)) => {
                if !protocol.has_ports() {
                    field.reject(format!("{protocol} has no ports: use tcp, udp or sctp"));
                }
                Some(protocol)
            }
            Some((None, _)) => None,
            None => {
                port.missing("protocol");
                None
            }
        };
        let name = name.filter(|name| !name.is_empty());
        if name.is_none() && unnamed == Unnamed::Rejected {
            port.missing("name");
        }
        let name = name.map(PortName::new);
        port.finish();
        Some(EndpointPort {
            name: name?,
            protocol: protocol?,
            port: number?,
        })
    })
}

fn port_name_or_none(text: &str) -> Check {
    if text.is_empty() {
        Ok(())
    } else {
        validate::port_name(text)
    }
}

fn port_number(field: &Field<'_>) -> Option<u16> {
    let port = u16::try_from(field.integer()?)
        .ok()
        .filter(|port| *port != 0);
    if port.is_none() {
        field.reject("a port is a number from 1 to 65535");
    }
    port
}
