//! The walk through Calico 2.2's guide to host endpoints, command by command, with `tortie` in the place of `calicoctl`.

use netns_tests::Outcome::{Dropped, Open};
use netns_tests::agent::{Mark, Owner};
use netns_tests::etcd::Member;
use netns_tests::server::Services;
use netns_tests::vigil::Vigil;
use netns_tests::{A3, EXT, EXT2, HOST0, HOST1, World, icmp, tcp};

/// Ports of ssh, of the web server, of the server that is not tracked, and of what nobody may reach.
const SERVICES: Services = Services {
    tcp: &[22, 80, 999, 8057],
    udp: &[],
    protocols: &[],
};

const NODE: &str = "\
- apiVersion: v1
  kind: node
  metadata:
    name: host1
";

/// Ssh from one machine, pings, etcd where it is, and DHCP.
const FAILSAFE: &str = r#"
- apiVersion: v1
  kind: policy
  metadata:
    name: failsafe
  spec:
    selector: "all()"
    order: 0
    ingress:
    - action: allow
      protocol: tcp
      source:
        net: "192.0.2.2/32"
      destination:
        ports: [22]
    - action: allow
      protocol: icmp
    egress:
    - action: allow
      protocol: tcp
      destination:
        net: "192.0.2.2/32"
        ports: [2379]
    - action: allow
      protocol: udp
      destination:
        ports: [67]
"#;

const ENDPOINT: &str = r#"
- apiVersion: v1
  kind: hostEndpoint
  metadata:
    name: uplink
    node: host1
    labels:
      role: webserver
      environment: production
  spec:
    interfaceName: eth0
    profiles: []
    expectedIPs: ["192.0.2.1"]
"#;

const WEBSERVER: &str = r#"
- apiVersion: v1
  kind: policy
  metadata:
    name: webserver
  spec:
    selector: "role==\"webserver\""
    order: 100
    ingress:
    - action: allow
      protocol: tcp
      destination:
        ports: [80]
    egress:
    - action: allow
"#;

/// The second interface, known by its address, which is a web server's by its profile alone.
const SECOND_ENDPOINT: &str = r#"
- apiVersion: v1
  kind: hostEndpoint
  metadata:
    name: inside
    node: host1
  spec:
    profiles: [webservers]
    expectedIPs: ["198.51.100.1"]
"#;

const PROFILE: &str = r"
- apiVersion: v1
  kind: profile
  metadata:
    name: webservers
    labels:
      role: webserver
  spec:
    ingress:
    - action: deny
    egress:
    - action: allow
";

const UNTRACKED: &str = r#"
- apiVersion: v1
  kind: policy
  metadata:
    name: untracked
  spec:
    selector: "role==\"webserver\""
    order: 50
    doNotTrack: true
    ingress:
    - action: allow
      protocol: tcp
      destination:
        ports: [999]
    egress:
    - action: allow
      protocol: tcp
      source:
        ports: [999]
"#;

/// Has the client create what a document holds.
fn create(member: &Member<'_>, document: &str) {
    let output = member.tortie("create -f -", &[], document);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{document}\n{said}");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.starts_with("Successfully created 1 "), "{told}");
}

#[test]
fn the_guide_leads_from_nothing_to_the_protection_that_it_describes() {
    let world = World::serving(SERVICES).watching();
    let member = Member::elsewhere(&world);
    let mut agent = member.agent(Owner::Disabled, &[]);
    let open = |port| [tcp(EXT, HOST0, port, Open), tcp(A3, HOST0, port, Open)];
    let all_open = || [22, 80, 999, 8057].into_iter().flat_map(open);

    // Before the database is initialised the log says so again and again, and no packet is touched.
    agent.line(&Mark::beginning(), "wait-for-ready", |line| {
        line.contains("wait-for-ready")
    });
    world.expect("before the node", all_open());

    create(&member, NODE);
    agent.started();
    world.expect("with the node", all_open());

    create(&member, FAILSAFE);
    world.expect("without an endpoint", all_open());

    create(&member, ENDPOINT);
    let protected = [
        tcp(EXT, HOST0, 22, Open),
        // The daemon's own failsafe ports let in what the policy does not.
        tcp(A3, HOST0, 22, Open),
        icmp(EXT, HOST0, Open).but_v6(Dropped),
        icmp(A3, HOST0, Open).but_v6(Dropped),
        tcp(EXT, HOST0, 999, Dropped),
        tcp(EXT, HOST0, 8057, Dropped),
        // The other interface is not policed yet.
        tcp(EXT2, HOST1, 8057, Open),
    ];
    let web = |outcome| {
        [
            tcp(EXT, HOST0, 80, outcome),
            tcp(A3, HOST0, 80, outcome),
            tcp(HOST0, EXT, 999, outcome),
        ]
    };
    world.eventually(
        "with the endpoint",
        protected.into_iter().chain(web(Dropped)),
    );
    let vigil = Vigil::keep_shut(&world, 8057);

    create(&member, WEBSERVER);
    world.eventually("with web servers", protected.into_iter().chain(web(Open)));

    create(&member, SECOND_ENDPOINT);
    let second = |outcome| {
        [
            tcp(EXT2, HOST1, 22, Open),
            tcp(EXT2, HOST1, 80, outcome),
            tcp(EXT2, HOST1, 8057, Dropped),
        ]
    };
    let but_second = || protected.into_iter().take(6).chain(web(Open));
    world.eventually("with both endpoints", but_second().chain(second(Dropped)));

    create(&member, PROFILE);
    world.eventually("with the profile", but_second().chain(second(Open)));

    create(&member, UNTRACKED);
    let untracked = || {
        [
            tcp(EXT, HOST0, 999, Open).untracked(),
            tcp(EXT2, HOST1, 999, Open).untracked(),
            tcp(EXT, HOST0, 80, Open).tracked(),
        ]
    };
    world.eventually("without tracking", untracked());

    // The failsafe ports are switched off: what the policy says of ssh and of etcd is all that is left.
    create(
        &member,
        "apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: default}
spec: {failsafeInboundHostPorts: [], failsafeOutboundHostPorts: []}
",
    );
    let narrow = [
        tcp(EXT, HOST0, 22, Open).but_v6(Dropped),
        tcp(A3, HOST0, 22, Dropped),
        tcp(EXT2, HOST1, 22, Dropped),
        tcp(EXT, HOST0, 80, Open),
        tcp(EXT, HOST0, 8057, Dropped),
    ];
    world.eventually("without failsafe ports", narrow);
    // The daemon still hears of changes.
    let output = member.tortie("delete gnp webserver", &[], "");
    assert!(output.status.success(), "{output:?}");
    let last = [
        tcp(EXT, HOST0, 22, Open).but_v6(Dropped),
        tcp(EXT, HOST0, 80, Dropped),
        tcp(EXT2, HOST1, 80, Dropped),
    ];
    world.eventually("without web servers", last);
    world.expect("as before", untracked().into_iter().take(2));
    vigil.finish();
    member.agrees(&mut agent, &[]);
}
