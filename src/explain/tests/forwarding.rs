//! Forwarded traffic and pre-DNAT policy: scenarios 59 to 72.

use super::endpoints::failsafes;
use super::{
    WORKLOADS, allowed, connects, decided, denied, endpoint, fails, host, host_with, policy, v1,
};
use crate::explain::ToHostAction;

const THROUGH: &str = "eth0>eth1 ext inside tcp 80";

fn eth0() -> String {
    endpoint("uplink", "interfaceName: eth0")
}

fn all() -> String {
    endpoint("uplink", "interfaceName: '*'")
}

/// Writes an endpoint in the v1 form.
fn old(name: &str, interface: &str, more: &str) -> String {
    v1(
        "hostEndpoint",
        &format!("name: {name}, node: host, labels: {{name: {name}}}"),
        &format!("interfaceName: {interface}\n{more}"),
    )
}

fn forward(name: &str, spec: &str) -> String {
    policy(
        name,
        &format!("selector: name == 'uplink'\napplyOnForward: true\n{spec}"),
    )
}

#[test]
fn an_endpoint_of_the_v3_form_forwards_what_no_policy_for_that_denies() {
    let deny = policy("d", "selector: name == 'uplink'\ningress: [{action: Deny}]");
    let host = host(&[&eth0(), &deny]);
    connects(&host, &[THROUGH, "eth1>eth0 inside ext tcp 80"]);
    denied(&host, &["eth0>eth1 ext inside tcp 80 invalid"]);
    denied(&host, &["eth0>host ext host0 tcp 80"]);
}

#[test]
fn policy_for_forwarded_traffic_is_asked_in_its_direction() {
    let only_80 = forward(
        "f",
        "types: [Ingress]\ningress: [{action: Allow, protocol: TCP, destination: {ports: [80]}}]",
    );
    let host = host_with(&[&eth0(), &only_80], failsafes);
    connects(&host, &[THROUGH]);
    // No failsafe port here.
    denied(
        &host,
        &["eth0>eth1 ext inside tcp 81", "eth0>eth1 ext inside tcp 22"],
    );
    // The other direction has no policy, and is no concern of this one.
    connects(&host, &["eth1>eth0 inside ext udp 53"]);
    // It counts for this host too.
    connects(&host, &["eth0>host ext host0 tcp 80"]);
    denied(&host, &["eth0>host ext host0 tcp 81"]);
    denied(&host, &["eth0>eth1 ext inside tcp 80 invalid"]);
    decided(
        &host,
        "eth0>eth1 ext inside tcp 81",
        "forward, host endpoint in: deny: end of tier default: no rule decides",
    );
}

#[test]
fn policy_for_forwarded_traffic_is_asked_at_both_interfaces() {
    let inner = endpoint("inner", "interfaceName: eth1");
    let egress = policy(
        "f",
        "selector: name == 'inner'\napplyOnForward: true\ntypes: [Egress]\n\
         egress: [{action: Allow, source: {nets: [203.0.113.9, '2001:db8:9::9']}}]",
    );
    let host = host(&[&inner, &egress]);
    connects(&host, &[THROUGH]);
    denied(&host, &["eth0>eth1 ext2 inside tcp 80"]);
    connects(&host, &["eth1>eth0 inside ext2 tcp 80"]);
}

#[test]
fn profiles_have_no_part_in_forwarding_and_a_passed_tier_denies_nothing() {
    let open = endpoint("uplink", "interfaceName: eth0\nprofiles: [gone]");
    let pass = forward("f", "types: [Ingress]\ningress: [{action: Pass}]");
    connects(&host(&[&open, &pass]), &[THROUGH]);
}

#[test]
fn policy_for_forwarded_traffic_holds_for_workloads_too() {
    let only_w1 = forward(
        "f",
        "types: [Ingress, Egress]\ningress: [{action: Allow, source: {selector: name == 'w1'}}]\n\
         egress: [{action: Allow, source: {selector: name == 'w1'}}]",
    );
    // `*` is asked on the workload's side and on the other.
    let host = host(&[WORKLOADS, &all(), &only_w1]);
    connects(
        &host,
        &["cali1>cali0 w1 w0 tcp 80", "cali1>eth0 w1 ext tcp 80"],
    );
    denied(
        &host,
        &[
            "cali0>cali1 w0 w1 tcp 80",
            "cali0>eth0 w0 ext tcp 80",
            "eth0>cali1 ext w1 tcp 80",
        ],
    );
    // A host may always reach its own workloads.
    connects(&host, &["host>cali0 host0 w0 tcp 80"]);
    let named = super::host(&[WORKLOADS, &eth0(), &only_w1]);
    connects(
        &named,
        &["cali0>cali1 w0 w1 tcp 80", "cali1>eth0 w1 ext tcp 80"],
    );
    denied(
        &named,
        &["cali0>eth0 w0 ext tcp 80", "eth0>cali1 ext w1 tcp 80"],
    );
}

