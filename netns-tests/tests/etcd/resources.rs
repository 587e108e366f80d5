//! What is kept in etcd, and the gate before it.

use netns_tests::Outcome::{Dropped, Open};
use netns_tests::agent::{Mark, Owner};
use netns_tests::etcd::{ETH0, Member, V1, V3, endpoint_key, policy, policy_key};
use netns_tests::vigil::Vigil;
use netns_tests::{EXT, HOST0, World, tcp};
use nix::sys::signal::Signal;

use crate::{ALWAYS, SERVICES, endure, fill, only, web};

#[test]
fn nothing_is_enforced_before_the_cluster_is_ready_and_all_at_once_then() {
    let world = World::serving(SERVICES);
    let member = Member::start(&world.host);
    member.put(&endpoint_key("e0"), ETH0);
    let mut agent = member.agent(Owner::Disabled, &[]);
    agent.logged("resync: the datastore has been read");
    agent.line(&Mark::beginning(), "wait-for-ready", |line| {
        line.contains("wait-for-ready")
    });
    // The guard of a boot is for workloads alone.
    world.expect("not ready", only(&[8055, 8056, 8057]));
    // Anything but the one word is no.
    member.put("/calico/v1/Ready", "True");
    fill(&member);
    agent.started();
    world.expect("ready", only(&[8055]));
    // Turned back, what is enforced stays and what is written waits.
    let vigil = Vigil::keep(&world, 8056, ALWAYS);
    let mark = agent.mark();
    member.put("/calico/v1/Ready", "false");
    member.put(&policy_key("web"), &web(&[8056]));
    member.put(&format!("{V1}/config/FailsafeInboundHostPorts"), "tcp:8056");
    member.delete(&endpoint_key("e0"));
    agent.line(&mark, "wait-for-ready", |line| {
        line.contains("wait-for-ready")
    });
    world.expect("no longer ready", only(&[8055]));
    // Nor does reading the configuration of the host again let that of the datastore in.
    agent.signal(Signal::SIGHUP);
    agent.line(&mark, "the configuration is read", |line| {
        line.contains("reading the configuration again")
    });
    let mark = agent.mark();
    agent.line(&mark, "wait-for-ready", |line| {
        line.contains("wait-for-ready")
    });
    world.expect("still not ready", only(&[8055]));
    vigil.finish();
    member.delete(&format!("{V1}/config/FailsafeInboundHostPorts"));
    member.put(&endpoint_key("e0"), ETH0);
    member.put("/calico/v1/Ready", "true");
    world.eventually("ready again", only(&[8056]));
    member.agrees(&mut agent, &[]);
}

