//! Policy of workloads: scenarios 1 to 24 of the description, and their own traffic with this host.

use super::{WORKLOADS, allowed, decided, denied, host, host_with, policy, tier, v1};
use crate::explain::{DenyAction, Settings, ToHostAction};

const W1_TO_W0: &str = "cali1>cali0 w1 w0 tcp 80";

#[test]
fn profiles_decide_where_no_policy_does() {
    let host = host(&[WORKLOADS]);
    allowed(
        &host,
        &[
            W1_TO_W0,
            "cali1>cali0 w1 w0 udp 53",
            "cali1>cali0 w1 w0 ping",
        ],
    );
    decided(
        &host,
        W1_TO_W0,
        "forward, to workload: allow: profile open, ingress rule 1",
    );
}

#[test]
fn without_policy_and_profile_nothing_passes() {
    let bare = WORKLOADS.replacen("    profiles: [open]\n", "", 1);
    let host = host(&[&bare]);
    denied(
        &host,
        &[
            W1_TO_W0,
            "eth0>cali0 ext w0 tcp 80",
            "cali0>cali1 w0 w1 tcp 80",
        ],
    );
    decided(
        &host,
        W1_TO_W0,
        "forward, to workload: deny: no policy decides and no profile allows",
    );
}

#[test]
fn a_profile_that_is_missing_denies_at_its_place() {
    let first = WORKLOADS.replacen("profiles: [open]", "profiles: [gone, open]", 1);
    let found = host(&[&first]);
    denied(&found, &[W1_TO_W0, "cali0>cali1 w0 w1 tcp 80"]);
    decided(
        &found,
        W1_TO_W0,
        "forward, to workload: deny: there is no profile gone",
    );
    let second = WORKLOADS.replacen("profiles: [open]", "profiles: [open, gone]", 1);
    allowed(&host(&[&second]), &[W1_TO_W0, "cali0>cali1 w0 w1 tcp 80"]);
}

#[test]
fn an_unknown_workload_interface_is_closed() {
    let host = host(&[WORKLOADS]);
    denied(
        &host,
        &[
            "cali9>eth0 10.65.0.9 203.0.113.9 tcp 80",
            "cali9>host 10.65.0.9 192.0.2.1 tcp 80",
            "eth0>cali9 ext 10.65.0.9 tcp 80",
            // The endpoint that has this interface is another host's.
            "cali0>eth0 far ext tcp 80",
        ],
    );
    decided(
        &host,
        "eth0>cali9 203.0.113.9 10.65.0.9 tcp 80",
        "forward, to workload: deny: no workload endpoint of this host has the interface",
    );
}

#[test]
fn a_policy_governs_its_own_directions() {
    let ingress = policy(
        "a",
        "selector: name == 'w0'\ntypes: [Ingress]\n\
         ingress: [{action: Allow, source: {selector: name == 'w1'}}]",
    );
    let found = host(&[WORKLOADS, &ingress]);
    allowed(
        &found,
        &[
            W1_TO_W0,
            "cali0>cali1 w0 w1 tcp 80",
            "cali0>cali2 w0 w2 tcp 80",
        ],
    );
    denied(&found, &["cali2>cali0 w2 w0 tcp 80"]);
    decided(
        &found,
        "cali2>cali0 w2 w0 tcp 80",
        "forward, to workload: deny: end of tier default: no rule decides",
    );

    let egress = policy(
        "a",
        "selector: name == 'w0'\ntypes: [Egress]\n\
         egress: [{action: Allow, destination: {selector: name == 'w1'}}]",
    );
    let found = host(&[WORKLOADS, &egress]);
    allowed(
        &found,
        &["cali0>cali1 w0 w1 tcp 80", "cali2>cali0 w2 w0 tcp 80"],
    );
    denied(
        &found,
        &["cali0>cali2 w0 w2 tcp 80", "cali0>eth0 w0 ext tcp 80"],
    );

    let both = policy(
        "a",
        "selector: name == 'w0'\ntypes: [Ingress, Egress]\ningress: [{action: Allow}]",
    );
    let found = host(&[WORKLOADS, &both]);
    allowed(&found, &[W1_TO_W0]);
    denied(&found, &["cali0>cali1 w0 w1 tcp 80"]);

    let empty = policy("a", "selector: name == 'w0'\ntypes: [Ingress]");
    let found = host(&[WORKLOADS, &empty]);
    denied(&found, &[W1_TO_W0]);
    allowed(&found, &["cali0>cali1 w0 w1 tcp 80"]);
}