#[test]
fn an_endpoint_of_its_own_keeps_the_policy_for_all_away() {
    let deny = forward("f", "types: [Ingress]\ningress: [{action: Deny}]");
    let own = endpoint("own", "interfaceName: eth0");
    let host = host(&[&all(), &own, &deny]);
    connects(&host, &[THROUGH]);
    denied(&host, &["eth1>eth0 inside ext tcp 80"]);
}

#[test]
fn an_endpoint_of_the_v1_form_guards_a_router() {
    // Without policy nothing is forwarded, save failsafe ports.
    let guarded = host_with(&[&old("uplink", "eth0", "")], failsafes);
    denied(
        &guarded,
        &[
            THROUGH,
            "eth1>eth0 inside ext tcp 80",
            "eth0>eth1 ext inside tcp 80 invalid",
        ],
    );
    connects(
        &guarded,
        &["eth0>eth1 ext inside tcp 22", "eth1>eth0 inside ext udp 53"],
    );
    allowed(&guarded, &["eth0>eth1 ext inside tcp 80 established"]);
    decided(
        &guarded,
        THROUGH,
        "forward, host endpoint in: deny: no policy decides and no profile allows",
    );
    // Each interface is judged on its own.
    let both = [old("uplink", "eth0", ""), old("inner", "eth1", "")].concat();
    denied(
        &host_with(&[&both], failsafes),
        &["eth0>eth1 ext inside tcp 22"],
    );
    let open = old("uplink", "eth0", "profiles: [projectcalico-default-allow]");
    connects(&host(&[&open]), &[THROUGH, "eth1>eth0 inside ext tcp 80"]);
}

#[test]
fn the_v1_form_applies_policy_of_both_forms_to_forwarded_traffic() {
    let endpoint = old("uplink", "eth0", "");
    let new = policy(
        "p",
        "selector: name == 'uplink'\ningress: [{action: Allow, protocol: TCP, destination: {ports: [80]}}]",
    );
    let old_policy = v1(
        "policy",
        "name: p",
        "selector: name == 'uplink'\ningress: [{action: allow, protocol: tcp, destination: {ports: [80]}}]",
    );
    for allow in [new, old_policy] {
        let host = host(&[&endpoint, &allow]);
        connects(&host, &[THROUGH, "eth0>host ext host0 tcp 80"]);
        denied(
            &host,
            &["eth0>eth1 ext inside tcp 81", "eth1>eth0 inside ext tcp 80"],
        );
    }
}

#[test]
fn traffic_of_workloads_passes_an_endpoint_of_the_v1_form() {
    let host = host(&[WORKLOADS, &old("uplink", "eth0", "")]);
    connects(
        &host,
        &["cali0>eth0 w0 ext tcp 80", "eth0>cali0 ext w0 tcp 80"],
    );
    denied(&host, &["eth0>host ext host0 tcp 80"]);
}

#[test]
fn a_gateway_that_translates_is_judged_by_the_inside_address() {
    let to = |port: u16| {
        let rule = format!(
            "types: [Ingress]\ningress: [{{action: Allow, protocol: TCP, \
             destination: {{selector: name == 'server', ports: [{port}]}}}}]"
        );
        [
            forward("f", &rule),
            super::v3(
                "GlobalNetworkSet",
                "server",
                "nets: [198.51.100.9/32, '2001:db8:2::9/128']",
            ),
        ]
        .concat()
    };
    let probe = "eth0>eth1 ext host0 tcp 8080 dnat=inside/80";
    for endpoint in [eth0(), old("uplink", "eth0", "")] {
        connects(&host(&[&endpoint, &to(80)]), &[probe]);
        denied(&host(&[&endpoint, &to(8080)]), &[probe]);
    }
}

fn before(name: &str, spec: &str) -> String {
    forward(name, &format!("preDNAT: true\n{spec}"))
}

/// Denies everything before translation, save one port.
fn pinhole(port: u16) -> String {
    let allow = format!(
        "order: 1\ningress: [{{action: Allow, protocol: TCP, destination: {{ports: [{port}]}}}}]"
    );
    let deny = "order: 2\ningress: [{action: Deny}]";
    [before("pinhole", &allow), before("wall", deny)].concat()
}

const NODE_PORT: &str = "eth0>cali0 ext host0 tcp 32010 dnat=w0/8055";

