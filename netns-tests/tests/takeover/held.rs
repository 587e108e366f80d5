//! What Felix has left stays where a host would be without policy, or closed, after it.

use std::process::Command;

use netns_tests::agent::{DEADLINE, Directory, binary};
use netns_tests::flood::{Fate, Flood, Kind};
use netns_tests::resources::{documents, host_endpoint_of};
use netns_tests::{Agent, EXT, HOST0, Owner, W1, World, both_ways, ns, witness};

use super::{
    ADVISE, Mode, OFTEN, REMOVED, demand, goes, has_own_tables, host_policy, kinds, launch, leave,
    line, policy, saved, stderr, stdout, takeover, without_felix,
};

const PROGRAMS: [&str; 2] = ["iptables-nft", "ip6tables-nft"];
const UNPOLICED: &str = "keep all that Felix has left for now";

/// Starts a daemon whose directory holds this, and waits for nothing.
fn launch_with(world: &World, owner: Owner, settings: &[(&str, &str)], text: &str) -> Agent {
    let directory = Directory::new();
    directory.put("resources.yaml", text);
    Agent::launch(&world.host, owner, settings, &directory)
}

/// Appends rules to the tables of both families, given without the program.
fn append(world: &World, rules: &[&str]) {
    for program in PROGRAMS {
        for rule in rules {
            let words: Vec<&str> = rule.split(' ').collect();
            world.host.exec(program, &words, "");
        }
    }
}

/// Runs what a held line of each family advises.
fn take_advice(world: &World, agent: &Agent, chain: &str, how: &str) {
    for (family, program) in [("ip", PROGRAMS[0]), ("ip6", PROGRAMS[1])] {
        let said = line(
            agent,
            &format!("without it the chain `{family} filter {chain}` {how}"),
        );
        assert!(
            said.contains("keep all that Felix has in the tables of iptables"),
            "{said}"
        );
        let command = said.split('`').nth(3).expect("a command").to_owned();
        let words: Vec<&str> = command.split(' ').skip(1).collect();
        world.host.exec(program, &words, "");
    }
}

/// Shows that Felix's rules stay while the host drops by these rules what only Felix's accept, and that they go
/// without a gap once it does not.
fn held_by(owner: Owner, rules: &[&str], chain: &str, how: &str) {
    let world = World::new();
    leave(&world.host, Mode::Iptables);
    append(&world, rules);
    let kept = saved(&world.host);
    let flood = Flood::start(&world, HOST0, &kinds(), DEADLINE);
    let agent = launch(&world, owner, &[OFTEN]);
    line(
        &agent,
        &format!("without it the chain `ip filter {chain}` {how}"),
    );
    assert_eq!(saved(&world.host), kept, "{rules:?}");
    let found = takeover(&world, owner, &["--yes"]);
    assert_eq!(found.status.code(), Some(1), "{found:?}");
    assert!(stdout(&found).contains(how), "{found:?}");
    take_advice(&world, &agent, chain, how);
    line(&agent, REMOVED);
    demand(&flood.finish());
    let left = saved(&world.host);
    assert!(left.iter().all(|line| !goes(line)), "{left:#?}");
}

/// Shows that an interface is never without policy, however little there is for this host at first.
fn stays_policed(owner: Owner, mode: Mode) {
    let world = World::new().with_workloads(1);
    leave(&world.host, mode);
    let rules = saved(&world.host);
    let own = has_own_tables(&world.host);
    let flood = Flood::start(&world, HOST0, &kinds(), DEADLINE);
    // The endpoint is another host's, by the case of its node alone.
    let endpoint = host_endpoint_of("Host1", "eth0", "role: host", "interfaceName: eth0");
    let agent = launch_with(&world, owner, &[OFTEN], &endpoint);
    let said = line(&agent, UNPOLICED);
    assert!(
        said.contains("police what ours do not: `cali0`, `eth0`. "),
        "{said}"
    );
    assert!(
        said.contains("`tortie takeover --even-if-unpoliced` removes it"),
        "{said}"
    );
    line(&agent, "is this host's but for upper and lower case");
    let found = takeover(&world, owner, &["--dry-run"]);
    assert!(
        stderr(&found).contains("it cannot be removed now: Felix's rules police"),
        "{found:?}"
    );
    let found = takeover(&world, owner, &["--yes"]);
    assert_eq!(found.status.code(), Some(2), "{found:?}");
    assert!(
        stderr(&found).contains("if it is meant, add --even-if-unpoliced"),
        "{found:?}"
    );
    agent.put("resources.yaml", &host_policy());
    line(&agent, "police what ours do not: `cali0`. ");
    assert_eq!(saved(&world.host), rules);
    assert_eq!(has_own_tables(&world.host), own);
    agent.put("resources.yaml", &policy());
    line(&agent, REMOVED);
    demand(&flood.finish());
    assert_eq!(saved(&world.host), without_felix(&rules));
    assert!(!has_own_tables(&world.host));
}

