//! What stays enforced when the daemon stops, dies or starts again, and when its directory breaks.

use netns_tests::Outcome::{Dropped, Open};
use netns_tests::agent::{Mark, command_line};
use netns_tests::resources::{documents, eth0, ingress};
use netns_tests::server::Services;
use netns_tests::{
    Agent, Directory, EXT, Family, Flow, HOST0, Row, World, both_ways, tcp, udp, witness,
};
use nix::sys::signal::Signal;

const SERVICES: Services = Services {
    tcp: &[22, 8055, 8056, 8057],
    udp: &[8055],
    protocols: &[],
};

/// Returns an endpoint and a policy that allows one TCP port.
fn only(port: u16) -> String {
    documents(&[eth0(), allow(port)])
}

fn allow(port: u16) -> String {
    let rule = format!("{{action: Allow, protocol: TCP, destination: {{ports: [{port}]}}}}");
    ingress("allow", 10, &rule)
}

/// Expects that of the ports 8055 to 8057 one alone is open.
fn only_open(port: u16) -> Vec<Row> {
    let expected = |other| if other == port { Open } else { Dropped };
    let mut rows: Vec<Row> = [8055, 8056, 8057]
        .map(|other| tcp(EXT, HOST0, other, expected(other)))
        .into();
    rows.push(tcp(EXT, HOST0, 22, Open));
    rows.push(udp(EXT, HOST0, 8055, Dropped));
    rows
}

/// Expects that nothing is policed.
fn all_open() -> Vec<Row> {
    [22, 8055, 8056, 8057]
        .map(|port| tcp(EXT, HOST0, port, Open))
        .into()
}