#[test]
fn policies_are_asked_in_their_order() {
    let rule = |name: &str, order: &str, action: &str| {
        policy(
            name,
            &format!("{order}selector: name == 'w0'\ningress: [{{action: {action}}}]"),
        )
    };
    let of = |files: [String; 2]| host(&[WORKLOADS, &files[0], &files[1]]);
    denied(
        &of([
            rule("a", "order: 20\n", "Allow"),
            rule("b", "order: 10\n", "Deny"),
        ]),
        &[W1_TO_W0],
    );
    allowed(
        &of([
            rule("a", "order: 10\n", "Allow"),
            rule("b", "order: 20\n", "Deny"),
        ]),
        &[W1_TO_W0],
    );
    // Equal orders come by name; none at all comes last.
    denied(
        &of([
            rule("a", "order: 1\n", "Deny"),
            rule("b", "order: 1\n", "Allow"),
        ]),
        &[W1_TO_W0],
    );
    denied(
        &of([
            rule("a", "", "Allow"),
            rule("b", "order: 1000000\n", "Deny"),
        ]),
        &[W1_TO_W0],
    );
    let found = of([
        rule("a", "order: 10.5\n", "Allow"),
        rule("b", "order: -3\n", "Deny"),
    ]);
    decided(
        &found,
        W1_TO_W0,
        "forward, to workload: deny: tier default, GlobalNetworkPolicy(b), ingress rule 1",
    );
}

#[test]
fn policies_of_both_forms_and_scopes_stand_in_one_order() {
    let old = v1(
        "policy",
        "name: m",
        "selector: name == 'w0'\norder: 5\ningress: [{action: deny, protocol: tcp}]",
    );
    let global = policy(
        "m",
        "selector: name == 'w0'\norder: 5\ningress: [{action: Allow}]",
    );
    let namespaced = "---\napiVersion: projectcalico.org/v3\nkind: NetworkPolicy\n\
                      metadata: {name: m, namespace: default}\nspec:\n  order: 5\n  \
                      ingress: [{action: Deny}]\n";
    // `m//GlobalNetworkPolicy` stands before `m/default/NetworkPolicy`, and the v3 form before the v1 form.
    allowed(&host(&[WORKLOADS, &old, &global, namespaced]), &[W1_TO_W0]);
    let found = host(&[WORKLOADS, &old, namespaced]);
    decided(
        &found,
        W1_TO_W0,
        "forward, to workload: deny: tier default, v1 GlobalNetworkPolicy(m), ingress rule 1",
    );
    decided(
        &found,
        "cali1>cali0 w1 w0 udp 80",
        "forward, to workload: deny: tier default, NetworkPolicy(default/m), ingress rule 1",
    );
    // Of another namespace it is without effect.
    allowed(
        &host(&[WORKLOADS, namespaced]),
        &["cali1>cali2 w1 w2 tcp 80"],
    );
}

#[test]
fn a_namespaced_policy_selects_within_its_namespace() {
    let namespaced = "---\napiVersion: projectcalico.org/v3\nkind: NetworkPolicy\n\
                      metadata: {name: m, namespace: default}\nspec:\n  selector: name == 'w0'\n  \
                      ingress: [{action: Allow, source: {selector: all()}}]\n";
    let found = host(&[WORKLOADS, namespaced]);
    allowed(&found, &[W1_TO_W0, "eth0>cali0 far w0 tcp 80"]);
    denied(
        &found,
        &["cali2>cali0 w2 w0 tcp 80", "eth0>cali0 ext w0 tcp 80"],
    );
}

#[test]
fn tiers_pass_and_deny_at_their_ends() {
    let first = |end: &str, rule: &str| {
        [
            tier("first", &format!("order: 10{end}")),
            policy(
                "first.a",
                &format!(
                    "tier: first\nselector: name == 'w0'\ntypes: [Ingress]\ningress: [{rule}]"
                ),
            ),
        ]
        .concat()
    };
    let second = policy(
        "b",
        "selector: name == 'w0'\ningress: [{action: Allow, source: {selector: name == 'w1'}}]",
    );
    let nothing = "{action: Allow, protocol: 99}";
    let passing = host(&[WORKLOADS, &first("", "{action: Pass}"), &second]);
    allowed(&passing, &[W1_TO_W0]);
    denied(&passing, &["cali2>cali0 w2 w0 tcp 80"]);
    let silent = host(&[WORKLOADS, &first("", nothing), &second]);
    decided(
        &silent,
        W1_TO_W0,
        "forward, to workload: deny: end of tier first: no rule decides",
    );
    let lenient = host(&[WORKLOADS, &first("\ndefaultAction: Pass", nothing)]);
    decided(
        &lenient,
        W1_TO_W0,
        "forward, to workload: allow: profile open, ingress rule 1",
    );
}