both_ways! {
    fn what_felix_polices_in_iptables_and_ours_do_not_stays_policed(owner) {
        stays_policed(owner, Mode::Iptables);
    }

    fn what_felix_polices_in_nftables_and_ours_do_not_stays_policed(owner) {
        stays_policed(owner, Mode::Nftables);
    }

    fn what_felix_polices_of_ipv6_in_iptables_and_ours_leave_alone_stays_policed(owner) {
        ipv6_stays_policed(owner, Mode::Iptables);
    }

    fn what_felix_polices_of_ipv6_in_nftables_and_ours_leave_alone_stays_policed(owner) {
        ipv6_stays_policed(owner, Mode::Nftables);
    }

    fn a_last_rule_that_rejects_holds_felixs_back(owner) {
        let rules = ["-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT", "-A INPUT -j REJECT"];
        held_by(owner, &rules, "INPUT", "drops by a rule");
    }

    fn a_chain_that_drops_by_default_holds_felixs_back(owner) {
        held_by(owner, &["-P INPUT DROP"], "INPUT", "drops by default");
    }
}

#[test]
fn rules_that_drop_most_packets_hold_felixs_back() {
    if !ns::privileged() {
        return;
    }
    for rules in [
        // By a chain of one's own.
        [
            "-N site-end",
            "-A site-end -j LOG",
            "-A site-end -j DROP",
            "-A INPUT -g site-end",
        ]
        .as_slice(),
        &["-A INPUT ! -i lo -j DROP"],
        &["-A INPUT -i eth+ -p udp -j REJECT"],
        // An accept that comes too late.
        &[
            "-A INPUT -j DROP",
            "-A INPUT -m mark --mark 0x10000/0x10000 -j ACCEPT",
        ],
    ] {
        held_by(Owner::Disabled, rules, "INPUT", "drops by a rule");
    }
}

#[test]
fn rules_that_drop_what_felix_would_too_or_little_hold_nothing_back() {
    if !ns::privileged() {
        return;
    }
    for rules in [
        ["-I INPUT -j DROP"].as_slice(),
        &["-A INPUT -m conntrack --ctstate INVALID -j DROP"],
        &["-A INPUT -p tcp --dport 8056 -j REJECT"],
        &["-A INPUT -i docker0 -j DROP"],
        &[
            "-A INPUT -m mark --mark 0x10000/0x10000 -j ACCEPT",
            "-A INPUT -j DROP",
        ],
        &["-A INPUT -j ACCEPT", "-A INPUT -j DROP"],
    ] {
        let world = World::new();
        leave(&world.host, Mode::Iptables);
        append(&world, rules);
        let before = saved(&world.host);
        let agent = launch(&world, Owner::Disabled, &[OFTEN]);
        line(&agent, REMOVED);
        assert_eq!(saved(&world.host), without_felix(&before), "{rules:?}");
    }
}

