//! Host endpoints.

use std::net::IpAddr;

use super::value::{Unnamed, address, endpoint_ports, interface, list, profiles, written};
use super::{Context, Origin};
use crate::datastore::field::{Field, Object, quoted};
use crate::datastore::validate;
use crate::model::{Form, HostEndpoint, HostInterface, LabelMap, NodeName};

/// Reads the spec of a v3 host endpoint.
pub(super) fn host_endpoint_v3(
    spec: &Object<'_>,
    labels: LabelMap,
    context: Context,
) -> Option<HostEndpoint> {
    spec.required_text("node");
    let node = spec
        .text("node")
        .and_then(|_| written(&spec.get("node")?, validate::node_name).map(NodeName::new));
    let ports = endpoint_ports(spec, Unnamed::Rejected);
    let endpoint = host_endpoint(spec, labels, context);
    Some(HostEndpoint {
        node: node?,
        ports,
        ..endpoint
    })
}

/// Reads the spec of a v1 host endpoint, whose node stands in its metadata.
pub(super) fn host_endpoint_v1(
    spec: &Object<'_>,
    node: &str,
    labels: LabelMap,
    context: Context,
) -> HostEndpoint {
    HostEndpoint {
        node: NodeName::new(node),
        ..host_endpoint(spec, labels, context)
    }
}

fn host_endpoint(spec: &Object<'_>, labels: LabelMap, context: Context) -> HostEndpoint {
    let interface = host_interface(spec, context.form);
    let expected_ips = list(spec, "expectedIPs", |field| {
        expected_ip(field, context.origin)
    });
    // A bad name or address is reported as such.
    let given = |name| spec.get(name).is_some_and(|field| !field.is_empty());
    let addressed = match context.origin {
        Origin::File => given("expectedIPs"),
        Origin::Datastore => !expected_ips.is_empty(),
    };
    if !given("interfaceName") && !addressed {
        spec.field()
            .reject("'interfaceName' or 'expectedIPs' must be present");
    }
    HostEndpoint {
        node: NodeName::new(""),
        interface,
        expected_ips,
        profiles: profiles(spec, context.form),
        labels,
        ports: Vec::new(),
    }
}

fn host_interface(spec: &Object<'_>, form: Form) -> Option<HostInterface> {
    let text = spec.text("interfaceName")?;
    if text == "*" && form == Form::V3 {
        return Some(HostInterface::Any);
    }
    interface(&spec.get("interfaceName")?).map(HostInterface::Name)
}

fn expected_ip(field: &Field<'_>, origin: Origin) -> Option<IpAddr> {
    match origin {
        Origin::File => address(field),
        Origin::Datastore => {
            let text = field.text()?;
            let address = text.parse().ok();
            if address.is_none() {
                field.warn(format!("{} is not an IP address, left out", quoted(text)));
            }
            address
        }
    }
}
