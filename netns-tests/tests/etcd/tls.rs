//! TLS, and certificates that change.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use netns_tests::World;
use netns_tests::agent::{Agent, Mark, Owner};
use netns_tests::certificates::{Authority, Life, Names, Pair};
use netns_tests::etcd::{ETH0, Member, endpoint_key, policy, policy_key};
use netns_tests::vigil::Vigil;
use nix::sys::signal::Signal;

use crate::{ALWAYS, NEVER, SERVICES, allow, back, fill, only, web};

const LOCAL: Names<'_> = Names::Alternative("IP:127.0.0.1");

fn text(path: &Path) -> &str {
    path.to_str().expect("paths of tests are UTF-8")
}

/// The arguments of a server with TLS that asks for client certificates.
fn server<'a>(authority: &'a Authority, pair: &'a Pair) -> [&'a str; 7] {
    [
        "--cert-file",
        text(&pair.certificate),
        "--key-file",
        text(&pair.key),
        "--trusted-ca-file",
        text(authority.certificate()),
        "--client-cert-auth",
    ]
}

/// The arguments of `etcdctl` for such a server.
fn writer<'a>(authority: &'a Authority, pair: &'a Pair) -> [&'a str; 7] {
    [
        "--cacert",
        text(authority.certificate()),
        "--cert",
        text(&pair.certificate),
        "--key",
        text(&pair.key),
        // For servers whose certificate is meant to be refused.
        "--insecure-skip-tls-verify",
    ]
}

/// Starts a server with TLS that asks for client certificates.
pub(crate) fn secure<'a>(
    world: &'a World,
    authority: &Authority,
    pair: &Pair,
    client: &Pair,
) -> Member<'a> {
    Member::with(
        &world.host,
        "https",
        &server(authority, pair),
        &writer(authority, client),
    )
}

pub(crate) fn settings<'a>(ca: &'a Path, client: &'a Pair) -> [(&'static str, &'a str); 3] {
    [
        ("ETCD_CA_CERT_FILE", text(ca)),
        ("ETCD_CERT_FILE", text(&client.certificate)),
        ("ETCD_KEY_FILE", text(&client.key)),
    ]
}

/// Returns where the daemon finds its certificate and key.
fn installed(place: &Path) -> Pair {
    Pair {
        certificate: place.join("used.pem"),
        key: place.join("used-key.pem"),
    }
}

/// Puts a certificate and its key where the daemon finds them.
fn install(pair: &Pair, used: &Pair) {
    std::fs::copy(&pair.key, &used.key).expect("copy the key");
    std::fs::copy(&pair.certificate, &used.certificate).expect("copy the certificate");
}

#[test]
fn certificates_change_under_the_watch_while_etcd_is_written_to() {
    let world = World::serving(SERVICES);
    let place = tempfile::tempdir().expect("make a directory");
    let authority = Authority::new(place.path(), "authority");
    let pair = authority.sign("server", LOCAL);
    let client = authority.sign("client", Names::CommonAlone);
    let member = secure(&world, &authority, &pair, &client);
    fill(&member);
    let used = installed(place.path());
    install(&client, &used);
    let settings = settings(authority.certificate(), &used);
    let mut agent = member.agent(Owner::Disabled, &settings);
    agent.started();
    world.expect("over TLS", only(&[8055]));
    let vigil = Vigil::keep(&world, NEVER, ALWAYS);
    let beginning = agent.mark();
    let over = AtomicBool::new(false);
    let unusable = "the certificates have changed and cannot be used";
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in (0..1000).cycle() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                member.put(&policy_key("busy"), &policy(&[9000 + number]));
            }
        });
        for round in 0..3 {
            let next = authority.sign(&format!("client-{round}"), Names::CommonAlone);
            // A key without its certificate, half a certificate, and the whole pair.
            let mark = agent.mark();
            std::fs::copy(&next.key, &used.key).expect("copy the key");
            agent.warned(&mark, unusable);
            let pem = std::fs::read(&next.certificate).expect("read the certificate");
            let mark = agent.mark();
            std::fs::write(&used.certificate, &pem[..pem.len() / 2]).expect("write half of it");
            agent.warned(&mark, unusable);
            allow(&world, &member, &[8056]);
            let mark = agent.mark();
            install(&next, &used);
            agent.signal(Signal::SIGHUP);
            agent.line(&mark, "connected anew", |line| {
                line.contains("connected anew")
            });
            allow(&world, &member, &[8055]);
        }
        over.store(true, Ordering::SeqCst);
    });
    assert!(!agent.has_said(&beginning, "the datastore is lost"));
    vigil.finish();
    member.agrees(&mut agent, &settings);
}

