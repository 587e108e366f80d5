//! Scenario 104: what the kernel refuses is denied by itself, and everything else comes into force.
//!
//! The kernel is made to refuse by giving the host to a user namespace, as that of a rootless container: nobody there
//! can make a socket's buffer larger than `net.core.wmem_max` says, so that it refuses a transaction that is longer
//! (EMSGSIZE).

use std::io::Read as _;
use std::process::{Command, Stdio};

use netns_tests::Outcome::{Dropped, Open};
use netns_tests::agent::{ELSEWHERE, Mark};
use netns_tests::memory_limit::MemoryLimit;
use netns_tests::resources::{
    HOSTS, documents, eth0, host_endpoint, ingress, network_set, policy_for, profile, tier,
};
use netns_tests::server::Services;
use netns_tests::{
    Agent, Directory, EXT, EXT2, HOST0, HOST1, Namespace, Owner, Row, World, both_ways, ns,
    refused, tcp, witness,
};
use nix::sys::signal::Signal;

const SERVICES: Services = Services {
    tcp: &[22, 8001, 8002, 8003],
    udp: &[],
    protocols: &[],
};

/// Returns a world whose host has no more privileges than a container.
fn contained() -> World {
    World::around(Namespace::of_user("host")).with_servers(SERVICES)
}

fn allow(name: &str, order: u32, port: u16) -> String {
    let rule = format!("{{action: Allow, protocol: TCP, destination: {{ports: [{port}]}}}}");
    ingress(name, order, &rule)
}

/// Returns a policy for `eth0` that allows a port by its last rule.
fn long(rules: usize, port: u16) -> String {
    refused::long_policy("eth == '0'", rules, port)
}

/// Returns a policy for `eth0` of many rules that allows a port by its last one.
fn large(rules: u16, port: u16) -> String {
    let rule = |protocol: &str, port: u16| {
        format!("{{action: Allow, protocol: {protocol}, destination: {{ports: [{port}]}}}}")
    };
    let rules = (0..rules).map(|number| rule("UDP", 20_000 + number));
    let rules: Vec<String> = rules.chain([rule("TCP", port)]).collect();
    let spec = format!("types: [Ingress], ingress: [{}]", rules.join(", "));
    policy_for("eth == '0'", "large", 50, &spec)
}

/// The port of each policy: that of the long one, and those of two others.
fn rows(long: bool, third: bool) -> Vec<Row> {
    let open = |open| if open { Open } else { Dropped };
    vec![
        tcp(EXT, HOST0, 22, Open),
        tcp(EXT, HOST0, 8001, Open),
        tcp(EXT, HOST0, 8002, open(long)),
        tcp(EXT, HOST0, 8003, open(third)),
        tcp(EXT2, HOST1, 22, Open),
        tcp(EXT2, HOST1, 8001, Open),
        tcp(EXT2, HOST1, 8002, Dropped),
        tcp(EXT2, HOST1, 8003, open(third)),
    ]
}

fn two_endpoints() -> [String; 2] {
    let labelled = |text: String, number: u8| {
        text.replace("role: host", &format!("role: host, eth: '{number}'"))
    };
    [
        labelled(eth0(), 0),
        labelled(host_endpoint("eth1", "interfaceName: eth1"), 1),
    ]
}

both_ways! {
    fn scenario_104_what_the_kernel_refuses_is_denied_and_the_rest_is_enforced(owner) {
        let world = contained();
        let agent = Agent::start(&world.host, owner);
        agent.put("endpoints.yaml", &documents(&two_endpoints()));
        agent.put("first.yaml", &allow("first", 10, 8001));
        agent.put("long.yaml", &long(0, 8002));
        world.expect("while it is short", rows(true, false));

        let mark = agent.mark();
        agent.put("long.yaml", &long(refused::too_many_rules(), 8002));
        let said = agent.warned(&mark, "GlobalNetworkPolicy(long) is denied");
        assert!(said.contains("Message too long"), "{said}");
        world.expect("while it is too long", rows(false, false));
        agent.put("third.yaml", &allow("third", 20, 8003));
        world.expect("something else changes", rows(false, true));

        // Another start finds it again, and holds up nothing either.
        drop(agent);
        let directory = Directory::new();
        directory.put("endpoints.yaml", &documents(&two_endpoints()));
        directory.put("first.yaml", &allow("first", 10, 8001));
        directory.put("long.yaml", &long(refused::too_many_rules(), 8002));
        let agent = Agent::on(&world.host, owner, &[], &directory);
        world.expect("after another start", rows(false, false));

        let mark = agent.mark();
        agent.put("long.yaml", &long(0, 8002));
        agent.line(&mark, "that it is over", |line| {
            line.contains("GlobalNetworkPolicy(long) is no longer denied")
        });
        world.expect("short again", rows(true, false));
    }
}