#[test]
fn a_pass_in_the_last_tier_leads_to_the_profiles() {
    let pass = policy(
        "a",
        "selector: name == 'w0'\ningress: [{action: Pass}, {action: Deny}]",
    );
    allowed(&host(&[WORKLOADS, &pass]), &[W1_TO_W0]);
    let bare = WORKLOADS.replacen("    profiles: [open]\n", "", 1);
    denied(&host(&[&bare, &pass]), &[W1_TO_W0]);
}

#[test]
fn a_tier_of_staged_policies_does_not_deny() {
    let staged = [
        tier("first", "order: 10"),
        super::v3(
            "StagedGlobalNetworkPolicy",
            "first.a",
            "tier: first\nselector: all()\ningress: [{action: Deny}]",
        ),
    ]
    .concat();
    allowed(&host(&[WORKLOADS, &staged]), &[W1_TO_W0]);
}

#[test]
fn a_tier_that_nobody_has_made_comes_last_and_denies() {
    let lost = policy(
        "lost.a",
        "tier: lost\nselector: name == 'w0'\ningress: [{action: Allow, protocol: UDP}]",
    );
    let pass = policy(
        "b",
        "selector: name == 'w0'\norder: 1\ningress: [{action: Pass}]",
    );
    let found = host(&[WORKLOADS, &lost, &pass]);
    allowed(&found, &["cali1>cali0 w1 w0 udp 80"]);
    decided(
        &found,
        W1_TO_W0,
        "forward, to workload: deny: end of tier lost: no rule decides",
    );
}

#[test]
fn the_built_in_tiers_stand_around_the_default_one() {
    let of = |tier: &str, rule: &str| {
        policy(
            &format!("{tier}.p"),
            &format!("tier: {tier}\nselector: name == 'w0'\ningress: [{rule}]"),
        )
    };
    let allow = "{action: Allow, source: {selector: name == 'w1'}}";
    // kube-admin comes first and passes at its end; so does kube-baseline, which is never reached past a denial.
    let found = host(&[
        WORKLOADS,
        &of("kube-admin", "{action: Deny, protocol: UDP}"),
        &of("default", allow),
        &of("kube-baseline", "{action: Deny}"),
    ]);
    allowed(&found, &[W1_TO_W0]);
    denied(
        &found,
        &["cali1>cali0 w1 w0 udp 80", "cali2>cali0 w2 w0 tcp 80"],
    );
    decided(
        &found,
        "cali2>cali0 w2 w0 tcp 80",
        "forward, to workload: deny: end of tier default: no rule decides",
    );
    let found = host(&[WORKLOADS, &of("kube-baseline", allow)]);
    allowed(&found, &[W1_TO_W0, "cali2>cali0 w2 w0 tcp 80"]);
}

#[test]
fn a_log_rule_decides_nothing() {
    let log = policy(
        "a",
        "selector: name == 'w0'\n\
         ingress: [{action: Log, protocol: TCP}, {action: Log, protocol: UDP}, {action: Allow}]",
    );
    let host = host(&[WORKLOADS, &log]);
    let found = &super::journeys(&host, W1_TO_W0)[0];
    assert!(found.is_allowed());
    assert_eq!(
        found
            .steps
            .iter()
            .map(|step| step.logged.len())
            .sum::<usize>(),
        1
    );
    assert!(
        found.to_string().contains(
            "tier default, GlobalNetworkPolicy(a), ingress rule 3; logged by tier default, \
             GlobalNetworkPolicy(a), ingress rule 1\n"
        ),
        "{found}"
    );
}

#[test]
fn both_workloads_must_agree() {
    let policies = |egress: &str, ingress: &str| {
        [
            policy(
                "a",
                &format!("selector: name == 'w1'\negress: [{{action: {egress}}}]"),
            ),
            policy(
                "b",
                &format!("selector: name == 'w0'\ningress: [{{action: {ingress}}}]"),
            ),
        ]
        .concat()
    };
    denied(&host(&[WORKLOADS, &policies("Allow", "Deny")]), &[W1_TO_W0]);
    denied(&host(&[WORKLOADS, &policies("Deny", "Allow")]), &[W1_TO_W0]);
    allowed(
        &host(&[WORKLOADS, &policies("Allow", "Allow")]),
        &[W1_TO_W0],
    );
}

