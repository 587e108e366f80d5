//! A policy that the kernel refuses: on a host that belongs to a user namespace nobody can make a socket's buffer larger
//! than `net.core.wmem_max` says, so that a transaction that is longer is refused (EMSGSIZE).

use crate::resources::policy_for;

/// Returns a policy that allows a port by its last rule, behind so many others with a long list of ports.
pub fn long_policy(selector: &str, rules: usize, port: u16) -> String {
    let other = |number: usize| {
        // A list of ranges, no two of which can be merged, and none of which is another rule's.
        let ports = (1..60_000_usize).step_by(2);
        let ports = ports.filter(|port| *port != 2 * number + 1);
        let ports: Vec<String> = ports.map(|port| port.to_string()).collect();
        format!(
            "{{action: Allow, protocol: UDP, destination: {{ports: ['61000:61999', {}]}}}}",
            ports.join(", ")
        )
    };
    let last = format!("{{action: Allow, protocol: TCP, destination: {{ports: [{port}]}}}}");
    let rules: Vec<String> = (0..rules).map(other).chain([last]).collect();
    let spec = format!("types: [Ingress], ingress: [{}]", rules.join(", "));
    policy_for(selector, "long", 50, &spec)
}

/// Returns how many such rules no transaction of a host in a user namespace can hold.
pub fn too_many_rules() -> usize {
    let text = std::fs::read_to_string("/proc/sys/net/core/wmem_max").expect("read the limit");
    let limit: usize = text.trim().parse().expect("it is a number");
    // The kernel doubles it, and each port has forty bytes.
    let rules = 2 * limit / (30_000 * 40) + 2;
    assert!(rules < 20, "the limit of this machine is {limit}");
    rules
}
