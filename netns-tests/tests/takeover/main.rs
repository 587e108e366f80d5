//! Scenario 101: what Felix has left is removed, without a gap and without harm to others.
//!
//! The rulesets below `data` are those of a Felix in iptables and in nftables mode, among rules of others.

mod held;
mod wired;

use std::path::PathBuf;
use std::process::{Child, Command, Output};

use netns_tests::agent::{DEADLINE, Directory, HOSTNAME, Mark, binary, command_line};
use netns_tests::flood::{Count, Fate, Flood, Kind};
use netns_tests::resources::{
    ALLOW_ALL, documents, eth0, forward, host_endpoint, ingress, local, network_set, pre_dnat,
    untracked,
};
use netns_tests::stage::until;
use netns_tests::workloads::Routed;
use netns_tests::{
    Agent, EXT, HOST0, Namespace, Outcome, Owner, W1, W2, WL0, World, both_ways, ns, udp, witness,
};

const IPTABLES: &str = include_str!("data/iptables.rules");
const IP6TABLES: &str = include_str!("data/ip6tables.rules");
const NFTABLES: &str = include_str!("data/nftables.nft");
const OTHERS: &str = include_str!("data/others.nft");
const DRY_RUN: &str = include_str!("data/dry-run.txt");

const SETS: &str = "\
create cali40all-ipam-pools hash:net
create cali40masq-ipam-pools hash:net
create cali60all-ipam-pools hash:net family inet6
create cali60masq-ipam-pools hash:net family inet6
create site hash:ip
";

const REMOVED: &str = "what Felix has left was removed";
const ADVISE: (&str, &str) = ("TORTIE_FELIXCLEANUP", "Advise");
const OFTEN: (&str, &str) = ("FELIX_NFTABLESREFRESHINTERVAL", "1");

/// The policy that Felix's rulesets enforce.
fn policy() -> String {
    documents(&[host_policy(), local(WL0, ALLOW_ALL)])
}

/// The policy of the host alone.
fn host_policy() -> String {
    let rules = "{action: Deny, protocol: UDP, destination: {ports: [7001]}}, {action: Allow}";
    documents(&[eth0(), ingress("one", 10, rules)])
}

/// Says which modes of Felix have left something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Iptables,
    Nftables,
    Both,
}

/// Loads what Felix leaves, and what belongs to others.
fn leave(namespace: &Namespace, mode: Mode) {
    if mode != Mode::Nftables {
        namespace.exec("ipset", &["restore"], SETS);
        namespace.exec("iptables-nft-restore", &[], IPTABLES);
        namespace.exec("ip6tables-nft-restore", &[], IP6TABLES);
    }
    if mode != Mode::Iptables {
        namespace.nft(NFTABLES);
    }
    namespace.nft(OTHERS);
}

/// The rules of `iptables-nft` of both families, without what changes by itself.
fn saved(namespace: &Namespace) -> Vec<String> {
    ["iptables-nft-save", "ip6tables-nft-save"]
        .into_iter()
        .flat_map(|program| {
            let text = namespace.exec(program, &[], "");
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            let bare = |line: &str| line.split(" [").next().unwrap_or(line).to_owned();
            lines.map(bare).collect::<Vec<_>>()
        })
        .collect()
}

/// Tells by its text alone whether a line is Felix's and must go; one chain of its stays, which a user's leads to.
fn goes(line: &str) -> bool {
    let chain = |prefix: &str| {
        ["cali-", "felix-"]
            .into_iter()
            .any(|name| line.starts_with(&format!("{prefix}{name}")))
    };
    (chain(":") && line != ":cali-failsafe-in -")
        || chain("-A ")
        || line.contains("--comment \"cali:")
        || line.ends_with("-j felix-FORWARD")
}

/// What must be left of the rules of `iptables-nft`.
fn without_felix(lines: &[String]) -> Vec<String> {
    lines.iter().filter(|line| !goes(line)).cloned().collect()
}

/// The tables of others, with the numbers that the kernel gave each object.
fn others(namespace: &Namespace) -> Vec<Vec<serde_json::Value>> {
    [
        ("inet", "calico"),
        ("ip", "calico-site"),
        ("inet", "filter"),
    ]
    .into_iter()
    .map(|(family, table)| witness::listing(namespace, family, table))
    .collect()
}

fn tables(namespace: &Namespace) -> String {
    namespace.exec("nft", &["list", "tables"], "")
}

fn has_own_tables(namespace: &Namespace) -> bool {
    let tables = tables(namespace);
    let own = ["ip calico", "ip6 calico", "arp calico"];
    tables
        .lines()
        .any(|line| own.iter().any(|table| line == format!("table {table}")))
}

