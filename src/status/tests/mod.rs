//! Tests of the room.

mod facts;
mod files;
mod keys;
mod ledger;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::calc::{AdminState, EndpointId, LocalChanges, LocalEndpoint, LocalWorkload, Owner};
use crate::model::{HostInterface, Kind, ResourceKey};
use crate::net::InterfaceName;

fn name(text: &str) -> InterfaceName {
    text.parse().unwrap()
}

fn host_key(text: &str) -> EndpointId {
    ResourceKey::v3(Kind::HostEndpoint, "", text)
}

fn workload_key(text: &str) -> EndpointId {
    ResourceKey::v3(Kind::WorkloadEndpoint, "ns", text)
}

/// A host endpoint that polices these interfaces.
fn host(interfaces: &[&str]) -> LocalEndpoint {
    let interfaces: BTreeSet<HostInterface> = interfaces
        .iter()
        .map(|text| match *text {
            "*" => HostInterface::Any,
            text => HostInterface::Name(name(text)),
        })
        .collect();
    LocalEndpoint::Host { interfaces }
}

/// A workload endpoint that owns its interface.
fn workload(pod: &str, interface: &str) -> LocalWorkload {
    LocalWorkload {
        orchestrator: "k8s".to_owned(),
        workload: format!("ns/{pod}"),
        endpoint: "eth0".to_owned(),
        interface: name(interface),
        owner: Owner::Itself,
        state: AdminState::Up,
        mac: Some([2, 0, 0, 0, 0, 0x1f]),
        nets: vec![
            "10.65.0.2/32".parse().unwrap(),
            "fd00::2/128".parse().unwrap(),
        ],
    }
}

/// Endpoints that are new or changed.
fn changes(endpoints: &[(EndpointId, LocalEndpoint)]) -> LocalChanges {
    endpoints
        .iter()
        .map(|(key, endpoint)| (key.clone(), Some(Arc::new(endpoint.clone()))))
        .collect()
}