/// The address moves to another cluster while the watch of the old one lives; then the certificates change.
#[test]
fn new_certificates_that_lead_to_another_cluster_take_over_what_it_holds() {
    let world = World::serving(SERVICES);
    let place = tempfile::tempdir().expect("make a directory");
    let authority = Authority::new(place.path(), "authority");
    let pair = authority.sign("server", LOCAL);
    let client = authority.sign("client", Names::CommonAlone);
    let (tls, client_tls) = (server(&authority, &pair), writer(&authority, &client));
    let first = Member::with(&world.host, "https", &tls, &client_tls);
    fill(&first);
    for number in 0..20 {
        first.put(&policy_key("filler"), &policy(&[9000 + number]));
    }
    let used = installed(place.path());
    install(&client, &used);
    let settings = settings(authority.certificate(), &used);
    let mut agent = first.agent(Owner::Disabled, &settings);
    agent.started();
    world.expect("the first cluster", only(&[8055]));
    let vigil = Vigil::keep(&world, NEVER, ALWAYS);
    // From here on new connections, those of the test too, go to the second cluster.
    world.host.nft(
        "add table ip moved
        add chain ip moved output { type nat hook output priority -100; }
        add rule ip moved output tcp dport 2379 redirect to :22390",
    );
    let elsewhere = [
        "--listen-client-urls",
        "https://127.0.0.1:22390",
        "--listen-peer-urls",
        "http://127.0.0.1:22391",
    ];
    let arguments = [tls.as_slice(), &elsewhere].concat();
    let second = Member::with(&world.host, "https", &arguments, &client_tls);
    second.put(&endpoint_key("e0"), ETH0);
    second.put(&policy_key("web"), &web(&[8056]));
    second.put("/calico/v1/Ready", "true");
    assert!(
        second.revision() < 20,
        "the second is at an earlier revision"
    );
    world.expect("the watch of the first lives", only(&[8055]));
    let mark = agent.mark();
    install(&authority.sign("another", Names::CommonAlone), &used);
    agent.signal(Signal::SIGHUP);
    world.eventually("what the second cluster holds", only(&[8056]));
    agent.warned(&mark, "has gone back in time");
    allow(&world, &second, &[8055]);
    vigil.finish();
    second.agrees(&mut agent, &settings);
}

#[test]
fn servers_that_are_somebody_else_are_refused() {
    let world = World::serving(SERVICES);
    let place = tempfile::tempdir().expect("make a directory");
    let authority = Authority::new(place.path(), "authority");
    let stranger = Authority::new(place.path(), "stranger");
    let client = authority.sign("client", Names::CommonAlone);
    let elsewhere = Names::Alternative("IP:192.0.2.99,DNS:elsewhere");
    for (pair, ca, reason) in [
        (
            authority.sign("elsewhere", elsewhere),
            &authority,
            "not valid for name",
        ),
        (
            authority.sign("127.0.0.1", Names::CommonAlone),
            &authority,
            "not valid for name",
        ),
        (authority.sign("known", LOCAL), &stranger, "UnknownIssuer"),
        (
            authority.sign_for("old", LOCAL, Life::Over),
            &authority,
            "Expired",
        ),
    ] {
        let member = secure(&world, &authority, &pair, &client);
        fill(&member);
        let agent = member.agent(Owner::Disabled, &settings(ca.certificate(), &client));
        let line = agent.warned(&Mark::beginning(), "the datastore is lost");
        assert!(line.contains(reason), "{line}");
        world.expect("nothing is read", only(&[8055, 8056, 8057]));
    }
}