#[test]
fn what_the_host_sends_is_not_shut_in() {
    if !ns::privileged() {
        return;
    }
    let world = World::new();
    leave(&world.host, Mode::Iptables);
    append(&world, &["-P OUTPUT DROP"]);
    let out = [Kind {
        from: HOST0,
        port: 7002,
        fate: Fate::Always,
    }];
    let egress = "types: [Egress], egress: [{action: Allow}]";
    let text = documents(&[policy(), netns_tests::resources::policy("out", 20, egress)]);
    let flood = Flood::start(&world, EXT, &out, DEADLINE);
    let agent = launch_with(&world, Owner::Disabled, &[OFTEN], &text);
    take_advice(&world, &agent, "OUTPUT", "drops by default");
    line(&agent, REMOVED);
    demand(&flood.finish());
}

/// Shows that IPv6 stays policed by Felix's rules while ours accept all of it, and that they go once ours do not.
fn ipv6_stays_policed(owner: Owner, mode: Mode) {
    let off = ("FELIX_IPV6SUPPORT", "false");
    let world = World::new().with_workloads(1);
    leave(&world.host, mode);
    if mode == Mode::Iptables {
        append(&world, &["-P INPUT DROP"]);
    }
    let rules = saved(&world.host);
    let own = has_own_tables(&world.host);
    let flood = Flood::start(&world, HOST0, &kinds(), DEADLINE);
    let mut agent = launch(&world, owner, &[OFTEN, off]);
    let said = line(&agent, UNPOLICED);
    assert!(
        said.contains("police what ours do not: `cali0` in IPv6, `eth0` in IPv6. "),
        "{said}"
    );
    assert!(
        said.contains("policy: ours accept all of IPv6 (`Ipv6Support`). If that"),
        "{said}"
    );
    if mode == Mode::Iptables {
        let said = line(
            &agent,
            "without it the chain `ip6 filter INPUT` drops by default",
        );
        assert!(said.contains("or Ipv6Support is off"), "{said}");
        let said = line(
            &agent,
            "without it the chain `ip filter INPUT` drops by default",
        );
        assert!(said.contains("`iptables -I INPUT"), "{said}");
    }
    append(&world, &["-P INPUT ACCEPT"]);
    let found = takeover(&world, owner, &["--yes"]);
    assert_eq!(found.status.code(), Some(2), "{found:?}");
    assert!(stderr(&found).contains("`eth0` in IPv6"), "{found:?}");
    agent.terminate();
    assert_eq!(has_own_tables(&world.host), own);
    let kept = |lines: &[String]| lines.iter().filter(|line| goes(line)).count();
    assert_eq!(kept(&saved(&world.host)), kept(&rules));
    let agent = Agent::on(&world.host, owner, &[OFTEN], agent.directory());
    line(&agent, REMOVED);
    demand(&flood.finish());
    assert_eq!(kept(&saved(&world.host)), 0);
    assert!(!has_own_tables(&world.host));
}

#[test]
fn an_operator_can_mean_it() {
    if !ns::privileged() {
        return;
    }
    let owner = Owner::Disabled;
    let world = World::new();
    leave(&world.host, Mode::Both);
    append(&world, &["-P INPUT DROP"]);
    let rules = saved(&world.host);
    let unmarked = ("TORTIE_NFTABLESFILTERALLOWACTION", "RETURN");
    let agent = launch_with(&world, owner, &[OFTEN, unmarked], "");
    line(&agent, UNPOLICED);
    let said = line(
        &agent,
        "without it the chain `ip filter INPUT` drops by default",
    );
    assert!(said.contains("our rules mark nothing"), "{said}");
    let found = takeover(&world, owner, &["--yes", "--even-if-dropped"]);
    assert_eq!(found.status.code(), Some(2), "{found:?}");
    let found = takeover(&world, owner, &["--yes", "--even-if-unpoliced"]);
    assert_eq!(found.status.code(), Some(1), "{found:?}");
    assert_eq!(saved(&world.host), rules);
    assert!(!has_own_tables(&world.host));
    let found = takeover(
        &world,
        owner,
        &["--yes", "--even-if-unpoliced", "--even-if-dropped"],
    );
    assert!(stderr(&found).contains("removed: "), "{found:?}");
    assert_eq!(saved(&world.host), without_felix(&rules));
    assert!(witness::exists(&world.host));
}