both_ways! {
    fn what_the_kernel_has_no_memory_for_is_denied_and_the_rest_is_enforced(owner) {
        let world = World::serving(SERVICES);
        let agent = Agent::start(&world.host, owner);
        let Some(limit) = MemoryLimit::of_thread(agent.pid(), "nft-writer") else {
            return;
        };
        agent.put("endpoints.yaml", &documents(&two_endpoints()));
        agent.put("first.yaml", &allow("first", 10, 8001));
        world.expect("before", rows(false, false));
        // Less than the rules alone need.
        limit.allow(1 << 20);
        let mark = agent.mark();
        agent.put("large.yaml", &large(10_000, 8002));
        let said = agent.warned(&mark, "GlobalNetworkPolicy(large) is denied");
        assert!(said.contains("ENOMEM"), "{said}");
        assert!(limit.failures() > 0);
        world.expect("without memory for it", rows(false, false));
        agent.put("third.yaml", &allow("third", 20, 8003));
        world.expect("something else changes", rows(false, true));

        limit.lift();
        agent.line(&mark, "that it is over", |line| {
            line.contains("GlobalNetworkPolicy(large) is no longer denied")
        });
        world.expect("with memory", rows(true, true));
    }
}

#[test]
fn a_table_that_is_flushed_while_the_object_at_fault_is_looked_for_is_right_before_that_is_known() {
    if !ns::privileged() {
        return;
    }
    let world = contained();
    let agent = Agent::start(&world.host, Owner::Disabled);
    agent.put("endpoints.yaml", &documents(&two_endpoints()));
    agent.put("first.yaml", &allow("first", 10, 8001));
    world.expect("before", rows(false, false));
    let mark = agent.mark();
    let both = [
        long(refused::too_many_rules(), 8002),
        allow("third", 20, 8003),
    ];
    agent.directory().put("both.yaml", &documents(&both));
    agent.warned(&mark, "while the object at fault is looked for");
    // It goes on when it can have heard of the change.
    agent.signal(Signal::SIGSTOP);
    world.host.nft("flush table inet tortie");
    agent.signal(Signal::SIGCONT);

    // Both may be at fault, until it is known which is.
    for name in ["long", "third"] {
        agent.warned(&mark, &format!("GlobalNetworkPolicy({name}) is denied"));
    }
    agent.line(&mark, "who is innocent", |line| {
        line.contains("GlobalNetworkPolicy(third) is no longer denied")
    });
    world.expect("afterwards", rows(false, true));
}