#[test]
fn a_client_that_the_server_refuses_says_so_and_goes_on_when_it_is_taken() {
    let world = World::serving(SERVICES);
    let place = tempfile::tempdir().expect("make a directory");
    let authority = Authority::new(place.path(), "authority");
    let stranger = Authority::new(place.path(), "stranger");
    let pair = authority.sign("server", LOCAL);
    let client = authority.sign("client", Names::CommonAlone);
    let member = secure(&world, &authority, &pair, &client);
    fill(&member);
    let refused = |agent: &Agent| {
        let line = agent.warned(&Mark::beginning(), "the datastore is lost");
        assert!(line.contains("refuses the client's certificate"), "{line}");
        world.expect("nothing is read", only(&[8055, 8056, 8057]));
    };
    let ca = [("ETCD_CA_CERT_FILE", text(authority.certificate()))];
    refused(&member.agent(Owner::Disabled, &ca));
    let used = stranger.sign("used", Names::CommonAlone);
    let settings = settings(authority.certificate(), &used);
    let mut agent = member.agent(Owner::Disabled, &settings);
    refused(&agent);
    install(&client, &used);
    agent.started();
    allow(&world, &member, &[8056]);
    member.agrees(&mut agent, &settings);
}

#[test]
fn members_with_tls_are_gone_through_by_the_authorities_of_the_system() {
    let world = World::serving(SERVICES);
    let place = tempfile::tempdir().expect("make a directory");
    let authority = Authority::new(place.path(), "authority");
    let pair = authority.sign("server", LOCAL);
    let client = authority.sign("client", Names::CommonAlone);
    let arguments = server(&authority, &pair);
    let mut members = Member::three_with(
        &world.host,
        "https",
        [&arguments, &arguments, &arguments],
        &writer(&authority, &client),
    );
    fill(&members[0]);
    let urls = members.each_ref().map(Member::url).join(",");
    let [_, certificate, key] = settings(authority.certificate(), &client);
    let settings = [
        ("ETCD_ENDPOINTS", urls.as_str()),
        ("SSL_CERT_FILE", text(authority.certificate())),
        certificate,
        key,
    ];
    let mut agent = members[0].agent(Owner::Disabled, &settings);
    agent.started();
    world.expect("over TLS", only(&[8055]));
    let vigil = Vigil::keep(&world, NEVER, ALWAYS);
    let line = agent.logged("following etcd");
    let followed = members.iter().position(|it| line.contains(it.url()));
    members.swap(0, followed.expect("one of them is followed"));
    let mark = agent.mark();
    members[0].end(Signal::SIGKILL);
    members[1].serving();
    back(&agent, &mark);
    let line = agent.line(&mark, "another member", |line| {
        line.contains("following etcd")
    });
    assert!(!line.contains(members[0].url()), "{line}");
    allow(&world, &members[1], &[8056]);
    vigil.finish();
    members[1].agrees(&mut agent, &settings);
}

#[test]
fn files_that_come_late_are_waited_for() {
    let world = World::serving(SERVICES);
    let place = tempfile::tempdir().expect("make a directory");
    let authority = Authority::new(place.path(), "authority");
    let server = authority.sign("server", LOCAL);
    let client = authority.sign("client", Names::CommonAlone);
    let member = secure(&world, &authority, &server, &client);
    fill(&member);
    let late = |name: &str| place.path().join("late").join(name);
    let used = Pair {
        certificate: client.certificate.clone(),
        key: late("key.pem"),
    };
    let ca = late("ca.pem");
    let agent = member.agent(Owner::Disabled, &settings(&ca, &used));
    let line = agent.warned(&Mark::beginning(), "the datastore is lost");
    assert!(line.contains("read `"), "{line}");
    std::fs::create_dir(place.path().join("late")).expect("make the directory");
    let mark = agent.mark();
    std::fs::copy(authority.certificate(), &ca).expect("copy the certificate");
    let still = agent.line(&mark, "the key is missed", |line| {
        line.contains("etcd is still away")
    });
    assert!(still.contains("key.pem"), "{still}");
    std::fs::copy(&client.key, &used.key).expect("copy the key");
    agent.started();
    world.expect("over TLS", only(&[8055]));
}