#[test]
fn the_mark_that_is_in_force_counts_and_not_what_a_file_says() {
    if !ns::privileged() {
        return;
    }
    let owner = Owner::Disabled;
    let world = World::new();
    leave(&world.host, Mode::Iptables);
    append(&world, &["-P INPUT DROP"]);
    let rules = saved(&world.host);
    let marks = "apiVersion: projectcalico.org/v3\nkind: FelixConfiguration\n\
                 metadata: {name: default}\nspec: {iptablesMarkMask: 0xff000000}\n";
    let text = documents(&[policy().as_str(), marks]);
    let agent = launch_with(&world, owner, &[ADVISE, OFTEN], &text);
    line(&agent, "--mark 0x1000000/0x1000000");
    append(
        &world,
        &["-I INPUT -m mark --mark 0x10000/0x10000 -j ACCEPT"],
    );
    let found = takeover(&world, owner, &["--yes"]);
    assert_eq!(found.status.code(), Some(1), "{found:?}");
    assert!(
        stdout(&found).contains("`iptables -I INPUT -m mark --mark 0x1000000/0x1000000"),
        "{found:?}"
    );
    let kept = |lines: &[String]| lines.iter().filter(|line| goes(line)).count();
    assert_eq!(kept(&saved(&world.host)), kept(&rules));
    let from_w1 = [Kind {
        from: W1,
        port: 7002,
        fate: Fate::Always,
    }];
    let flood = Flood::start(&world, HOST0, &from_w1, DEADLINE);
    append(
        &world,
        &["-I INPUT -m mark --mark 0x1000000/0x1000000 -j ACCEPT"],
    );
    let found = takeover(&world, owner, &["--yes"]);
    assert!(stderr(&found).contains("removed: "), "{found:?}");
    demand(&flood.finish());
    assert_eq!(kept(&saved(&world.host)), 0);
}

#[test]
fn the_commands_for_legacy_iptables_leave_no_host_shut() {
    if !ns::privileged() {
        return;
    }
    let world = World::new();
    world.host.exec("ipset", &["restore"], super::SETS);
    for (program, rules) in [
        ("iptables-legacy", super::IPTABLES),
        ("ip6tables-legacy", super::IP6TABLES),
    ] {
        world.host.exec(&format!("{program}-restore"), &[], rules);
        world.host.exec(program, &["-P", "INPUT", "DROP"], "");
    }
    let agent = launch(&world, Owner::Disabled, &[]);
    let flood = Flood::start(&world, HOST0, &kinds(), DEADLINE);
    for program in ["iptables-legacy", "ip6tables-legacy"] {
        let said = line(&agent, &format!(" {program} has tables"));
        let commands: Vec<&str> = said.split('`').skip(1).step_by(2).collect();
        let Some((_, commands)) = commands.split_first() else {
            panic!("{said}")
        };
        for command in commands {
            world.host.exec("sh", &["-c", command], "");
        }
        let text = world.host.exec(&format!("{program}-save"), &[], "");
        assert!(text.lines().all(|line| !goes(line)), "{text}");
    }
    demand(&flood.finish());
}

#[test]
fn where_processes_are_hidden_the_removal_waits() {
    if !ns::privileged() {
        return;
    }
    let owner = Owner::Disabled;
    let world = World::new();
    leave(&world.host, Mode::Both);
    let rules = saved(&world.host);
    let agent = launch(&world, owner, &[ADVISE]);
    line(&agent, "Felix has left behind");
    // As the unit has it, where /proc shows processes to a group alone.
    let program = binary();
    let script = format!(
        "mount -t proc -o hidepid=2,gid=65534 proc /proc && \
         exec setpriv --bounding-set=-all,+net_admin {} takeover --yes",
        program.display()
    );
    let found = world
        .host
        .run(|| {
            Command::new("unshare")
                .args(["-m", "--", "sh", "-c", &script])
                .output()
        })
        .expect("run unshare");
    assert_eq!(found.status.code(), Some(2), "{found:?}");
    assert!(
        stderr(&found).contains("whether a Felix lives cannot be told"),
        "{found:?}"
    );
    assert_eq!(saved(&world.host), rules);
    assert!(has_own_tables(&world.host));
}
