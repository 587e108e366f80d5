//! TLS, certificates that change, and logins.

use std::path::Path;
use std::time::{Duration, Instant};

use netns_tests::World;
use netns_tests::agent::{Mark, Owner};
use netns_tests::certificates::{Authority, Names, Pair};
use netns_tests::etcd::{Denied, ETH0, Member, endpoint_key, eventually, policy, policy_key};
use nix::sys::signal::Signal;

use crate::{SERVICES, allow, fill, only};

/// How long a token lives where a test says so.
const TOKEN_LIFE: Duration = Duration::from_secs(2);
const LOCAL: Names<'_> = Names::Alternative("IP:127.0.0.1");

fn text(path: &Path) -> &str {
    path.to_str().expect("paths of tests are UTF-8")
}

/// Starts a server with TLS that asks for client certificates.
pub(crate) fn secure<'a>(
    world: &'a World,
    authority: &Authority,
    server: &Pair,
    client: &Pair,
) -> Member<'a> {
    secure_with(world, authority, server, client, &[])
}

/// Starts such a server with more arguments.
fn secure_with<'a>(
    world: &'a World,
    authority: &Authority,
    server: &Pair,
    client: &Pair,
    more: &[&str],
) -> Member<'a> {
    let ca = text(authority.certificate());
    let tls = [
        "--cert-file",
        text(&server.certificate),
        "--key-file",
        text(&server.key),
        "--trusted-ca-file",
        ca,
        "--client-cert-auth",
    ];
    Member::with(
        &world.host,
        "https",
        &[&tls, more].concat(),
        &[
            "--cacert",
            ca,
            "--cert",
            text(&client.certificate),
            "--key",
            text(&client.key),
            // For servers whose certificate is meant to be refused.
            "--insecure-skip-tls-verify",
        ],
    )
}

pub(crate) fn settings<'a>(ca: &'a Path, client: &'a Pair) -> [(&'static str, &'a str); 3] {
    [
        ("ETCD_CA_CERT_FILE", text(ca)),
        ("ETCD_CERT_FILE", text(&client.certificate)),
        ("ETCD_KEY_FILE", text(&client.key)),
    ]
}