#[test]
fn either_form_can_say_ready_and_either_can_refuse() {
    let world = World::serving(SERVICES);
    let member = Member::start(&world.host);
    let cluster = format!("{V3}/clusterinformations/default");
    let information = |ready: &str| {
        format!(
            r#"{{"kind":"ClusterInformation","apiVersion":"projectcalico.org/v3","metadata":{{"name":"default"}},"spec":{{"clusterGUID":"0123"{ready}}}}}"#
        )
    };
    member.put(&endpoint_key("e0"), ETH0);
    member.put(&policy_key("web"), &policy(&[8055]));
    member.put(&cluster, &information(""));
    let agent = member.agent(Owner::Disabled, &[]);
    agent.logged("resync: the datastore has been read");
    agent.line(&Mark::beginning(), "wait-for-ready", |line| {
        line.contains("wait-for-ready")
    });
    member.put(&cluster, &information(r#","datastoreReady":true"#));
    agent.started();
    world.expect("ready", only(&[8055]));
    member.put("/calico/v1/Ready", "");
    member.put(&policy_key("web"), &policy(&[8056]));
    let mark = agent.mark();
    agent.line(&mark, "wait-for-ready", |line| {
        line.contains("wait-for-ready")
    });
    world.expect("refused by the other form", only(&[8055]));
    member.delete("/calico/v1/Ready");
    world.eventually("no longer refused", only(&[8056]));
}

/// What Calico's writers let through and Felix does not look at when it reads must not be left out: what denies
/// would no longer deny.
#[test]
fn what_is_stored_is_enforced_whatever_it_looks_like() {
    let world = World::serving(SERVICES);
    let member = Member::start(&world.host);
    member.put("/calico/v1/Ready", "true");
    member.put(
        &endpoint_key("e0"),
        r#"{"name":"eth0","labels":{"role":"host","kind":"_internal"}}"#,
    );
    member.put(&policy_key("web"), &policy(&[8055, 8056, 8057]));
    let agent = member.agent(Owner::Disabled, &[]);
    agent.started();
    world.expect("before", only(&[8055, 8056, 8057]));
    let values: Vec<String> = (0..200).map(|n| format!("'value{n:03}'")).collect();
    let selector = format!("kind in {{'_internal',{}}}", values.join(","));
    let deny = |rules: &str| {
        format!(
            r#"{{"spec":{{"order":1,"selector":"{selector}","types":["Ingress"],"ingress":[{rules}]}}}}"#
        )
    };
    let named = format!(
        "{V3}/globalnetworkpolicies/block-traffic-from-the-legacy-datacentre-to-the-payment-processing-hosts"
    );
    member.put(
        &named,
        &deny(r#"{"action":"Deny","protocol":"TCP","destination":{"ports":[8056]}}"#),
    );
    world.eventually("a long name and a long selector", only(&[8055, 8057]));
    member.put(
        &format!("{V3}/globalnetworkpolicies/rules"),
        &deny(
            r#"{"action":"Allow","source":{"nets":["0.0.0.0/0"]},"destination":{"nets":["::/0"]}},
            {"action":"Allow","source":{"notNets":["0.0.0.0/0"]}},
            {"action":"Allow","protocol":"TCP","notICMP":{"type":8}},
            {"action":"Deny","protocol":"TCP","destination":{"ports":[8057]}}"#,
        ),
    );
    world.eventually(
        "rules that match nothing, and the one behind",
        only(&[8055]),
    );
}

#[test]
fn a_bad_configuration_does_not_close_the_way_in() {
    let world = World::serving(SERVICES);
    let member = Member::start(&world.host);
    member.put("/calico/v1/Ready", "true");
    member.put(&endpoint_key("e0"), ETH0);
    member.put(
        &format!("{V3}/felixconfigurations/default"),
        r#"{"spec":{"failsafeInboundHostPorts":[{"protocol":"TCP","port":8055},{"protocol":"SCTP","port":3868}]}}"#,
    );
    member.put(
        &format!("{V3}/felixconfigurations/node.host1"),
        r#"{"metadata":{"annotations":{"config.projectcalico.org/FailsafeInboundHostPorts":"tcp:8056,ssh"}},"spec":{}}"#,
    );
    let agent = member.agent(Owner::Disabled, &[]);
    agent.started();
    world.expect(
        "the list for all hosts, and what is good of this one's",
        [
            tcp(EXT, HOST0, 8055, Open),
            tcp(EXT, HOST0, 8056, Open),
            tcp(EXT, HOST0, 8057, Dropped),
            tcp(EXT, HOST0, 22, Dropped),
        ],
    );
}

#[test]
fn every_form_of_key_takes_effect() {
    let world = World::serving(SERVICES);
    let member = Member::start(&world.host);
    member.put("/calico/v1/Ready", "true");
    let mut agent = member.agent(Owner::Disabled, &[]);
    agent.started();
    // A v3 endpoint with a v1 profile of three keys, found by a label that it hands down.
    let endpoint = format!("{V3}/hostendpoints/eth0");
    let hep = r#"{"kind":"HostEndpoint","apiVersion":"projectcalico.org/v3","metadata":{"name":"eth0","labels":{"role":"host"}},"spec":{"node":"host1","interfaceName":"eth0","expectedIPs":["192.0.2.1","2001:db8:1::1"],"profiles":["base"],"ports":[{"name":"web","protocol":"TCP","port":8056}]}}"#;
    member.put(&endpoint, hep);
    world.eventually("a profile that does not exist denies", only(&[]));
    member.put(&format!("{V1}/policy/profile/base/tags"), r#"["tagged"]"#);
    member.put(
        &format!("{V1}/policy/profile/base/labels"),
        r#"{"from":"profile"}"#,
    );
    member.put(
        &format!("{V1}/policy/profile/base/rules"),
        r#"{"inbound_rules":[{"protocol":"tcp","dst_ports":["8055:8055"]}],"outbound_rules":[{}]}"#,
    );
    world.eventually("the profile decides", only(&[8055]));
    // Policies of both forms, both spellings, and a tier of the v1 form that comes first.
    let by_name = r#"{"kind":"GlobalNetworkPolicy","apiVersion":"projectcalico.org/v3","metadata":{"name":"named","annotations":{"projectcalico.org/metadata":"{\"name\":\"named\"}"}},"spec":{"tier":"default","order":5,"selector":"has(tagged) && from == 'profile'","types":["Ingress"],"ingress":[{"action":"Allow","protocol":"TCP","destination":{"ports":["web"]}}]}}"#;
    member.put(
        &format!("{V3}/globalnetworkpolicies/default.named"),
        by_name,
    );
    world.eventually(
        "a policy by inherited labels and a named port",
        only(&[8056]),
    );
    let mark = agent.mark();
    let spelling = |name: &str| format!("{V3}/globalnetworkpolicies/{name}");
    member.transaction(&[
        (&spelling("named"), Some(by_name)),
        (&spelling("default.named"), None),
    ]);
    agent.line(&mark, "a round", |line| line.contains("applied"));
    world.expect("the other spelling is another policy", only(&[8056]));
    member.put(
        &format!("{V1}/policy/tier/first/metadata"),
        r#"{"order":1}"#,
    );
    member.put(
        &format!("{V1}/policy/tier/first/policy/gate"),
        r#"{"selector":"all()","inbound_rules":[{"action":"next-tier","protocol":"tcp","dst_ports":[8056]},{"protocol":"tcp","dst_ports":[8057]}]}"#,
    );
    world.eventually("the first tier is asked first", only(&[8056, 8057]));
    member.delete(&format!("{V1}/policy/tier/first/policy/gate"));
    world.eventually("the tier is empty", only(&[8056]));
    // Sets and endpoints of other hosts give addresses to selectors.
    member.put(
        &format!("{V3}/globalnetworksets/partners"),
        r#"{"kind":"GlobalNetworkSet","metadata":{"name":"partners","labels":{"set":"partners"}},"spec":{"nets":["192.0.2.2","2001:db8:1::2","nonsense"]}}"#,
    );
    member.put(
        &policy_key("web"),
        r#"{"order":1,"selector":"role == 'host'","inbound_rules":[{"protocol":"tcp","dst_ports":[8055],"src_selector":"set == 'partners'"}]}"#,
    );
    world.eventually("a set's addresses", only(&[8055, 8056]));
    // Configuration of both forms, on this host alone and on all.
    let failsafe = [tcp(EXT, HOST0, 8057, Open), tcp(EXT, HOST0, 22, Dropped)];
    let normal = [tcp(EXT, HOST0, 8057, Dropped), tcp(EXT, HOST0, 22, Open)];
    member.put(&format!("{V1}/config/FailsafeInboundHostPorts"), "tcp:8057");
    world.eventually("the v1 form", failsafe);
    member.put(
        &format!("{V3}/felixconfigurations/default"),
        r#"{"kind":"FelixConfiguration","metadata":{"name":"default"},"spec":{"failsafeInboundHostPorts":[{"protocol":"TCP","port":22}]}}"#,
    );
    world.eventually("the v3 form counts where both are there", normal);
    member.put(
        &format!("{V1}/host/host1/config/FailsafeInboundHostPorts"),
        "tcp:8057",
    );
    world.eventually("this host's own counts before that of all", failsafe);
    member.put(
        &format!("{V3}/felixconfigurations/node.host1"),
        r#"{"kind":"FelixConfiguration","metadata":{"name":"node.host1"},"spec":{"failsafeInboundHostPorts":[{"protocol":"TCP","port":22}]}}"#,
    );
    world.eventually("and there too the v3 form", normal);
    member.agrees(&mut agent, &[]);
}

#[test]
fn bad_values_count_as_absent_and_harm_nothing_else() {
    endure(|world, member, agent| {
        let deep = "[".repeat(200_000);
        let huge = format!(r#"{{"selector":"{}"}}"#, "a".repeat(1 << 20));
        let many = format!(r#"{{"inbound_rules":[{}]}}"#, vec!["{}"; 500_000].join(","));
        let long = "n".repeat(1500);
        for (name, value, reason) in [
            ("empty", "", "cannot be parsed"),
            ("bytes", "\u{1}\u{2}", "cannot be parsed"),
            ("deep", deep.as_str(), "recursion limit"),
            ("huge", huge.as_str(), "the limit is 16384"),
            ("many", many.as_str(), "more than 100000 objects"),
            (long.as_str(), "{}", "at most 512 bytes"),
            (
                "ports",
                r#"{"inbound_rules":[{"protocol":"tcp","dst_ports":[99999]}]}"#,
                "99999",
            ),
        ] {
            let mark = agent.mark();
            member.put(&policy_key(name), value);
            let line = agent.warned(&mark, &policy_key(name));
            assert!(line.contains("Validation failed"), "{line}");
            assert!(line.contains(reason), "{line}");
            assert!(line.len() < 2 * name.len() + 500, "{} bytes", line.len());
        }
        // What is no key of a resource is nobody's.
        member.put("/calico/v1/nonsense/key", "x");
        member.put("/calico/v1/ipam/v4/pool/nonsense", "{}");
        world.expect("all the same", only(&[8055]));
        // A good one that turns bad is gone.
        member.put(&policy_key("other"), &policy(&[8056]));
        world.eventually("another policy", only(&[8055, 8056]));
        member.put(&policy_key("other"), "{");
        world.eventually("the policy counts as absent", only(&[8055]));
    });
}
