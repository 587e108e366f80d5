//! Status files: their names, which are Felix's, and what they hold.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::facts::Facts;
use crate::calc::LocalWorkload;
use crate::net::Family;

/// What stands between the parts of a name, and escaped within them.
const SEPARATOR: char = ' ';
/// How many parts a name has.
const PARTS: usize = 3;
/// What no part of a name has escaped, beside letters and digits.
const PLAIN: &[u8] = b"-_.~$&+:=@";

/// What a file says of an endpoint that is up.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Contents<'a> {
    iface_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    mac: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ipv4_nets: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ipv6_nets: Vec<String>,
}

/// Returns the files that should be there, by name.
pub(super) fn wanted(facts: &Facts) -> BTreeMap<String, Vec<u8>> {
    facts
        .workloads_up()
        .map(|workload| (name(workload), contents(workload)))
        .collect()
}

/// Tells whether a file of this name can be one of ours.
pub(super) fn is_ours(name: &str) -> bool {
    name.split(SEPARATOR).count() == PARTS
}

/// Returns the name of an endpoint's file: it has neither a slash nor a zero, and is more than dots.
fn name(workload: &LocalWorkload) -> String {
    let parts: [&str; PARTS] = [
        &workload.orchestrator,
        &workload.workload,
        &workload.endpoint,
    ];
    parts.map(escaped).join(&SEPARATOR.to_string())
}

fn contents(workload: &LocalWorkload) -> Vec<u8> {
    let nets = |family| {
        let nets = workload.nets.iter();
        let nets = nets.filter(|net| Family::of_net(net) == family);
        nets.map(ToString::to_string).collect()
    };
    let contents = Contents {
        iface_name: workload.interface.as_str(),
        mac: workload
            .mac
            .map(|mac| mac.map(|byte| format!("{byte:02x}")).join(":")),
        ipv4_nets: nets(Family::V4),
        ipv6_nets: nets(Family::V6),
    };
    // Text can always be written.
    serde_json::to_vec(&contents).unwrap_or_default()
}

/// Escapes a part of a name as the segment of a URL's path.
fn escaped(part: &str) -> String {
    let mut text = String::with_capacity(part.len());
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || PLAIN.contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a text does not fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}