/// Both senders are denied the one port and allowed the other, by Felix as by us.
fn kinds() -> [Kind; 4] {
    let kind = |from, port, fate| Kind { from, port, fate };
    [
        kind(W1, 7001, Fate::Never),
        kind(W2, 7001, Fate::Never),
        kind(W1, 7002, Fate::Always),
        kind(W2, 7002, Fate::Always),
    ]
}

fn demand(counts: &[Count]) {
    let wrong: Vec<&Count> = counts.iter().filter(|count| !count.holds()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}\nof {counts:#?}");
    assert!(counts.iter().all(|count| count.sent > 10), "{counts:#?}");
}

/// Runs a daemon on the policy and waits for nothing.
fn launch(world: &World, owner: Owner, settings: &[(&str, &str)]) -> Agent {
    let directory = Directory::new();
    directory.put("resources.yaml", &policy());
    Agent::launch(&world.host, owner, settings, &directory)
}

fn line(agent: &Agent, text: &str) -> String {
    agent.line(&Mark::beginning(), text, |line| line.contains(text))
}

fn takeover(world: &World, owner: Owner, arguments: &[&str]) -> Output {
    command_line(&world.host, owner, &[&["takeover"], arguments].concat())
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Lets a daemon take over while packets come, and looks at what is left.
fn take_over(owner: Owner, mode: Mode) {
    let world = World::new();
    leave(&world.host, mode);
    let (rules, foreign) = (saved(&world.host), others(&world.host));
    let flood = Flood::start(&world, HOST0, &kinds(), DEADLINE);
    let mut agent = launch(&world, owner, &[OFTEN]);
    let said = line(&agent, REMOVED);
    assert_eq!(saved(&world.host), without_felix(&rules), "{said}");
    assert_eq!(others(&world.host), foreign, "{said}");
    assert!(
        !has_own_tables(&world.host),
        "{said}\n{}",
        tables(&world.host)
    );
    assert!(witness::exists(&world.host));
    let found = takeover(&world, owner, &["--dry-run"]);
    let sets = i32::from(mode != Mode::Nftables);
    assert_eq!(found.status.code(), Some(sets), "{found:?}");
    if mode != Mode::Nftables {
        assert!(line(&agent, "4 sets of ipset").contains("| xargs -r -n 1 ipset destroy"));
        let command = stdout(&found);
        let command = command
            .lines()
            .last()
            .and_then(|line| line.split('`').nth(3));
        let command = command.expect("a command between backquotes");
        until("rules let go of their sets", || {
            world
                .host
                .run(|| Command::new("sh").args(["-c", command]).status())
                .expect("run sh");
            let found = takeover(&world, owner, &["--dry-run"]);
            found.status.code() == Some(0)
        });
        assert_eq!(world.host.exec("ipset", &["list", "-n"], ""), "site\n");
    }
    agent.terminate();
    let agent = Agent::on(&world.host, owner, &[OFTEN], agent.directory());
    agent.put(
        "resources.yaml",
        &documents(&[policy(), network_set("more", "a: b", "10.1.0.0/16")]),
    );
    demand(&flood.finish());
    assert_eq!(saved(&world.host), without_felix(&rules));
    assert_eq!(others(&world.host), foreign);
}

both_ways! {
    fn scenario_101_what_felix_left_in_iptables_is_removed_without_a_gap(owner) {
        take_over(owner, Mode::Iptables);
    }

    fn scenario_101_what_felix_left_in_nftables_is_removed_without_a_gap(owner) {
        take_over(owner, Mode::Nftables);
    }

    fn a_felix_that_lives_keeps_what_it_made(owner) {
        let world = World::new();
        leave(&world.host, Mode::Both);
        let rules = saved(&world.host);
        let (_directory, mut felix) = felix(&world.host);
        let agent = launch(&world, owner, &[OFTEN]);
        let said = line(&agent, "Felix lives in this network namespace");
        assert!(said.contains(&format!("process {} (`calico-felix`)", felix.id())), "{said}");
        let found = takeover(&world, owner, &["--yes"]);
        assert_eq!(found.status.code(), Some(2), "{found:?}");
        assert!(stderr(&found).contains("stop it first"), "{found:?}");
        assert!(has_own_tables(&world.host));
        assert_eq!(saved(&world.host), rules);
        felix.kill().expect("end it");
        felix.wait().expect("wait for its end");
        line(&agent, REMOVED);
        assert!(!has_own_tables(&world.host));
        assert_eq!(saved(&world.host), without_felix(&rules));
    }

    fn what_alone_lets_packets_through_a_chain_that_drops_is_kept_until_another_rule_does(owner) {
        let world = World::serving(netns_tests::server::Services {
            tcp: &[],
            udp: &[],
            protocols: &[],
        })
        .with_workloads(1);
        let directory = Directory::new();
        directory.put("resources.yaml", &policy());
        let agent = Agent::on(&world.host, owner, &[ADVISE, OFTEN], &directory);
        world.routed(&[WL0], Routed::Yes);
        leave(&world.host, Mode::Iptables);
        world.host.exec("iptables-nft", &["-P", "FORWARD", "DROP"], "");
        let kept = saved(&world.host);
        let to_workload = [
            Kind { from: EXT, port: 7002, fate: Fate::Always },
            Kind { from: W1, port: 7002, fate: Fate::Always },
        ];
        let flood = Flood::start(&world, WL0, &to_workload, DEADLINE);
        let said = line(&agent, "`ip filter FORWARD` drops by default");
        let command = said.split('`').nth(3).expect("a command").to_owned();
        assert!(command.starts_with("iptables -I FORWARD"), "{said}");
        let found = takeover(&world, owner, &["--yes"]);
        assert_eq!(found.status.code(), Some(1), "IPv6 is free, IPv4 is kept: {found:?}");
        assert!(stdout(&found).contains(&command), "{found:?}");
        let v4 = |lines: &[String]| {
            let all: Vec<String> = lines.to_vec();
            let end = all.iter().filter(|line| *line == "COMMIT").count() / 2;
            let mut left = end;
            all.into_iter().take_while(|line| {
                let goes_on = left > 0;
                left -= usize::from(line == "COMMIT" && left > 0);
                goes_on
            }).collect::<Vec<_>>()
        };
        assert_eq!(v4(&saved(&world.host)), v4(&kept));
        let words: Vec<&str> = command.split(' ').skip(1).collect();
        world.host.exec("iptables-nft", &words, "");
        let found = takeover(&world, owner, &["--yes"]);
        assert!(stderr(&found).contains("removed: "), "{found:?}");
        demand(&flood.finish());
        let left = saved(&world.host);
        assert!(left.iter().all(|line| !goes(line)), "{left:#?}");
    }

    fn what_felix_marks_is_not_taken_for_what_policy_has_allowed_early(owner) {
        for mode in [Mode::Iptables, Mode::Nftables] {
            let world = World::serving(netns_tests::server::Services {
                tcp: &[],
                udp: &[7002, 7003],
                protocols: &[],
            })
            .with_workloads(1);
            let denied = "{action: Deny, protocol: UDP, destination: {ports: [7003]}}, {action: Allow}";
            let resources = documents(&[
                policy(),
                host_endpoint("star", "interfaceName: \"*\""),
                forward("through", 5, &format!("types: [Ingress], ingress: [{denied}]")),
                untracked("early", 5, "types: [Ingress], ingress: [{action: Allow, protocol: TCP}]"),
                pre_dnat("before", 5, "{action: Allow, protocol: TCP}"),
            ]);
            let directory = Directory::new();
            directory.put("resources.yaml", &resources);
            // Felix's raw chain comes after ours, as it was there before.
            leave(&world.host, mode);
            let agent = Agent::on(&world.host, owner, &[ADVISE], &directory);
            line(&agent, "Felix has left behind");
            world.routed(&[WL0], Routed::Yes);
            world.expect("beside Felix's rules", [
                udp(WL0, EXT, 7002, Outcome::Open),
                udp(WL0, EXT, 7003, Outcome::Dropped),
            ]);
        }
    }

    fn a_rule_of_ours_takes_the_place_of_felixs_before_that_goes(owner) {
        let world = World::new();
        leave(&world.host, Mode::Iptables);
        for program in ["iptables-nft", "ip6tables-nft"] {
            world.host.exec(program, &["-P", "INPUT", "DROP"], "");
        }
        let rules = saved(&world.host);
        let flood = Flood::start(&world, HOST0, &kinds(), DEADLINE);
        let agent = launch(&world, owner, &[("TORTIE_HOSTCHAINACCEPT", "Insert")]);
        line(&agent, REMOVED);
        let mut left = saved(&world.host);
        demand(&flood.finish());
        left.retain(|line| !line.contains("tortie: accepted by policy"));
        assert_eq!(left, without_felix(&rules));
    }
}

/// Starts a process that is called as Felix is.
fn felix(namespace: &Namespace) -> (tempfile::TempDir, Child) {
    let directory = tempfile::tempdir().expect("make a directory");
    let program: PathBuf = directory.path().join("calico-felix");
    std::fs::copy("/bin/sleep", &program).expect("copy a program");
    let child = loop {
        match namespace.run(|| Command::new(&program).arg("600").spawn()) {
            // Another thread's child still has the copy open for writing, until it runs its own program.
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {}
            other => break other.expect("start it"),
        }
    };
    (directory, child)
}

#[test]
fn rules_of_felix_1_4_go_and_those_that_are_like_them_stay() {
    const FELIX: [&str; 2] = [
        "-A POSTROUTING -m set --match-set felix-masq-ipam-pools src -m set ! --match-set felix-all-ipam-pools dst -j MASQUERADE",
        "-A POSTROUTING -o tunl0 -m addrtype ! --src-type LOCAL --limit-iface-out -m addrtype --src-type LOCAL -j MASQUERADE",
    ];
    const OTHERS: [&str; 7] = [
        "-A POSTROUTING -m set --match-set site src -m set ! --match-set felix-all-ipam-pools dst -j MASQUERADE",
        "-A POSTROUTING -o tunl1 -m addrtype ! --src-type LOCAL --limit-iface-out -m addrtype --src-type LOCAL -j MASQUERADE",
        "-A POSTROUTING -o tunl+ -m addrtype ! --src-type LOCAL --limit-iface-out -m addrtype --src-type LOCAL -j MASQUERADE",
        "-A POSTROUTING -o tunl0 -m addrtype --src-type LOCAL --limit-iface-out -m addrtype --src-type LOCAL -j MASQUERADE",
        "-A POSTROUTING -o tunl0 -m addrtype ! --src-type LOCAL --limit-iface-out -j MASQUERADE",
        "-A POSTROUTING -o tunl0 -m addrtype ! --src-type LOCAL --limit-iface-out -m addrtype --src-type LOCAL -j MASQUERADE --random",
        "-A POSTROUTING -s 10.0.0.0/8 -o tunl0 -m addrtype ! --src-type LOCAL --limit-iface-out -m addrtype --src-type LOCAL -j MASQUERADE",
    ];
    if !ns::privileged() {
        return;
    }
    let world = World::new();
    let sets = ["site", "felix-all-ipam-pools", "felix-masq-ipam-pools"];
    let sets = sets.map(|set| format!("create {set} hash:net\n"));
    world.host.exec("ipset", &["restore"], &sets.concat());
    let lines = [&OTHERS[..3], &FELIX[..], &OTHERS[3..]].concat();
    let text = format!("*nat\n{}\nCOMMIT\n", lines.join("\n"));
    world.host.exec("iptables-nft-restore", &[], &text);
    let rules = |lines: &[String]| -> Vec<String> {
        lines
            .iter()
            .filter(|line| line.starts_with("-A"))
            .cloned()
            .collect()
    };
    assert_eq!(rules(&saved(&world.host)), lines);
    let found = takeover(&world, Owner::Disabled, &["--dry-run"]);
    let said = stdout(&found);
    let wanted = "remove rule of Felix 1.4 of chain `ip nat POSTROUTING`\n";
    assert_eq!(said.matches(wanted).count(), 2, "{said}");
    let agent = launch(&world, Owner::Disabled, &[]);
    line(&agent, REMOVED);
    assert_eq!(rules(&saved(&world.host)), OTHERS);
}

#[test]
fn a_felix_is_told_from_one_of_another_namespace_by_few_capabilities() {
    if !ns::privileged() {
        return;
    }
    let [here, there] = ["here", "there"].map(Namespace::new);
    here.nft(NFTABLES);
    // As the unit file has it.
    let look = || {
        let few = ["--bounding-set=-all,+net_admin", "--inh-caps=-all"];
        let mut command = Command::new("setpriv");
        command
            .args(few)
            .arg(binary())
            .args(["takeover", "--dry-run"]);
        command.env("FELIX_FELIXHOSTNAME", HOSTNAME);
        let output = here.run(|| command.output()).expect("run setpriv");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        stderr(&output)
    };
    let (_directory, mut felix) = felix(&there);
    let said = look();
    assert!(said.contains("not in force"), "{said}");
    felix.kill().expect("end it");
    felix.wait().expect("wait for its end");
    let (_directory, mut felix) = self::felix(&here);
    let said = look();
    assert!(
        said.contains("Felix lives in this network namespace"),
        "{said}"
    );
    felix.kill().expect("end it");
    felix.wait().expect("wait for its end");
}

#[test]
fn the_command_lists_all_and_removes_nothing_before_ours_is_in_force() {
    if !ns::privileged() {
        return;
    }
    let owner = Owner::Disabled;
    let world = World::new();
    leave(&world.host, Mode::Both);
    let rules = saved(&world.host);
    let found = takeover(&world, owner, &["--dry-run"]);
    assert_eq!(stdout(&found), DRY_RUN);
    assert_eq!(found.status.code(), Some(1));
    assert!(stderr(&found).contains("not in force"), "{found:?}");
    let found = takeover(&world, owner, &["--yes"]);
    assert_eq!(found.status.code(), Some(2), "{found:?}");
    assert!(stderr(&found).contains("not in force"), "{found:?}");
    assert_eq!(saved(&world.host), rules);
    let agent = launch(&world, owner, &[ADVISE]);
    let said = line(&agent, "Felix has left behind");
    assert!(said.contains("`tortie takeover` removes it"), "{said}");
    let found = takeover(&world, owner, &[]);
    assert_eq!(found.status.code(), Some(2), "{found:?}");
    assert!(stderr(&found).contains("use --yes"), "{found:?}");
    assert_eq!(saved(&world.host), rules);
    let found = takeover(&world, owner, &["--yes"]);
    assert!(
        stderr(&found).contains("removed: table `ip calico`; "),
        "{found:?}"
    );
    assert_eq!(saved(&world.host), without_felix(&rules));
    assert!(!has_own_tables(&world.host));
}

#[test]
fn the_flood_sees_a_removal_without_ours_in_force() {
    if !ns::privileged() {
        return;
    }
    let world = World::new();
    leave(&world.host, Mode::Nftables);
    let flood = Flood::start(&world, HOST0, &kinds(), DEADLINE);
    world
        .host
        .nft("delete table ip calico\ndelete table ip6 calico\n");
    saved(&world.host);
    let counts = flood.finish();
    let leaked = counts.iter().filter(|count| !count.holds()).count();
    assert_eq!(leaked, 4, "packets that passed went unseen: {counts:#?}");
}

#[test]
fn the_commands_for_legacy_iptables_take_felixs_rules_and_no_others() {
    if !ns::privileged() {
        return;
    }
    let world = World::new();
    world.host.exec("ipset", &["restore"], SETS);
    world.host.exec("iptables-legacy-restore", &[], IPTABLES);
    world.host.exec("ip6tables-legacy-restore", &[], IP6TABLES);
    let agent = launch(&world, Owner::Disabled, &[]);
    for program in ["iptables-legacy", "ip6tables-legacy"] {
        let saved = || {
            let text = world.host.exec(&format!("{program}-save"), &[], "");
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            let bare = |line: &str| line.split(" [").next().unwrap_or(line).to_owned();
            lines.map(bare).collect::<Vec<_>>()
        };
        let before = saved();
        assert!(before.iter().any(|line| goes(line)), "{before:#?}");
        let said = line(&agent, &format!(" {program} has tables"));
        let commands: Vec<&str> = said.split('`').skip(1).step_by(2).collect();
        let [show, _, remove] = commands[..] else {
            panic!("{said}")
        };
        let shown = world.host.exec("sh", &["-c", show], "");
        assert!(
            shown
                .lines()
                .all(|line| goes(line) || line.contains("cali-failsafe-in")),
            "{shown}"
        );
        world.host.exec("sh", &["-c", remove], "");
        // A rule that leads to a chain of Felix's cannot stay without it, whosesoever it is.
        let mut expected = without_felix(&before);
        expected.retain(|line| !line.contains("cali-failsafe-in"));
        assert_eq!(saved(), expected);
    }
}

#[test]
fn thousands_of_chains_go_at_once_while_others_change_the_ruleset() {
    if !ns::privileged() {
        return;
    }
    let world = World::new();
    let chains = (0..5000).map(|number| format!(":cali-pi-{number} - [0:0]\n"));
    let jumps = (1..5000).map(|number| format!("-A cali-pi-{number} -j cali-pi-{}\n", number / 2));
    let mut text: String = ["*filter\n".to_owned()]
        .into_iter()
        .chain(chains)
        .chain(jumps)
        .collect();
    text += "-A FORWARD -m comment --comment \"cali:x\" -j cali-pi-4999\nCOMMIT\n";
    world.host.exec("iptables-nft-restore", &[], &text);
    let agent = launch(&world, Owner::usual(), &[]);
    let mut busy = 0;
    until("the removal", || {
        busy += 1;
        world
            .host
            .nft("add table inet busy\ndelete table inet busy\n");
        !saved(&world.host).iter().any(|line| goes(line))
    });
    let said = line(&agent, REMOVED);
    assert!(
        said.contains("1 rule and 5000 chains of table `ip filter`"),
        "{said}"
    );
}