#[test]
fn profiles_are_asked_in_their_order() {
    let narrow = super::v3("Profile", "narrow", "ingress: [{action: Pass}]\negress: []");
    let two = WORKLOADS.replacen("profiles: [open]", "profiles: [narrow, open]", 1);
    let found = host(&[&two, &narrow]);
    // What passes in a profile goes to the next one.
    allowed(&found, &[W1_TO_W0, "cali0>cali1 w0 w1 tcp 80"]);
    let denying = super::v3(
        "Profile",
        "narrow",
        "ingress: [{action: Deny, protocol: UDP}]",
    );
    let found = host(&[&two, &denying]);
    allowed(&found, &[W1_TO_W0]);
    denied(&found, &["cali1>cali0 w1 w0 udp 80"]);
}

#[test]
fn the_built_in_profile_allows_everything() {
    let default = WORKLOADS.replace(
        "profiles: [open]",
        "profiles: [projectcalico-default-allow]",
    );
    allowed(&host(&[&default]), &[W1_TO_W0, "cali0>eth0 w0 ext ping"]);
}

#[test]
fn known_connections_pass_and_invalid_packets_do_not() {
    let closed = policy("a", "selector: name == 'w0'\ntypes: [Ingress, Egress]");
    let found = host(&[WORKLOADS, &closed]);
    allowed(
        &found,
        &[
            "cali0>cali1 w0 w1 tcp 80:40000 established",
            "cali0>eth0 w0 ext ping related",
            "eth0>cali0 ext w0 tcp 80 established",
        ],
    );
    let open = host(&[WORKLOADS]);
    denied(&open, &["eth0>cali0 ext w0 tcp 80 invalid"]);
    decided(
        &open,
        "eth0>cali0 ext w0 tcp 80 invalid",
        "forward, to workload: deny: connection tracking calls it invalid",
    );
    let unchecked = host_with(&[WORKLOADS], |settings| settings.drop_invalid = false);
    allowed(&unchecked, &["eth0>cali0 ext w0 tcp 80 invalid"]);
    // Nothing of ours looks at it without an endpoint.
    allowed(&open, &["eth0>host ext host0 tcp 80 invalid"]);
}

#[test]
fn what_is_down_is_closed_for_known_connections_too() {
    let down = v1(
        "workloadEndpoint",
        "name: e, node: host, orchestrator: k8s, workload: wd",
        "interfaceName: cali7\nipNetworks: [10.65.0.7/32]\nprofiles: [open]",
    );
    let mut host = host(&[WORKLOADS, &down]);
    let probe = ["eth0>cali7 203.0.113.9 10.65.0.7 tcp 80 established"];
    allowed(&host, &probe);
    for resource in host.resources.values_mut() {
        if let crate::model::Resource::WorkloadEndpoint(endpoint) =
            std::sync::Arc::make_mut(resource)
            && endpoint.workload == "wd"
        {
            endpoint.active = false;
        }
    }
    denied(&host, &probe);
    decided(
        &host,
        probe[0],
        "forward, to workload: deny: the endpoint is administratively down",
    );
    denied(
        &host,
        &["cali7>eth0 10.65.0.7 203.0.113.9 tcp 80:40000 established"],
    );
    // The host may still send to it.
    allowed(&host, &["host>cali7 192.0.2.1 10.65.0.7 tcp 80"]);
}

#[test]
fn a_denial_says_what_the_sender_sees() {
    let deny = policy("a", "selector: name == 'w0'\ntypes: [Ingress]");
    let rejecting = |settings: &mut Settings| settings.deny = DenyAction::Reject;
    let host = host_with(&[WORKLOADS, &deny], rejecting);
    for (probe, expected) in [
        (W1_TO_W0, Some(DenyAction::Reject)),
        ("cali1>host w1 host0 tcp 80", Some(DenyAction::Drop)),
        ("cali1>cali2 w1 w2 tcp 80", None),
    ] {
        for journey in super::journeys(&host, probe) {
            assert_eq!(journey.refusal, expected, "{probe}\n{journey}");
        }
    }
}

#[test]
fn of_two_endpoints_on_one_interface_the_first_counts() {
    let second = "---\napiVersion: projectcalico.org/v3\nkind: WorkloadEndpoint\n\
                  metadata: {name: host-k8s-a-eth0, namespace: default, labels: {name: first}}\n\
                  spec: {interfaceName: cali0, ipNetworks: [10.65.0.99/32], profiles: []}\n";
    let host = host(&[WORKLOADS, second]);
    // Its workload is `default/a`, before `default/w0`; it has no profile.
    denied(&host, &[W1_TO_W0]);
    decided(
        &host,
        "cali0>cali1 10.65.0.2 10.65.0.3 tcp 80",
        "raw prerouting: deny: 10.65.0.2 is no address of the workload that sends it",
    );
}