#[test]
fn policy_before_translation_sees_the_untranslated_destination() {
    let open = endpoint(
        "uplink",
        "interfaceName: eth0\nprofiles: [projectcalico-default-allow]",
    );
    let wall = before("wall", "ingress: [{action: Deny}]");
    denied(
        &host(&[WORKLOADS, &open, &wall]),
        &[NODE_PORT, "eth0>host ext host0 tcp 80"],
    );
    connects(&host(&[WORKLOADS, &open, &pinhole(32010)]), &[NODE_PORT]);
    denied(&host(&[WORKLOADS, &open, &pinhole(32011)]), &[NODE_PORT]);
    denied(&host(&[WORKLOADS, &open, &pinhole(8055)]), &[NODE_PORT]);
    let host = host(&[WORKLOADS, &open, &wall]);
    // What the host and its workloads begin is answered.
    connects(
        &host,
        &["host>eth0 host0 ext tcp 80", "cali0>eth0 w0 ext tcp 80"],
    );
    denied(&host, &["eth0>host ext host0 tcp 80 invalid"]);
    decided(
        &host,
        NODE_PORT,
        "pre-DNAT: deny: tier default, GlobalNetworkPolicy(wall), ingress rule 1",
    );
}

#[test]
fn policy_before_translation_concerns_workloads_through_the_endpoint_for_all_alone() {
    let wall = before("wall", "ingress: [{action: Deny}]");
    let service = "cali0>cali1 w0 host0 tcp 32010 dnat=w1/8055";
    connects(&host(&[WORKLOADS, &eth0(), &wall]), &[service]);
    denied(
        &host(&[WORKLOADS, &all(), &wall]),
        &[service, "cali0>cali1 w0 w1 tcp 80"],
    );
    // An endpoint of its own keeps it away, although it has no such policy itself.
    let own = endpoint(
        "own",
        "interfaceName: eth0\nprofiles: [projectcalico-default-allow]",
    );
    connects(&host(&[WORKLOADS, &all(), &own, &wall]), &[NODE_PORT]);
}

#[test]
fn what_is_allowed_before_translation_is_still_subject_to_workloads_policy() {
    let deny = |direction: &str| {
        policy(
            "w",
            &format!("selector: name == 'w0'\n{direction}: [{{action: Deny}}]"),
        )
    };
    let host = host(&[WORKLOADS, &eth0(), &pinhole(32010), &deny("ingress")]);
    denied(&host, &[NODE_PORT]);
    decided(
        &host,
        NODE_PORT,
        "forward, to workload: deny: tier default, GlobalNetworkPolicy(w), ingress rule 1",
    );
    let host = host_with(
        &[WORKLOADS, &all(), &pinhole(32010), &deny("egress")],
        |settings| settings.to_host = ToHostAction::Accept,
    );
    denied(&host, &["cali0>host w0 host0 tcp 32010"]);
    // Nor does it make good the action for packets to this host.
    let host = super::host(&[WORKLOADS, &all(), &pinhole(32010)]);
    denied(&host, &["cali0>host w0 host0 tcp 32010"]);
}

#[test]
fn what_is_allowed_before_translation_skips_the_endpoints_other_lists() {
    let forward_deny = forward("f", "types: [Ingress]\ningress: [{action: Deny}]");
    let host = host(&[&eth0(), &pinhole(80), &forward_deny]);
    allowed(&host, &["eth0>host ext host0 tcp 80", THROUGH]);
    denied(
        &host,
        &["eth0>host ext host0 tcp 81", "eth0>eth1 ext inside tcp 81"],
    );
    decided(
        &host,
        THROUGH,
        "forward, host endpoint in: allow: untracked or pre-DNAT policy has allowed it",
    );
    // The interface that it goes out by is asked all the same.
    let inner = endpoint("inner", "interfaceName: eth1");
    let egress = policy(
        "g",
        "selector: name == 'inner'\napplyOnForward: true\ntypes: [Egress]\negress: [{action: Deny}]",
    );
    fails(
        &super::host(&[&eth0(), &inner, &pinhole(80), &egress]),
        &[THROUGH],
    );
    let old_inner = old("inner", "eth1", "");
    fails(
        &super::host(&[&eth0(), &old_inner, &pinhole(80)]),
        &[THROUGH],
    );
    connects(
        &super::host(&[&old("uplink", "eth0", ""), &pinhole(80)]),
        &[THROUGH],
    );
}

#[test]
fn failsafe_ports_pass_before_translation() {
    let wall = before("wall", "ingress: [{action: Deny}]");
    let host = host_with(&[&eth0(), &wall], failsafes);
    connects(&host, &["eth0>host ext host0 tcp 22"]);
    denied(&host, &["eth0>host ext host0 tcp 2379"]);
    decided(
        &host,
        "eth0>host ext host0 tcp 22",
        "input: allow: inbound failsafe port tcp:22",
    );
}

#[test]
fn the_end_of_a_tier_before_translation_denies_nothing() {
    let one = before(
        "p",
        "ingress: [{action: Allow, protocol: TCP, destination: {ports: [80]}}]",
    );
    let open = endpoint(
        "uplink",
        "interfaceName: eth0\nprofiles: [projectcalico-default-allow]",
    );
    connects(&host(&[&open, &one]), &["eth0>host ext host0 tcp 81"]);
}
