//! Users, passwords and tokens.

use netns_tests::World;
use netns_tests::agent::{Mark, Owner};
use netns_tests::certificates::{Authority, Names};
use netns_tests::etcd::{Member, eventually};
use netns_tests::vigil::Vigil;
use nix::sys::signal::Signal;

use crate::{ALWAYS, NEVER, SERVICES, allow, back, fill};

const WRONG: [(&str, &str); 2] = [("ETCD_USERNAME", "felix"), ("ETCD_PASSWORD", "wrong")];
const RIGHT: [(&str, &str); 2] = [("ETCD_USERNAME", "felix"), ("ETCD_PASSWORD", "pass word")];
/// How often etcd was asked to log somebody in.
const LOGINS: &str = "grpc_server_handled_total{grpc_code=\"OK\",grpc_method=\"Authenticate\"";

/// Stores what is enforced, and demands logins from then on.
fn guard(member: &mut Member<'_>) {
    fill(member);
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
}

/// Has a daemon follow a server whose tokens live for two seconds, longer than that.
fn outlive(tokens: &[&str]) {
    let world = World::serving(SERVICES);
    let mut member = Member::with(&world.host, "http", tokens, &[]);
    guard(&mut member);
    let agent = member.agent(Owner::Disabled, &WRONG);
    let line = agent.warned(&Mark::beginning(), "the datastore is lost");
    assert!(
        line.contains("authentication failed") && !line.contains("wrong"),
        "{line}"
    );
    drop(agent);
    let mut agent = member.agent(Owner::Disabled, &RIGHT);
    agent.started();
    let vigil = Vigil::keep(&world, NEVER, ALWAYS);
    // Asking the member whether it lives needs a new token by then, which is had without a new connection.
    let mark = agent.mark();
    let before = member.count(LOGINS);
    eventually("the daemon logs in again", || member.count(LOGINS) > before);
    allow(&world, &member, &[8056]);
    assert!(!agent.has_said(&mark, "the datastore is lost"));
    // A server that begins anew knows no token.
    let mark = agent.mark();
    member.end(Signal::SIGKILL);
    member.restart();
    member.serving();
    back(&agent, &mark);
    allow(&world, &member, &[8055]);
    vigil.finish();
    member.agrees(&mut agent, &RIGHT);
}

#[test]
fn a_simple_token_that_runs_out_is_renewed() {
    outlive(&["--auth-token-ttl", "2"]);
}

#[test]
fn a_signed_token_that_runs_out_is_renewed() {
    let place = tempfile::tempdir().expect("make a directory");
    let pair = Authority::new(place.path(), "tokens").sign("token", Names::CommonAlone);
    let public = pair.public_key();
    let signed = format!(
        "jwt,pub-key={},priv-key={},sign-method=ES256,ttl=2s",
        public.display(),
        pair.key.display()
    );
    outlive(&["--auth-token", &signed]);
}

#[test]
fn logins_may_be_demanded_later_and_no_longer() {
    let world = World::serving(SERVICES);
    let mut member = Member::start(&world.host);
    fill(&member);
    let mut agent = member.agent(Owner::Disabled, &RIGHT);
    agent.started();
    agent.warned(&Mark::beginning(), "etcd asks for no login");
    let vigil = Vigil::keep(&world, NEVER, ALWAYS);
    guard(&mut member);
    allow(&world, &member, &[8056]);
    // A new connection logs in.
    let mark = agent.mark();
    member.end(Signal::SIGKILL);
    member.restart();
    member.serving();
    back(&agent, &mark);
    allow(&world, &member, &[8055]);
    assert!(!agent.has_said(&mark, "etcd asks for no login"));
    member.etcdctl(&["auth", "disable"]);
    allow(&world, &member, &[8056]);
    vigil.finish();
    member.agrees(&mut agent, &RIGHT);
}