#[test]
fn an_endpoint_on_a_host_interface_is_not_in_force() {
    let odd = "---\napiVersion: projectcalico.org/v3\nkind: WorkloadEndpoint\n\
               metadata: {name: host-k8s-odd-eth0, namespace: default, labels: {name: odd}}\n\
               spec: {interfaceName: eth1, ipNetworks: [198.51.100.9/32], profiles: []}\n";
    let allow = policy(
        "a",
        "selector: name == 'w0'\ningress: [{action: Allow, source: {selector: name == 'odd'}}]",
    );
    let host = host(&[WORKLOADS, odd, &allow]);
    allowed(&host, &["eth1>host inside host1 tcp 80"]);
    // Selectors find it all the same.
    allowed(&host, &["eth1>cali0 198.51.100.9 10.65.0.2 tcp 80"]);
    denied(&host, &["eth0>cali0 ext w0 tcp 80"]);
}

#[test]
fn policy_comes_before_the_action_for_packets_to_the_host() {
    let deny = policy(
        "a",
        "selector: name == 'w0'\ntypes: [Egress]\negress: [{action: Deny}]",
    );
    let to_host = "cali0>host w0 host0 tcp 80";
    let of = |files: &[&str], action| host_with(files, |settings| settings.to_host = action);
    denied(&of(&[WORKLOADS], ToHostAction::Drop), &[to_host]);
    decided(
        &of(&[WORKLOADS], ToHostAction::Drop),
        to_host,
        "workload to host: deny: DefaultEndpointToHostAction: drop",
    );
    allowed(&of(&[WORKLOADS], ToHostAction::Accept), &[to_host]);
    allowed(&of(&[WORKLOADS], ToHostAction::Return), &[to_host]);
    for action in [
        ToHostAction::Drop,
        ToHostAction::Accept,
        ToHostAction::Return,
    ] {
        decided(
            &of(&[WORKLOADS, &deny], action),
            to_host,
            "input: deny: tier default, GlobalNetworkPolicy(a), egress rule 1",
        );
    }
}

#[test]
fn the_host_reaches_its_workloads_and_hears_them_answer() {
    let closed = policy("a", "selector: name == 'w0'\ntypes: [Ingress, Egress]");
    let host = host(&[WORKLOADS, &closed]);
    super::connects(
        &host,
        &["host>cali0 host0 w0 tcp 80", "host>cali0 host0 w0 ping"],
    );
    decided(
        &host,
        "host>cali0 host0 w0 tcp 80",
        "output: allow: the host may always reach its workloads",
    );
}

#[test]
fn tags_and_labels_of_profiles_select_endpoints() {
    let tagged = v1(
        "profile",
        "name: tagged, tags: [web], labels: {tier: one, name: lost}",
        "ingress: []",
    );
    let both = WORKLOADS.replacen("profiles: [open]", "profiles: [open, tagged]", 1);
    let rule = |entity: &str| {
        policy(
            "a",
            &format!("selector: name == 'w1'\ningress: [{{action: Allow, source: {{{entity}}}}}]"),
        )
    };
    let probe = "cali0>cali1 w0 w1 tcp 80";
    for entity in [
        "selector: has(web)",
        "selector: web == ''",
        "selector: tier == 'one'",
        "selector: inherited == 'yes' && tier == 'one'",
        // Its own label wins.
        "selector: name == 'w0'",
    ] {
        let found = host(&[&both, &tagged, &rule(entity)]);
        allowed(&found, &[probe]);
        denied(&found, &["eth0>cali1 ext w1 tcp 80"]);
    }
    let lost = host(&[&both, &tagged, &rule("selector: name == 'lost'")]);
    denied(&lost, &[probe]);
    let selected = policy("a", "selector: has(web)\ntypes: [Ingress]");
    denied(&host(&[&both, &tagged, &selected]), &[W1_TO_W0]);
    let old = v1(
        "policy",
        "name: a",
        "selector: name == 'w1'\ningress: [{action: allow, source: {tag: web}}]",
    );
    let found = host(&[&both, &tagged, &old]);
    allowed(&found, &[probe]);
    denied(&found, &["cali2>cali1 w2 w1 tcp 80"]);
}
