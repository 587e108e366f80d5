//! What happens while nothing can be written.

use std::path::Path;

use netns_tests::World;
use netns_tests::agent::{Mark, Owner};
use netns_tests::certificates::{Authority, Names};
use netns_tests::etcd::{Member, endpoint_key, policy, policy_key};
use netns_tests::vigil::Vigil;
use nix::sys::signal::Signal;

use crate::{
    DOWN, ENDPOINTS, PROCESS, REPORTS, SERVICES, UP, fill, of_host, only, protect, reported, stored,
};

/// Stores one more endpoint, whose interface is there and up.
fn with_card(world: &World, member: &Member<'_>) {
    member.put(&endpoint_key("card"), r#"{"name":"card0"}"#);
    world
        .host
        .ip("link add card0 type veth peer name card1\nlink set card1 up\nlink set card0 up\n");
}

#[test]
fn what_happens_while_etcd_is_away_is_written_when_it_is_back() {
    let world = World::serving(SERVICES);
    let mut member = Member::start(&world.host);
    with_card(&world, &member);
    let agent = protect(&member, &ENDPOINTS);
    let denied = Vigil::keep_shut(&world, 8057);
    let (e0, card) = (of_host("e0"), of_host("card"));
    reported(&member, "before", &[(&e0, UP), (&card, UP)]);
    let mark = agent.mark();
    member.end(Signal::SIGKILL);
    world.host.ip("link set card0 down\n");
    agent.warned(&mark, "the status is not written");
    member.restart();
    member.serving();
    reported(&member, "down meanwhile", &[(&e0, UP), (&card, DOWN)]);
    agent.line(&mark, "written again", |line| {
        line.contains("the status is written again")
    });
    // One that has lost everything is told everything.
    let mark = agent.mark();
    member.end(Signal::SIGKILL);
    std::fs::remove_dir_all(member.data()).expect("remove the data");
    world.host.ip("link set card0 up\n");
    agent.warned(&mark, "the status is not written");
    member.restart();
    member.serving();
    member.put(&endpoint_key("card"), r#"{"name":"card0"}"#);
    fill(&member);
    reported(&member, "from nothing", &[(&e0, UP), (&card, UP)]);
    world.expect("enforcement went on", only(&[8055]));
    denied.finish();
}

#[test]
fn a_cluster_that_does_not_answer_holds_nothing_up() {
    let world = World::serving(SERVICES);
    let members = Member::three(&world.host);
    let urls = members.each_ref().map(Member::url).join(",");
    let settings = [
        ENDPOINTS.as_slice(),
        &[("CALICO_ETCD_ENDPOINTS", urls.as_str())],
    ]
    .concat();
    fill(&members[0]);
    with_card(&world, &members[0]);
    let agent = members[0].agent(Owner::Disabled, &settings);
    agent.started();
    let (e0, card) = (of_host("e0"), of_host("card"));
    reported(&members[1], "before", &[(&e0, UP), (&card, UP)]);
    let mark = agent.mark();
    // One member after the other keeps its connections and says nothing, and one of them is the one that statuses are
    // written to; the others go on.
    for (stopped, other, link, status) in
        [(0, 1, "down", DOWN), (1, 2, "up", UP), (2, 0, "down", DOWN)]
    {
        members[stopped].signal(Signal::SIGSTOP);
        members[other].serving();
        world.host.ip(&format!("link set card0 {link}\n"));
        reported(
            &members[other],
            "by another member",
            &[(&e0, UP), (&card, status)],
        );
        members[stopped].signal(Signal::SIGCONT);
        members[stopped].serving();
    }
    assert!(agent.has_said(&mark, "has not answered within 2 s"));
}

#[test]
fn a_user_that_may_only_read_is_warned_about_and_policy_goes_on() {
    let world = World::serving(SERVICES);
    let mut member = Member::start(&world.host);
    fill(&member);
    for arguments in [
        ["user", "add", "root:secret"].as_slice(),
        &["user", "grant-role", "root", "root"],
        &["role", "add", "felix"],
        &[
            "role",
            "grant-permission",
            "--prefix=true",
            "felix",
            "read",
            "/calico/",
        ],
        &["user", "add", "felix:word"],
        &["user", "grant-role", "felix", "felix"],
        &["auth", "enable"],
    ] {
        member.etcdctl(arguments);
    }
    member.log_in("root", "secret");
    let settings = [
        ENDPOINTS.as_slice(),
        &PROCESS,
        &[("ETCD_USERNAME", "felix"), ("ETCD_PASSWORD", "word")],
    ]
    .concat();
    let agent = member.agent(Owner::Disabled, &settings);
    agent.started();
    let e0 = of_host("e0");
    for key in [e0.as_str(), "/calico/felix/v2/no-region/host/host1/status"] {
        let line = agent.warned(&Mark::beginning(), key);
        assert!(line.contains("permission denied"), "{line}");
    }
    world.expect("policy is enforced", only(&[8055]));
    // The same is not said again while policy is changed and changed again.
    let mark = agent.mark();
    for ports in [[8056], [8055], [8056]] {
        member.put(&policy_key("web"), &policy(&ports));
        world.eventually("policy follows", only(&ports));
    }
    assert!(!agent.has_said(&mark, "permission denied"));
    assert!(stored(&member, REPORTS).is_empty());
    let grant = [
        "role",
        "grant-permission",
        "--prefix=true",
        "felix",
        "readwrite",
        REPORTS,
    ];
    member.etcdctl(&grant);
    netns_tests::etcd::eventually("what may be written is", || {
        stored(&member, REPORTS)
            .get(&e0)
            .is_some_and(|status| status == UP)
    });
}

#[test]
fn certificates_are_used_and_read_again() {
    let world = World::serving(SERVICES);
    let place = tempfile::tempdir().expect("make a directory");
    let text = |path: &Path| path.to_str().expect("paths of tests are UTF-8").to_owned();
    // Everything is signed anew by another authority under the same names.
    let sign = || {
        let authority = Authority::new(place.path(), "authority");
        let server = authority.sign("server", Names::Alternative("IP:127.0.0.1"));
        let client = authority.sign("client", Names::CommonAlone);
        [
            text(authority.certificate()),
            text(&server.certificate),
            text(&server.key),
            text(&client.certificate),
            text(&client.key),
        ]
    };
    let [ca, server, server_key, client, client_key] = sign();
    let mut member = Member::with(
        &world.host,
        "https",
        &[
            "--cert-file",
            &server,
            "--key-file",
            &server_key,
            "--trusted-ca-file",
            &ca,
            "--client-cert-auth",
        ],
        &["--cacert", &ca, "--cert", &client, "--key", &client_key],
    );
    with_card(&world, &member);
    let settings = [
        ENDPOINTS.as_slice(),
        &[
            ("ETCD_CA_CERT_FILE", ca.as_str()),
            ("ETCD_CERT_FILE", &client),
            ("ETCD_KEY_FILE", &client_key),
        ],
    ]
    .concat();
    let _agent = protect(&member, &settings);
    let (e0, card) = (of_host("e0"), of_host("card"));
    reported(&member, "over TLS", &[(&e0, UP), (&card, UP)]);
    member.end(Signal::SIGKILL);
    sign();
    member.restart();
    member.serving();
    world.host.ip("link set card0 down\n");
    reported(&member, "with new files", &[(&e0, UP), (&card, DOWN)]);
}
