//! What the daemon reports of itself and of its endpoints, to real etcd servers and in files.

mod endpoints;
mod failures;
mod files;
mod process;

use std::collections::BTreeMap;

use netns_tests::Outcome::{Dropped, Open};
use netns_tests::agent::{Agent, HOSTNAME, Owner};
use netns_tests::etcd::{ETH0, Member, endpoint_key, eventually, policy, policy_key};
use netns_tests::server::Services;
use netns_tests::workloads::hardware_address;
use netns_tests::{EXT, HOST0, Row, WL0, tcp};

const SERVICES: Services = Services {
    tcp: &[22, 8055, 8056, 8057],
    udp: &[],
    protocols: &[],
};

/// Where everything is reported.
const REPORTS: &str = "/calico/felix/";
/// The settings that have endpoints reported often, and the process not at all.
const ENDPOINTS: [(&str, &str); 3] = [
    ("FELIX_ENDPOINTREPORTINGENABLED", "true"),
    ("FELIX_ENDPOINTREPORTINGDELAYSECS", "0.05"),
    ("FELIX_REPORTINGINTERVALSECS", "0"),
];
/// The settings that have the process reported often, and endpoints not at all.
const PROCESS: [(&str, &str); 2] = [
    ("FELIX_REPORTINGINTERVALSECS", "0.2"),
    ("FELIX_REPORTINGTTLSECS", "4"),
];
const UP: &str = r#"{"status":"up"}"#;
const DOWN: &str = r#"{"status":"down"}"#;
const ERROR: &str = r#"{"status":"error"}"#;

/// Expects that of the ports 8055 to 8057 these alone are open.
fn only(ports: &[u16]) -> Vec<Row> {
    let expected = |port| if ports.contains(&port) { Open } else { Dropped };
    let mut rows: Vec<Row> = [8055, 8056, 8057]
        .map(|port| tcp(EXT, HOST0, port, expected(port)))
        .into();
    rows.push(tcp(EXT, HOST0, 22, Open));
    rows
}

/// Stores an endpoint and a policy that allows port 8055, and says that the cluster is ready.
fn fill(member: &Member<'_>) {
    member.put(&endpoint_key("e0"), ETH0);
    member.put(&policy_key("web"), &policy(&[8055]));
    member.put("/calico/v1/Ready", "true");
}

/// Starts a daemon on a filled member and waits for its first commit.
fn protect(member: &Member<'_>, settings: &[(&str, &str)]) -> Agent {
    fill(member);
    let agent = member.agent(Owner::Disabled, settings);
    agent.started();
    agent
}

/// Returns the keys below a prefix with their values, which are one line each.
fn stored(member: &Member<'_>, prefix: &str) -> BTreeMap<String, String> {
    let text = member.etcdctl(&["get", "--prefix", prefix]);
    let lines: Vec<&str> = text.lines().collect();
    lines
        .chunks(2)
        .filter_map(|pair| Some(((*pair.first()?).to_owned(), (*pair.get(1)?).to_owned())))
        .collect()
}

/// Waits until exactly these are reported.
fn reported(member: &Member<'_>, what: &str, wanted: &[(&str, &str)]) {
    let wanted: BTreeMap<String, String> = wanted
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let mut last = BTreeMap::new();
    let mut asked = 0;
    eventually(what, || {
        last = stored(member, REPORTS);
        asked += 1;
        if asked % 40 == 0 {
            eprintln!("{what}: until now there is {last:?}");
        }
        last == wanted
    });
}

/// Returns the key of a host endpoint's status.
fn of_host(name: &str) -> String {
    format!("{REPORTS}v1/host/{HOSTNAME}/endpoint/{name}")
}

/// Returns the key of a pod's status.
fn of_pod(region: &str, pod: &str) -> String {
    format!("{REPORTS}v2/{region}/host/{HOSTNAME}/workload/k8s/default%2f{pod}/endpoint/eth0")
}

/// Returns the key of the pod `wl0`, and what it is in v3 form on `cali0`.
fn pod() -> (String, String) {
    let key = "/calico/resources/v3/projectcalico.org/workloadendpoints/default/host1-k8s-wl0-eth0";
    let value = format!(
        r#"{{"kind":"WorkloadEndpoint","apiVersion":"projectcalico.org/v3","metadata":{{"name":"host1-k8s-wl0-eth0","namespace":"default"}},"spec":{{"node":"host1","orchestrator":"k8s","pod":"wl0","endpoint":"eth0","interfaceName":"cali0","mac":"{}","ipNetworks":["{}/32","{}/128"],"profiles":["projectcalico-default-allow"]}}}}"#,
        hardware_address(WL0),
        WL0.v4,
        WL0.v6
    );
    (key.to_owned(), value)
}