#[test]
fn certificates_are_used_and_changed_under_the_watch() {
    let world = World::serving(SERVICES);
    let place = tempfile::tempdir().expect("make a directory");
    let authority = Authority::new(place.path(), "authority");
    let server = authority.sign("server", LOCAL);
    let client = authority.sign("client", Names::CommonAlone);
    let member = secure(&world, &authority, &server, &client);
    fill(&member);
    let used = installed(place.path());
    install(&client, &used);
    let settings = settings(authority.certificate(), &used);
    let mut agent = member.agent(Owner::Disabled, &settings);
    agent.started();
    world.expect("over TLS", only(&[8055]));
    let denied = Denied::watch(&world, 8057);
    // Half of a pair, and rubbish, leave the connection as it is.
    let mark = agent.mark();
    std::fs::write(&used.certificate, "rubbish").expect("write rubbish");
    agent.warned(&mark, "the certificates have changed and cannot be used");
    allow(&world, &member, &[8056]);
    // A new pair is gone over to without losing the watch.
    let mark = agent.mark();
    install(&authority.sign("second", Names::CommonAlone), &used);
    agent.signal(Signal::SIGHUP);
    agent.line(&mark, "connected anew", |line| {
        line.contains("connected anew")
    });
    allow(&world, &member, &[8055]);
    denied.finish();
    member.agrees(&mut agent, &settings);
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

/// The address moves to another cluster while the watch of the old one lives; then the certificates change.
#[test]
fn new_certificates_that_lead_to_another_cluster_take_over_what_it_holds() {
    let world = World::serving(SERVICES);
    let place = tempfile::tempdir().expect("make a directory");
    let authority = Authority::new(place.path(), "authority");
    let server = authority.sign("server", LOCAL);
    let client = authority.sign("client", Names::CommonAlone);
    let first = secure(&world, &authority, &server, &client);
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
    let denied = Denied::watch(&world, 8057);
    // From here on new connections, those of the test too, go to the second cluster.
    let redirect = "add table ip moved
        add chain ip moved output { type nat hook output priority -100; }
        add rule ip moved output tcp dport 2379 redirect to :22390";
    world.host.exec("nft", &["-f", "-"], redirect);
    let elsewhere = [
        "--listen-client-urls",
        "https://127.0.0.1:22390",
        "--listen-peer-urls",
        "http://127.0.0.1:22391",
    ];
    let second = secure_with(&world, &authority, &server, &client, &elsewhere);
    second.put(&endpoint_key("e0"), ETH0);
    second.put(&policy_key("web"), &policy(&[8056]));
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
    denied.finish();
    second.agrees(&mut agent, &settings);
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

#[test]
fn servers_that_are_somebody_else_are_refused() {
    let world = World::serving(SERVICES);
    let place = tempfile::tempdir().expect("make a directory");
    let authority = Authority::new(place.path(), "authority");
    let stranger = Authority::new(place.path(), "stranger");
    let client = authority.sign("client", Names::CommonAlone);
    for (server, ca, reason) in [
        (
            authority.sign(
                "elsewhere",
                Names::Alternative("IP:192.0.2.99,DNS:elsewhere"),
            ),
            authority.certificate(),
            "not valid for name",
        ),
        (
            authority.sign("127.0.0.1", Names::CommonAlone),
            authority.certificate(),
            "not valid for name",
        ),
        (
            authority.sign("known", LOCAL),
            stranger.certificate(),
            "UnknownIssuer",
        ),
    ] {
        let member = secure(&world, &authority, &server, &client);
        fill(&member);
        let agent = member.agent(Owner::Disabled, &settings(ca, &client));
        let line = agent.warned(&Mark::beginning(), "the datastore is lost");
        assert!(line.contains(reason), "{line}");
        world.expect("nothing is read", only(&[8055, 8056, 8057]));
    }
}

#[test]
fn a_login_is_renewed_and_a_wrong_one_refused() {
    let world = World::serving(SERVICES);
    let seconds = TOKEN_LIFE.as_secs().to_string();
    let mut member = Member::with(&world.host, "http", &["--auth-token-ttl", &seconds], &[]);
    fill(&member);
    for arguments in [
        ["user", "add", "root:secret"].as_slice(),
        &["user", "grant-role", "root", "root"],
        &["role", "add", "reader"],
        &[
            "role",
            "grant-permission",
            "--prefix=true",
            "reader",
            "read",
            "/calico/",
        ],
        &["user", "add", "felix:pass word"],
        &["user", "grant-role", "felix", "reader"],
        &["auth", "enable"],
    ] {
        member.etcdctl(arguments);
    }
    member.log_in("root", "secret");
    let wrong = [("ETCD_USERNAME", "felix"), ("ETCD_PASSWORD", "wrong")];
    let agent = member.agent(Owner::Disabled, &wrong);
    let line = agent.warned(&Mark::beginning(), "the datastore is lost");
    assert!(
        line.contains("authentication failed") && !line.contains("wrong"),
        "{line}"
    );
    drop(agent);
    let right = [("ETCD_USERNAME", "felix"), ("ETCD_PASSWORD", "pass word")];
    let mut agent = member.agent(Owner::Disabled, &right);
    agent.started();
    let denied = Denied::watch(&world, 8057);
    for round in 0_u16..4 {
        // Longer than a token lives, so that the connection after it has to log in anew.
        let mark = agent.mark();
        member.end(Signal::SIGKILL);
        member.restart();
        member.serving();
        agent.line(&mark, "etcd is back", |line| {
            line.contains("the datastore is back")
        });
        allow(&world, &member, &[8055 + round % 2]);
    }
    // The watch outlives the token that it was begun with.
    let begun = Instant::now();
    eventually("tokens have run out", || begun.elapsed() > TOKEN_LIFE * 2);
    allow(&world, &member, &[8055]);
    denied.finish();
    member.agrees(&mut agent, &right);
}
