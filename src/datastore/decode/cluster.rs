//! Nodes, pools, and what configures and describes the cluster.

use super::meta::Meta;
use super::value::{local_selector, net};
use super::{Context, Origin};
use crate::datastore::field::{Field, Object, quoted};
use crate::model::{ClusterInformation, FelixConfiguration, Form, IpPool};
use crate::net::parse_net;
use ipnet::IpNet;
use std::net::IpAddr;

/// The name of the one resource that is for the whole cluster.
const CLUSTER_WIDE: &str = "default";
/// What stands before a node's name in the name of its configuration.
const PER_NODE: &str = "node.";

/// Reads the addresses that a node speaks BGP from, which are the host's own; the rest of its spec does not
/// matter here, and one that cannot be read is passed over.
pub(super) fn node_addresses(spec: &Object<'_>) -> Vec<IpAddr> {
    let Some(field) = spec.get("bgp") else {
        return Vec::new();
    };
    let bgp = field.object();
    let address = |name| {
        let field = bgp.get(name)?;
        let net = field.text().and_then(parse_net);
        if net.is_none() {
            field.warn("is not an address and is passed over");
        }
        // With host bits: the network that stands beside the address does not matter.
        let text = field.text()?.split('/').next()?;
        text.parse::<IpAddr>().ok()
    };
    let addresses = ["ipv4Address", "ipv6Address"].into_iter();
    addresses.filter_map(address).collect()
}

/// Reads the spec of a configuration.
pub(super) fn felix_configuration(
    spec: &Object<'_>,
    spec_field: &Field<'_>,
    meta: &Meta,
) -> FelixConfiguration {
    let node_selector = spec.text("nodeSelector").and_then(|_| {
        spec.get("nodeSelector")
            .and_then(|field| local_selector(&field))
    });
    let named = meta.name == CLUSTER_WIDE || meta.name.starts_with(PER_NODE);
    if !named && spec.text("nodeSelector").is_none() {
        spec.reject_field(
            "nodeSelector",
            "must be present unless the name is `default` or `node.` and a node's name",
        );
    }
    let mut fields = spec_field.json_object();
    fields.retain(|name, _| !name.eq_ignore_ascii_case("nodeSelector"));
    FelixConfiguration {
        node_selector,
        created: meta.created.clone(),
        annotations: meta.annotations.clone(),
        spec: fields,
    }
}

/// Reads the spec of the cluster's information.
pub(super) fn cluster_information(
    metadata: &Object<'_>,
    spec: &Object<'_>,
    name: &str,
) -> ClusterInformation {
    if name != CLUSTER_WIDE {
        let reason = format!("{} has no effect: only `default` is read", quoted(name));
        metadata.reject_field("name", reason);
    }
    spec.ignore(&["variant"]);
    let text = |name| spec.text(name).map(str::to_owned);
    ClusterInformation {
        cluster_guid: text("clusterGUID"),
        cluster_type: text("clusterType"),
        calico_version: text("calicoVersion"),
        datastore_ready: spec.get("datastoreReady").and_then(|field| field.boolean()),
    }
}

/// Reads the spec of a v3 pool.
pub(super) fn ip_pool_v3(spec: &Object<'_>, context: Context) -> Option<IpPool> {
    spec.ignore(&[
        "vxlanMode",
        "ipipMode",
        "ipip",
        "nat-outgoing",
        "disableBGPExport",
        "blockSize",
        "nodeSelector",
        "namespaceSelector",
        "allowedUses",
        "assignmentMode",
    ]);
    let cidr = pool_cidr(spec, context);
    let nat_outgoing = spec.flag("natOutgoing");
    let disabled = spec.flag("disabled");
    Some(IpPool {
        cidr: cidr?,
        nat_outgoing,
        disabled,
    })
}

/// Reads the metadata and spec of a v1 pool.
pub(super) fn ip_pool_v1(
    metadata: &Object<'_>,
    spec: &Object<'_>,
    context: Context,
) -> Option<IpPool> {
    if let Some(ipip) = spec.get("ipip") {
        let ipip = ipip.object();
        ipip.ignore(&["enabled", "mode"]);
        ipip.finish();
    }
    let cidr = pool_cidr(metadata, context);
    let nat_outgoing = spec.flag("nat-outgoing");
    let disabled = spec.flag("disabled");
    Some(IpPool {
        cidr: cidr?,
        nat_outgoing,
        disabled,
    })
}

fn pool_cidr(object: &Object<'_>, context: Context) -> Option<IpNet> {
    object.required_text("cidr")?;
    let field = object.get("cidr")?;
    let cidr = net(&field)?;
    let text = field.text()?;
    let exact = text
        .parse::<IpNet>()
        .is_ok_and(|written| Some(written) == parse_net(text));
    if context.form == Form::V3 && context.origin == Origin::File && !exact {
        field.reject(format!("must be a CIDR without host bits: {cidr}"));
    }
    Some(cidr)
}