#[test]
fn a_foreign_hand_in_an_unowned_table_denies_nobody() {
    if !ns::privileged() {
        return;
    }
    let world = World::serving(SERVICES);
    let agent = Agent::start(&world.host, Owner::Disabled);
    let from_set = "{action: Allow, protocol: TCP, source: {selector: has(member)}}";
    let state = |members: &str| {
        documents(&[
            eth0(),
            ingress("from-set", 10, from_set),
            network_set("members", "member: 'yes'", members),
        ])
    };
    agent.apply(&state("\"203.0.113.9/32\""));
    let wanted = |open| [tcp(EXT, HOST0, 8001, open).v4()];
    world.expect("before", wanted(Dropped));
    // A set of our name without room, and something of ours that something of theirs leads to.
    let sets = witness::ruleset(&world.host);
    let set = sets
        .iter()
        .filter_map(|object| object.get("set")?.get("name")?.as_str())
        .find(|name| name.starts_with("sel4-"))
        .expect("the policy has a set");
    let mark = agent.mark();
    world.host.nft(&format!(
        "flush chain inet tortie pol-in-default.from-set\n\
         delete set inet tortie {set}\n\
         add set inet tortie {set} {{ type ipv4_addr; size 1; }}\n\
         add chain inet tortie theirs\n\
         add rule inet tortie theirs jump pol-in-default.from-set\n",
    ));
    agent.apply(&state(
        "\"203.0.113.9/32\", \"192.0.2.2/32\", \"192.0.2.3/32\"",
    ));
    world.expect("afterwards", wanted(Open));
    assert!(!agent.has_said(&mark, "is denied"));
}

/// Starts a daemon with a `/run` of its own, as in a container, whose policy is another.
fn elsewhere(world: &World, owner: Owner) -> Agent {
    let directory = Directory::new();
    directory.put(
        "other.yaml",
        &documents(&[eth0(), allow("other", 10, 8002)]),
    );
    Agent::launch_by(&ELSEWHERE, &world.host, owner, &[], &directory, &[])
}

/// The policy of the first daemon, or of the one elsewhere.
fn policy_of(first: bool) -> [Row; 2] {
    let [one, other] = if first {
        [Open, Dropped]
    } else {
        [Dropped, Open]
    };
    [tcp(EXT, HOST0, 8001, one), tcp(EXT, HOST0, 8002, other)]
}

both_ways! {
    fn a_second_daemon_that_does_not_see_the_lock_says_whose_the_host_is(owner) {
        let world = World::serving(SERVICES);
        let mut first = Agent::start(&world.host, owner);
        first.apply(&documents(&[eth0(), allow("first", 10, 8001)]));
        let mut second = elsewhere(&world, owner);
        assert_eq!(second.wait_end().code(), Some(75));
        let holder = format!("process {}", first.pid());
        let said = second.warned(&Mark::beginning(), &holder);
        assert!(said.contains("@tortie.lock"), "{said}");
        world.expect("the first one's", policy_of(true));

        // The name is free as soon as its process has ended, however that was.
        first.kill();
        let next = elsewhere(&world, owner);
        next.started();
        world.expect("the next one's", policy_of(false));
    }
}

#[test]
fn who_takes_the_name_of_the_lock_without_privileges_keeps_nobody_from_starting() {
    if !ns::privileged() {
        return;
    }
    // Root without capabilities is root of a container, say, which has no say in the host's network.
    for user in ["65534", "0"] {
        let world = World::serving(SERVICES);
        let mut squat = Command::new(env!("CARGO_BIN_EXE_squat"));
        squat
            .args(["tortie.lock", user])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut squatter = world.host.run(|| squat.spawn()).expect("start the other");
        let output = squatter.stdout.as_mut().expect("it is a pipe");
        output.read_exact(&mut [0]).expect("it has the name");

        let first = Agent::start(&world.host, Owner::Disabled);
        let said = first.warned(&Mark::beginning(), "@tortie.lock");
        assert!(said.contains(&format!("of user {user} ")), "{said}");
        first.apply(&documents(&[eth0(), allow("first", 10, 8001)]));
        world.expect("as ever", policy_of(true));
        drop(squatter.stdin.take());
        squatter.wait().expect("the other ends");
    }
}