both_ways! {
    fn sigterm_leaves_the_rules_and_exits_0(owner) {
        let world = World::serving(SERVICES);
        let mut agent = Agent::start(&world.host, owner);
        agent.apply(&only(8055));
        let mut flow = Flow::open(&world, EXT, HOST0, Family::V4, 8055);
        let before = witness::identities(&world.host);
        assert_eq!(agent.terminate().code(), Some(0));
        assert_eq!(witness::identities(&world.host), before);
        world.expect("after SIGTERM", only_open(8055));
        flow.echo();
    }

    fn signals_are_heeded_while_another_daemon_has_the_namespace(owner) {
        let world = World::new();
        let mut first = Agent::start(&world.host, owner);
        let mut second = Agent::launch(&world.host, owner, &[], first.directory());
        second.logged("starting");
        assert_eq!(second.terminate().code(), Some(0));
        let third = Agent::launch(&world.host, owner, &[], first.directory());
        third.logged("starting");
        third.signal(Signal::SIGHUP);
        first.terminate();
        third.started();
        third.logged("reading the configuration again");
    }

    fn signals_that_ask_for_a_profile_are_ignored(owner) {
        let world = World::new();
        let agent = Agent::start(&world.host, owner);
        for (signal, name) in [(Signal::SIGUSR1, "SIGUSR1"), (Signal::SIGUSR2, "SIGUSR2")] {
            let mark = agent.mark();
            agent.signal(signal);
            agent.line(&mark, "the signal is ignored", |line| {
                line.contains("the signal is ignored") && line.contains(name)
            });
        }
        agent.apply(&only(8055));
    }

    fn sigkill_leaves_the_rules_and_a_start_adopts_them(owner) {
        let world = World::serving(SERVICES);
        let mut agent = Agent::start(&world.host, owner);
        agent.apply(&only(8055));
        let mut flow = Flow::open(&world, EXT, HOST0, Family::V6, 8055);
        let before = witness::identities(&world.host);
        agent.kill();
        assert_eq!(witness::identities(&world.host), before);
        world.expect("after SIGKILL", only_open(8055));
        let second = Agent::on(&world.host, owner, &[], agent.directory());
        assert_eq!(witness::identities(&world.host), before, "what is right is not written again");
        world.expect("after the restart", only_open(8055));
        flow.echo();
        second.apply(&only(8056));
        world.expect("the second daemon follows", only_open(8056));
        flow.echo();
    }

    fn a_restart_with_other_base_chains_takes_over_the_table(owner) {
        let world = World::serving(SERVICES);
        let mut agent = Agent::start(&world.host, owner);
        agent.apply(&only(8055));
        agent.terminate();
        let settings = [("FELIX_CHAININSERTMODE", "append")];
        let agent = Agent::on(&world.host, owner, &settings, agent.directory());
        world.expect("the base chains stand behind those of others", only_open(8055));
        agent.apply(&only(8056));
        world.expect("and follow", only_open(8056));
    }

    fn a_restart_takes_up_what_changed_meanwhile(owner) {
        let world = World::serving(SERVICES);
        let mut agent = Agent::start(&world.host, owner);
        agent.apply(&only(8055));
        agent.terminate();
        agent.directory().put("resources.yaml", &only(8057));
        world.expect("nobody has seen the change", only_open(8055));
        let mut agent = Agent::on(&world.host, owner, &[], agent.directory());
        world.expect("the change is in force", only_open(8057));
        agent.terminate();
        agent.directory().remove("resources.yaml");
        let agent = Agent::on(&world.host, owner, &[], agent.directory());
        world.expect("the leftovers are swept", all_open());
        witness::agree(&world.host);
        drop(agent);
    }

    fn a_start_without_its_directory_changes_nothing(owner) {
        let world = World::serving(SERVICES);
        let directory = Directory::new();
        let mut agent = Agent::on(&world.host, owner, &[], &directory);
        agent.apply(&only(8055));
        agent.terminate();
        let before = witness::identities(&world.host);
        directory.vanish();
        let agent = Agent::launch(&world.host, owner, &[], &directory);
        agent.warned(&Mark::beginning(), "resources");
        assert_eq!(witness::identities(&world.host), before);
        world.expect("the old rules stay", only_open(8055));
        directory.put_hidden("resources.yaml", &only(8056));
        directory.reappear();
        agent.started();
        world.expect("the directory came", only_open(8056));
    }

    fn a_directory_that_vanishes_changes_nothing(owner) {
        let world = World::serving(SERVICES);
        let agent = Agent::start(&world.host, owner);
        agent.apply(&only(8055));
        let before = witness::identities(&world.host);
        let mark = agent.mark();
        agent.directory().vanish();
        agent.warned(&mark, "resources");
        assert_eq!(witness::identities(&world.host), before);
        world.expect("the directory is gone", only_open(8055));
        agent.directory().put_hidden("resources.yaml", &only(8056));
        let mark = agent.mark();
        agent.directory().reappear();
        agent.settled(&mark);
        world.expect("the directory is back with another content", only_open(8056));
        agent.apply(&only(8057));
        world.expect("it is watched again", only_open(8057));
    }

    fn a_file_that_cannot_be_parsed_keeps_its_last_objects(owner) {
        let world = World::serving(SERVICES);
        let agent = Agent::start(&world.host, owner);
        agent.put("endpoint.yaml", &eth0());
        agent.put("policy.yaml", &allow(8055));
        world.expect("both files", only_open(8055));
        for broken in ["{", "kind: [unclosed\n  - x: }", "\u{0}\u{1}\u{2}"] {
            let mark = agent.mark();
            agent.directory().put("policy.yaml", broken);
            agent.warned(&mark, "policy.yaml");
            world.expect("the broken file's objects stay", only_open(8055));
        }
        agent.put("other.yaml", &ingress(
            "other",
            20,
            "{action: Allow, protocol: TCP, destination: {ports: [8057]}}",
        ));
        world.expect("another file still counts", [
            tcp(EXT, HOST0, 8055, Open),
            tcp(EXT, HOST0, 8056, Dropped),
            tcp(EXT, HOST0, 8057, Open),
        ]);
        agent.remove("other.yaml");
        agent.put("policy.yaml", &allow(8056));
        world.expect("the file is mended", only_open(8056));
        agent.remove("policy.yaml");
        world.expect("the file is gone", [
            tcp(EXT, HOST0, 8056, Dropped),
            tcp(EXT, HOST0, 22, Open),
        ]);
    }

    fn files_are_followed_however_they_are_written(owner) {
        let world = World::serving(SERVICES);
        let agent = Agent::start(&world.host, owner);
        let directory = agent.directory().path();
        agent.apply(&only(8055));
        world.expect("a rename", only_open(8055));
        std::fs::write(directory.join("resources.yaml"), only(8056)).unwrap();
        world.eventually("written in place", only_open(8056));
        std::fs::rename(directory.join("resources.yaml"), directory.join("resources.yaml~")).unwrap();
        std::fs::write(directory.join("resources.yaml"), only(8057)).unwrap();
        std::fs::remove_file(directory.join("resources.yaml~")).unwrap();
        world.eventually("written as an editor does, with a backup", only_open(8057));
        let elsewhere = tempfile::tempdir().unwrap();
        std::fs::write(elsewhere.path().join("target.yaml"), only(8055)).unwrap();
        std::os::unix::fs::symlink(elsewhere.path().join("target.yaml"), directory.join("link.yaml"))
            .unwrap();
        std::fs::remove_file(directory.join("resources.yaml")).unwrap();
        world.eventually("a symbolic link", only_open(8055));
        std::fs::create_dir(directory.join("below")).unwrap();
        std::fs::remove_file(directory.join("link.yaml")).unwrap();
        std::fs::write(directory.join("below/policy.yml"), only(8056)).unwrap();
        world.eventually("a directory below", only_open(8056));
        agent.directory().put("ignored.swp", "{");
        agent.put("more.json", "{\"apiVersion\": \"projectcalico.org/v3\", \"kind\": \"Tier\", \
                                \"metadata\": {\"name\": \"more\"}, \"spec\": {\"order\": 1}}");
        world.expect("a file of JSON, and one that is none of ours", only_open(8056));
    }

    fn a_bad_object_does_not_harm_its_neighbours(owner) {
        let world = World::serving(SERVICES);
        let agent = Agent::start(&world.host, owner);
        let bad = ingress("bad", 1, "{action: Deny, protocol: TCP, destination: {ports: [99999]}}");
        let mark = agent.mark();
        agent.apply(&documents(&[eth0(), bad, allow(8055)]));
        agent.warned(&mark, "bad");
        world.expect("the good policy of the same file", only_open(8055));
    }

    fn flush_removes_the_table_unless_a_daemon_lives(owner) {
        let world = World::serving(SERVICES);
        let mut agent = Agent::start(&world.host, owner);
        agent.apply(&only(8055));
        let refused = command_line(&world.host, owner, &["flush", "--yes"]);
        let message = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{message}");
        assert!(message.contains(&agent.pid().to_string()), "{message}");
        assert!(witness::exists(&world.host));
        world.expect("the daemon lives", only_open(8055));
        agent.terminate();
        world.expect("the daemon stopped", only_open(8055));
        let done = command_line(&world.host, owner, &["flush", "--yes"]);
        let message = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(0), "{message}");
        assert!(!witness::exists(&world.host));
        world.expect("nothing is policed", all_open());
        let again = command_line(&world.host, owner, &["flush", "--yes"]);
        assert_eq!(again.status.code(), Some(0), "a second flush finds nothing to do");
    }

    fn flush_after_a_crash_removes_the_table(owner) {
        let world = World::serving(SERVICES);
        let mut agent = Agent::start(&world.host, owner);
        agent.apply(&only(8055));
        agent.kill();
        let done = command_line(&world.host, owner, &["flush", "--yes"]);
        let message = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(0), "{message}");
        assert!(!witness::exists(&world.host));
    }

    fn the_readers_agree_on_what_the_daemon_wrote(owner) {
        let world = World::serving(SERVICES);
        let agent = Agent::start(&world.host, owner);
        agent.apply(&only(8055));
        witness::agree(&world.host);
        let counts = witness::counts_of_nft(&world.host);
        assert!(counts.rules.keys().any(|chain| chain == "pol-in-default.allow"), "{counts:?}");
        assert!(counts.rules.keys().any(|chain| chain == "hep-in-eth0"), "{counts:?}");
    }
}