/// Resources at the edge of what the datastore takes.
fn hostile() -> Vec<String> {
    let long = "x".repeat(253);
    let label = "y".repeat(63);
    let ports: Vec<String> = (1..3_000).map(|port| format!("{}", port * 2)).collect();
    let nets: Vec<String> = (0..5_000)
        .map(|number| format!("10.{}.{}.0/24", number / 256, number % 256))
        .collect();
    let sides = |nets: &str| {
        format!(
            "{{nets: [{nets}], notNets: [0.0.0.0/1, 128.0.0.0/1, 255.255.255.255/32], \
             selector: has({label}) && {label} != '{label}', notSelector: 'has(a) || !has(b)', \
             ports: [1, 65535, '1:65535', named], notPorts: [65535, other]}}"
        )
    };
    let full = |action: &str| {
        format!(
            "{{action: {action}, ipVersion: 4, protocol: TCP, notProtocol: 132, source: {0}, destination: {0}}}",
            sides("0.0.0.0/0, 10.0.0.0/8, 255.255.255.255/32")
        )
    };
    let six = "{action: Deny, source: {nets: [\"::/0\"], notNets: [\"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128\", \"::1/128\"]}}";
    let icmp = "{action: Allow, protocol: ICMP, icmp: {type: 254, code: 255}, notICMP: {type: 0}}, \
                {action: Pass, protocol: ICMPv6, notICMP: {type: 254, code: 255}}, {action: Log}, \
                {action: Allow, protocol: 255}, {action: Allow, protocol: 1}, {action: Deny, notProtocol: 255}";
    let lists = format!(
        "{{action: Allow, protocol: UDP, source: {{ports: [{}]}}}}, {{action: Allow, source: {{nets: [{}]}}}}",
        ports.join(", "),
        nets.join(", ")
    );
    let rules = [
        &full("Allow"),
        &full("Deny"),
        &full("Pass"),
        six,
        icmp,
        &lists,
    ]
    .join(", ");
    let spec =
        format!("tier: {label}, types: [Ingress, Egress], ingress: [{rules}], egress: [{rules}]");
    let whole = network_set(
        &long,
        &format!("{label}: z, a: ''"),
        "0.0.0.0/0, \"::/0\", 255.255.255.255/32, \"ffff::/16\", 10.0.0.0/8, 10.0.0.1/32",
    );
    vec![
        eth0().replace("role: host", &format!("role: host, {label}: '{label}'")),
        host_endpoint("named", "interfaceName: eth1, expectedIPs: [198.51.100.1], \
             ports: [{name: named, port: 65535, protocol: SCTP}, {name: other, port: 1, protocol: TCP}]"),
        tier(&label, 1, ""),
        policy_for(HOSTS, &format!("{label}.{}", "p".repeat(180)), 7, &spec),
        policy_for(HOSTS, "untracked", 8, &format!("doNotTrack: true, applyOnForward: true, types: [Ingress, Egress], ingress: [{lists}, {icmp}], egress: [{six}]").replace("{action: Pass, protocol: ICMPv6, notICMP: {type: 254, code: 255}}, ", "")),
        policy_for(HOSTS, "early", 9, &format!("preDNAT: true, applyOnForward: true, types: [Ingress], ingress: [{rules}]")),
        profile(&long, &format!("ingress: [{rules}], egress: [{rules}], labelsToApply: {{a: b}}")),
        host_endpoint("profiled", &format!("interfaceName: lo, profiles: [{long}]")),
        whole,
    ]
}

#[test]
fn no_input_makes_the_kernel_refuse() {
    if !ns::privileged() {
        return;
    }
    let reject = [
        ("FELIX_NFTABLESFILTERDENYACTION", "Reject"),
        ("FELIX_IPTABLESFILTERDENYACTION", "REJECT"),
        ("FELIX_LOGACTIONRATELIMIT", "1/day"),
        ("FELIX_LOGACTIONRATELIMITBURST", "9999"),
        (
            "FELIX_LOGPREFIX",
            "a prefix that is as long as it gets, %t %k %p %n, and longer than the kernel has room for it in any case, and then some",
        ),
        ("TORTIE_POLICYCOUNTERS", "Enabled"),
    ];
    for settings in [&[][..], &reject[..]] {
        let world = World::new();
        let agent = Agent::with(&world.host, Owner::usual(), settings);
        let mark = agent.mark();
        agent.apply(&documents(&hostile()));
        assert!(
            !agent.has_said(&mark, "treating as missing"),
            "all of it counts"
        );
        let refused = agent.has_said(&mark, "refused") || agent.has_said(&mark, "is denied");
        assert!(!refused, "the kernel refuses it");
    }
}
